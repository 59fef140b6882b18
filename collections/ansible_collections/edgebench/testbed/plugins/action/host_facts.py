# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.host_facts``."""

from __future__ import annotations

DOCUMENTATION = """
module: host_facts
short_description: Ask a machine what it is, and keep the record (host.json) on the controller
description:
  - Sends I(script) as the text of one command; the host needs sh and nothing else.
  - A campaign that goes on must go on on the machine that it began on. When that has changed, the task fails and names
    the change, or with I(allow_change) keeps the earlier record as C(host.<n>.json).
  - The first contact with a host, so it does not wait for one that does not answer, and says in plain words why ssh was
    refused.
options:
  script:
    description: The text of collect_facts.sh.
    type: str
    required: true
  dest:
    description: Path of host.json on the controller. Empty means that nothing is recorded or compared.
    type: path
    default: ""
  platform_label:
    description: The machine's name in tables; by default that of its board or CPU.
    type: str
  container:
    description: The machine is a container of this name or testbed, whether it shows that or not.
    type: str
  allow_change:
    description: Go on although the machine has changed.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ask the machine what it is
  edgebench.testbed.host_facts:
    script: "{{ lookup('ansible.builtin.file', 'collect_facts.sh') }}"
    dest: logs/demo/pi5/host.json
"""

RETURN = """
record:
  description: The record, and besides C(home), C(uid) and C(python_path) of the user that we are there.
  type: dict
  returned: success
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils.host_facts import (
    HostFactsError,
    access,
    parse,
    reconcile,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell


class ActionModule(HostAction):
    PATIENT = False
    SPEC = {  # noqa: RUF012
        "script": {"type": "str", "required": True},
        "dest": {"type": "path", "default": ""},
        "platform_label": {"type": "str"},
        "container": {"type": "str"},
        "allow_change": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        asked_at = time.time()
        text = shell.run(args["script"]).text
        now = (asked_at + time.time()) / 2
        try:
            utc = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # ours: hosts' clocks differ
            record, user = parse(text, shell.host, args["platform_label"] or None, utc), access(text)
        except HostFactsError as exc:
            raise HostError(str(exc)) from exc
        if user["time_s"] is not None:
            record["clock_offset_s"] = round(user["time_s"] - now)
        if args["container"]:
            # Each container has a name of its own; a campaign may go on in another one on the same device.
            record |= {"virtualization": f"container ({args['container']})", "hostname": None}
        changed = False
        if args["dest"]:
            path = Path(args["dest"]).absolute()
            try:
                record, changed = keep(record, path, args["allow_change"], bool(self._task.check_mode))
            except OSError as exc:
                raise HostError(
                    f"cannot write {path}: {exc.strerror}; make room, or choose another campaign_logs_dir"
                ) from exc
        return {"changed": changed, "record": record | {key: user[key] for key in ("home", "uid", "python_path")}}


def keep(record: dict[str, Any], path: Path, allow_change: bool, check: bool) -> tuple[dict[str, Any], bool]:
    """Return the record that holds, and whether that is news; write it to `path` unless `check`.

    Raises:
        HostError: the machine is not what it was when the campaign began.
        OSError: it cannot be written.
    """
    previous = path.read_text(encoding="utf-8") if path.exists() else None
    outcome = reconcile(previous, record, str(path), allow_change)
    if outcome["problem"]:
        raise HostError(outcome["problem"])
    text = json.dumps(outcome["record"], indent=4, ensure_ascii=False) + "\n"
    if text == previous:
        return outcome["record"], False
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        if outcome["replaced"]:
            number = len(list(path.parent.glob(f"{path.stem}.*.json"))) + 1
            path.with_name(f"{path.stem}.{number}.json").write_text(previous, encoding="utf-8")
        partial = path.with_suffix(".new")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return outcome["record"], True
