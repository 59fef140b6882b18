"""Unpack the wheels of one directory into another, which appears only when it is whole; then remove the wheels.

    unpack_wheels.py WHEELS TARGET

Wheels are zip files of what belongs into a directory on PYTHONPATH, so a host needs no pip for them.
"""

import shutil
import sys
import zipfile
from pathlib import Path

wheels, target = (Path(argument) for argument in sys.argv[1:])
partial = target.with_name(target.name + ".partial")
shutil.rmtree(str(partial), ignore_errors=True)
for path in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(str(path)) as wheel:
        wheel.extractall(str(partial))
partial.rename(target)
shutil.rmtree(str(wheels))
