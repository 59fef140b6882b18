"""What `make` starts: the kit's own environment, the study of this machine, and that in one file for others.

Nothing but the standard library.

usage: python3 tools/kit.py setup [--dev]              create or update .venv
       python3 tools/kit.py run [ansible-playbook arguments]   play site.yml against inventory/local
       python3 tools/kit.py archive --label LABEL [--output PATH] [ansible-playbook arguments]
                                                      the same, and pack the campaign into one file
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import importlib.util
import json
import locale
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV_NEEDS_MB = 1500
PROFILES_HINT = """
That was the quick profile: few, short repetitions. The full study (ten repetitions, about ten minutes to an hour):
  make run PROFILE=study
Until everything is known to 1 %, for publication:
  make run PROFILE=precise
Other settings: roles/campaign/defaults/main.yml. Other machines: add them to an inventory (README.md)."""
MARK = ".archive"  # in a campaign's directory until its archive is whole: which command measures it
RESUME_DAYS = 7  # as campaign_resume_days


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
    """Measure this machine; return the play's exit code."""
    with playing(root):
        code = play(root, arguments, again="`make run`")
    if code == 0 and not arguments:
        print(PROFILES_HINT)
    return code


def playing(root: Path) -> contextlib.AbstractContextManager[None]:
    """Keep other plays out of this checkout."""
    return locked(root, "run", "make run or make archive is at work in this checkout already; wait for it, or end it")


def play(root: Path, arguments: list[str], again: str) -> int:
    """Play site.yml against inventory/local; return the play's exit code. `again` is what goes on with it."""
    command = [str(root / ".venv/bin/ansible-playbook"), "site.yml", "-i", "inventory/local", *arguments]
    # Said aloud, since Ansible ignores an ansible.cfg in a directory that others can write to.
    environment = os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg")}
    if locale.getpreferredencoding().lower().replace("-", "") != "utf8":
        environment["LC_ALL"] = "C.UTF-8"  # Ansible insists on UTF-8
    try:
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode
    except KeyboardInterrupt:
        print(
            "\nThe play has ended. If it had begun to measure, that goes on in the background: "
            f"{again} shows it again, `make stop` ends it.",
            file=sys.stderr,
        )
        return 130


class Asked(NamedTuple):
    """What `archive` was asked for.

    Attributes:
        label: the machine's name in tables.
        output: the archive, or the directory that it is put into.
        others: arguments for ansible-playbook.
    """

    label: str
    output: Path
    others: list[str]

    @property
    def directory(self) -> Path:
        return self.output if self.output.is_dir() else self.output.parent


def parse_archive(root: Path, arguments: list[str]) -> Asked:
    """Read the arguments of `archive`; raises KitError for what cannot be used: better now than after measuring."""
    parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2].strip(), allow_abbrev=False)
    parser.add_argument("--label", default="")
    parser.add_argument("--output", type=Path, default=root)
    options, others = parser.parse_known_args(arguments)
    found = Asked(" ".join(options.label.split()), options.output.absolute(), others)
    if not found.label:
        raise KitError("how is this machine to be called in tables? For example: make archive LABEL='My laptop'")
    if not found.label.isprintable() or set(found.label) & set("{}"):  # Ansible would compute what is in braces
        raise KitError(f"the label '{found.label}' has braces or unprintable characters; choose another")
    for name in ("campaign_name", "campaign_logs_dir", "platform_label"):
        if any(name in argument for argument in others):
            raise KitError(f"make archive sets {name} itself; leave it out")
    if not os.access(found.directory, os.W_OK):
        raise KitError(f"cannot write to {found.directory}; choose another --output")
    return found


