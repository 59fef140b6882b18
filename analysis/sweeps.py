"""Sweeps over batch and input sizes; what latency grows with; which model is the best trade-off. Pure.

What latency grows with is asked of each *series*: one variant on one machine, run in one way, at all sizes and in all
models. Configurations that differ in nothing but what is asked about form a *stratum*: of parameters and FLOPs, the
models at one batch and input size; of the batch size, one model at one input size; of the input size, one model at one
batch size. Only within strata anything is compared.

Models are the replicates, for they are what one would generalize over; repetitions only say which steps from one
configuration to the next are beyond noise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis import stats
from analysis.across import absence, many, means_of, size_mb, sweep_label
from analysis.claims import CONFIRMED, CONTRADICTED, NOT_MEASURED
from analysis.entries import whole
from analysis.names import COLUMNS, DEFAULT_METRIC, INTEGER
from analysis.study import SIZES, Cell, Machine, Setting, Study, model_key, setting_key, variant_key
from analysis.tables import cell_columns, count, cut, why_missing
from analysis.tables_energy import METRIC as ENERGY

IMAGE_MS = "latency_per_image_ms"


class Series(NamedTuple):
    """One variant on one machine, run in one way. `rest` is the setting without batch and input size."""

    machine: Machine
    variant: str
    rest: Setting


def series_of(cell: Cell) -> Series:
    """The series that a cell belongs to."""
    return Series(cell.machine, cell.variant, cell.setting._replace(**dict.fromkeys(SIZES)))


def series(study: Study) -> dict[Series, list[Cell]]:
    """The cells of each series, both in report order."""
    found: dict[Series, list[Cell]] = defaultdict(list)
    for cell in study.cells:
        found[series_of(cell)].append(cell)
    order = sorted(found, key=lambda key: (key.machine, setting_key(key.rest), variant_key(key.variant)))
    return {key: found[key] for key in order}


def label(study: Study, which: Series) -> str:
    """'Raspberry Pi 5, torch, 4 threads, compiled': as much as tells the series of a report apart."""
    setting = sweep_label(study, which.rest, SIZES)
    variant = which.variant if len(study.variants) > 1 else ""
    return ", ".join(filter(None, (study.labels[which.machine], setting, variant)))


def by_series(table: pd.DataFrame, variants: bool = True) -> dict[Series, pd.DataFrame]:
    """A table cut by series, in its own order; without `variants`, all variants stay together, and that is ''."""
    columns = ("campaign", "host", "variant", "runner", "threads", "delegate")
    keys = [
        Series(
            Machine(*key[:2]),
            key[2] if variants else "",
            Setting(*(None if pd.isna(v) else v for v in key[3:]), None, None),
        )
        for key in zip(*(table[name] for name in columns), strict=True)
    ]
    return cut(table, keys)


# --- tables/sweeps.csv ------------------------------------------------------------------------------------------------


def sweeps(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """tables/sweeps.csv: a row per configuration of the models that a series has at several batch or input sizes.

    The mean time of an inference (ms), of one image of its batch (ms) and the images in a second, each with its
    interval; `gflop` is the work of the inference (10^9 operations, 2 for a multiply-accumulate), `gflop_per_s` that
    over the mean time. `absent` says in a word or two why there is no number, `reason` why at length.
    """
    cells = []
    for of_series in series(study).values():
        sizes: dict[str, set] = defaultdict(set)
        for cell in of_series:
            sizes[cell.model].add(study.sizes(cell))
        cells += sorted((cell for cell in of_series if len(sizes[cell.model]) > 1), key=_by_size(study))
    table = cell_columns(study, cells)
    for metric, (n, mean, low, high) in _MEANS.items():
        of_cell = means_of(study, summary, metric)
        columns = [name for name in (n, mean, low, high) if name]
        values = [of_cell[cell][4 - len(columns) :] for cell in cells]
        table[columns] = pd.DataFrame(values, columns=columns, dtype=float)
    macs = [whole(study.entry(cell).get("macs")) for cell in cells]
    batches = [study.sizes(cell)[0] for cell in cells]
    gflop = [2e-9 * m * b if m and b else math.nan for m, b in zip(macs, batches, strict=True)]
    return table.astype({"n": int}).assign(
        macs=pd.array(macs, dtype=INTEGER),
        gflop=gflop,
        gflop_per_s=1e3 * np.array(gflop, dtype=float) / table["mean_ms"].to_numpy(dtype=float),
        absent=["" if study.sample(cell, DEFAULT_METRIC).values else absence(study, cell) for cell in cells],
        reason=[why_missing(study, cell, DEFAULT_METRIC) for cell in cells],
    )


_MEANS = {
    DEFAULT_METRIC: ("n", "mean_ms", "mean_ci_low_ms", "mean_ci_high_ms"),
    IMAGE_MS: ("", "per_image_ms", "per_image_ci_low_ms", "per_image_ci_high_ms"),
    "images_per_s": ("", "images_per_s", "images_per_s_ci_low", "images_per_s_ci_high"),
}


def _by_size(study: Study) -> Callable[[Cell], tuple]:
    """Sort key: model, input size, batch size."""
    return lambda cell: (model_key(cell.model), *(size or 0 for size in reversed(study.sizes(cell))))


# --- tables/lab_questions.csv -----------------------------------------------------------------------------------------

PARAMETERS, FLOPS, BATCH, INPUT = QUESTIONS = ("parameters", "FLOPs", "batch size", "input size")
BETWEEN_MODELS = (PARAMETERS, FLOPS)

_QUESTION = ("campaign", "host", "platform", "variant", "runner", "threads", "delegate", "question", "metric")
_ANSWER = ("rho", "ci_low", "ci_high", "exponent", "exponent_ci_low", "exponent_ci_high", "p_value", "p_holm")
_FACTS = ("models", "n", "strata", "strata_rising", "steps", "steps_rising", "steps_falling")
_COUNTS = dict.fromkeys(_FACTS, INTEGER)


class _Point(NamedTuple):
    """A measured configuration: what is asked about, and the mean."""

    predictor: float
    cell: Cell
    mean: float


def lab_questions(study: Study) -> pd.DataFrame:
    """tables/lab_questions.csv: does latency (and energy) grow with parameters, FLOPs, batch size, input size?

    A row per series, question and metric; of a size that no series has several of there are none. `rho` is Spearman's
    rank correlation, the mean over strata that have 3 or more configurations (of two it is always 1 or -1). Its
    interval is that of `n` things ranked once, see `stats.rank_interval`: strata that rank the same models or sizes
    again do not make it narrower. Of sizes there is also `exponent`, the slope of log(metric) against log(size): of
    each model the mean over its strata, then the mean over models with Student's interval.

    p_value: of parameters and FLOPs the permutation test of `rho`, of sizes Student's test that `exponent` is 0 over
    models; p_holm is corrected over the answers of one machine, as in `tables.speedups`. `strata_rising` counts the
    strata in which each step to the next larger raises the metric beyond noise: the 95 % interval of the ratio of the
    two (paired by block) leaves out 1. These intervals are not corrected: they describe.
    """
    rows = []
    for key, cells in series(study).items():
        for metric in _metrics(study):
            means = ((cell, study.sample(cell, metric).values) for cell in cells)
            points = [(cell, float(np.mean(values))) for cell, values in means if values and np.mean(values) > 0]
            for question in QUESTIONS:
                rows.append(_named(study, key, question, metric) | _answer(study, metric, question, points))
    table = pd.DataFrame(rows, columns=[*_QUESTION, *_ANSWER, *_FACTS, "verdict", "basis"])
    types = {name: COLUMNS[name] for name in _QUESTION if name in COLUMNS} | _COUNTS | dict.fromkeys(_ANSWER, "float64")
    table = table.astype(types)
    swept = table.groupby("question")["strata"].transform("max") > 0
    table = table[swept | table["question"].isin(BETWEEN_MODELS)].reset_index(drop=True)
    table["p_holm"] = table.groupby(["campaign", "host"], sort=False)["p_value"].transform(stats.holm)
    table["verdict"] = [row.verdict or _verdict(row) for row in table.itertuples()]
    return table


def _metrics(study: Study) -> list[str]:
    """Time, and energy where it was measured."""
    return [name for name in (DEFAULT_METRIC, ENERGY) if name in study.runs and study.runs[name].notna().any()]


def _named(study: Study, key: Series, question: str, metric: str) -> dict[str, Any]:
    names = {**key.machine._asdict(), "platform": study.platforms[key.machine], "variant": key.variant}
    setting = {name: getattr(key.rest, name) for name in ("runner", "threads", "delegate")}
    return names | setting | {"question": question, "metric": metric}


def _verdict(row: tuple) -> str:
    low, high = (
        (row.ci_low, row.ci_high) if row.question in BETWEEN_MODELS else (row.exponent_ci_low, row.exponent_ci_high)
    )
    if not row.p_holm < stats.ALPHA or low <= 0 <= high:
        return stats.NOT_DISTINGUISHABLE
    return CONFIRMED if low > 0 else CONTRADICTED


def _answer(study: Study, metric: str, question: str, points: Sequence[tuple[Cell, float]]) -> dict[str, Any]:
    """The columns of an answer, without Holm's correction; verdict '' = to be judged by the numbers."""
    strata = _strata(study, question, points)
    row: dict[str, Any] = {"models": len({point.cell.model for of in strata for point in of}), "strata": len(strata)}
    if not strata:
        return row | {"verdict": NOT_MEASURED, "basis": _lacking(study, question, points)}
    steps = [
        [
            _less(*(study.sample(point.cell, metric) for point in pair), study.max_df(pair[0].cell.machine.campaign))
            for pair in pairwise(of)
            if pair[0].predictor < pair[1].predictor
        ]
        for of in strata
    ]
    row |= {
        "strata_rising": sum(all(step > 0 for step in of) for of in steps),
        "steps": sum(map(len, steps)),
        "steps_rising": sum(step > 0 for of in steps for step in of),
        "steps_falling": sum(step < 0 for of in steps for step in of),
    }
    ranked = [of for of in strata if len(of) >= stats.RANKED_FROM]
    if ranked:
        row["n"] = int(np.median([len(of) for of in ranked]))
    return row | (
        _between_models(study, question, row, ranked) if question in BETWEEN_MODELS else _over_sizes(row, strata)
    )


