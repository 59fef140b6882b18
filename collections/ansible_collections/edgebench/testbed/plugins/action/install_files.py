# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.install_files``."""

from __future__ import annotations

DOCUMENTATION = """
module: install_files
short_description: Ensure that files are on a host, verified, without Python there
description:
  - Asks the host in one exchange which of the files it has (by sha256), and brings only the others. A file is sent in
    chunks and goes on where it was when the link was cut, in this play or the next; it is put in place by rename when
    its sha256 agrees.
  - Needs sh, dd, find and sha256sum (or shasum, or openssl) on the host.
options:
  files:
    description:
      - C(dest) is the path on the host; C(src), a path on the controller, or C(content), a text, is what it shall hold.
        C(sha256) is needed where neither is given. C(mode) is C('0644') unless given. C(url) is where the host may
        fetch it itself.
    type: list
    elements: dict
    required: true
  fetch_on_host:
    description: Let the host fetch what has a C(url), with curl or wget.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the model is on the host
  edgebench.testbed.install_files:
    files:
      - {src: ~/models/MobileNet.float32.tflite, dest: /home/pi/edgebench/models/MobileNet.float32.tflite}
"""

RETURN = """
installed:
  description: Paths on the host of the files that were brought, or in check mode would be.
  type: list
  elements: str
  returned: success
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, deliver, file_sha256, missing


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "files": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "dest": {"type": "str", "required": True},
                "src": {"type": "path"},
                "content": {"type": "str"},
                "sha256": {"type": "str"},
                "mode": {"type": "str", "default": "0644"},
                "url": {"type": "str", "default": ""},
            },
            "mutually_exclusive": [["src", "content"]],
            "required_one_of": [["src", "content", "sha256"]],
        },
        "fetch_on_host": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        parcels = [parcel(file) for file in args["files"]]
        check = bool(self._task.check_mode)
        wanted = missing(shell, parcels, check)
        if not check:
            for item, _ in wanted:
                ensure_source(item, args["fetch_on_host"])
            deliver(shell, wanted, args["fetch_on_host"])
        return {"changed": bool(wanted), "installed": [item.dest for item, _ in wanted]}


def parcel(file: dict[str, Any]) -> Parcel:
    """Make a parcel of one of the task's files.

    Raises:
        HostError: the source is not there, or `dest` is no path.
    """
    if not re.fullmatch(r"/[^\x00-\x1f]*[^\x00-\x1f/]", file["dest"]):
        raise HostError(f"{file['dest']!r} is no absolute path of a file")
    content = file["content"].encode() if file["content"] is not None else None
    src = Path(file["src"]) if file["src"] else None
    sha256 = (file["sha256"] or "").lower()
    if content is not None:
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
    elif not sha256:
        ensure_source(Parcel(file["dest"], "", src=src), fetch_on_host=False)
        sha256 = file_sha256(src)
    return Parcel(file["dest"], sha256, file["mode"], content, src, file["url"])


def ensure_source(item: Parcel, fetch_on_host: bool) -> None:
    if item.content is None and not (fetch_on_host and item.url) and not (item.src and item.src.is_file()):
        raise HostError(f"there is no file {item.src} on the controller to send as {item.dest}")
