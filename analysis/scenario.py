"""One model by several runners: speed, accuracy and size together, each against running it natively. Pure.

It is the table that Kenning's users write by hand below a comparison of their measurements. Runners are different
programs: a speedup over another one compares programs, and every row says whether its baseline is another program.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis import kenning, quality, stats, tables
from analysis.across import absence, means_of, size_mb
from analysis.claims import CONFIRMED, CONTRADICTED, NOT_MEASURED
from analysis.entries import whole
from analysis.names import DEFAULT_BASELINE, DEFAULT_METRIC, INTEGER, UNTUNED, compiled_for
from analysis.quality import Evaluation, Share
from analysis.study import Cell, Machine, Study, cell_key, plain, texts, variant_key
from analysis.sweeps import is_less
from analysis.tables_compression import HIGHER, LOWER
from analysis.tables_quality import Classified, classified

BASELINE = "baseline"  # the verdict of the row that the others are compared with
SAME, ANOTHER = "the same", "another"  # program as the baseline's
ON_HOST, IN_MANIFEST = "host", "campaign.json"  # where an accuracy was measured, or is told

_AS_IN_KENNING = ("keras", f"{kenning.RUNNER}tensorflow", f"{kenning.RUNNER}torch", f"{kenning.RUNNER}pytorch")
_NATIVE = (*_AS_IN_KENNING, "torch")
_TVM = ("tvm", f"{kenning.RUNNER}tvm")
TFLITE = ("litert", "benchmark_model", f"{kenning.RUNNER}tflite")
_HOW = ("call", "target", "arithmetic", "kernels", "tuned_kernels")

Group = tuple[Machine, str, tuple[int | None, int | None]]  # machine, model, batch and input size


def of_study(study: Study, summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of this module by file name without ending; {} where `groups` finds nothing to compare."""
    found = groups(study)
    if not found:
        return {}
    table = scenario(study, summary, found)
    made = {"scenario": table, "scenario_claims": kennings_claims(study, table)}
    return {name: table for name, table in made.items() if len(table)}


def groups(study: Study) -> dict[Group, list[Cell]]:
    """The cells of each model on each machine that Kenning measured, or Keras or TVM beside others, in table's order.

    These are the runners that such a comparison is about: other reports are as they are without it. Of several batch or
    input sizes these are each model's least, as in charts.
    """
    found: dict[Group, list[Cell]] = defaultdict(list)
    for cell in study.cells:
        if (cell.machine, cell.setting) in study.charted:
            found[cell.machine, cell.model, study.sizes(cell)].append(cell)

    def is_asked_about(cells: Sequence[Cell]) -> bool:
        runners = {cell.setting.runner for cell in cells if cell in study.statuses}
        is_like_kennings = len(runners) > 1 and not runners.isdisjoint(("keras", "tvm"))
        return is_like_kennings or any(runner.startswith(kenning.RUNNER) for runner in runners)

    return {key: _in_order(study, cells) for key, cells in found.items() if is_asked_about(cells)}


def _in_order(study: Study, cells: Sequence[Cell]) -> list[Cell]:
    """By threads, then by runner: native ones first, then as the campaign names them; what is untuned last of each."""
    named = texts(study.asked(cells[0].machine.campaign).get("runners"))

    def key(cell: Cell) -> tuple:
        runner = cell.setting.runner
        native, asked = (names.index(runner) if runner in names else len(names) for names in (_NATIVE, named))
        is_untuned = cell.variant.endswith(UNTUNED)
        return cell.setting.threads or 0, native, asked, is_untuned, variant_key(cell.variant), cell_key(cell)

    return sorted(cells, key=key)


def baseline_of(cells: Sequence[Cell], cell: Cell) -> Cell | None:
    """The float32 that a cell is compared with, of its group as `groups` has it: the first runner's that has one.

    That is the native one where there is one. With as many threads and the same delegate if possible.
    """
    there = [each for each in cells if each.variant == DEFAULT_BASELINE]
    if not there:
        return None
    mine = [each for each in there if each.setting.runner == there[0].setting.runner]
    return min(mine, key=lambda each: sum(map(_differ, each.setting, cell.setting)))  # the first of those alike


def _differ(one: object, other: object) -> bool:
    return one != other


# --- tables/scenario.csv ----------------------------------------------------------------------------------------------


