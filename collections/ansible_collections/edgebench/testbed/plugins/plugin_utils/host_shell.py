# Copyright the edgebench developers. Apache-2.0.
"""Plain shell commands on a task's host, through whatever connection plugin it has.

Nothing of Ansible's modules is used, so the host needs no Python; a command costs one exchange and no copied file.
"""

from __future__ import annotations

import re
import shlex
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

RETRY_S = 5
_KEY_REFUSED = "Permission denied"

# What a host's login shell says of its own, before (a .bashrc that greets), is no output of ours; and output without
# its end was cut off, whatever the connection plugin says (adb's exit code is 0 then). No exit code of a script can be
# taken for ssh's own 255.
_WRAPPER = (
    r'script=$1; shift; umask 077; printf "==begin==\n"; '
    r'sh -c "$script" sh "$@"; code=$?; printf "\n==end %d==\n" "$code"'
)
_FRAME = re.compile(rb".*?==begin==\r?\n(.*)\n==end (\d+)==\s*\Z", re.DOTALL)

# For scripts: sha256 of stdin in hexadecimal, with whatever program the host has for that.
SHA256 = """
sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256
  else openssl dgst -sha256 -r; fi | cut -d ' ' -f 1
}
"""


class HostError(Exception):
    """Something on the host is not as it must be; the message is one line for the user."""


class Reply(NamedTuple):
    """What a script answered."""

    rc: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def said(self) -> str:
        """What a user should read when it failed."""
        return (self.stderr.strip() or self.text.strip() or f"exit code {self.rc}")[-500:]


class HostShell:
    """The shell of one host."""

    def __init__(self, connection: Any, host: str, patience_s: float = 0) -> None:
        """`patience_s`: how long the host may be out of reach, in seconds, before that is an error."""
        self._connection, self.host, self.patience_s = connection, host, patience_s
        self.may_refuse_key = False  # as a machine does that has just booted: then that is out of reach as well

    def say(self, line: str) -> None:
        """Show a line to whoever watches the play."""
        display.display(f"  [{self.host}] {line}")

    def run(self, script: str, *args: str, stdin: bytes = b"") -> Reply:
        """Run a sh script, again and again while the host is out of reach; so it must bear being run twice.

        Raises:
            AnsibleConnectionFailure: the host was out of reach for longer than `patience_s`.
            HostError: it answers, and runs no sh.
        """
        command = shlex.join(["sh", "-c", _WRAPPER, "sh", script, *args])
        if not stdin:
            command += " </dev/null"
        lost_at = None
        while True:
            try:
                return self._exchange(command, stdin)
            except AnsibleConnectionFailure as exc:
                now = time.monotonic()
                lost_at = lost_at or now
                final = is_refusal(str(exc)) and not (self.may_refuse_key and _KEY_REFUSED in str(exc))
                if now - lost_at >= self.patience_s or final:
                    raise AnsibleConnectionFailure(explain(str(exc))) from None  # Ansible would show both
                why = explain(str(exc)).partition("; ")[0]  # what to do is for when we give up
                self.say(f"out of reach for {now - lost_at:.0f} s, trying again: {why}")
                time.sleep(RETRY_S)
                self._connection.reset()

    def check(self, what: str, script: str, *args: str, stdin: bytes = b"") -> Reply:
        """Like `run`; an exit code other than 0 raises a HostError that says `what` could not be done."""
        reply = self.run(script, *args, stdin=stdin)
        if reply.rc != 0:
            raise HostError(f"{what}: {reply.said}")
        return reply

    def _exchange(self, command: str, stdin: bytes) -> Reply:
        try:
            rc, stdout, stderr = self._connection.exec_command(command, in_data=stdin or None, sudoable=False)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as exc:  # of a plugin that reaches the host, and cannot do it there
            raise HostError(str(exc)) from None
        said = bytes(stderr).decode(errors="replace")
        if match := _FRAME.match(bytes(stdout)):
            return Reply(int(match[2]), match[1], said)
        if b"==begin==" in stdout or rc == 0:
            raise AnsibleConnectionFailure("the connection dropped in the middle of a command")
        raise HostError(f"the host runs no sh for us: {Reply(rc, bytes(stdout), said).said}")


