"""Fault injection: play site.yml on three SSH hosts, break something at a random moment, play again, and compare.

usage: python -m tests.faults [--episodes N] [--seed N] [--kinds KIND,KIND]

An episode is right when the same command, typed at most once more, ends in the logs that an undisturbed play gives:
every run of the plan there and whole, none measured again that was there, nothing left running. Prints a table.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.labs.sshlab import SshLab
from tests.playing import ROOT, environment, tiny_campaign

HOSTS = 3
WORK_DIR = "/srv/work/edge bench"  # on the small disk, with a blank in its name
PLAY_LIMIT_S = 240
RUN_S = 0.4  # what the stand-in for benchmark_model takes
SETTINGS = {
    "campaign_name": "faults",
    "campaign_seed": "1",
    "campaign_runners": ["benchmark_model"],
    "campaign_min_repetitions": 4,
    "benchmark_work_dir": WORK_DIR,
    "benchmark_run_timeout_s": 5,
    "benchmark_run_min_free_mb": 1,
    "benchmark_run_poll_s": 1,
    "benchmark_run_fetch_every_s": 3,
    "benchmark_run_patience_s": 90,
}


@dataclass
class Play:
    """One `ansible-playbook site.yml`, in a process group of its own."""

    process: subprocess.Popen[str]
    output: Path

    def end(self) -> int:
        """Wait; return the exit code."""
        return self.process.wait(timeout=PLAY_LIMIT_S)

    def kill(self) -> None:
        """End controller and workers at once, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


