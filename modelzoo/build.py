"""Source `build`: networks of keras.applications, converted to TFLite on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from modelzoo import manifest
from modelzoo.catalogue import MODELS, VARIANTS, check_names
from modelzoo.ensure import Failure, Wanted, publish, workspace
from modelzoo.environment import builder_python, pinned_versions
from modelzoo.errors import ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say, available_memory_gb, check_disk, usable_cores

WEIGHTS = ("random", "imagenet")
BATCH_SIZE = 1
# Raise it when a change of convert.py changes the bytes of the models: all of them are then built again.
RECIPE_VERSION = 1
CONVERT = Path(__file__).with_name("convert.py")


def default_converter(cache: Path, say: Say) -> list[str]:
    """Return the command that converts one model, making its environment when it is missing."""
    return [str(builder_python(cache, say)), str(CONVERT)]


@dataclass(slots=True)
class Build:
    """Build models, each in a process of its own, as many at once as memory and cores allow.

    Attributes:
        cache: the kit's cache, with the environment and Keras's downloads.
        converter: returns the command that convert.py's options are appended to.
        memory_gb: returns the memory that new processes can use, in GB, or None when that cannot be told.
    """

    cache: Path
    weights: str = "random"
    seed: int = 0
    converter: Callable[[Path, Say], list[str]] = default_converter
    memory_gb: Callable[[], float | None] = available_memory_gb
    cores: int = field(default_factory=usable_cores)
    verb: str = "build"

    @property
    def subdirectory(self) -> str:
        return f"build-{self.weights}"

    def check(self, wanted: Sequence[Wanted]) -> None:
        """Raise UsageError when something is not in the catalogue."""
        check_names("model", [each.model for each in wanted], MODELS)
        check_names("variant", [each.variant for each in wanted], VARIANTS)

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        return None if entry.recipe == self.recipe(wanted) else "its recipe has changed"

    def recipe(self, wanted: Wanted) -> str:
        """The sha256 of what determines a model file's bytes."""
        return manifest.digest(
            {
                "network": MODELS[wanted.model].network,
                "variant": wanted.variant,
                "weights": self.weights,
                "weights_seed": self._weights_seed,
                "batch_size": BATCH_SIZE,
                "input_size": MODELS[wanted.model].input_size,
                "versions": pinned_versions(),
                "recipe_version": RECIPE_VERSION,
            }
        )

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        available_gb = self.memory_gb()
        buildable = [each for each in wanted if _fits(each, available_gb)]
        for each in wanted:
            if each not in buildable:
                yield Failure(each, _shortage(each, available_gb))
        if buildable:
            # Beside the models: what Keras exports before it is converted, for as many as are converted at once.
            largest_mb = sorted((MODELS[each.model].size_mb("float32") for each in buildable), reverse=True)
            exports_mb = sum(largest_mb[: self.cores])
            models_mb = sum(MODELS[each.model].size_mb(each.variant) for each in buildable)
            check_disk(directory, (models_mb + exports_mb) / 1e3, "building the models")
            yield from self._convert_all(buildable, directory, self.converter(self.cache, say), say)

    @property
    def _weights_seed(self) -> int | None:
        return self.seed if self.weights == "random" else None

    def _convert_all(
        self, wanted: Sequence[Wanted], directory: Path, converter: list[str], say: Say
    ) -> Iterator[Entry | Failure]:
        """Convert the largest first; start one whenever a core is free and memory suffices for all together.

        A conversion takes its memory only by and by. So memory is measured while none runs, the needs of those that
        run are taken off, and what is free in that moment must suffice too: other programs take memory meanwhile.
        """
        pending = sorted(wanted, key=_need_gb, reverse=True)
        running: dict[Future[int], _Conversion] = {}
        with workspace(directory) as work, ThreadPoolExecutor(self.cores) as pool:
            try:
                while pending or running:
                    if not running:
                        available_gb = self.memory_gb()
                        if not _fits(pending[0], available_gb):
                            yield Failure(pending[0], _shortage(pending.pop(0), available_gb))
                            continue
                    while each := self._next(pending, running.values(), available_gb):
                        pending.remove(each)
                        say(f"building {each.key} (needs about {_need_gb(each):.1f} GB of memory) ...")
                        conversion = self._start(each, directory, work, converter)
                        running[pool.submit(conversion.process.wait)] = conversion
                    for ended in wait(running, return_when=FIRST_COMPLETED).done:
                        yield self._finish(running.pop(ended), directory, say)
            finally:
                for conversion in running.values():
                    if conversion.process.poll() is None:
                        os.killpg(conversion.process.pid, signal.SIGKILL)

    def _next(
        self, pending: Sequence[Wanted], running: Collection[_Conversion], available_gb: float | None
    ) -> Wanted | None:
        """Return the largest that may be converted beside those that are, if there is one."""
        if not running:
            return next((each for each in pending if _fits(each, available_gb)), None)
        now_gb = self.memory_gb()
        if len(running) >= self.cores or available_gb is None or now_gb is None:
            return None
        left_gb = min(now_gb, available_gb - sum(_need_gb(conversion.wanted) for conversion in running))
        return next((each for each in pending if _fits(each, left_gb)), None)

    def _start(self, wanted: Wanted, directory: Path, work: Path, converter: list[str]) -> _Conversion:
        """Start the conversion of one model, in a process group, so that processes which it starts end with it."""
        model = MODELS[wanted.model]
        unfinished, facts, log = work / wanted.file, work / f"{wanted.key}.json", work / f"{wanted.key}.log"
        options = {
            "network": model.network,
            "variant": wanted.variant,
            "weights": self.weights,
            "seed": self.seed,
            "batch-size": BATCH_SIZE,
            "input-size": model.input_size,
            "output": unfinished,
            "facts": facts,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                converter + [f"--{name}={value}" for name, value in options.items()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TMPDIR": str(work), "KERAS_HOME": str(self.cache / "keras")},
                process_group=0,
            )
        return _Conversion(wanted, process, time.monotonic(), unfinished, facts, log)

    def _finish(self, conversion: _Conversion, directory: Path, say: Say) -> Entry | Failure:
        """Take over what an ended conversion has made; its output is kept only when it failed."""
        wanted = conversion.wanted
        log = directory / conversion.log.name
        if status := conversion.process.returncode:
            conversion.log.replace(log)
            return Failure(wanted, f"{_how_it_ended(status)}: {_last_line(log)} (the whole output is in {log})")
        facts = json.loads(conversion.facts.read_text(encoding="utf-8"))
        try:
            entry = publish(
                conversion.unfinished,
                wanted,
                directory,
                source="build",
                weights=self.weights,
                weights_seed=self._weights_seed,
                parameters=facts["parameters"],
                batch_size=BATCH_SIZE,
                input_size=MODELS[wanted.model].input_size,
                recipe=self.recipe(wanted),
                versions=facts["versions"],
            )
        except ZooError as error:
            return Failure(wanted, str(error))
        log.unlink(missing_ok=True)  # Of an earlier failure.
        say(
            f"built {wanted.key} in {time.monotonic() - conversion.started_s:.0f} s, "
            f"{entry.size_bytes / 2**20:,.1f} MiB (took {facts['peak_memory_gb']:.1f} GB of memory)"
        )
        return entry


@dataclass(frozen=True, slots=True)
class _Conversion:
    """A conversion under way, and the files it writes."""

    wanted: Wanted
    process: subprocess.Popen[bytes]
    started_s: float
    unfinished: Path
    facts: Path
    log: Path


def _need_gb(wanted: Wanted) -> float:
    return MODELS[wanted.model].memory_gb[wanted.variant]


def _fits(wanted: Wanted, available_gb: float | None) -> bool:
    return available_gb is None or _need_gb(wanted) <= available_gb


def _shortage(wanted: Wanted, available_gb: float) -> str:
    return (
        f"needs about {_need_gb(wanted):.1f} GB of memory to convert, {available_gb:.1f} GB are available; end other "
        "programs, or build it on a larger machine and bring its models directory here (--source directory)"
    )


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "the conversion was killed (out of memory?)"
    return f"the conversion ended with exit code {status}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
