"""What a lab runs: OpenStack's services in a Python environment, and Debian's RabbitMQ, unpacked and not installed."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tests.labs import common
from tests.labs.common import LabError, run

PYTHON = (3, 11)  # the pins are for it
PINS = Path(__file__).with_name("services.txt")
RECIPE = (sys.modules[__name__], PINS)
# Installed, the broker would run on the whole machine. These are what it loads.
ERLANG = "asn1 base crypto eldap inets mnesia os-mon parsetools public-key runtime-tools ssl syntax-tools tools xmerl"
DEBIAN_PACKAGES = ("rabbitmq-server", *(f"erlang-{name}" for name in ERLANG.split()))
# Debian's has /usr/lib/erlang in it.
ERL = """#!/bin/sh
ROOTDIR=$(dirname "$(dirname "$(readlink -f "$0")")")
BINDIR=$(echo "$ROOTDIR"/erts-*/bin)
export ROOTDIR BINDIR EMU=beam PROGNAME=erl
exec "$BINDIR/erlexec" "$@"
"""


def made() -> bool:
    return common.cached_path("chi", RECIPE).exists()


def make_packages() -> Path:
    """Return the directory with `python` and `debian`, having it made when it is not there (a minute, 0.7 GB)."""
    return common.cached("chi", RECIPE, _make)


def _make(directory: Path) -> None:
    _unpack_rabbitmq(directory)
    run(sys.executable, "-m", "venv", directory / "python")
    # Its scripts do not survive the directory's new name, so they are run with the environment's Python in front.
    pip = (directory / "python/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input")
    run(*pip, "install", "-q", "--no-deps", "-r", PINS)
    run(*pip, "check")


def _unpack_rabbitmq(directory: Path) -> None:
    downloads = directory / "downloads"
    downloads.mkdir()
    download = ("apt-get", "-q", "download", *DEBIAN_PACKAGES)
    try:
        run(*download, cwd=downloads)
    except LabError:
        if os.geteuid() != 0:
            raise
        run("apt-get", "-q", "update")  # apt's lists may be missing, or too old
        run(*download, cwd=downloads)
    for package in downloads.glob("*.deb"):
        run("dpkg-deb", "--extract", package, directory / "debian")
        package.unlink()
    with contextlib.suppress(OSError):
        downloads.rmdir()
    erl = directory / "debian/usr/lib/erlang/bin/erl"
    erl.write_text(ERL, encoding="ascii")
    erl.chmod(0o755)