@dataclass
class Campaign:
    """The same command again and again, on hosts of a lab."""

    lab: SshLab
    scratch: Path
    plays: list[Play] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.scratch / "logs"

    @property
    def home(self) -> Path:
        return self.logs / "faults"

    def play(self, **changes: Any) -> Play:
        """Start it."""
        number = len(self.plays)
        inventory = self.scratch / "inventory.json"
        inventory.write_text(json.dumps(self.lab.inventory()), encoding="utf-8")
        binary = self.scratch / "benchmark_model"
        text = (ROOT / "tests/data/fake_benchmark_model.sh").read_text(encoding="utf-8")
        begin = 'echo "INFO: STARTING!"'
        binary.write_text(text.replace(begin, f"{begin}\nsleep {RUN_S}"), encoding="utf-8")
        settings = tiny_campaign(self.scratch, benchmark_model_path=str(binary), **SETTINGS | changes)
        output = self.scratch / f"play{number}.txt"
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "site.yml", "-i", str(inventory)]
        with output.open("w") as file:
            process = subprocess.Popen(
                [*command, "-e", json.dumps(settings)],
                cwd=ROOT,
                env=os.environ | environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self.plays.append(Play(process, output))
        return self.plays[-1]

    def on_hosts(self) -> dict[str, str]:
        """Checksums of the sidecars that are on the hosts that run; host/name -> sha256."""
        found = {}
        for i in range(HOSTS):
            with contextlib.suppress(Exception):  # a host that is down says nothing
                said = self.lab.shell(i, f"cd '{WORK_DIR}/campaigns/faults/runs' && sha256sum *.meta || true")
                found |= {f"h{i}/{name}": sha for sha, name in (line.split() for line in said.splitlines())}
        return found


def sidecar(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())


def outcome(campaign: Campaign) -> dict[str, str]:
    """What a finished campaign has at home: for each host and run of the plan the text of its good log.

    Raises:
        AssertionError: a run is missing, cut short, or has neither a good log nor a good repeat.
    """
    found = {}
    for i in range(HOSTS):
        home = campaign.home / f"h{i}"
        assert (home / "DONE").exists(), f"h{i} has not come home"
        strange = [path.name for path in home.rglob("*") if path.is_file() and path.name.endswith((".new", ".part"))]
        assert not strange, f"half-written files at home: {strange}"
        for line in (home / "plan.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            run = line.split("\t")[0]
            paths = [home / f"runs/{run}.meta", *sorted((home / "runs").glob(f"{run}.retry*.meta"))]
            assert all(sidecar(path)["complete"] == "1" for path in paths), run
            good = [path for path in paths if sidecar(path)["exit_code"] == "0" and "failure" not in sidecar(path)]
            assert len(good) == 1, f"h{i} {run}: {[(path.name, sidecar(path)) for path in paths]}"
            found[f"h{i}/{run}"] = good[0].with_suffix(".log").read_text(encoding="utf-8")
    return found


def verify(campaign: Campaign, expected: dict[str, str], measured: dict[str, str]) -> None:
    """Assert that a campaign ended as the undisturbed one did.

    Args:
        expected: `outcome` of the undisturbed one.
        measured: `on_hosts` at earlier moments; none of these may have been measured again.
    """
    assert outcome(campaign) == expected, "other logs than undisturbed"
    home = {
        f"{path.parts[-3]}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in campaign.home.glob("*/runs/*.meta")
    }
    assert {name: home.get(name) for name in measured} == measured, "a run that was there was measured again or lost"
    assert campaign.on_hosts() == home, "hosts and home disagree"
    for i in range(HOSTS):
        left = campaign.lab.shell(i, "ps -ef 2>/dev/null || ps")
        assert "run_benchmark" not in left, left
        assert "benchmark_model" not in left, left
        files = campaign.lab.shell(i, f"ls -A '{WORK_DIR}' '{WORK_DIR}/campaigns/faults'")
        assert "lock" not in files.split(), f"h{i} is still locked"
    assert (campaign.scratch / "results/report.html").exists()


# ---- Faults: each is done at the moment given; what it yields for is undone when the play has ended ----


def controller_killed(campaign: Campaign, i: int) -> Iterator[None]:
    campaign.plays[-1].kill()
    yield


def link_cut(seconds: float) -> Callable[[Campaign, int], Iterator[None]]:
    def fault(campaign: Campaign, i: int) -> Iterator[None]:
        campaign.lab.cut(i)
        time.sleep(seconds)
        campaign.lab.heal(i)
        yield

    return fault


def host_rebooted(campaign: Campaign, i: int) -> Iterator[None]:
    campaign.lab.halt(i)
    time.sleep(5)
    campaign.lab.boot(i)
    yield


def _signal(campaign: Campaign, i: int, name: str, pattern: str) -> None:
    # The brackets keep pkill from the shell that runs it.
    campaign.lab.shell(i, f"pkill -{name} -f '[{pattern[0]}]{pattern[1:]}' || true")


def script_killed(campaign: Campaign, i: int) -> Iterator[None]:
    _signal(campaign, i, "KILL", "run_benchmark.sh run")
    yield


def runner_killed(campaign: Campaign, i: int) -> Iterator[None]:
    _signal(campaign, i, "KILL", "benchmark_model --graph")
    yield


def runner_hung(campaign: Campaign, i: int) -> Iterator[None]:
    _signal(campaign, i, "STOP", "benchmark_model --graph")
    yield


def host_disk_full(campaign: Campaign, i: int) -> Iterator[None]:
    campaign.lab.fill(i)
    yield
    campaign.lab.unfill(i)


def controller_disk_full(campaign: Campaign, i: int) -> Iterator[None]:
    filler = campaign.logs / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


# `date` on a host, a month back; the kernel's clock is this machine's, so it stays.
SLOW_DATE = """
date=$(command -v date)
mv "$date" "$date.real"
case $(readlink "$date.real") in *busybox) real='busybox date' ;; *) real=$date.real ;; esac
printf '#!/bin/sh\\nexec %s -d @$(($(%s +%%s) - 2600000)) "$@"\\n' "$real" "$real" >"$date"
chmod 755 "$date"
"""


def clock_jumped(campaign: Campaign, i: int) -> Iterator[None]:
    campaign.lab.shell(i, SLOW_DATE)
    yield
    campaign.lab.shell(i, 'date=$(command -v date); mv "$date.real" "$date"')


def second_controller(campaign: Campaign, i: int) -> Iterator[None]:
    """From this checkout, and from one that knows nothing of the first, as on another machine."""
    waited = time.monotonic() + PLAY_LIMIT_S
    while not campaign.on_hosts():
        assert time.monotonic() < waited, "nothing is measured"
        time.sleep(0.2)
    second = campaign.play()
    elsewhere = campaign.play(campaign_logs_dir=str(campaign.scratch / "other"))
    assert second.end() != 0, second.text()
    assert "is playing campaign 'faults' already" in second.text()
    if elsewhere.end() != 0:
        assert "looks after this campaign" in elsewhere.text(), elsewhere.text()
    else:  # the hosts were done by then, and what is done is there for all
        assert " left, now" not in elsewhere.text(), elsewhere.text()
    campaign.plays.remove(second)
    campaign.plays.remove(elsewhere)
    yield


def host_silent(campaign: Campaign, i: int) -> Iterator[None]:
    campaign.lab.halt(i)
    yield
    said = campaign.plays[-1].text()
    if not (campaign.home / f"h{i}/DONE").exists():
        assert campaign.plays[-1].process.returncode != 0, "a missing host is no success"
        assert f"h{i}: UNREACHABLE!" in said or f"[h{i}]: UNREACHABLE!" in said, said[-3000:]
    campaign.lab.boot(i)


KINDS: dict[str, Callable[[Campaign, int], Iterator[None]]] = {
    "controller killed": controller_killed,
    "link cut for 3 s": link_cut(3),
    "link cut for 45 s": link_cut(45),
    "host rebooted": host_rebooted,
    "script killed": script_killed,
    "runner killed": runner_killed,
    "runner hung": runner_hung,
    "host disk full": host_disk_full,
    "controller disk full": controller_disk_full,
    "clock jumped": clock_jumped,
    "second controller": second_controller,
    "host silent": host_silent,
}
LONG_KINDS = {"link cut for 10 min": link_cut(600)}  # with the patience that plays have by default
ALL_KINDS = KINDS | LONG_KINDS


@contextlib.contextmanager
def scratch_disk() -> Iterator[Path]:
    """A directory whose logs/ is a small disk of its own, so that it can be filled."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        scratch = Path(name)
        (scratch / "logs").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", scratch / "logs"], check=True)
        try:
            yield scratch
        finally:
            subprocess.run(["umount", "-l", scratch / "logs"], check=True)


def undisturbed(lab: SshLab) -> tuple[dict[str, str], float]:
    """`outcome` of a campaign that nothing disturbs, and how many seconds it takes."""
    with scratch_disk() as scratch:
        campaign = Campaign(lab, scratch)
        begun = time.monotonic()
        play = campaign.play()
        assert play.end() == 0, play.text()
        return outcome(campaign), time.monotonic() - begun


def forget(lab: SshLab) -> None:
    """Take the campaign off the hosts; runner and models stay or go, by chance: both must be borne."""
    for i in range(HOSTS):
        what = random.choice(["campaigns", "", "models", "runners"])
        lab.shell(i, f"rm -rf '{WORK_DIR}/{what}' '{WORK_DIR}/campaigns'")


def episode(lab: SshLab, kind: str, i: int, delay_s: float, expected: dict[str, str]) -> int:
    """Play, break, mend, play again; return how many plays it took (1 or 2).

    Raises:
        AssertionError: it did not end as an undisturbed campaign does; with the plays' output.
    """
    forget(lab)
    if kind == "second controller":
        delay_s = 0  # it waits for the first run by itself
    with scratch_disk() as scratch:
        campaign = Campaign(lab, scratch)
        play = campaign.play(**{"benchmark_run_patience_s": 900} if kind in LONG_KINDS else {})
        with contextlib.suppress(subprocess.TimeoutExpired):
            play.process.wait(timeout=delay_s)
        measured = campaign.on_hosts()
        try:
            fault = ALL_KINDS[kind](campaign, i)
            next(fault)
            code = play.end()
            next(fault, None)
            measured |= campaign.on_hosts()
            if code != 0:
                again = campaign.play()
                assert again.end() == 0, "the second play failed too"
            verify(campaign, expected, measured)
        except (AssertionError, subprocess.TimeoutExpired) as exc:
            plays = "\n".join(f"--- {play.output.name}\n{play.text()[-6000:]}" for play in campaign.plays)
            raise AssertionError(f"{kind} on h{i} after {delay_s:.1f} s: {exc}\n{plays}") from exc
        finally:
            for left in campaign.plays:
                with contextlib.suppress(ProcessLookupError):
                    left.kill()
        return len(campaign.plays)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of: {', '.join(ALL_KINDS)}")
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    print(f"seed {args.seed}", flush=True)
    random.seed(args.seed)
    injected, once, failed = Counter(), Counter(), Counter()
    with SshLab(HOSTS) as lab:
        expected, seconds = undisturbed(lab)
        print(f"undisturbed: {len(expected)} runs, {seconds:.0f} s", flush=True)
        for number in range(args.episodes):
            kind, i, delay_s = kinds[number % len(kinds)], random.randrange(HOSTS), random.uniform(0, seconds)
            injected[kind] += 1
            try:
                plays = episode(lab, kind, i, delay_s, expected)
                once[kind] += plays == 1
                print(f"{number + 1:3} ok      {kind} on h{i} after {delay_s:.1f} s: {plays} play(s)", flush=True)
            except AssertionError as exc:
                failed[kind] += 1
                print(f"{number + 1:3} FAILED  {exc}", flush=True)
                lab.__exit__(None, None, None)
                lab.__enter__()
    print(f"\n{'fault':24} {'injected':>8} {'complete after one play':>24} {'after the same again':>21} {'wrong':>6}")
    for kind in kinds:
        again = injected[kind] - once[kind] - failed[kind]
        print(f"{kind:24} {injected[kind]:8} {once[kind]:24} {again:21} {failed[kind]:6}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
