"""What every benchmark of the kit gives back, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Result(NamedTuple):
    """One figure, measured in one run on one machine; at most `target` is wanted."""

    name: str
    value: float
    unit: str
    target: float

    def __str__(self) -> str:
        verdict = "ok" if self.value <= self.target else "MISSED"
        return f"{verdict:6}  {self.value:8.3f} {self.unit:2}  at most {self.target:g} {self.unit:2}  {self.name}"


def main(results: Callable[[], Iterable[Result]]) -> None:
    """Print the results; the exit code is 1 when a target is missed."""
    missed = 0
    for result in results():
        print(result, flush=True)
        missed += result.value > result.target
    raise SystemExit(1 if missed else 0)
