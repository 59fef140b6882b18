"""Source `build`: networks of keras.applications, of PyTorch, and some trained here, converted on this machine.

Libraries of TVM are compiled from the TFLite files that are made of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelzoo import manifest, pets
from modelzoo.catalogue import COMPILED, MODELS, TRAINED_HERE, VARIANTS, Model, check_names
from modelzoo.compilation import Compiler, graph_of
from modelzoo.datasets import HELD_OUT, DataSet
from modelzoo.ensure import Failure, Source, Wanted, inspect, publish, workspace
from modelzoo.environment import TENSORFLOW, TFMOT, TORCH, TVM, Environment, builder_python
from modelzoo.errors import UsageError, ZooError
from modelzoo.manifest import Entry
from modelzoo.resources import Say, available_memory_gb, check_disk, usable_cores
from modelzoo.training import EVALUATION, TRAINING, how_it_ended, trained
from modelzoo.weights import Finished, fetched

WEIGHTS = ("random", "imagenet")
REMARK = "the weights are from elsewhere: they may have been trained on these images"
# What a conversion says of its file, where it knows it.
FACTS = (
    "parameters",
    "macs",
    "activation_mb",
    "compressed_bytes",
    "evaluated_images",
    "correct_images",
    "classes",
    "weight_sparsity",
    "weight_clusters",
)


@dataclass(frozen=True, slots=True)
class Framework:
    """How networks of one framework are converted.

    Attributes:
        environment: which it runs in; its makers determine the bytes of models.
        program: beside this file.
        recipe_version: to be raised when a change of the program changes the bytes of the models: all are built again.
    """

    environment: Environment
    program: str
    recipe_version: int


FRAMEWORKS = {
    "keras": Framework(TENSORFLOW, "convert.py", recipe_version=1),
    "torch": Framework(TORCH, "convert_torch.py", recipe_version=1),
    "tfmot": Framework(TFMOT, "convert_tfmot.py", recipe_version=2),
    # Of Keras' environment, but with what has the digits and splits data sets among its makers.
    "trained": Framework(
        replace(TENSORFLOW, makers=(*TENSORFLOW.makers, "scikit-learn")), "convert_trained.py", recipe_version=1
    ),
    "tvm": Framework(TVM, "convert_tvm.py", recipe_version=1),
}


def default_converter(framework: str, cache: Path, say: Say) -> list[str]:
    """Return the command that converts one model, making its environment when it is missing."""
    how = FRAMEWORKS[framework]
    return [str(builder_python(cache, say, how.environment)), str(Path(__file__).with_name(how.program))]


@dataclass(slots=True)
class Build(Source):
    """Build models, each in a process of its own, as many at once as memory and cores allow.

    Attributes:
        cache: the kit's cache, with the environments and trained weights.
        weights: of the networks that are not trained here, and of those that are, before it, where ImageNet's fit.
        seed: of random weights, and of trainings.
        weights_url: a mirror of PyTorch's trained weights, the URL of a directory; None = where they are published.
        dataset: what networks that are trained here are trained and evaluated on.
        epochs: how often a training sees each image; None = as is usual for the data set.
        finished: weights that are taken instead of a training; of the one network of `trained` that is wanted.
        tvm_minutes: of tuning, for each library of TVM that is to be tuned; 0 = with what its database has.
        converter: returns the command of a framework, to which the options of a conversion are appended.
        memory_gb: returns the memory that new processes can use, in GB, or None when that cannot be told.
    """

    cache: Path
    weights: str = "random"
    seed: int = 0
    weights_url: str | None = None
    dataset: DataSet = field(default_factory=DataSet)
    epochs: int | None = None
    finished: Finished | None = None
    tvm_minutes: float = 3
    converter: Callable[[str, Path, Say], list[str]] = default_converter
    memory_gb: Callable[[], float | None] = available_memory_gb
    cores: int = field(default_factory=usable_cores)
    verb: str = "build"

    @property
    def subdirectory(self) -> str:
        return f"build-{self.weights}"

    def check(self, wanted: Sequence[Wanted]) -> None:
        """Raise UsageError when something is not in the catalogue, or cannot be built with these weights."""
        check_names("model", [each.model for each in wanted], MODELS)
        check_names("variant", [each.variant for each in wanted if each.variant != HELD_OUT], VARIANTS | COMPILED)
        trained_here = dict.fromkeys(each.model for each in wanted if MODELS[each.model].framework == "trained")
        if self.finished and len(trained_here) != 1:
            able = ", ".join(name for name, model in MODELS.items() if model.framework == "trained")
            raise UsageError(
                f"trained weights {self.finished.name} are of one network: one of {able} is expected with them, "
                f"{' and '.join(trained_here) or 'none'} found"
            )
        for each in wanted:
            model = MODELS[each.model]
            if each.input_size and each.input_size % model.size_multiple:
                raise UsageError(
                    f"{model.name} can have input sizes that are multiples of {model.size_multiple} only, not "
                    f"{each.input_size}"
                )
            if each.input_size and model.framework in TRAINED_HERE:
                raise UsageError(
                    f"{model.name} can have input size {model.input_size} only, not {each.input_size}: it is trained "
                    "for that"
                )
            if each.input_size and self.weights != "random" and model.framework == "keras":
                raise UsageError(
                    f"{model.name} with {self.weights} weights can have input size {model.input_size} only, not "
                    f"{each.input_size}: Keras has the weights of its classifier for no other; take --weights random"
                )

    def offers(self, wanted: Wanted) -> bool:
        return wanted.model in MODELS

    def outdated(self, wanted: Wanted, entry: Entry, directory: Path) -> str | None:
        if entry.recipe != self.recipe(wanted):
            return "its recipe has changed"
        return self._compiler.outdated(wanted, entry) if wanted.format == "so" else None

    def left_out(self, wanted: Wanted) -> str | None:
        return self._compiler.left_out(wanted) if wanted.format == "so" else None

    @property
    def _compiler(self) -> Compiler:
        return Compiler(self.cache / "tvm", self.tvm_minutes, self.seed)

    def recipe(self, wanted: Wanted) -> str:
        """The sha256 of what determines a model file's bytes; of a tuned library, apart from its tuning."""
        if wanted.format == "so":
            return manifest.digest(
                {
                    "compiled_from": self.recipe(graph_of(wanted)),
                    "variant": wanted.variant,
                    "target": wanted.target,
                    "versions": TVM.pinned_versions(),
                    "recipe_version": FRAMEWORKS["tvm"].recipe_version,
                }
            )
        model = MODELS[wanted.model]
        framework = FRAMEWORKS[model.framework]
        document = {
            "network": model.network,
            "variant": wanted.variant,
            "weights": self._weights_of(model),
            "weights_seed": self._weights_seed(model),
            "batch_size": wanted.batch_size,
            "input_size": _input_size(wanted),
            "versions": framework.environment.pinned_versions(),
            "recipe_version": framework.recipe_version,
        }
        # Without these for Keras, so that what users have built stays right.
        if model.framework == "torch":
            document |= {"format": wanted.format, "weights_url": self.weights != "random" and model.weights_url}
        if model.framework in TRAINED_HERE:
            document |= self._training(model)
        if model.framework == "trained":
            document |= {"format": wanted.format}
        return manifest.digest(document)

    def _training(self, model: Model) -> dict[str, Any]:
        """What determines a training, beside the network and the versions of what trains it."""
        if self._has_finished(model):
            return {"dataset": self.dataset.sha256, "finished": self.finished.sha256}
        training = {"dataset": self.dataset.sha256, "epochs": self.epochs or self.dataset.epochs, "seed": self.seed}
        return training | ({"base_weights": self.weights} if model.has_base else {})

    def provide(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        libraries = [each for each in wanted if each.format == "so"]
        files = [each for each in wanted if each.format != "so"]
        _, absent = inspect(self, [graph_of(each) for each in libraries], directory, say)
        graphs = {graph_of(each) for each in libraries if graph_of(each).key in absent}
        failed: dict[str, str] = {}
        for result in self._provide_files(list(dict.fromkeys([*files, *graphs])), directory, say):
            if isinstance(result, Failure):
                failed[result.wanted.key] = result.reason
            if isinstance(result, Entry) or result.wanted in files:
                yield result
        # After all others: nothing else shall run while kernels are measured.
        for each in libraries:
            if reason := failed.get(graph_of(each).key):
                yield Failure(each, f"{graph_of(each).file}, which it is compiled from, is not there: {reason}")
        libraries = [each for each in libraries if graph_of(each).key not in failed]
        if libraries:
            yield from self._compile_all(libraries, directory, say)

    def _compile_all(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        try:
            command = self.converter("tvm", self.cache, say)
        except ZooError as error:
            yield from (Failure(each, str(error)) for each in wanted)
            return
        graphs = manifest.read(directory)
        with workspace(directory) as work:
            for each in wanted:
                available_gb = self.memory_gb()
                if not _fits(each, available_gb):
                    yield Failure(each, _shortage(each, available_gb))
                    continue
                check_disk(directory, _size_mb(each, "float32") / 1e3, "compiling the models")
                say(self._compiler.announcement(each, _need_gb(each)))
                graph = graphs[graph_of(each).key]
                yield self._compiler.compile(each, graph, self.recipe(each), command, directory, work, say)

    def _provide_files(self, wanted: Sequence[Wanted], directory: Path, say: Say) -> Iterator[Entry | Failure]:
        available_gb = self.memory_gb()
        buildable = [each for each in wanted if _fits(each, available_gb)]
        for each in wanted:
            if each not in buildable:
                yield Failure(each, _shortage(each, available_gb))
        if buildable:
            # Beside the models: what Keras exports before it is converted, for as many as are converted at once.
            largest_mb = sorted((_size_mb(each, "float32") for each in buildable), reverse=True)
            exports_mb = sum(largest_mb[: self.cores])
            models_mb = sum(_size_mb(each, each.variant) for each in buildable)
            check_disk(directory, (models_mb + exports_mb) / 1e3, "building the models")
            commands, failed = self._commands(dict.fromkeys(each.model for each in buildable), say)
            yield from (Failure(each, failed[each.model]) for each in buildable if each.model in failed)
            buildable = [each for each in buildable if each.model in commands]
            yield from self._convert_all(buildable, directory, commands, say)

    def _commands(self, models: Collection[str], say: Say) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return, by model, how the command of its conversions begins; and why there is none for the others.

        What the commands need, environments and weights, is there then.
        """
        commands: dict[str, list[str]] = {}
        failed: dict[str, str] = {}
        for framework in dict.fromkeys(MODELS[name].framework for name in models):
            names = [name for name in models if MODELS[name].framework == framework]
            try:
                converter = self.converter(framework, self.cache, say)
            except ZooError as error:
                failed |= dict.fromkeys(names, str(error))
                continue
            for name in names:
                model = MODELS[name]
                command = [*converter, f"--network={model.network}"]
                try:
                    if framework in TRAINED_HERE:
                        commands[name] = self._trained(model, command, say)
                    else:
                        commands[name] = [*command, f"--weights={self._weights_option(model, say)}"]
                except ZooError as error:
                    failed[name] = str(error)
        return commands, failed

    def _weights_option(self, model: Model, say: Say) -> str:
        """What the conversion program is told of the weights: Keras gets its own, PyTorch's come as a file."""
        if self.weights == "random" or model.weights_url is None:
            return self.weights
        return str(fetched(model.weights_url, self.weights_url, self.cache / "weights", say))

    def _trained(self, model: Model, command: list[str], say: Say) -> list[str]:
        """Train a network, unless that is done, and return how the command of its conversions begins."""
        training = self._training(model)
        if self.dataset.url:
            pets.fetched(self.dataset, say)
        command += [f"--dataset={self.dataset.option}", f"--dataset-name={self.dataset.name}"]
        if self._has_finished(model):
            command.append(f"--remark={REMARK}")
            options = [f"--weights={self.finished.file(self.cache, say)}"]
            title, stage = f"{model.name} with {self.finished.name} on {self.dataset.name}", EVALUATION
        else:
            command.append(f"--epochs={training['epochs']}")
            options = [f"--seed={self.seed}", *([f"--base-weights={self.weights}"] if model.has_base else [])]
            title, stage = f"{model.name} on {self.dataset.name}, {training['epochs']} epochs", TRAINING
        framework = FRAMEWORKS[model.framework]
        digest = manifest.digest(
            training
            | {
                "name": self.dataset.name,
                "versions": framework.environment.pinned_versions(),
                "recipe_version": framework.recipe_version,
            }
        )
        ending = "weights.h5" if model.framework == "trained" else "h5"  # What Keras 3 and Keras 2 call theirs.
        weights = self.cache / "trained" / f"{model.name}-{digest[:12]}.{ending}"
        trained(weights, [*command, *options], title, say, self._keras_home, stage)
        return [*command, f"--weights={weights}"]

    def _has_finished(self, model: Model) -> bool:
        return self.finished is not None and model.framework == "trained"

    @property
    def _keras_home(self) -> dict[str, str]:
        """Where Keras keeps the weights that it downloads."""
        return {"KERAS_HOME": str(self.cache / "keras")}

    def _weights_of(self, model: Model) -> str:
        if self._has_finished(model):
            return "unknown"
        if model.framework in TRAINED_HERE:
            return self.dataset.name
        return "random" if self.weights == "random" else model.trained_on

    def _weights_seed(self, model: Model) -> int | None:
        return self.seed if self._weights_of(model) == "random" else None

    def _convert_all(
        self, wanted: Sequence[Wanted], directory: Path, commands: dict[str, list[str]], say: Say
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
                        conversion = self._start(each, work, commands[each.model])
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

    def _start(self, wanted: Wanted, work: Path, command: list[str]) -> _Conversion:
        """Start the conversion of one model, in a process group, so that processes which it starts end with it."""
        unfinished, facts, log = work / wanted.file, work / f"{wanted.key}.json", work / f"{wanted.key}.log"
        options = {
            "format": wanted.format,
            "variant": wanted.variant,
            "seed": self.seed,
            "batch-size": wanted.batch_size,
            "input-size": _input_size(wanted),
            "output": unfinished,
            "facts": facts,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                command + [f"--{name}={value}" for name, value in options.items() if value is not None],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TMPDIR": str(work)} | self._keras_home,
                process_group=0,
            )
        return _Conversion(wanted, process, time.monotonic(), unfinished, facts, log)

    def _finish(self, conversion: _Conversion, directory: Path, say: Say) -> Entry | Failure:
        """Take over what an ended conversion has made; its output is kept only when it failed."""
        wanted = conversion.wanted
        log = directory / conversion.log.name
        if status := conversion.process.returncode:
            conversion.log.replace(log)
            return Failure(wanted, how_it_ended("conversion", status, log))
        facts = json.loads(conversion.facts.read_text(encoding="utf-8"))
        model = MODELS[wanted.model]
        try:
            entry = publish(
                conversion.unfinished,
                wanted,
                directory,
                source="build",
                weights=self._weights_of(model),
                weights_seed=self._weights_seed(model),
                evaluated_on=self.dataset.name if "evaluated_images" in facts else None,
                **{name: facts.get(name) for name in FACTS},
                batch_size=wanted.batch_size,
                input_size=_input_size(wanted),
                recipe=self.recipe(wanted),
                remark=REMARK if self._has_finished(model) else None,
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


def _input_size(wanted: Wanted) -> int:
    return wanted.input_size or MODELS[wanted.model].input_size


def _size_mb(wanted: Wanted, variant: str) -> float:
    return MODELS[wanted.model].size_mb(variant, wanted.input_size)


def _need_gb(wanted: Wanted) -> float:
    return MODELS[wanted.model].need_gb(wanted.variant, wanted.format, wanted.batch_size, wanted.input_size)


def _fits(wanted: Wanted, available_gb: float | None) -> bool:
    return available_gb is None or _need_gb(wanted) <= available_gb


def _shortage(wanted: Wanted, available_gb: float) -> str:
    return (
        f"needs about {_need_gb(wanted):.1f} GB of memory to convert, {available_gb:.1f} GB are available; end other "
        "programs, or build it on a larger machine and bring its models directory here (--source directory)"
    )
