"""What compressing a model saves and costs: size, accuracy, time and memory of each variant on each delegate. Pure.

Sizes, accuracy, zeros and clusters are of the model's file, from campaign.json, where the model builder wrote what it
counted; time and memory are means over repetitions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from analysis import stats, tables
from analysis.across import absence, means_of, size_mb
from analysis.delegation import COMPLETELY, NOT_AT_ALL, ON_CPU, PARTLY
from analysis.entries import whole
from analysis.names import DEFAULT_METRIC, INTEGER
from analysis.study import Cell, Machine, Setting, Study

HIGHER, LOWER = "higher", "lower"  # verdicts on accuracy
FINE_TUNED = ("pruned_", "clustered_")  # how the names of variants begin that save nothing but compressed


def of_study(study: Study, summary: pd.DataFrame, baseline: str) -> dict[str, pd.DataFrame]:
    """The table on compression by file name without ending; {} where it would say nothing new.

    That is where all ran on the CPU, nothing was pruned or clustered, and nobody knows compressed sizes or accuracy.
    """
    files = (entry for name in study.dataset.campaigns for entry in study.model_files(name))
    is_known = any(entry.get("compressed_bytes") or entry.get("evaluated_images") for entry in files)
    if not is_known and not any(map(is_asked_about, study.statuses)):
        return {}
    return {"compression": compression(study, summary, baseline)}


def is_asked_about(cell: Cell) -> bool:
    """Whether a cell belongs to a study like that of the phones: another processor's, or pruned or clustered."""
    return cell.setting.delegate not in ("", *ON_CPU) or cell.variant.startswith(FINE_TUNED)


def compression(study: Study, summary: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """tables/compression.csv: a row for each configuration on each machine, in report order.

    `speedup` is the baseline's mean time on the same delegate / this one's, `cpu_speedup` the mean time of the same
    file on the CPU (`cpu_delegate`) / this one's: with intervals, paired by block where the plan paired, not corrected.
    """
    times, memory = (means_of(study, summary, metric) for metric in (DEFAULT_METRIC, "memory_overall_mb"))
    cells = [cell for cell in study.cells if cell.machine in {measured.machine for measured in study.statuses}]
    entries = {cell: _file(study, cell) for cell in cells}
    rows = []
    for cell in cells:
        n, mean, low, high = times[cell]
        on_cpu = _on_cpu(study, cell)
        against = _against(study, cell._replace(variant=baseline), cell)
        rows.append(
            {
                "size_mb": size_mb(study, cell),
                "compressed_mb": compressed_mb(study, cell),
                "weights": ", ".join(study.known([cell], "weights")) or str(entries[cell].get("weights") or ""),
                **dict.fromkeys(("evaluated_on", "accuracy_verdict"), ""),
                **_accuracy(entries[cell], _file(study, cell._replace(variant=baseline))),
                **{name: _number(entries[cell].get(name)) for name in ("weight_sparsity", "weight_clusters")},
                **_delegation(study, cell),
                "n": n,
                **dict(zip(_MEAN, (mean, low, high), strict=True)),
                **dict(zip(_MEMORY, memory[cell][1:], strict=True)),
                "baseline_variant": baseline,
                **dict(zip(_SPEEDUP, against, strict=True)),
                "cpu_delegate": on_cpu.setting.delegate if on_cpu else "",
                **dict(zip(_CPU_SPEEDUP, _against(study, on_cpu, cell), strict=True)),
                "absent": "" if n else absence(study, cell),
            }
        )
    table = pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_COUNTS, INTEGER) | dict.fromkeys(_TEXTS, "str"))
    return pd.concat([tables.cell_columns(study, cells), table], axis=1)