def scenario(study: Study, summary: pd.DataFrame, found: Mapping[Group, Sequence[Cell]]) -> pd.DataFrame:
    """tables/scenario.csv: a row for each way to run a model on a machine, against running it natively.

    `speedup` is the baseline's mean time / this one's, with its interval, paired by block where the plan paired;
    `size_reduction` the baseline's file size / this one's, exact. `accuracy_difference_points` is this one's accuracy
    less the baseline's on the same images, with its interval, see `quality.difference`, and McNemar's test. p-values
    are corrected over the rows of one machine, those of time and those of accuracy. `dominated_by` are the rows of the
    same model that are faster beyond noise, right in as many of the same images, and no larger; `on_front` = there is
    none, and there are repetitions to know it by.
    """
    times, memory = (means_of(study, summary, metric) for metric in (DEFAULT_METRIC, "memory_overall_mb"))
    evaluated = _Evaluated(study)
    cells, rows = [], []
    for group in found.values():
        accuracies = {cell: evaluated.of(cell) for cell in group}
        sizes = {cell: size_mb(study, cell) for cell in group}
        hows = {cell: _how(study, cell) for cell in group}
        names = {cell: label(study, cell, hows[cell]) for cell in group}
        for cell in group:
            baseline = baseline_of(group, cell)
            compared = _compared(study, baseline, cell)
            n, *mean = times[cell]
            faster = (other for other in group if times[other][1] < mean[0])  # beyond noise or not
            beaten_by = (other for other in faster if _dominates(study, other, cell, sizes, accuracies))
            notes = (*_notes(study, cell, baseline, hows[cell]), *accuracies[cell].notes)
            rows.append(
                {
                    "label": names[cell],
                    "baseline": names.get(baseline, ""),
                    "baseline_threads": baseline.setting.threads if baseline else None,
                    "program": _program(baseline, cell),
                    "n": n,
                    **dict(zip(_MEAN, mean, strict=True)),
                    **compared,
                    **accuracies[cell].columns(),
                    **(_against(accuracies[cell], accuracies[baseline]) if baseline not in (None, cell) else {}),
                    "size_mb": sizes[cell],
                    "size_reduction": sizes.get(baseline, math.nan) / (sizes[cell] or math.nan),
                    **dict(zip(_MEMORY, memory[cell][1:], strict=True)),
                    **hows[cell],
                    "dominated_by": (dominated_by := ", ".join(names[other] for other in beaten_by)),
                    "on_front": n > 1 and not dominated_by,  # of a single time nobody knows what is beyond noise
                    "weights": ", ".join(study.known([cell], "weights")),
                    "absent": "" if n else absence(study, cell),
                    "remark": "; ".join(notes),
                }
            )
        cells += group
    types = dict.fromkeys(_COUNTS, INTEGER) | dict.fromkeys(_TEXTS, "str") | dict.fromkeys(_NUMBERS, "float64")
    rows = [dict.fromkeys(_TEXTS, "") | row for row in rows]
    table = pd.concat(
        [tables.cell_columns(study, cells), pd.DataFrame(rows, columns=_COLUMNS).astype(types)], axis="columns"
    )
    machine, file = ["campaign", "host"], ["campaign", "host", "model", "runner", "variant"]
    table["p_holm"] = table.groupby(machine, sort=False)["p_value"].transform(stats.holm)
    # A file at several numbers of threads is one comparison of accuracy.
    once = table.assign(accuracy_p_holm=table["accuracy_p_value"].mask(table.duplicated(file)))
    once["accuracy_p_holm"] = once.groupby(machine, sort=False)["accuracy_p_holm"].transform(stats.holm)
    table["accuracy_p_holm"] = once.groupby(file, sort=False)["accuracy_p_holm"].transform("first")
    table["verdict"] = [row.verdict or stats.verdict(row.ci_low, row.ci_high, row.p_holm) for row in table.itertuples()]
    table["accuracy_verdict"] = [row.accuracy_verdict or _verdict_of_pairs(row) for row in table.itertuples()]
    return table