def _strata(study: Study, question: str, points: Sequence[tuple[Cell, float]]) -> list[list[_Point]]:
    """The strata of two or more configurations that are not all alike, each ordered by what is asked about."""
    found: dict[tuple, list[_Point]] = defaultdict(list)
    for cell, mean in points:
        predictor, fixed = _asked(study, question, cell)
        if predictor:
            found[fixed].append(_Point(predictor, cell, mean))
    ordered = (sorted(of, key=lambda point: (point.predictor, point.mean)) for of in found.values())
    return [of for of in ordered if of[0].predictor < of[-1].predictor]


def _asked(study: Study, question: str, cell: Cell) -> tuple[float | None, tuple]:
    """What a question is about of a cell, None = not known; and what is the same within a stratum."""
    batch, size = study.sizes(cell)
    if question == BATCH:
        return batch, (cell.model, size)
    if question == INPUT:
        return size, (cell.model, batch)
    # Models at sizes of their own are compared with each other: such a size is no part of the setting.
    key = {PARAMETERS: "parameters", FLOPS: "macs"}[question]
    return whole(study.entry(cell).get(key)), (cell.setting.batch_size, cell.setting.input_size)


def _lacking(study: Study, question: str, points: Sequence[tuple[Cell, float]]) -> str:
    """Why there is no stratum."""
    if not points:
        return "nothing was measured"
    known = any(_asked(study, question, cell)[0] for cell, _ in points)
    if question in BETWEEN_MODELS:
        return "one model" if known else f"campaign.json does not tell the models' {question}"
    return f"one {question}" if known else f"{question} not known"