def archive(root: Path, asked: Asked) -> int:
    """Measure this machine under a label and pack the campaign into one file; return 0 when it is whole.

    What has come home is packed also when the play failed. The same command goes on with what it did not finish.

    Raises:
        KitError: the archive cannot be written, or there is nothing to pack.
    """
    with playing(root):
        try:
            campaign = begin(root / "logs", asked.label, fingerprint(root, asked))
            ours = {
                "campaign_name": campaign.name,
                "campaign_logs_dir": str(campaign.parent),
                "platform_label": asked.label,
            }
            code = play(root, [*asked.others, "-e", json.dumps(ours)], again="the same command")
            undone = unfinished(campaign)
            target = asked.output
            if target.is_dir():
                target /= f"edgebench-{campaign.name}.tar.gz"
            runs = pack(campaign, target)
            if not (code or undone):
                (campaign / MARK).unlink()
        except OSError as exc:
            where = exc.filename or asked.directory
            raise KitError(f"cannot write {where} ({exc.strerror}); mend it and run the same again") from exc
    print(f"\nArchive of {runs} runs, {target.stat().st_size / 1e6:.2f} MB: {target}")
    print(
        "Whoever has it beside logs of their own reads both with\n  python -m analysis.report logs/ edgebench-*.tar.gz"
    )
    if undone:
        print(
            f"error: the archive is incomplete: {', '.join(undone)} is not done. The same command goes on with it; "
            f"to begin anew, delete {campaign} first",
            file=sys.stderr,
        )
    return code or bool(undone)


def fingerprint(root: Path, asked: Asked) -> str:
    """What makes a command the same as an earlier one: what was typed, and the inventory that it means."""
    digest = hashlib.sha256(json.dumps([asked.label, asked.others]).encode())
    for path in sorted((root / "inventory/local").rglob("*.yml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def begin(logs: Path, label: str, command: str) -> Path:
    """Return the directory of the campaign that the same command left unfinished, else a new one.

    A new one is named by label, time and random digits: inventory/local calls every machine the same, so that only the
    campaign's name keeps apart what two people measured, perhaps in the same second, perhaps under the same label.
    """
    latest = time.time() - RESUME_DAYS * 86400
    marks = [mark for mark in logs.glob(f"*/{MARK}") if mark.read_text() == command and mark.stat().st_mtime > latest]
    if marks:
        return max(marks, key=lambda mark: mark.stat().st_mtime).parent
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", plain)[:40].strip("-") or "machine"
    campaign = logs / f"{slug}-{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}-{secrets.token_hex(2)}"
    campaign.mkdir(parents=True)
    (campaign / MARK).write_text(command)
    return campaign


def unfinished(campaign: Path) -> list[str]:
    """Hosts of a campaign that are not done; raises KitError when there is nothing that could be packed."""
    record = campaign / "campaign.json"
    if not record.exists():  # the play did not get as far
        (campaign / MARK).unlink()
        with contextlib.suppress(OSError):
            campaign.rmdir()
        raise KitError("nothing was measured, so there is nothing to pack")
    if next(campaign.glob("*/runs/*.log"), None) is None:
        raise KitError("no run has come home yet, so there is nothing to pack; the same command goes on")
    try:
        hosts = json.loads(record.read_text(encoding="utf-8"))["hosts"]
    except ValueError as exc:
        raise KitError(f"{record} cannot be read ({exc}); delete {campaign} and run the same again") from exc
    return [host for host in hosts if not (campaign / host / "DONE").exists()]


def pack(campaign: Path, target: Path) -> int:
    """Write what a campaign's directory holds, but for hidden files, as a .tar.gz; return the number of runs in it.

    The same files give the same bytes: nothing of who packed them, or when, is kept.
    """
    files = {
        path.relative_to(campaign.parent).as_posix(): path
        for path in (campaign / "campaign.json", *campaign.glob("*/**/*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(campaign).parts)
    }
    partial = target.with_name(f".{target.name}.partial")
    try:
        with (
            partial.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for name, path in sorted(files.items()):
                member = tarfile.TarInfo(name)  # mode 644, owned by nobody in particular, of no date
                member.size = path.stat().st_size
                with path.open("rb") as content:
                    tar.addfile(member, content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return sum(name.endswith(".log") and "/runs/" in name for name in files)


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
            case ["archive", *rest]:
                asked = parse_archive(root, rest)
                setup(root, dev=False)
                return archive(root, asked)
            case _:
                print(__doc__.strip(), file=sys.stderr)
                return 2
    except KitError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
