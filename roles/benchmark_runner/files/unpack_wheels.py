"""Unpack the wheels of one directory into another, which appears only when it is whole; then remove the wheels.

    unpack_wheels.py PYTHON WHEELS TARGET [PATTERN ...]

Wheels are zip files of what belongs into a directory on PYTHONPATH, so a host needs no pip for them. Files that match a
PATTERN stay in there. It may be started again while another, whose connection was lost, is still at work: one waits for
the other.
"""

import fcntl
import os
import shutil
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

wheels, target = (Path(argument) for argument in sys.argv[2:4])
leave_out = sys.argv[4:]
partial = target.with_name(target.name + ".partial")
with target.with_name(target.name + ".lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not target.is_dir():
        shutil.rmtree(str(partial), ignore_errors=True)
        for path in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(str(path)) as wheel:
                kept = [name for name in wheel.namelist() if not any(fnmatchcase(name, one) for one in leave_out)]
                wheel.extractall(str(partial), kept)
        os.sync()  # or a power cut leaves packages that are whole by name only
        partial.rename(target)
    shutil.rmtree(str(wheels), ignore_errors=True)
