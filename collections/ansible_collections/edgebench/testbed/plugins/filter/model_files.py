# Copyright the edgebench developers. Apache-2.0.
"""The filter ``edgebench.testbed.model_files``."""

from __future__ import annotations

DOCUMENTATION = """
name: model_files
short_description: Models of a manifest as files to install on a host
description:
  - Turns the entries of modelzoo's manifest into the I(files) of M(edgebench.testbed.install_files), with the sha256
    and the URL that the manifest has, so that nothing is read on the controller.
  - Files that were compiled for other CPUs than the host's are left out.
positional: _input, source_dir, dest_dir, target
options:
  _input:
    description: The manifest's entries.
    type: list
    elements: dict
    required: true
  source_dir:
    description: Their directory on the controller.
    type: path
    required: true
  dest_dir:
    description: Their directory on the host.
    type: str
    required: true
  target:
    description: What libraries must be compiled for to run on the host, as in the manifest. Without it none does.
    type: str
"""

EXAMPLES = """
files: "{{ benchmark_models_manifest | edgebench.testbed.model_files('/srv/models', '/home/pi/edgebench/models') }}"
"""

RETURN = """
_value:
  description: Files for M(edgebench.testbed.install_files).
  type: list
  elements: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.edgebench.testbed.plugins.module_utils import plan


def model_files(
    manifest: Sequence[dict[str, Any]], source_dir: str, dest_dir: str, target: str | None = None
) -> list[dict[str, str]]:
    """Return the files to install, one for each entry that is for this host."""
    return [
        {
            "src": f"{source_dir}/{entry['file']}",
            "dest": f"{dest_dir}/{entry['file']}",
            "sha256": entry["sha256"],
            "url": entry.get("url") or "",
        }
        for entry in plan.for_host(manifest, target or None)
    ]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"model_files": model_files}
