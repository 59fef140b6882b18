"""What `make` starts: the kit's own environment, and the study of this machine. Nothing but the standard library.

usage: python3 tools/kit.py setup [--dev]              create or update .venv
       python3 tools/kit.py run [ansible-playbook arguments]   play site.yml against inventory/local
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import locale
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV_NEEDS_MB = 1500
PROFILES_HINT = """
That was the quick profile: few, short repetitions. The full study (ten repetitions, about ten minutes to an hour):
  make run PROFILE=study
Other settings: roles/campaign/defaults/main.yml. Other machines: add them to an inventory (README.md)."""


class KitError(Exception):
    """Something the user can mend; the message is one line."""


@contextlib.contextmanager
def locked(root: Path, name: str, busy: str) -> Iterator[None]:
    """Hold .cache/<name>.lock of the checkout `root`; whoever comes second is told `busy`.

    The lock goes with the process, however that ends.
    """
    path = root / ".cache" / f"{name}.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        file = path.open("a+")
    except OSError as exc:
        raise KitError(f"cannot write {path} ({exc.strerror}); the kit needs a checkout that it can write to") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise KitError(f"{busy} (process {file.read().strip() or 'unknown'})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def setup(root: Path, dev: bool) -> None:
    """Ensure that the checkout's .venv holds what its requirements say; does nothing when it does already.

    Raises:
        KitError: Python lacks venv, the disk is too small, or a package cannot be installed.
    """
    venv = root / ".venv"
    stamp = venv / "installed"
    requirements = [root / "requirements.txt", root / "requirements-dev.txt"][: 2 if dev else 1]
    wanted = [hashlib.sha256(f"{sys.version}{path.read_text()}".encode()).hexdigest() for path in requirements]
    if stamp.exists() and set(wanted) <= set(stamp.read_text().split()):
        return
    with locked(root, "setup", "the kit's environment is being set up already; wait for it"):
        if not importlib.util.find_spec("ensurepip"):
            raise KitError("this Python has no venv; on Debian and Ubuntu: apt-get install python3-venv")
        free_mb = shutil.disk_usage(root).free // 2**20
        if free_mb < VENV_NEEDS_MB and not venv.exists():
            raise KitError(f"{root} has {free_mb} MB free, the kit's packages need {VENV_NEEDS_MB} MB; make room")
        print(f"setting up {venv} (once, about a minute)", flush=True)
        stamp.unlink(missing_ok=True)
        python = venv / "bin" / "python"
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        commands = [[sys.executable, "-m", "venv", venv], [*pip, "-r", requirements[-1]]]
        for command in commands:
            if subprocess.run(command, check=False).returncode:
                raise KitError(f"setting up {venv} failed (see above); mend it and run the same again")
        stamp.write_text("\n".join(wanted))


def run(root: Path, arguments: list[str]) -> int:
    """Play site.yml against inventory/local; return the play's exit code."""
    with locked(root, "run", "make run is at work in this checkout already; wait for it, or end it"):
        command = [str(root / ".venv/bin/ansible-playbook"), "site.yml", "-i", "inventory/local", *arguments]
        # Said aloud, since Ansible ignores an ansible.cfg in a directory that others can write to.
        environment = os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg")}
        if locale.getpreferredencoding().lower().replace("-", "") != "utf8":
            environment["LC_ALL"] = "C.UTF-8"  # Ansible insists on UTF-8
        try:
            code = subprocess.run(command, cwd=root, env=environment, check=False).returncode
        except KeyboardInterrupt:
            print(
                "\nThe play has ended. If it had begun to measure, that goes on in the background: "
                "`make run` shows it again, `make stop` ends it.",
                file=sys.stderr,
            )
            return 130
    if code == 0 and not arguments:
        print(PROFILES_HINT)
    return code


def main(arguments: list[str], root: Path = ROOT) -> int:
    try:
        match arguments:
            case ["setup"]:
                setup(root, dev=False)
            case ["setup", "--dev"]:
                setup(root, dev=True)
            case ["run", *rest]:
                setup(root, dev=False)
                return run(root, rest)
            case _:
                print(__doc__.strip(), file=sys.stderr)
                return 2
    except KitError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