_MEAN = ("mean_ms", "mean_ci_low_ms", "mean_ci_high_ms")
_MEMORY = ("memory_overall_mb", "memory_ci_low_mb", "memory_ci_high_mb")
_ACCURACY = ("accuracy_percent", "accuracy_ci_low_percent", "accuracy_ci_high_percent")
_DIFFERENCE = ("accuracy_difference_points", "accuracy_difference_ci_low", "accuracy_difference_ci_high")
_COLUMNS = (
    *("label", "baseline", "baseline_threads", "program", "n", *_MEAN, "speedup", "ci_low", "ci_high", "p_value"),
    *("p_holm", "verdict", "method", "reason", "accuracy_from", "evaluated_on", "evaluated_images", "correct_images"),
    *(*_ACCURACY, *_DIFFERENCE, "accuracy_p_value", "accuracy_p_holm", "accuracy_verdict"),
    *("size_mb", "size_reduction", *_MEMORY, *_HOW, "dominated_by", "on_front", "weights", "absent", "remark"),
)
_COUNTS = ("baseline_threads", "n", "evaluated_images", "correct_images", "kernels", "tuned_kernels")
_TEXTS = (
    *("label", "baseline", "program", "verdict", "method", "reason", "accuracy_from", "evaluated_on"),
    *("accuracy_verdict", "call", "target", "arithmetic", "dominated_by", "weights", "absent", "remark"),
)
_NUMBERS = [name for name in _COLUMNS if name not in (*_COUNTS, *_TEXTS, "on_front")]


def _how(study: Study, cell: Cell) -> dict[str, Any]:
    """How a cell was computed, as its runs say; of texts all that they say, of kernels what all of them say."""
    at = study.positions.get(cell, [])
    known = {name: sorted({*plain(study.runs[name].iloc[at])} - {None, ""}) for name in _HOW}
    return {
        name: " / ".join(values) if name in _TEXTS else values[0] if len(values) == 1 else None
        for name, values in known.items()
    }


def label(study: Study, cell: Cell, how: Mapping[str, Any]) -> str:
    """'tvm float32 (core-avx2)', 'keras compiled (tf.function)': without threads and delegate.

    What is not as tuned as its variant says is called so.
    """
    told = how["call"] or compiled_for(how["target"])
    mark = ""
    if cell in study.untuned:
        mark = ", untuned" if study.untuned[cell].startswith("0 ") else f", {study.untuned[cell]}"
    return f"{cell.setting.runner} {cell.variant}{f' ({told})' if told else ''}{mark}"


def _program(baseline: Cell | None, cell: Cell) -> str:
    if baseline in (None, cell):
        return ""
    return SAME if baseline.setting.runner == cell.setting.runner else ANOTHER


def _compared(study: Study, baseline: Cell | None, cell: Cell) -> dict[str, Any]:
    """The columns of a comparison of times; verdict '' = to be judged by the numbers."""
    if baseline is None:
        return {"verdict": stats.MISSING, "reason": f"no {DEFAULT_BASELINE} to compare with"}
    if cell == baseline:
        absent = tables.why_missing(study, cell, DEFAULT_METRIC)
        return {"verdict": stats.MISSING, "reason": absent} if absent else {"speedup": 1.0, "verdict": BASELINE}
    found = tables.compared(study, DEFAULT_METRIC, baseline, cell)
    numbers = ("speedup", "ci_low", "ci_high", "p_value")
    numbers = {name: getattr(found.result, name, math.nan) for name in numbers}
    return numbers | {"verdict": found.verdict, "method": found.method, "reason": found.reason}


def _notes(study: Study, cell: Cell, baseline: Cell | None, how: Mapping[str, Any]) -> Iterator[str]:
    """What has to be said beside the numbers of a row."""
    if baseline and baseline.setting.threads != cell.setting.threads:
        threads = baseline.setting.threads
        yield f"the baseline has {tables.count(threads, 'thread') if threads else 'an unknown number of threads'}"
    if cell in study.untuned:
        yield f"{study.untuned[cell]}, which its variant does not say"
    if cell.setting.runner in _TVM and how["kernels"] is None and not cell.variant.endswith(UNTUNED):
        yield "how many of its kernels are tuned is not told"
    if cell in study.in_float:
        yield f"computes in {study.in_float[cell]}, between int8 inputs and outputs"


def _dominates(
    study: Study, cell: Cell, other: Cell, sizes: Mapping[Cell, float], accuracies: Mapping[Cell, _Accuracy]
) -> bool:
    """Whether a cell is faster than another beyond noise, right in as many of the same images, and no larger."""
    mine, its = accuracies[cell], accuracies[other]
    exact = [(sizes[cell], sizes[other])]
    if mine.is_of_same_images(its):
        exact.append((-mine.share.count, -its.share.count))
    samples = [study.sample(side, DEFAULT_METRIC) for side in (cell, other)]
    return is_less(exact, [samples], study.max_df(cell.machine.campaign))


