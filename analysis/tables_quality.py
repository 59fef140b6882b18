"""How well each configuration classifies, from what its own runs classified. Pure.

The same file classifies the same images alike, however often it runs: intervals are over images, not over repetitions.
Accuracy that only campaign.json tells is in `tables_compression`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import quality, stats
from analysis.logs import FAILED, OK
from analysis.names import DEFAULT_BASELINE, EVALUATE, INTEGER
from analysis.quality import Evaluation, Share
from analysis.study import Cell, Machine, Study, cell_key, plain
from analysis.tables import cell_columns, count, some
from analysis.tables_compression import HIGHER, LOWER

DIFFERENT = "runs classify differently; this is the first"
NOT_COUNTED = "not counted"
OTHER_FILE = f"{NOT_COUNTED}: the runs that were measured had another file"
_REFERENCES = ("keras", "litert")  # runners whose float32 stands for the model itself, the first that is there
_HASH_DIGITS = 12
MOST_MATRICES = 9  # of a model that are shown
MOST_NUMBERED = 12  # classes of which a chart has room for the numbers


@dataclass(frozen=True, slots=True)
class Classified:
    """What one configuration classified, by the first of its `n` runs that say so: valid ones, if there are any.

    Attributes:
        log: of that run; `sha256` is of the model file that it had, '' = not known.
        is_counted: whether it is valid, and the runs whose speed is reported had the same file, as far as one knows.
        remark: what to know of it; '' = nothing.
    """

    cell: Cell
    log: str
    sha256: str
    evaluation: Evaluation
    n: int
    is_counted: bool
    remark: str


def of_study(study: Study) -> dict[str, pd.DataFrame]:
    """The tables on accuracy, by file name without ending; {} where no run says what it classified."""
    found = classified(study)
    if not found:
        return {}
    counted = [one for one in found if one.is_counted]
    tables = {"quality": _quality(study, found), "quality_classes": _classes(study, counted)}
    return tables | {"confusion": _confusion(study, counted), "agreement": _agreement(study, counted)}


def classified(study: Study) -> list[Classified]:
    """What each cell classified, in report order; of runs that did not fail, whatever they were made for."""
    told = study.dataset.evaluations
    if not told:
        return []
    runs = study.dataset.runs
    keys = list(zip(*(runs[name] for name in ("campaign", "host", "log")), strict=True))
    at = [i for i, (key, status) in enumerate(zip(keys, runs["status"], strict=True)) if status != FAILED]
    at = [i for i in at if keys[i] in told]
    cells = study.cells_of_runs(runs.iloc[at])
    facts = zip(*(plain(runs[name].iloc[at]) for name in ("model_sha256", "phase", "status", "reason")), strict=True)
    of_cell: dict[Cell, list[_Run]] = defaultdict(list)
    for i, cell, (sha256, phase, status, reason) in zip(at, cells, facts, strict=True):
        if cell:
            # What makes times of a repetition invalid says nothing against what it classified.
            doubt = reason if phase == EVALUATE and status != OK else ""
            of_cell[cell].append(_Run(keys[i][2], sha256, doubt, told[keys[i]]))
    measured = _measured_files(study)
    return [_first(study, cell, of_cell[cell], measured) for cell in sorted(of_cell, key=cell_key)]


class _Run(NamedTuple):
    """A run that classified; `doubt` is why it is invalid, '' if it is not."""

    log: str
    sha256: str
    doubt: str
    evaluation: Evaluation


def _measured_files(study: Study) -> dict[tuple[str, ...], set[str]]:
    """The sha256 of the model files whose speed is reported, by `_file_of`."""
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for cell in study.statuses:
        found[_file_of(cell)].update(study.known([cell], "model_sha256"))
    return found


def _file_of(cell: Cell) -> tuple[str, ...]:
    """What has one model file, but for its batch and input size: threads and delegates share it."""
    return (*cell.machine, cell.model, cell.variant, cell.setting.runner)


def _first(study: Study, cell: Cell, runs: Sequence[_Run], measured: Mapping[tuple[str, ...], set[str]]) -> Classified:
    valid = [run for run in runs if not run.doubt] or runs[:1]
    first, *others = valid
    files = measured.get(_file_of(cell), set())
    is_measured = not (first.sha256 and files) or first.sha256 in files
    if first.doubt:
        remarks = [f"{NOT_COUNTED}: {first.doubt}"]
    elif is_measured:
        matrices = (run.evaluation.confusion_matrix for run in others)
        differs = not all(np.array_equal(matrix, first.evaluation.confusion_matrix) for matrix in matrices)
        remarks = [DIFFERENT if differs else "", _of_builder(study, cell, first.sha256, first.evaluation)]
    else:
        names = " or ".join(sorted(file[:_HASH_DIGITS] for file in files))
        remarks = [f"{OTHER_FILE} (sha256 {names}, not {first.sha256[:_HASH_DIGITS]})"]
    is_counted, remark = is_measured and not first.doubt, "; ".join(filter(None, remarks))
    return Classified(cell, first.log, first.sha256, first.evaluation, len(valid), is_counted, remark)


def _of_builder(study: Study, cell: Cell, sha256: str, found: Evaluation) -> str:
    """A remark where the model builder, with the same file and as many images of the same set, counted otherwise."""
    entry, right = study.entry(cell), quality.top_1(found.confusion_matrix).count
    same = (sha256, found.evaluated_on, found.images)
    if same != tuple(entry.get(name) for name in ("sha256", "evaluated_on", "evaluated_images")):
        return ""
    counted = entry.get("correct_images")
    return f"the model builder counted {counted} right, not {right}" if counted not in (None, right) else ""


# --- one configuration ------------------------------------------------------------------------------------------------


def _quality(study: Study, found: Sequence[Classified]) -> pd.DataFrame:
    """tables/quality.csv: a row for each configuration; without numbers where another file was measured."""
    numbered = ((number, result) for of_model in results(found).values() for number, result in enumerate(of_model, 1))
    matrices = {cell: number for number, result in numbered for cell in result.cells}
    rows = []
    for one in found:
        about = {"evaluated_on": one.evaluation.evaluated_on, "n": one.n, "log": one.log, "model_sha256": one.sha256}
        about |= {"images_sha256": one.evaluation.file_sha256, "images_remark": one.evaluation.remark}
        numbers = {**_numbers(one.evaluation), "matrix": matrices[one.cell]} if one.is_counted else {}
        rows.append(about | {"remark": one.remark} | numbers)
    return _beside(study, [one.cell for one in found], pd.DataFrame(rows, columns=_COLUMNS))


def _numbers(found: Evaluation) -> dict[str, object]:
    counts = found.confusion_matrix
    is_asked = len(counts) > 5 and found.top_5_correct is not None  # of five classes, all are among the five
    return {
        "classes": len(counts),
        "evaluated_images": found.images,
        "correct_images": quality.top_1(counts).count,
        **_percent("accuracy", quality.top_1(counts)),
        **(_percent("top_5", quality.share(found.top_5_correct, found.images)) if is_asked else {}),
        "macro_precision_percent": 100 * quality.macro(quality.precision(counts)),
        "macro_recall_percent": 100 * quality.macro(quality.recall(counts)),
        "macro_f1_percent": 100 * quality.macro(quality.f1(counts)),
        "g_mean_percent": 100 * quality.g_mean(counts),
    }


_PARTS = ("", "ci_low_", "ci_high_")  # within the names of a share and of the ends of its interval
_SHARES = [f"{name}_{part}percent" for name in ("accuracy", "top_5") for part in _PARTS]
_AVERAGES = [f"{name}_percent" for name in ("macro_precision", "macro_recall", "macro_f1", "g_mean")]
_COUNTED = ["classes", "evaluated_images", "correct_images"]
_COLUMNS = ["evaluated_on", *_COUNTED, *_SHARES, *_AVERAGES, "matrix"]
_COLUMNS += ["n", "log", "model_sha256", "images_sha256", "images_remark", "remark"]


def _classes(study: Study, found: Iterable[Classified]) -> pd.DataFrame:
    """tables/quality_classes.csv: a row for each configuration and class, of the same runs."""
    cells, rows = [], []
    for one in found:
        counts = one.evaluation.confusion_matrix
        of_classes = zip(
            class_names(one.evaluation),
            quality.recall(counts),
            quality.precision(counts),
            quality.f1(counts),
            strict=True,
        )
        for name, recall, precision, f1 in of_classes:
            cells.append(one.cell)
            rows.append(
                {
                    "class": name,
                    "images": recall.total,
                    "predicted_images": precision.total,
                    "correct_images": recall.count,
                    **_percent("recall", recall),
                    **_percent("precision", precision),
                    "f1_percent": 100 * f1,
                }
            )
    return _beside(study, cells, pd.DataFrame(rows))


def class_names(found: Evaluation) -> Sequence[str]:
    """The names of classes, their numbers where they have none."""
    return found.class_names or [str(number) for number in range(len(found.confusion_matrix))]


def _confusion(study: Study, found: Iterable[Classified]) -> pd.DataFrame:
    """tables/confusion.csv: a row for each configuration, true and predicted class that any images have."""
    cells, rows = [], []
    for one in found:
        counts, names = one.evaluation.confusion_matrix, class_names(one.evaluation)
        for true, said in np.argwhere(counts).tolist():
            cells.append(one.cell)
            rows.append((names[true], names[said], int(counts[true, said])))
    return _beside(study, cells, pd.DataFrame(rows, columns=["true_class", "predicted_class", "images"]))


# --- against the model itself -----------------------------------------------------------------------------------------


def _agreement(study: Study, found: Iterable[Classified]) -> pd.DataFrame:
    """tables/agreement.csv: each configuration against the model itself, as `_reference` has it, on the same machine.

    A family of comparisons is those of one machine; a verdict needs p below 0.05 after Holm's correction in it.
    """
    cells, rows = [], []
    for _, of_machine in groupby(found, key=lambda one: one.cell.machine):
        by_model: dict[str, list[Classified]] = defaultdict(list)
        for one in of_machine:
            by_model[one.cell.model].append(one)
        family = [pair for same in by_model.values() for pair in _pairs(same)]
        compared = [_compared(reference, one) for reference, one in family]
        adjusted = stats.holm([row.get("p_value", np.nan) for row in compared]) if compared else ()
        for (_, one), row, p_holm in zip(family, compared, adjusted, strict=True):
            cells.append(one.cell)
            rows.append(row | {"p_holm": p_holm, "verdict": row["verdict"] or _verdict(row, p_holm)})
    return _beside(study, cells, pd.DataFrame(rows, columns=_AGREEMENT))


def _pairs(same_model: Sequence[Classified]) -> Iterator[tuple[Classified, Classified]]:
    """Each configuration of a model on one machine behind the one that it is compared with."""
    reference = _reference(same_model)
    return ((reference, one) for one in same_model if reference and one is not reference)


def _reference(same_model: Iterable[Classified]) -> Classified | None:
    """float32 by the runner keras, else by litert, else the first float32; None = there is none."""

    def rank(one: Classified) -> int:
        runner = one.cell.setting.runner
        return _REFERENCES.index(runner) if runner in _REFERENCES else len(_REFERENCES)

    return min((one for one in same_model if one.cell.variant == DEFAULT_BASELINE), key=rank, default=None)


def _compared(reference: Classified, one: Classified) -> dict[str, object]:
    about = {"reference_variant": reference.cell.variant, "reference_runner": reference.cell.setting.runner}
    true, other = reference.evaluation, one.evaluation
    if why := _why_not(true, other):
        return about | {"verdict": stats.NOT_COMPARABLE, "reason": why}
    agreeing = quality.agreement(true.predictions, other.predictions)
    test = quality.mcnemar(true.targets, true.predictions, other.predictions)
    difference = quality.difference(test.only_other, test.only_one, agreeing.total)
    return about | {
        "evaluated_images": agreeing.total,
        "agreeing_images": agreeing.count,
        **_percent("agreement", agreeing),
        "only_reference_correct_images": test.only_one,
        "only_candidate_correct_images": test.only_other,
        **{name: 100 * value for name, value in zip(_DIFFERENCE, difference, strict=True)},
        "p_value": test.p_value,
        "verdict": "",
        "reason": "",
    }


def _why_not(one: Evaluation, other: Evaluation) -> str:
    """Why two evaluations cannot be compared image by image; '' if they can."""
    if not (one.targets and other.targets):
        return "what each image was taken for is not known"
    known = one.file_sha256 and other.file_sha256
    if one.targets != other.targets or (known and one.file_sha256 != other.file_sha256):
        return "not of the same images"
    return ""


def _verdict(row: Mapping[str, object], p_holm: float) -> str:
    if not p_holm < stats.ALPHA:
        return stats.NOT_DISTINGUISHABLE
    return HIGHER if row["only_candidate_correct_images"] > row["only_reference_correct_images"] else LOWER


_DIFFERENCE = tuple(f"difference_{part}points" for part in _PARTS)
_AGREEMENT = (
    *("reference_variant", "reference_runner", "evaluated_images", "agreeing_images"),
    *(f"agreement_{part}percent" for part in _PARTS),
    *("only_reference_correct_images", "only_candidate_correct_images", *_DIFFERENCE),
    *("p_value", "p_holm", "verdict", "reason"),
)


# --- results that are alike -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """One confusion matrix of a model, and every configuration on every machine that has it."""

    evaluation: Evaluation
    cells: list[Cell]


def results(found: Iterable[Classified]) -> dict[str, list[Result]]:
    """The different confusion matrices of each model, in report order; the first is number 1 in tables."""
    of_model: dict[str, dict[object, Result]] = defaultdict(dict)
    for one in found:
        if one.is_counted:
            counts = one.evaluation.confusion_matrix
            key = counts.tobytes(), len(counts), tuple(class_names(one.evaluation)), one.evaluation.evaluated_on
            of_model[one.cell.model].setdefault(key, Result(one.evaluation, [])).cells.append(one.cell)
    return {model: list(of_key.values()) for model, of_key in of_model.items()}


def most_confused(counts: NDArray[np.int64], limit: int) -> list[tuple[int, int]]:
    """True and predicted class of the confusions with the most images, the most frequent first."""
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    pairs = [(int(true), int(said)) for true, said in np.argwhere(wrong)]
    return sorted(pairs, key=lambda pair: (-counts[pair], pair))[:limit]


# --- in words ---------------------------------------------------------------------------------------------------------


def configuration(runner: str, variant: str) -> str:
    """'litert int8': what people call a configuration where only accuracy matters."""
    return " ".join(filter(None, (runner, variant)))


def in_short(table: pd.DataFrame, agreement: pd.DataFrame | None) -> list[str]:
    """Of each model the least and the greatest accuracy, then which differ from the model itself."""
    found = []
    agreement = table[:0].assign(verdict="") if agreement is None else agreement
    for model, mine in table[table["accuracy_percent"].notna()].groupby("model", sort=False):
        ends = [mine["accuracy_percent"].idxmin(), mine["accuracy_percent"].idxmax()]
        least, most = (next(mine.loc[[at]].itertuples()) for at in ends)
        where = f"of {count(most.evaluated_images, 'image')} of {most.evaluated_on or 'an unknown data set'}"
        same = len(mine) > 1 and least.accuracy_percent == most.accuracy_percent
        if len(mine) == 1 or same:
            text = f"{model} classifies {_accuracy(most)} {where} rightly{', whatever runs it' if same else ''}."
        else:
            low, high = (_accuracy(row, configuration(row.runner, row.variant)) for row in (least, most))
            text = f"{model} classifies from {low} to {high} {where} rightly."
        found.append(" ".join([text, *_differing(agreement[agreement["model"] == model])]))
    return found


def _accuracy(row: tuple, of: str = "") -> str:
    """'97.8 % (95.9 to 98.8; litert int8)', of a row of `_quality`."""
    bounds = f"{row.accuracy_ci_low_percent:.1f} to {row.accuracy_ci_high_percent:.1f}"
    return f"{row.accuracy_percent:.1f} % ({'; '.join(filter(None, (bounds, of)))})"


def _differing(agreement: pd.DataFrame) -> Iterator[str]:
    """Which configurations of a model are not as often right as the model itself."""
    compared = agreement[agreement["verdict"] != stats.NOT_COMPARABLE]
    if compared.empty:
        return
    names = [configuration(*pair) for pair in zip(compared["runner"], compared["variant"], strict=True)]
    references = zip(compared["reference_runner"], compared["reference_variant"], strict=True)
    reference = " or ".join(dict.fromkeys(configuration(*pair) for pair in references))
    compared = compared.assign(name=names)
    if compared["verdict"].eq(stats.NOT_DISTINGUISHABLE).all():
        yield f"No accuracy is distinguishable from that of {reference} on the same images."
    for verdict in (LOWER, HIGHER):
        said = []
        for name, mine in compared.groupby("name", sort=False):
            differing = mine[mine["verdict"] == verdict]
            if len(differing):
                alike = differing[list(_DIFFERENCE)].drop_duplicates()
                by = _points(*alike.iloc[0]) if len(alike) == 1 else ""
                where = f"on {len(differing)} of {len(mine)} machines" if len(differing) < len(mine) else ""
                beside = "; ".join(filter(None, (by, where)))
                said.append(f"{name} ({beside})" if beside else name)
        if said:
            yield f"Accuracy is {verdict} than that of {reference} on the same images for {some(said, _NAMED)}."


def _points(value: float, low: float, high: float) -> str:
    """'-3.3 points, -5.3 to -1.4': a difference of two shares in percent."""
    return "" if pd.isna(value) else f"{value:+.1f} points, {low:+.1f} to {high:+.1f}"


def notes(study: Study, table: pd.DataFrame) -> list[str]:
    """What accuracies rest on, and what does not count."""
    found = []
    counted = table[table["accuracy_percent"].notna()]
    for (model, where, images, classes, remark), mine in counted.groupby(_RESTS_ON, sort=False):
        what = f"{count(images, 'image')} of {where or 'an unknown data set'} in {classes} classes"
        is_held_out = mine["images_sha256"].ne("").all()  # what the model builder puts into such a file
        seen = "They took no part in training." if is_held_out else "Whether it was trained on them is not known."
        # A remark is among what to distrust.
        found.append(f"{model} was shown {what}.{'' if remark else f' {seen}'}")
    others = [name for name in ("threads", "delegate") if name in study.varying and counted[name].nunique() == 1]
    if others:
        setting = ", ".join(f"{name} {counted[name].iloc[0]}" for name in others)
        found.append(f"Each file was classified with once on each machine ({setting}), not in each setting.")
    found += [
        f"{row.model} by {configuration(row.runner, row.variant)} on "
        f"{study.labels[Machine(row.campaign, row.host)]} is {row.remark}."
        for row in table[table["accuracy_percent"].isna()].itertuples()
    ]
    return found


_RESTS_ON = ["model", "evaluated_on", "evaluated_images", "classes", "images_remark"]
_NAMED = 5  # configurations


def _percent(name: str, found: Share) -> dict[str, float]:
    return {f"{name}_{part}percent": 100 * value for part, value in zip(_PARTS, found[:3], strict=True)}


def _beside(study: Study, cells: Sequence[Cell], table: pd.DataFrame) -> pd.DataFrame:
    counts = [name for name in table if name.endswith("images") or name in ("classes", "matrix", "n")]
    return pd.concat([cell_columns(study, cells), table.astype(dict.fromkeys(counts, INTEGER))], axis=1)
