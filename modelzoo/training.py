"""Networks that are trained here: once for all their variants, with the trained weights kept in the cache."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from modelzoo.errors import ZooError
from modelzoo.resources import Say, locked


class Stage(NamedTuple):
    """What a program does for the first of its files, in words."""

    doing: str
    done: str
    noun: str


TRAINING = Stage("training", "trained", "training")
# Of weights that are there already.
EVALUATION = Stage("evaluating", "evaluated", "evaluation")


def trained(
    weights: Path,
    command: list[str],
    title: str,
    say: Say,
    environment: Mapping[str, str],
    stage: Stage = TRAINING,
) -> Path:
    """Return the file of trained weights, training first when it is missing; what determines them is in its name.

    What the program prints is passed on; all it says, on standard error too, is kept in a log when it fails. Raises
    ZooError then.
    """
    with locked(weights.with_suffix(".lock"), say):
        if weights.exists():
            return weights
        say(f"{stage.doing} {title} ...")
        started_s = time.monotonic()
        # With its own ending: Keras saves as that says.
        log, unfinished = weights.with_suffix(".log"), weights.with_name(f"unfinished-{weights.name}")
        with (
            log.open("w", encoding="utf-8") as output,
            subprocess.Popen(
                [*command, "--variant=trained", f"--output={unfinished}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=os.environ | environment,
            ) as process,
        ):
            try:
                for line in process.stdout:
                    say(f"{stage.noun}: {line.rstrip()}")
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise ZooError(how_it_ended(stage.noun, process.returncode, log))
        unfinished.replace(weights)
        log.unlink()
        say(f"{stage.done} {title}, in {time.monotonic() - started_s:.0f} s")
    return weights


def how_it_ended(what: str, status: int, log: Path) -> str:
    """Why a program of ours failed: its exit status, and the last thing that it said."""
    how = "was killed (out of memory?)" if status == -signal.SIGKILL else f"ended with exit code {status}"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
    return f"the {what} {how}: {last} (the whole output is in {log})"
