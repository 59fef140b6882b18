# Copyright the edgebench developers. Apache-2.0.
"""The action ``edgebench.testbed.app_runner``."""

from __future__ import annotations

DOCUMENTATION = """
module: app_runner
short_description: Install a runner that is an Android app, with the script that starts it
description:
  - The APK is a file on the controller, or a download, which the controller keeps for all phones that are alike. It
    reaches the phone like any file, and C(pm) installs it there.
  - When the phone has both, that is one exchange with it, and nothing is downloaded.
options:
  package:
    description: The app's name.
    type: str
    required: true
  program:
    description: The script on the controller that starts the app and prints what it measures.
    type: path
    required: true
  dest:
    description: Path of the APK on the phone. The script is beside it, and the settings are named like it.
    type: str
    required: true
extends_documentation_fragment:
  - edgebench.testbed.program
attributes:
  check_mode:
    support: full
author:
  - The edgebench developers (@edgebench)
"""

EXAMPLES = """
- name: Ensure TensorFlow's benchmark app is on the phone
  edgebench.testbed.app_runner:
    package: org.tensorflow.lite.benchmark
    program: runners/benchmark_apk.sh
    dest: /data/local/tmp/edgebench/runners/benchmark_apk.apk
    path: ~/android_aarch64_benchmark_model.apk
    cache_dir: ~/.cache/edgebench/binaries
"""

RETURN = """
runner:
  description:
    - C(argv) and C(environment) that start it, C(version) and C(sha256); null where they are not known yet.
    - C(stop) ends the app where the script was killed and cannot.
  type: dict
  returned: success
"""

import hashlib
from pathlib import Path
from typing import Any

from ansible_collections.edgebench.testbed.plugins.plugin_utils import programs
from ansible_collections.edgebench.testbed.plugins.plugin_utils.downloads import public_url
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import (
    SHA256,
    HostAction,
    HostError,
    HostShell,
)
from ansible_collections.edgebench.testbed.plugins.plugin_utils.transfer import LOOK, Parcel, absent, deliver, question

# Whether the files are there and the app is installed, in one exchange.
LOOK_AND_ASK = 'sh -c "$1" sh "$2" || exit 1; shift 2; sh -c "$@"'


class ActionModule(HostAction):
    SPEC = programs.SPEC | {
        "package": {"type": "str", "required": True},
        "program": {"type": "path", "required": True},
    }

    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        check, fetch, package = bool(self._task.check_mode), args["fetch_on_host"], args["package"]
        ensure = SHA256 + self.local_file("ensure_app.sh").read_text(encoding="utf-8")
        content = Path(args["program"]).read_bytes()
        script = Parcel(
            str(Path(args["dest"]).with_suffix(".sh")), hashlib.sha256(content).hexdigest(), "0755", content=content
        )
        runner = {"argv": ["sh", script.dest], "environment": {}, "version": None, "sha256": None}
        runner["stop"] = ["am", "force-stop", package]
        app = programs.described(args, "0644", shell.say, check)
        if app is None:
            return {"changed": True, "runner": runner}
        files = [script, app]
        about_app = (package, app.sha256, app.dest)
        reply = shell.check(
            "cannot look at the app on the phone",
            LOOK_AND_ASK,
            *(LOOK, "check" if check else "", ensure, "sh", "look", *about_app),
            stdin=question(files),
        )
        *answer, state = reply.text.splitlines()
        wanted = absent(files, "\n".join(answer))
        changed = bool(wanted) or state != "same"
        if changed and not check:
            if any(parcel is app for parcel, _ in wanted) and not (fetch and app.url):
                programs.ensure_local(args, app, shell.say)
            deliver(shell, wanted, fetch)
            if state != "same" and (done := shell.run(ensure, "install", *about_app)).rc != 0:
                origin = args["path"] or public_url(args["url"])
                raise HostError(f"cannot install the app {package} (from {origin}): {' '.join(done.said.split())}")
        # TensorFlow gives the app no version.
        runner |= {"version": app.sha256[:12], "sha256": app.sha256}
        return {"changed": changed, "runner": runner}
