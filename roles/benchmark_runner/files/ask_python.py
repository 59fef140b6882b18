"""Say, as JSON, what this Python is and what it has; when it has all, start the runner, which says its version.

    ask_python.py PYTHON PACKAGES_DIR REQUIREMENTS PROGRAM SHA256

Of the packages, wheels must fit its version, machine and glibc (empty: not CPython, or no glibc); these are the `key`
that names their directory below PACKAGES_DIR, with REQUIREMENTS, which stands for what they are. What the runner said
is kept beside that directory: to start it takes seconds on a Raspberry Pi, and once is enough for the same runner and
Python.
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

python, packages_dir, requirements, program, sha256 = sys.argv[1:]

machine = platform.machine()
if machine == "aarch64" and sys.maxsize < 2**32:
    machine = "armv7l"  # a 32-bit system on a 64-bit kernel, as some Raspberry Pis have
try:
    libc, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
except (ValueError, AttributeError):
    libc, version = "", ""
glibc = version if platform.python_implementation() == "CPython" and libc == "glibc" else ""
key = "cp%d%d-%s-glibc%s-%s" % (sys.version_info[0], sys.version_info[1], machine, glibc, requirements)  # noqa: UP031

packages = Path(packages_dir, key)
has_packages = packages.is_dir()
has_program = Path(program).is_file() and hashlib.sha256(Path(program).read_bytes()).hexdigest() == sha256

print(
    json.dumps(
        {
            "python": "%d.%d" % sys.version_info[:2],  # noqa: UP031
            "machine": machine,
            "glibc": glibc,
            "key": key,
            "packages": has_packages,
            "program": has_program,
        }
    )
)
sys.stdout.flush()
if has_packages and has_program:
    kept = Path(packages_dir, f"{key}.started.json")
    what = {"sha256": sha256, "python": sys.version}
    started = {}
    with contextlib.suppress(OSError, ValueError):
        started = json.loads(kept.read_text(encoding="utf-8"))
    if {**started, **what} != started:
        environment = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": ""}
        done = subprocess.run([python, program, "--version"], env=environment, stdout=subprocess.PIPE, check=False)
        if done.returncode < 0:  # as by an instruction that the CPU does not have; what died says nothing
            sys.exit(f"ended by signal {-done.returncode}")
        if done.returncode:
            sys.exit(done.returncode)
        started = {**what, "said": done.stdout.decode()}
        with contextlib.suppress(OSError):  # a full disk costs a start the next time
            kept.write_text(json.dumps(started), encoding="utf-8")
    print(started["said"])