_MEAN = ("mean_ms", "mean_ci_low_ms", "mean_ci_high_ms")
_MEMORY = ("memory_overall_mb", "memory_ci_low_mb", "memory_ci_high_mb")
_SPEEDUP = ("speedup", "ci_low", "ci_high")
_CPU_SPEEDUP = ("cpu_speedup", "cpu_ci_low", "cpu_ci_high")
_COLUMNS = (
    *("size_mb", "compressed_mb", "weights", "evaluated_on", "evaluated_images", "correct_images", "accuracy_percent"),
    *("accuracy_ci_low_percent", "accuracy_ci_high_percent", "accuracy_verdict", "weight_sparsity", "weight_clusters"),
    *("delegation", "delegated_nodes", "graph_nodes", "n", *_MEAN, *_MEMORY, "baseline_variant", *_SPEEDUP),
    *("cpu_delegate", *_CPU_SPEEDUP, "absent"),
)
_COUNTS = ("evaluated_images", "correct_images", "weight_clusters", "delegated_nodes", "graph_nodes", "n")
_TEXTS = ("weights", "evaluated_on", "accuracy_verdict", "delegation", "baseline_variant", "cpu_delegate", "absent")


def compressed_mb(study: Study, cell: Cell) -> float:
    """Size of a cell's model file in 10^6 bytes after gzip, as campaign.json says; NaN = not known."""
    return (whole(_file(study, cell).get("compressed_bytes")) or math.nan) / 1e6


def _file(study: Study, cell: Cell) -> Mapping[str, object]:
    """What campaign.json says of a cell's model file; {} also where the runs had another file of that name."""
    entry, used = study.entry(cell), study.known([cell], "model_sha256")
    return entry if used in ([], [entry.get("sha256")]) else _NO_FILE


_NO_FILE: Mapping[str, object] = {}


def _number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else math.nan


def _on_cpu(study: Study, cell: Cell) -> Cell | None:
    """The same on the CPU, with the delegate that comes by itself or else as XNNPACK is asked for or left out.

    None for what ran there, and where nothing else did.
    """
    if cell.setting.delegate in ON_CPU:
        return None
    others = (cell._replace(setting=cell.setting._replace(delegate=name)) for name in ("default", "xnnpack", "none"))
    return next((other for other in others if other in study.statuses), None)


def _against(study: Study, baseline: Cell | None, cell: Cell) -> tuple[float, float, float]:
    """How many times as fast a cell is, with its interval; NaN where that cannot be said."""
    if baseline in (None, cell):
        return math.nan, math.nan, math.nan
    found = tables.compared(study, DEFAULT_METRIC, baseline, cell)
    if found.verdict or found.result is None:
        return math.nan, math.nan, math.nan
    return found.result.speedup, found.result.ci_low, found.result.ci_high


# --- accuracy ---------------------------------------------------------------------------------------------------------


def _accuracy(entry: Mapping[str, object], baseline: Mapping[str, object]) -> dict[str, object]:
    """The share of held-out images that a file classifies rightly, with Wilson's interval, and against the baseline.

    The images are the same ones, but of which each is wrong is not known: no test for pairs can be made, and intervals
    that overlap are no difference.
    """
    images, right, (low, high) = _evaluated(entry)
    if not images:
        return {}
    row = {
        "evaluated_on": str(entry.get("evaluated_on") or ""),
        "evaluated_images": images,
        "correct_images": right,
        "accuracy_percent": 100 * right / images,
        "accuracy_ci_low_percent": 100 * low,
        "accuracy_ci_high_percent": 100 * high,
    }
    base_images, _, (base_low, base_high) = _evaluated(baseline)
    same_images = base_images == images and entry.get("evaluated_on") == baseline.get("evaluated_on")
    if entry is baseline or not same_images:
        return row
    verdict = HIGHER if low > base_high else LOWER if high < base_low else stats.NOT_DISTINGUISHABLE
    return row | {"accuracy_verdict": verdict}


def _evaluated(entry: Mapping[str, object]) -> tuple[int, int, tuple[float, float]]:
    """Held-out images, how many of them right, and the interval of that share; zeros where that is not known."""
    images, right = whole(entry.get("evaluated_images")), entry.get("correct_images")
    if not images or not isinstance(right, int) or not 0 <= right <= images:
        return 0, 0, (math.nan, math.nan)
    interval = binomtest(right, images).proportion_ci(1 - stats.ALPHA, method="wilson")
    return images, right, (float(interval.low), float(interval.high))