# --- accuracy ---------------------------------------------------------------------------------------------------------


class _Accuracy(NamedTuple):
    """How much of held-out images a cell's file classifies rightly. `share` of no images = not known.

    `evaluation` is None where only campaign.json tells it; `images_of` tells what the images are.
    """

    share: Share
    images_of: str = ""
    evaluation: Evaluation | None = None
    notes: tuple[str, ...] = ()

    def columns(self) -> dict[str, Any]:
        """The columns of accuracy alone."""
        if not self.share.total:
            return {}
        return {
            "accuracy_from": ON_HOST if self.evaluation else IN_MANIFEST,
            "evaluated_on": self.images_of,
            "evaluated_images": self.share.total,
            "correct_images": self.share.count,
            **{name: 100 * value for name, value in zip(_ACCURACY, self.share[:3], strict=True)},
        }

    def is_of_same_images(self, other: _Accuracy) -> bool:
        """Whether two are known and of the same images, as far as one is told."""
        if not (self.share.total and self.share.total == other.share.total and self.images_of == other.images_of):
            return False
        files = {each.evaluation.file_sha256 for each in (self, other) if each.evaluation} - {""}
        return len(files) < 2


class _Evaluated:
    """What is known of accuracy: by evaluations on hosts, else by campaign.json."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._found: dict[tuple[Machine, str, str], list[Classified]] = defaultdict(list)
        for one in classified(study):
            self._found[one.cell.machine, one.cell.model, one.cell.setting.runner].append(one)

    def of(self, cell: Cell) -> _Accuracy:
        """Of the file that was measured, by the runner that measured it: else nothing, and a note why."""
        used = self._study.known([cell], "model_sha256")
        mine = self._found.get((cell.machine, cell.model, cell.setting.runner), [])
        of_variant = [one for one in mine if one.cell.variant == cell.variant]
        # A file may be called in several ways: each counts for all of them, but its own comes first.
        same = [one for one in mine if one.sha256 in used or (one in of_variant and not (used and one.sha256))]
        counted = [one for one in same if one.is_counted]
        if counted:
            first = min(counted, key=lambda one: _unlike(one.cell, cell)).evaluation
            return _Accuracy(quality.top_1(first.confusion_matrix), first.evaluated_on, first)
        entry = self._study.entry(cell)
        images, right = whole(entry.get("evaluated_images")), entry.get("correct_images")
        is_of_file = not used or used == [entry.get("sha256")]
        if is_of_file and images and type(right) is int and 0 <= right <= images:
            note = "accuracy as the model builder found it, not on this machine"
            return _Accuracy(quality.share(right, images), str(entry.get("evaluated_on") or ""), None, (note,))
        remarks = [f"accuracy {one.remark}" for one in of_variant if not one.is_counted]
        remarks += ["what was evaluated is another file than what was measured"] if of_variant else []
        return _Accuracy(quality.share(0, 0), notes=tuple(remarks[:1]))


def _unlike(one: Cell, other: Cell) -> tuple[bool, int]:
    """Sort key: the same variant before others, then what has most of the setting in common."""
    return one.variant != other.variant, sum(map(_differ, one.setting, other.setting))


def _against(mine: _Accuracy, its: _Accuracy) -> dict[str, Any]:
    """The columns of a comparison with the baseline's accuracy; {} where they are not of the same images."""
    if not mine.is_of_same_images(its):
        return {}
    total = mine.share.total
    points = 100 * (mine.share.count - its.share.count) / total
    pair = mine.evaluation, its.evaluation
    if not all(each and each.targets for each in pair) or pair[0].targets != pair[1].targets:
        overlap = mine.share.ci_low <= its.share.ci_high and its.share.ci_low <= mine.share.ci_high
        verdict = stats.NOT_DISTINGUISHABLE if overlap else HIGHER if points > 0 else LOWER
        return {"accuracy_difference_points": points, "accuracy_verdict": verdict}
    only_mine, only_its, p_value = quality.mcnemar(pair[0].targets, *(each.predictions for each in pair))
    difference = quality.difference(only_mine, only_its, total)
    numbers = {name: 100 * value for name, value in zip(_DIFFERENCE, difference, strict=True)}
    return numbers | {"accuracy_p_value": p_value}


def _verdict_of_pairs(row: tuple) -> str:
    if math.isnan(row.accuracy_p_holm):
        return ""
    if row.accuracy_p_holm >= stats.ALPHA:
        return stats.NOT_DISTINGUISHABLE
    return HIGHER if row.accuracy_difference_points > 0 else LOWER


