"""The model files that campaign.json names, and which of them a run used; tolerant of any JSON."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from analysis.names import DEFAULT_BASELINE

# Which files a runner runs; of others nothing is known.
_FORMATS = {
    "benchmark_model": "tflite",
    "benchmark_apk": "tflite",
    "litert": "tflite",
    "torch": "pt2",
    "onnxruntime": "onnx",
    "tvm": "so",
    "keras": "keras",
}
# Variants that are flags of a runner: they have no file of their own, and use the float32 one.
FLAGS = ("compiled", "channels_last", "compiled_channels_last")


class Entries:
    """The entries of a campaign's `models`.

    There may be several of one model and variant: a file for each format, input size and, where it is static, batch
    size.
    """

    def __init__(self, models: Any) -> None:
        self.all: list[dict[str, Any]] = [entry for entry in _list(models) if isinstance(entry, dict)]
        self._known: dict[tuple, dict[str, Any]] = {}

    def of(
        self, sha256: str, model: str, variant: str, runner: str, batch_size: int | None, input_size: int | None
    ) -> dict[str, Any]:
        """The entry of the file that a run used: by its sha256, else by what the run says of it; {} = none fits."""
        asked = (sha256, model, variant, runner, batch_size, input_size)
        if asked not in self._known:
            self._known[asked] = self._find(*asked)
        return self._known[asked]

    def _find(
        self, sha256: str, model: str, variant: str, runner: str, batch_size: int | None, input_size: int | None
    ) -> dict[str, Any]:
        mine = self._by_name.get((model, DEFAULT_BASELINE if variant in FLAGS else variant), [])
        if same := [entry for entry in mine if sha256 and entry.get("sha256") == sha256]:
            return same[0]
        asked = {"format": _FORMATS.get(runner), "batch_size": batch_size, "input_size": input_size}
        fitting = (entry for entry in mine if all(_agree(entry.get(name), value) for name, value in asked.items()))
        return next(fitting, {})

    @cached_property
    def _by_name(self) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
        found: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
        for entry in self.all:
            name = (entry.get("model"), entry.get("variant"))
            if all(isinstance(part, str) for part in name):
                found.setdefault(name, []).append(entry)
        return found


def whole(value: Any) -> int | None:
    """A JSON value that should be a count; None if it is not."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _agree(said: Any, asked: Any) -> bool:
    """Whether two values may be of one thing; what is not known may be."""
    return said is None or asked is None or said == asked


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else []