def _between_models(
    study: Study, question: str, row: dict[str, Any], strata: Sequence[Sequence[_Point]]
) -> dict[str, Any]:
    """Rank correlation with what a model is."""
    if not strata:
        return {"verdict": NOT_MEASURED, "basis": f"{count(row['models'], 'model')}: too few to rank"}
    models = sorted({point.cell.model for of in strata for point in of}, key=model_key)
    # A permutation gives a model the value of another one, also where that one itself has no result.
    values = [
        [_asked(study, question, of[0].cell._replace(model=model))[0] or math.nan for of in strata] for model in models
    ]
    means = [[{point.cell.model: point.mean for point in of}.get(model, math.nan) for of in strata] for model in models]
    known = ~np.isnan(values).any(axis=1)
    rho, p_value = stats.mean_rank_correlation(np.array(values)[known], np.array(means)[known])
    low, high = stats.rank_interval(rho, row["n"])
    basis = f"{count(known.sum(), 'model')} at {count(len(strata), 'pair')} of sizes"
    if (least := stats.least_rank_p(known.sum())) > stats.ALPHA:
        basis += f": p cannot be below {least:.2g}, even in perfect order"
    verdict = NOT_MEASURED if math.isnan(rho) else ""
    return {"rho": rho, "ci_low": low, "ci_high": high, "p_value": p_value, "verdict": verdict, "basis": basis}


def _over_sizes(row: dict[str, Any], strata: Sequence[Sequence[_Point]]) -> dict[str, Any]:
    """Rank correlation with a size, and the exponent of growth over models."""
    slopes: dict[str, list[float]] = defaultdict(list)
    rhos = []
    for of in strata:
        sizes, means = ([point.predictor for point in of], [point.mean for point in of])
        slopes[of[0].cell.model].append(stats.slope(sizes, means))
        if len(of) >= stats.RANKED_FROM:
            rhos.append(stats.rank_correlation(sizes, means))
    rho = float(np.mean(rhos)) if rhos else math.nan
    low, high = stats.rank_interval(rho, row.get("n", 0))
    exponent, exponent_low, exponent_high, p_value = stats.student([float(np.mean(of)) for of in slopes.values()])
    basis = f"exponents of {count(len(slopes), 'model')}"
    if len(slopes) < 2:
        basis = "an interval needs two models"
    verdict = "" if len(slopes) > 1 else NOT_MEASURED
    return {
        "rho": rho, "ci_low": low, "ci_high": high, "exponent": exponent, "exponent_ci_low": exponent_low,
        "exponent_ci_high": exponent_high, "p_value": p_value, "verdict": verdict, "basis": basis,
    }  # fmt: skip


