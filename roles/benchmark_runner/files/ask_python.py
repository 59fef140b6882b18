"""Say, as JSON, which wheels fit this Python: its version, its machine, its glibc (empty: not CPython, or no glibc)."""

import json
import os
import platform
import sys

machine = platform.machine()
if machine == "aarch64" and sys.maxsize < 2**32:
    machine = "armv7l"  # a 32-bit system on a 64-bit kernel, as some Raspberry Pis have
try:
    libc, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
except (ValueError, AttributeError):
    libc, version = "", ""
fits = sys.implementation.name == "cpython" and libc == "glibc"
print(
    json.dumps(
        {"python": "%d.%d" % sys.version_info[:2], "machine": machine, "glibc": version if fits else ""}  # noqa: UP031
    )
)
