# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.python_runner``."""

from __future__ import annotations

DOCUMENTATION = """
module: python_runner
short_description: Install a runner that is written in Python, with its packages, and see that it starts
description:
  - The packages reach the host as wheels that fit its Python, machine and glibc, and are unpacked by that Python. It
    needs no pip, venv, root or internet there. The controller's pip downloads them, once for all hosts that are alike.
  - When all is there, that is one exchange with the host.
options:
  name:
    description: What the runner is called; its packages are in the setting C(benchmark_runner_<name>_packages).
    type: str
    required: true
  program:
    description: Its program, a file on the controller. With C(--version) it prints a line C(EDGEBENCH runner=<JSON>).
    type: path
    required: true
  modules:
    description: Modules that the program imports, files on the controller. All go to the host as one file.
    type: list
    elements: path
    default: []
  dir:
    description: Directory on the host, absolute, for the program and its packages.
    type: str
    required: true
  python:
    description: The host's Python that runs it.
    type: str
  packages:
    description: Packages that it imports, as requirements of pip.
    type: list
    elements: str
    required: true
  extra_index_url:
    description: A package index that pip is to ask as well, for the first of I(packages).
    type: str
    default: ""
  leave_out:
    description:
      - Files in the packages that the runner does not need, as patterns such as C(tvm/3rdparty/*). They are not sent,
        and where the host downloads the packages itself they are not unpacked.
    type: list
    elements: str
    default: []
  advice:
    description: What to do when the runner does not start, a sentence for the message.
    type: str
    default: ""
  cache_dir:
    description: Directory on the controller that keeps wheels.
    type: path
    required: true
  controller_python:
    description: The controller's Python whose pip looks for wheels.
    type: str
    required: true
  fetch_on_host:
    description: Let the host download the wheels itself, from where the controller's pip finds them.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure the runner litert is on the host
  edgebench.testbed.python_runner:
    name: litert
    program: runners/litert.py
    modules: [runners/protocol.py]
    dir: /home/pi/edgebench/runners
    python: /usr/bin/python3
    packages: [ai-edge-litert==2.3.0, numpy<3]
    cache_dir: ~/.cache/edgebench/wheels
    controller_python: "{{ ansible_playbook_python }}"
"""