# --- tables/trade_off.csv ---------------------------------------------------------------------------------------------


def trade_off(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """tables/trade_off.csv: each model of a series at its best, and which others are better in everything.

    A model's best is the batch size with the least mean time of an image (ms), at its least input size; to choose it by
    what was measured flatters it a little. `dominated_by` are the models that are better in everything: an image takes
    them less time and energy, as far as the 95 % interval of the ratio tells, and they have no more parameters and no
    larger file (MB, 10^6 bytes). What is not known of both is not compared. '' = on the Pareto front.
    """
    rows, cells = [], []
    of_cell = means_of(study, summary, IMAGE_MS)
    for of_series in series(study).values():
        best = _best(study, of_series, of_cell)
        if len(best) < 2:
            continue
        for cell in best:
            energy = _energy_per_image(study, cell).values
            facts = np.mean(energy) if energy else math.nan, *_exact(study, cell)
            beaten_by = ", ".join(other.model for other in best if _dominates(study, other, cell))
            rows.append((*of_cell[cell], *facts, beaten_by))
        cells += best
    found = pd.DataFrame(rows, columns=list(_TRADE_OFF))
    found = found.astype({"n": int, "parameters": INTEGER, "dominated_by": "str"})
    return pd.concat([cell_columns(study, cells), found], axis=1)


_TRADE_OFF = ("n", "per_image_ms", "per_image_ci_low_ms", "per_image_ci_high_ms", "energy_per_image_j", "parameters")
_TRADE_OFF += ("model_size_mb", "dominated_by")


def _best(study: Study, cells: Iterable[Cell], of_cell: Mapping[Cell, Sequence[float]]) -> list[Cell]:
    """The cell of each model that has the least time of an image, at the least input size that has a result."""
    of_model: dict[str, list[tuple]] = defaultdict(list)
    for cell in cells:
        n, mean, *_ = of_cell[cell]
        if n:
            of_model[cell.model].append((study.sizes(cell)[1] or 0, mean, cell))
    return [min(of_model[model], key=lambda found: found[:2])[2] for model in sorted(of_model, key=model_key)]


def _energy_per_image(study: Study, cell: Cell) -> stats.Sample:
    """Energy of an inference / its batch size, which is known where the time of an image is."""
    sample, batch = study.sample(cell, ENERGY), study.sizes(cell)[0]
    return stats.Sample([joules / batch for joules in sample.values], sample.blocks)


def _exact(study: Study, cell: Cell) -> tuple[int | None, float]:
    """Parameters of a model and size of its file, each as far as it is known."""
    return whole(study.entry(cell).get("parameters")), size_mb(study, cell)


def _dominates(study: Study, cell: Cell, other: Cell) -> bool:
    """Whether a model takes less time and energy than another beyond noise, and no more parameters and bytes.

    Two times that noise hides from each other are not taken to be the same: few repetitions would make any model good.
    """
    samples = [[study.sample(side, IMAGE_MS) for side in (cell, other)]]
    energy = [_energy_per_image(study, side) for side in (cell, other)]
    samples += [energy] if all(sample.values for sample in energy) else []
    exact = zip(_exact(study, cell), _exact(study, other), strict=True)
    return is_less(exact, samples, study.max_df(cell.machine.campaign))


def is_less(
    exact: Iterable[tuple[float | None, float | None]], samples: Iterable[Sequence[stats.Sample]], max_df: float
) -> bool:
    """Whether one side is less in each pair of samples beyond noise, and not more in what is known exactly of both."""
    if any(mine > its for mine, its in exact if pd.notna(mine) and pd.notna(its)):
        return False
    return all(_less(*pair, max_df) > 0 for pair in samples)


def _less(one: stats.Sample, other: stats.Sample, max_df: float) -> int:
    """1 = one is less than the other beyond noise, -1 = more, 0 = neither, or not known."""
    try:
        return stats.order(one, other, max_df)
    except ValueError:
        return 0


# --- all of them ------------------------------------------------------------------------------------------------------


def tables_of(study: Study, summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of this module by name.

    None where nothing was swept and no two models' operations are known, or there are many machines: their page has no
    room for what nobody asked.
    """
    swept = sweeps(study, summary)
    if swept.empty:
        known = {cell.model for cell in study.cells if whole(study.entry(cell).get("macs"))}
        if len(known) < 2 or many(study):
            return {}
    found = {"sweeps": swept, "lab_questions": lab_questions(study), "trade_off": trade_off(study, summary)}
    return {name: table for name, table in found.items() if len(table)}