# What ssh says -> what the user should read. Text that is not known stays as it is.
_REFUSALS = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED.*?Offending (?P<kind>\S+) key in (?P<file>[^\n]+?):(?P<line>\d+)": (
        "the host key has CHANGED: {file} line {line} names another {kind} key. If the machine was installed anew, "
        "remove that line (ssh-keygen -R ADDRESS -f {file}) and play again; if not, somebody may be in between"
    ),
    r"No (?P<kind>\S+) host key is known for (?P<name>\S+)": (
        "the {kind} host key of {name} is not known. Add it to the inventory's known_hosts (ssh-keyscan {name}, and "
        "compare it), or set ssh_accept_new_host_keys: true in the inventory to accept keys on first contact"
    ),
    r"Host key verification failed": (
        "the host key was not accepted; see the inventory's known_hosts, or ssh_accept_new_host_keys"
    ),
    r"(?P<who>\S+): Permission denied \((?P<how>[^)]*)\)": (
        "{who} is refused ({how}): see ansible_user and ansible_ssh_private_key_file, or ssh-copy-id {who}"
    ),
    # Addresses that inventories have for machines that are not leased yet.
    r"Could not resolve hostname (?P<name>[^\s:]+)\.not-provisioned\.invalid": (
        "no machine: {name} is not leased; play playbooks/provision.yml or site.yml"
    ),
    r"(?P<why>no machine: .*)": "{why}",
    # The connection plugin adb says itself what to do.
    r"(?P<why>adb: (unauthorized|no (permissions|serial|program|address))\b.*)": "{why}",
    r"Could not resolve hostname (?P<name>[^\s:]+)": "no address is known for the name {name}: see ansible_host",
}
_SILENCES = (
    r"Connection timed out|No route to host|Connection refused|Network is unreachable|Broken pipe"
    r"|Connection (reset|closed)|not responding|timed out during banner exchange"
)


def is_refusal(message: str) -> bool:
    """Whether trying again cannot help, by what ssh said."""
    return any(re.search(pattern, message, re.DOTALL) for pattern in _REFUSALS)


def explain(message: str) -> str:
    """What ssh said, in one line that says what to do."""
    for pattern, words in _REFUSALS.items():
        if match := re.search(pattern, message, re.DOTALL):
            return words.format(**match.groupdict())
    if not message.startswith("adb: ") and (match := re.search(_SILENCES, message)):
        return f"no answer ({match[0]})"
    return " ".join(message.split())


class HostAction(ActionBase):
    """An action plugin that works on its host through a `HostShell`.

    A subclass has `SPEC`, its argument spec, and `act`. A host that is out of reach is waited for, for as many seconds
    as the variable benchmark_run_patience_s says.
    """

    PATIENT = True  # False: for the first contact, when nobody knows whether the host is there at all
    TRANSFERS_FILES = False  # in Ansible's sense: no temporary directory is wanted on the host
    SPEC: ClassVar[dict[str, Any]]

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(self.SPEC)
        patience_s = int(self._templar.template(task_vars.get("benchmark_run_patience_s", 900))) if self.PATIENT else 0
        shell = HostShell(self._connection, task_vars["inventory_hostname"], patience_s)
        try:
            return {**result, **self.act(args, shell, task_vars)}
        except HostError as exc:
            return {**result, "failed": True, "msg": f"{shell.host}: {exc}"}

    @abstractmethod
    def act(self, args: dict[str, Any], shell: HostShell, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the work; return the task's result. `args` are checked, check mode is `self._task.check_mode`."""

    def local_file(self, path: str) -> Path:
        """A path on the controller, as playbooks mean it: relative to role or playbook."""
        return Path(self._find_needle("files", path))