# --- what the table says ----------------------------------------------------------------------------------------------


def by_machine_and_model(table: pd.DataFrame) -> dict[tuple[Machine, str], pd.DataFrame]:
    """The table cut by machine and model: what shares a chart."""
    names = zip(table["campaign"], table["host"], table["model"], strict=True)
    return tables.cut(table, [(Machine(*machine), model) for *machine, model in names])


def row_names(table: pd.DataFrame) -> list[str]:
    """A name for each row, with threads and delegate where rows of one model and machine differ in them."""
    beside = [name for name in ("threads", "delegate") if table.groupby("label")[name].nunique().gt(1).any()]

    def name(row: tuple) -> str:
        threads = tables.count(row.threads, "thread") if "threads" in beside and pd.notna(row.threads) else ""
        return ", ".join(filter(None, (row.label, threads, row.delegate if "delegate" in beside else "")))

    return [name(row) for row in table.itertuples()]


def notes(table: pd.DataFrame) -> list[str]:
    """What has to be said before the numbers: what the baseline is, and on what accuracy was found."""
    found = []
    compared = table[table["program"] == ANOTHER]
    baselines = {}
    for row in table[table["baseline"] != ""].itertuples():
        baselines.setdefault(row.baseline, {})[row.model] = None
    for baseline, models in baselines.items():
        found.append(f"Baseline of {', '.join(models)}: {baseline}.")
    if len(compared):
        found.append(
            "Rows by another program than the baseline's compare programs: what calling it costs and how its kernels "
            "are made are in the speedup, and not the model's format alone."
        )
    compiled = table[table["call"].eq("tf.function") & table["speedup"].notna()].sort_values("speedup", kind="stable")
    for (model, baseline), mine in compiled.groupby(["model", "baseline"], sort=False):
        ends = mine.iloc[[0, -1] if len(mine) > 1 else [0]]
        numbers = (tables.with_interval(row.speedup, row.ci_low, row.ci_high) for row in ends.itertuples())
        times = " to ".join(dict.fromkeys(numbers))
        found.append(
            f"Called as a compiled function the same {model} is {times} times as fast as {baseline}: so much of a "
            "speedup over it is the price of that call."
        )
    known = table[table["accuracy_percent"].notna()]
    said = known[["model", "evaluated_on", "evaluated_images", "accuracy_from"]].drop_duplicates()
    found += [
        f"Accuracy of {row.model} is of {tables.count(row.evaluated_images, 'image')} of "
        f"{row.evaluated_on or 'what is not known'}, "
        + ("classified by the runner that was measured." if row.accuracy_from == ON_HOST else "as campaign.json says.")
        for row in said.itertuples()
    ]
    if known.empty:
        found.append("The accuracy of these files is not known.")
    weights = table[table["weights"] != ""].groupby("model", sort=False)["weights"].unique()
    return [*found, *(f"Weights of {model}: {', '.join(of)}." for model, of in weights.items())]


# --- tables/scenario_claims.csv ---------------------------------------------------------------------------------------


class _Claim(NamedTuple):
    """A row of the table that Kenning's documentation ends with, and what here is most like it."""

    name: str
    runners: tuple[str, ...]
    variant: str
    speedup: float
    accuracy: float
    size_reduction: float


# github.com/antmicro/kenning, docs/source/gallery: MobileNetV2, trained on Oxford-IIIT Pet, on an x86 CPU with AVX2.
_NATIVE_ACCURACY = 0.9572730984
_CLAIMS = (
    _Claim("tflite-fp32", TFLITE, "float32", 15.79405698, 0.9572730984, 1.965973551),
    _Claim("tflite-int8", TFLITE, "int8", 1.683232669, 0.9519662539, 7.02033412),
    _Claim("tvm-avx2-int8", _TVM, "int8", 41.61514549, 0.9487005035, 3.229375069),
)
_AS_MUCH = 0.05  # of an exact ratio; else it is more or less than was claimed
MORE, LESS, AS_MUCH = "more", "less", "as much"
SPEED, SIZE, ACCURACY = "speedup", "size reduction", "accuracy difference (points)"


