"""The commands of Android that the benchmark app needs (am, pm, log, logcat, dumpsys), for a shell on this machine.

The app is tests/data/fake_benchmark_model.sh, whose lines go to the log as the app's would. It stands for the phone's
tools only; a device over adb is in tests/labs.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.playing import ROOT

PACKAGE = "org.tensorflow.lite.benchmark"
HEAD = "11-26 02:30:51.123"

_AM = """
printf '%s\\n' "$*" >>"$phone/asked"
case $1 in force-stop)
    [ ! -f "$phone/pid" ] || { kill "$(cat "$phone/pid")"; rm "$phone/pid"; }
    exit 0
esac
echo "Starting: Intent { cmp=$4 (has extras) }"
[ ! -f "$phone/am_says" ] || { cat "$phone/am_says"; exit 0; }
if [ ! -f "$phone/base.apk" ]; then
    printf 'Error type 3\\nError: Activity class {%s} does not exist.\\n' "$4"
    exit 0
fi
sh "$phone/app" "$7" >/dev/null 2>&1 &
echo $! >"$phone/pid"
"""

# All lines are logged at once, as on a phone that is fast.
_APP = """
say() { printf '%s %5d %5d %s %-8s: %s\\n' "$head" $$ $$ "$1" "$2" "$3"; }
{
    say I tflite_BenchmarkModelActivity "Running TensorFlow Lite benchmark with args: $1"
    sh -c "$tool $1" 2>&1 | while IFS= read -r line; do
        case $line in
            "WARN: "*) say W tflite "${line#*: }" ;;
            "ERROR: Benchmarking failed.") ;; # the app does not say so
            "ERROR: "*) say E tflite "${line#*: }" ;;
            *) say I tflite "${line#INFO: }" ;;
        esac
    done
} >"$phone/lines"
[ ! -f "$phone/edit" ] || sed -i -e "s/PID/$$/g" "$phone/edit"
[ ! -f "$phone/edit" ] || sed -i -E -f "$phone/edit" "$phone/lines"
cat "$phone/lines" >>"$phone/log"
[ -f "$phone/dies" ] || exec /bin/sleep 60
"""

_PM = """
case $1 in
    path) [ ! -f "$phone/base.apk" ] || { echo "package:$phone/base.apk"; exit 0; }; exit 1 ;;
    install)
        printf '%s\\n' "pm $*" >>"$phone/asked"
        case $* in
            *--bypass-low-target-sdk-block*) ;;
            *) [ ! -f "$phone/pm_says" ] || { cat "$phone/pm_says"; exit 1; } ;;
        esac
        for apk; do :; done
        cat "$apk" >"$phone/base.apk" && echo Success ;;
esac
"""


class FakePhone:
    """A phone's commands in a directory that comes first in PATH.

    Attributes:
        path: for the environment of processes that are on the phone.
        apk: a file to install as the app.
    """

    def __init__(self, directory: Path, nap_s: float = 0.15) -> None:
        """`nap_s`: what `sleep 1` takes there, in seconds."""
        self._bin = directory / "bin"
        self._bin.mkdir(parents=True)
        self.path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        self.directory = directory
        tool = f"sh {ROOT}/tests/data/fake_benchmark_model.sh"
        self._names = {"phone": str(directory), "head": HEAD, "tool": tool}
        self.apk = directory / "some.apk"
        self.apk.write_bytes(b"PK\x03\x04 an app")
        self.put("log", f"{HEAD}   999   999 I tflite  : STARTING!\n{HEAD}   999   999 I tflite  : Graph: [old]\n")
        self._write(directory / "app", _APP)
        self._command("am", _AM)
        self._command("pm", _PM)
        self._command("log", 'printf "$head   111   111 I %s: %s\\n" "$4" "$5" >>"$phone/log"\n')
        self._command("logcat", 'exec tail -n 1 -f "$phone/log"\n')
        self._command("sleep", f"exec /bin/sleep {nap_s}\n")
        self._command("dumpsys", 'printf "dumpsys %s\\n" "$*" >>"$phone/asked"; cat "$phone/activities" 2>/dev/null\n')

    def _write(self, path: Path, text: str) -> None:
        values = "".join(f"{name}={shlex.quote(value)}\n" for name, value in self._names.items())
        path.write_text(f"#!/bin/sh\n{values}{text}")

    def _command(self, name: str, text: str) -> None:
        self._write(self._bin / name, text)
        (self._bin / name).chmod(0o755)

    def have_toybox(self) -> None:
        """Android's own tools, where this machine's would do as well."""
        if not (toybox := shutil.which("toybox")):
            pytest.skip("needs toybox (apt-get install toybox)")
        for name in ("cat", "chmod", "date", "grep", "head", "rm", "tail"):
            (self._bin / name).symlink_to(toybox)

    def put(self, name: str, text: str) -> None:
        """Make one of: log; am_says, pm_says (refusals); edit (sed commands on the app's lines); activities; dies."""
        (self.directory / name).write_text(text)

    def install(self) -> None:
        (self.directory / "base.apk").write_bytes(self.apk.read_bytes())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.apk.read_bytes()).hexdigest()

    @property
    def asked(self) -> list[str]:
        """What am and dumpsys were asked, and pm to install."""
        path = self.directory / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def app_is_running(self) -> bool:
        return (self.directory / "pid").exists()