RETURN = """
runner:
  description: C(argv) and C(environment) that start it, C(version) and C(sha256).
  type: dict
  returned: success
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostAction, HostError, HostShell
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import Parcel, deliver, file_sha256, missing
from ansible_collections.edgebench.testbed.plugins.plugin_utils.wheels import Packages, Target, WheelsError
from ansible_collections.edgebench.testbed.plugins.plugin_utils.zipapps import zipapp

RUN_PYTHON = 'exec "$1" - "$@"'  # the program comes on stdin
_WORD = re.compile(r"[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*")
_GLIBC = re.compile(r"2\.\d+(\.\d+)*")


class Answer(NamedTuple):
    """What the host's Python said.

    Attributes:
        target: None where no wheels can fit.
        starts: None: not tried, since something is missing.
        version: of the runner that started.
        complaint: why the Python or the runner does not start.
    """

    target: Target | None = None
    has_packages: bool = False
    has_program: bool = False
    starts: bool | None = None
    version: str | None = None
    complaint: str = ""


class ActionModule(HostAction):
    SPEC = {  # noqa: RUF012
        "name": {"type": "str", "required": True},
        "program": {"type": "path", "required": True},
        "modules": {"type": "list", "elements": "path", "default": []},
        "dir": {"type": "str", "required": True},
        "python": {"type": "str"},
        "packages": {"type": "list", "elements": "str", "required": True},
        "extra_index_url": {"type": "str", "default": ""},
        "leave_out": {"type": "list", "elements": "str", "default": []},
        "advice": {"type": "str", "default": ""},
        "cache_dir": {"type": "path", "required": True},
        "controller_python": {"type": "str", "required": True},
        "fetch_on_host": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        content = zipapp(Path(args["program"]), [Path(module) for module in args["modules"]])
        python, name = args["python"], args["name"]
        program = Parcel(f"{args['dir']}/{name}.pyz", hashlib.sha256(content).hexdigest(), content=content)
        if not python:
            raise HostError(
                f"the runner {name} needs Python, and none was found on this host; name one in "
                "benchmark_runner_python, or measure with the official binary (the runner benchmark_model), which "
                "needs none"
            )
        packages = Packages(
            tuple(args["packages"]),
            args["controller_python"],
            Path(args["cache_dir"]),
            args["extra_index_url"],
            tuple(args["leave_out"]),
        )

        def ask() -> Answer:
            words = (python, f"{args['dir']}/packages", packages.digest, program.dest, program.sha256)
            return answer(shell.run(RUN_PYTHON, *words, stdin=self._script("ask_python.py")))

        said = ask()
        if said.target is None:
            raise HostError(
                f"'{python}' cannot run the runner {name}, which needs CPython on Linux with glibc: {said.complaint}. "
                "Name another Python of this host in benchmark_runner_python, or measure with the runner "
                "benchmark_model"
            )
        directory = f"{args['dir']}/packages/{said.target.key}"
        changed = not (said.has_packages and said.has_program)
        if changed and not self._task.check_mode:
            if not said.has_packages:
                self._install_packages(packages, args, shell, said.target, directory)
            deliver(shell, missing(shell, [program]))
            said = ask()
        if said.starts is False or (said.starts is None and not self._task.check_mode):
            raise HostError(
                f"the runner {name} does not start with {python} ({described(said.target)}): {said.complaint}. "
                + args["advice"]
            )
        runner = {
            "argv": [python, program.dest],
            # Bytecode is kept, whatever the host's environment says: without it PyTorch takes ten seconds, not four.
            "environment": {"PYTHONPATH": directory, "PYTHONDONTWRITEBYTECODE": ""},
            "version": said.version,
            "sha256": program.sha256,
        }
        return {"changed": changed, "runner": runner}

    def _install_packages(
        self, packages: Packages, args: dict[str, Any], shell: HostShell, target: Target, directory: str
    ) -> None:
        parcels = []
        try:
            if args["fetch_on_host"]:
                found = packages.addresses(target, shell.say)
                parcels = [
                    Parcel(f"{directory}.wheels/{name}", sha256, url=url) for name, (url, sha256) in found.items()
                ]
            if not parcels:
                paths = packages.wheels(target, shell.say)
                parcels = [Parcel(f"{directory}.wheels/{path.name}", file_sha256(path), src=path) for path in paths]
        except WheelsError as exc:
            raise HostError(
                f"no wheels of {packages} for {described(target)}; pip says: {exc}. If the "
                "package index cannot be reached, run again when it can; else name another Python of this host in "
                f"benchmark_runner_python, another version in benchmark_runner_{args['name']}_packages, or measure "
                "with the runner benchmark_model"
            ) from exc
        except OSError as exc:
            raise HostError(f"cannot keep wheels in {packages.cache} on the controller: {exc.strerror}") from exc
        deliver(shell, missing(shell, parcels), args["fetch_on_host"])
        words = (args["python"], f"{directory}.wheels", directory, *args["leave_out"])
        shell.check(
            f"cannot unpack wheels into {directory}", RUN_PYTHON, *words, stdin=self._script("unpack_wheels.py")
        )

    def _script(self, name: str) -> bytes:
        """A script of the role, which the host's Python runs."""
        return self.local_file(name).read_bytes()


def answer(reply: Any) -> Answer:
    """Read what ask_python.py printed, and after it the runner. A host's words become paths here: they are checked."""
    first, _, rest = reply.text.partition("\n")
    complaint = " ".join(reply.said.split())
    try:
        said = json.loads(first)
        target = Target(*(said[key] for key in ("python", "machine", "glibc", "key")))
    except (ValueError, KeyError, TypeError):
        return Answer(complaint=complaint)
    if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in target) or not _GLIBC.fullmatch(
        target.glibc
    ):
        return Answer(complaint="it is none of these")
    if not (said["packages"] and said["program"]):
        return Answer(target, said["packages"], said["program"])
    match = re.search(r"^EDGEBENCH runner=(.*)$", rest, re.MULTILINE)
    version = json.loads(match[1])["version"] if match and reply.rc == 0 else None
    return Answer(target, True, True, reply.rc == 0, version, complaint)


def described(target: Target) -> str:
    return f"CPython {target.python} on {target.machine} with glibc {target.glibc}"
