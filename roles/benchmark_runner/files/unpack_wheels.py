"""Unpack the wheels of one directory into another, which appears only when it is whole; then remove the wheels.

    unpack_wheels.py PYTHON WHEELS TARGET

Wheels are zip files of what belongs into a directory on PYTHONPATH, so a host needs no pip for them. It may be started
again while another, whose connection was lost, is still at work: one waits for the other.
"""

import fcntl
import os
import shutil
import sys
import zipfile
from pathlib import Path

wheels, target = (Path(argument) for argument in sys.argv[2:])
partial = target.with_name(target.name + ".partial")
with target.with_name(target.name + ".lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not target.is_dir():
        shutil.rmtree(str(partial), ignore_errors=True)
        for path in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(str(path)) as wheel:
                wheel.extractall(str(partial))
        os.sync()  # or a power cut leaves packages that are whole by name only
        partial.rename(target)
    shutil.rmtree(str(wheels), ignore_errors=True)
