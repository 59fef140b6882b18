# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.binary_runner``."""

from __future__ import annotations

DOCUMENTATION = """
module: binary_runner
short_description: Install a runner that is one program, and see that it starts
description:
  - The program is a file on the controller, or a download, which the controller keeps for all hosts that are alike.
    The host needs no Python and no internet.
  - When it is there, that is one exchange with the host, and nothing is downloaded.
options:
  dest:
    description: Path on the host.
    type: str
    required: true
  path:
    description: The program on the controller. Comes before I(url).
    type: path
    default: ""
  url:
    description: Where it is downloaded from. It may have a password in it, which is not shown.
    type: str
    default: ""
  sha256:
    description: What the program's sha256 must be.
    type: str
    default: ""
  platform:
    description: The platform that it is built for, for messages.
    type: str
    default: ""
  allow_unpinned:
    description: Take a download without I(sha256).
    type: bool
    default: false
  cache_dir:
    description: Directory on the controller that keeps downloads.
    type: path
    required: true
  fetch_on_host:
    description: Let the host download it, where I(sha256) says what it must be.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the official binary is on the host
  edgebench.testbed.binary_runner:
    dest: /home/pi/edgebench/runners/benchmark_model
    path: ~/benchmark_model
    cache_dir: ~/.cache/edgebench/binaries
"""

RETURN = """
runner:
  description: C(argv) and C(environment) that start it, C(version) and C(sha256); null where they are not known yet.
  type: dict
  returned: success
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import (
    DownloadError,
    ensure_download,
    public_url,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import (
    LOOK,
    Parcel,
    absent,
    deliver,
    file_sha256,
    question,
)

# Whether it is there and whether it starts, in one exchange.
LOOK_AND_PROBE = 'sh -c "$1" sh "$2" || exit 1; sh -c "$3" sh "$4" || :'


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "dest": {"type": "str", "required": True},
        "path": {"type": "path", "default": ""},
        "url": {"type": "str", "default": ""},
        "sha256": {"type": "str", "default": ""},
        "platform": {"type": "str", "default": ""},
        "allow_unpinned": {"type": "bool", "default": False},
        "cache_dir": {"type": "path", "required": True},
        "fetch_on_host": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        check, fetch = bool(self._task.check_mode), args["fetch_on_host"]
        probe = self.local_file("probe_binary.sh").read_text(encoding="utf-8")
        program = described(args, shell.say, check)
        runner = {"argv": [args["dest"]], "environment": {}, "version": None, "sha256": None}
        if program is None:
            return {"changed": True, "runner": runner}
        reply = shell.check(
            "cannot look at the runner on the host",
            LOOK_AND_PROBE,
            *(LOOK, "check" if check else "", probe, program.dest),
            stdin=question([program]),
        )
        answer, _, refusal = reply.text.partition("\n")
        wanted = absent([program], answer)
        if wanted and not check:
            if not (fetch and program.url):
                ensure_local(args, program, shell.say)
            deliver(shell, wanted, fetch)
            refusal = shell.run(probe, program.dest).text
        if refusal.strip() and not (wanted and check):
            name = Path(args["dest"]).name
            origin = args["path"] or public_url(args["url"])
            raise HostError(f"{name} (from {origin}) does not start on this host: {' '.join(refusal.split())}")
        # It tells no version of its own.
        runner |= {"version": program.sha256[:12], "sha256": program.sha256}
        return {"changed": bool(wanted), "runner": runner}


def described(args: dict[str, Any], say: Callable[[str], None], check: bool) -> Parcel | None:
    """The program as it shall be on the host; None when that is known only after a download, which `check` forbids.

    Raises:
        HostError: it is not there, or not the one that is meant.
    """
    wanted, platform = args["sha256"].lower(), args["platform"]
    if args["path"]:
        path = Path(args["path"]).absolute()
        if not path.is_file():
            raise HostError(f"benchmark_model_path names '{args['path']}', and there is no such file on the controller")
        found = file_sha256(path)
        if wanted not in ("", found):
            raise HostError(
                f"{path} has the sha256 {found}, and benchmark_model_sha256 asks for {wanted}; correct the setting or "
                "the file"
            )
        return Parcel(args["dest"], found, "0755", src=path)
    if not wanted and not args["allow_unpinned"]:
        raise HostError(
            f"no sha256 for the benchmark_model of {platform}, which is a nightly build and changes. Download it with "
            f"'curl -fLO {public_url(args['url'])}' and set 'benchmark_model_path: {{{platform}: FILE}}', or set "
            f"'benchmark_model_sha256: {{{platform}: SUM}}' to what sha256sum says of it; "
            "'benchmark_model_allow_unpinned: true' takes what comes and records its sha256"
        )
    kept = wanted or f"unpinned-{hashlib.sha256(args['url'].encode()).hexdigest()[:16]}"
    cached = Path(args["cache_dir"], kept, Path(args["dest"]).name)
    if wanted:
        return Parcel(args["dest"], wanted, "0755", src=cached, url=args["url"])
    if check and not cached.is_file():
        return None
    # Not for the host to fetch: only what is here has a sha256.
    program = Parcel(args["dest"], "", "0755", src=cached)
    return Parcel(args["dest"], ensure_local(args, program, say), "0755", src=cached)


def ensure_local(args: dict[str, Any], program: Parcel, say: Callable[[str], None]) -> str:
    """Ensure that the controller has what it is to send; return its sha256."""
    if args["path"]:
        return program.sha256
    try:
        return ensure_download(args["url"], program.src, program.sha256, say)
    except (DownloadError, OSError) as exc:
        raise HostError(
            f"cannot download {public_url(args['url'])}: {str(exc).rstrip('.')}. Correct benchmark_model_url or "
            "benchmark_model_sha256, or give the file as benchmark_model_path"
        ) from exc