# --- delegates --------------------------------------------------------------------------------------------------------


def _delegation(study: Study, cell: Cell) -> dict[str, object]:
    """How much of a file the delegate executes: the least of any ok run, or nothing; {} where no run tells."""
    runs = study.runs.iloc[study.positions.get(cell, [])]
    extent = NOT_AT_ALL if cell in study.fell_back else PARTLY if cell in study.partly else ""
    runs = runs if extent == NOT_AT_ALL else runs[runs["status"] == "ok"]
    if not extent and len(runs) and runs["delegation"].eq(COMPLETELY).all():
        extent = COMPLETELY
    least = runs.sort_values("delegated_nodes").head(1)
    return {
        "delegation": extent,
        **{name: next(iter(_known(least[name])), None) for name in ("delegated_nodes", "graph_nodes")},
    }


def _known(column: pd.Series) -> Sequence[float]:
    return column[column.notna()].to_numpy(dtype=float)


_DELEGATE_NAMES = {
    "default": "CPU",
    "xnnpack": "CPU with XNNPACK",
    "none": "CPU without XNNPACK",
    "gpu": "GPU",
    "nnapi": "NNAPI",
    "hexagon": "Hexagon",
}


def delegate_name(study: Study, delegate: str, machine: Machine) -> str:
    """What people call a delegate, with its star where it executes only parts of some model on a machine."""
    star = "*" if study.delegate_label(delegate, machine) != delegate else ""
    return _DELEGATE_NAMES.get(delegate, delegate or "CPU") + star


def variant_name(variant: str) -> str:
    """'Clustered + dynamic range'."""
    how, _, rest = variant.partition("_")
    text = f"{how} + {rest}" if variant.startswith(FINE_TUNED) else variant
    return text.replace("_", " ").capitalize()


def delegates(table: pd.DataFrame) -> list[str]:
    """The delegates of a table, the CPU's first."""
    order = list(_DELEGATE_NAMES)
    found = np.unique(table["delegate"].to_numpy(dtype=str)).tolist()
    return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))


def by_file_set(study: Study, table: pd.DataFrame) -> dict[tuple[Machine, str, Setting], pd.DataFrame]:
    """The table cut by machine, model and all of the setting but the delegate: what shares a chart."""
    found = zip(tables.places(study, table), table["model"], strict=True)
    return tables.cut(table, [(machine, model, setting._replace(delegate="")) for (machine, setting), model in found])


def notes(study: Study, table: pd.DataFrame) -> list[str]:
    """What has to be said beside the numbers: of the accuracy, on what and how; [] where none is known."""
    known = table[table["accuracy_percent"].notna()]
    if known.empty:
        return ["The accuracy of these files is not known."]
    said = known[["model", "weights", "evaluated_on", "evaluated_images"]].drop_duplicates()
    found = [
        f"{row.model} was trained on {row.weights or 'what is not known'}; its accuracy is of {row.evaluated_images} "
        f"held-out images of {row.evaluated_on or 'what is not known'}."
        for row in said.itertuples()
    ]
    different = known[known["accuracy_verdict"].isin((HIGHER, LOWER))]
    baseline = known["baseline_variant"].iloc[0]
    names = sorted({f"{row.model} {row.variant} ({row.accuracy_verdict})" for row in different.itertuples()})
    if known["accuracy_verdict"].ne("").any():
        text = f"Accuracy differs from {baseline}'s in {', '.join(names)}: the intervals do not overlap."
        found.append(text if names else f"No accuracy is distinguishable from {baseline}'s: all intervals overlap.")
    found.append("Intervals of accuracy are Wilson's, 95 %.")
    if not study.dataset.evaluations:
        found[-1] += (
            " A test for pairs would see smaller differences on the same images, but needs to know which of them each "
            "file has wrong."
        )
    return found
