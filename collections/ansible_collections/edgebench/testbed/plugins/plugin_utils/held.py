# Copyright the edgebench developers. Apache-2.0.
"""A campaign's directory on a host, which one controller at a time works on."""

from __future__ import annotations

from ansible_collections.edgebench.testbed.plugins.module_utils.controller import Controller
from ansible_collections.edgebench.testbed.plugins.plugin_utils.host_shell import HostError, HostShell, Reply

STALE_S = 60  # a controller that has not looked for so long is gone, if nobody can tell otherwise

# Arguments: the directory, who we are, STALE_S, `force` or `free` or nothing. Notes in the file `controller` that we
# look after the campaign, and when (by a clock that nobody sets), unless somebody else has done so just now.
_HOLD = """
mkdir -p "$1" || exit 1
cd "$1" || exit 1
{ read -r now _ </proc/uptime; } 2>/dev/null || now=$(date +%s)
now=${now%%.*} boot=-
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
holder='' held_boot='' seen=
{ read -r holder && read -r held_boot seen; } 2>/dev/null <controller
if [ "$4" = free ]; then
  [ "$holder" != "$2" ] || rm -f controller
  exit 0
fi
if [ -n "$holder" ] && [ "$holder" != "$2" ] && [ "$held_boot" = "$boot" ] && [ "$4" != force ]; then
  age=$((now - ${seen:-0}))
  if [ "$age" -ge 0 ] && [ "$age" -lt "$3" ]; then echo "$age $holder"; exit 4; fi
fi
if ! { printf '%s\\n%s %s\\n' "$2" "$boot" "$now" >controller.new && mv controller.new controller; } 2>/dev/null; then
  rm -f controller.new # a full disk is no reason to stop looking
fi
shift 4
"""


class HeldCampaign:
    """Runs scripts in a campaign's directory while no other controller holds it."""

    def __init__(self, shell: HostShell, directory: str, player: Controller, take_over: bool = False) -> None:
        """`take_over`: whoever holds it is told to leave."""
        self.shell, self.directory, self.player = shell, directory, player
        self._force = take_over

    def run(self, what: str, script: str, *args: str, stdin: bytes = b"") -> Reply:
        """Run a script in the directory; its arguments begin at $1.

        Raises:
            HostError: another controller is at it, or the script failed: `what` could not be done.
        """
        for _ in range(2):
            reply = self._exchange(script, args, stdin)
            if reply.rc != 4:
                break
            age_s, _, holder = reply.text.strip().partition(" ")
            other = Controller.parse(holder)
            if not (other and other.is_gone()):
                raise HostError(
                    f"{other.shown if other else holder} looks after this campaign (last seen {age_s} s ago): "
                    f"wait for it, end it, or take over with -e benchmark_run_take_over=true ({self.directory})"
                )
            self._force = True  # its process is gone, we are on the same machine and know it
        self._force = False
        if reply.rc != 0:
            raise HostError(f"{what}: {reply.said.removeprefix('error: ')}")
        return reply

    def release(self) -> None:
        """Let others have it at once."""
        self.shell.run(_HOLD, self.directory, str(self.player), str(STALE_S), "free")

    def _exchange(self, script: str, args: tuple[str, ...], stdin: bytes) -> Reply:
        force = "force" if self._force else ""
        return self.shell.run(_HOLD + script, self.directory, str(self.player), str(STALE_S), force, *args, stdin=stdin)