def kennings_claims(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """tables/scenario_claims.csv: the rows of Kenning's example, each against native, with what was measured here.

    `verdict` is of the direction: confirmed, contradicted, not distinguishable, not measured, not comparable; `amount`
    whether it is more or less than was claimed, or as much: the claim lies in the interval or, of what is exact, within
    5 %. The example is about another model on another machine, so the amount is no test of it. Only where the baseline
    is native as in Kenning's examples, at the least number of threads.
    """
    rows = []
    for (machine, model), of_model in by_machine_and_model(table).items():
        runners = of_model["runner"][of_model["verdict"] == BASELINE]
        if not len(runners) or runners.iloc[0] not in _AS_IN_KENNING:
            continue
        where = {**machine._asdict(), "platform": study.platforms[machine], "model": model}
        for claim in _CLAIMS:
            row = _most_like(claim, of_model)
            facts = dict.fromkeys(_CLAIM_TEXTS, "") | where | {"claim": claim.name}
            facts |= {"label": row.label, "baseline": row.baseline, "remark": row.remark} if row else {}
            difference = 100 * (claim.accuracy - _NATIVE_ACCURACY)
            rows += [
                facts | {"quantity": SPEED, "claimed": claim.speedup} | _of_speed(claim.speedup, row),
                facts | {"quantity": SIZE, "claimed": claim.size_reduction} | _of_size(claim.size_reduction, row),
                facts | {"quantity": ACCURACY, "claimed": difference} | _of_accuracy(difference, row),
            ]
    found = pd.DataFrame(rows, columns=_CLAIM_COLUMNS)
    numbers = dict.fromkeys(("claimed", "value", "ci_low", "ci_high"), "float64")
    return found.astype(dict.fromkeys(_CLAIM_COLUMNS, "str") | numbers)


_CLAIM_COLUMNS = ("campaign", "host", "platform", "model", "claim", "label", "baseline", "quantity", "claimed")
_CLAIM_COLUMNS += ("value", "ci_low", "ci_high", "verdict", "amount", "remark")
_CLAIM_TEXTS = ("label", "baseline", "amount", "remark")


def _most_like(claim: _Claim, table: pd.DataFrame) -> tuple | None:
    """The first row with a claim's runner and variant that was measured; of TVM an untuned one if there is no other."""
    there = table[table["runner"].isin(claim.runners) & (table["n"] > 0)]
    for variant in (claim.variant, claim.variant + UNTUNED):
        for row in there[there["variant"] == variant].itertuples():
            return row
    return None


def _of_speed(claimed: float, row: tuple | None) -> dict[str, Any]:
    if row is None or row.verdict == stats.MISSING:
        return {"verdict": NOT_MEASURED}
    verdict = {stats.FASTER: CONFIRMED, stats.SLOWER: CONTRADICTED}.get(row.verdict, row.verdict)
    numbers = {"value": row.speedup, "ci_low": row.ci_low, "ci_high": row.ci_high}
    return numbers | {"verdict": verdict, "amount": _amount(claimed, row.ci_low, row.ci_high)}


def _of_size(claimed: float, row: tuple | None) -> dict[str, Any]:
    if row is None or math.isnan(row.size_reduction):
        return {"verdict": NOT_MEASURED}
    share = row.size_reduction * _AS_MUCH
    amount = _amount(claimed, row.size_reduction - share, row.size_reduction + share)
    return {
        "value": row.size_reduction,
        "verdict": CONFIRMED if row.size_reduction > 1 else CONTRADICTED,
        "amount": amount,
    }


def _of_accuracy(claimed: float, row: tuple | None) -> dict[str, Any]:
    """The direction of no difference is confirmed by nothing: the least that is said is that none can be seen."""
    if row is None or math.isnan(row.accuracy_difference_points):
        return {"verdict": NOT_MEASURED}
    direction = {stats.NOT_DISTINGUISHABLE: 0, HIGHER: 1, LOWER: -1}.get(row.accuracy_verdict, 0)
    verdict = CONTRADICTED if direction else stats.NOT_DISTINGUISHABLE
    if direction and direction == np.sign(claimed):
        verdict = CONFIRMED
    bounds = row.accuracy_difference_ci_low, row.accuracy_difference_ci_high
    numbers = dict(zip(("value", "ci_low", "ci_high"), (row.accuracy_difference_points, *bounds), strict=True))
    return numbers | {"verdict": verdict, "amount": _amount(claimed, *bounds)}


def _amount(claimed: float, low: float, high: float) -> str:
    """Whether what lies between two bounds is as much as was claimed; '' where there are none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return AS_MUCH if low <= claimed <= high else MORE if low > claimed else LESS
