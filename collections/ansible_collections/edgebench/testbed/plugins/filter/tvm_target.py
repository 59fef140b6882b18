# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.tvm_target``."""

from __future__ import annotations

DOCUMENTATION = """
name: tvm_target
short_description: What TVM must compile for to have libraries that run on a host
description:
  - Gives the target in the form in which the model manifest has it.
  - Fails where that is none, or where the host cannot run what is compiled for it.
positional: _input, host, record
options:
  _input:
    description: The target as in the inventory, such as C(-mcpu=cortex-a72), or the host's record (host.json).
    type: raw
    required: true
  host:
    description: The host's name, for messages.
    type: str
    required: true
  record:
    description: The host's record, to see whether the host can run what is compiled for the target.
    type: dict
"""

EXAMPLES = """
target: "{{ host_facts_record | edgebench.testbed.tvm_target(inventory_hostname) }}"
"""

RETURN = """
_value:
  description: The target, such as C(llvm -mcpu=cortex-a72 -mtriple=aarch64-linux-gnu).
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.edgebench.testbed.plugins.module_utils import tvm_target as targets
from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import FEATURES


def tvm_target(what: str | Mapping[str, Any], host: str, record: Mapping[str, Any] | None = None) -> str:
    if isinstance(what, Mapping):
        if target := targets.of_host(what):
            return target
        raise AnsibleFilterError(
            f"{host}: TVM has packages for x86_64 and aarch64, and this machine is {what.get('arch') or 'unknown'}; "
            "leave tvm out of campaign_runners, or measure this host in a campaign of its own"
        )
    try:
        target = targets.normalised(str(what))
    except ValueError as exc:
        raise AnsibleFilterError(f"{host}: {exc}; correct benchmark_tvm_target") from None  # its words are in it
    if reason := targets.unfit(target, record or {}, FEATURES):
        raise AnsibleFilterError(
            f"{host} cannot run what TVM compiles for '{target}': {reason}; correct benchmark_tvm_target"
        )
    return target


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"tvm_target": tvm_target}
