"""How well each configuration classifies, from what its own runs classified. Pure.

The same file classifies the same images alike, however often it runs: intervals are over images, not over repetitions.
Accuracy that only campaign.json tells is in `tables_compression`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import quality
from analysis.logs import FAILED
from analysis.names import INTEGER
from analysis.quality import Evaluation, Share
from analysis.study import Cell, Study, cell_key
from analysis.tables import cell_columns

DIFFERENT = "runs classify differently; this is the first"


def of_study(study: Study) -> dict[str, pd.DataFrame]:
    """The tables on accuracy, by file name without ending; {} where no run says what it classified."""
    found = _evaluated(study)
    return {"quality": _quality(study, found), "quality_classes": _classes(study, found)} if found else {}


def _evaluated(study: Study) -> dict[Cell, list[tuple[str, Evaluation]]]:
    """What the runs of each cell classified, with their logs; of runs that did not fail."""
    found: dict[Cell, list[tuple[str, Evaluation]]] = defaultdict(list)
    keys = zip(*(study.runs[name] for name in ("campaign", "host", "log")), strict=True)
    for key, cell, status in zip(keys, study.run_cells, study.runs["status"], strict=True):
        if cell and status != FAILED and key in study.dataset.evaluations:
            found[cell].append((key[2], study.dataset.evaluations[key]))
    return {cell: found[cell] for cell in sorted(found, key=cell_key)}


def _quality(study: Study, found: dict[Cell, list[tuple[str, Evaluation]]]) -> pd.DataFrame:
    """tables/quality.csv: a row for each configuration, from the first of its runs that says what it classified."""
    rows = []
    for (log, first), *others in found.values():
        counts = first.confusion_matrix
        is_asked = len(counts) > 5 and first.top_5_correct is not None  # of five classes, all are among the five
        top_5 = _percent("top_5", quality.share(first.top_5_correct, first.images)) if is_asked else {}
        differs = any(not np.array_equal(other.confusion_matrix, counts) for _, other in others)
        rows.append(
            {
                "evaluated_on": first.evaluated_on,
                "classes": len(counts),
                "evaluated_images": first.images,
                "correct_images": quality.top_1(counts).count,
                **_percent("accuracy", quality.top_1(counts)),
                **top_5,
                "macro_precision_percent": 100 * quality.macro(quality.precision(counts)),
                "macro_recall_percent": 100 * quality.macro(quality.recall(counts)),
                "macro_f1_percent": 100 * quality.macro(quality.f1(counts)),
                "g_mean_percent": 100 * quality.g_mean(counts),
                "n": 1 + len(others),
                "log": log,
                "remark": DIFFERENT if differs else "",
            }
        )
    return _beside(study, list(found), pd.DataFrame(rows, columns=_COLUMNS))


_PARTS = ("", "ci_low_", "ci_high_")  # within the names of a share and of the ends of its interval
_SHARES = [f"{name}_{part}percent" for name in ("accuracy", "top_5") for part in _PARTS]
_AVERAGES = [f"{name}_percent" for name in ("macro_precision", "macro_recall", "macro_f1", "g_mean")]
_COUNTED = ["classes", "evaluated_images", "correct_images"]
_COLUMNS = ["evaluated_on", *_COUNTED, *_SHARES, *_AVERAGES, "n", "log", "remark"]


def _classes(study: Study, found: dict[Cell, list[tuple[str, Evaluation]]]) -> pd.DataFrame:
    """tables/quality_classes.csv: a row for each configuration and class, of the same runs."""
    cells, rows = [], []
    for cell, ((_, first), *_) in found.items():
        counts = first.confusion_matrix
        names: Sequence[str] = first.class_names or [str(number) for number in range(len(counts))]
        of_classes = zip(names, quality.recall(counts), quality.precision(counts), quality.f1(counts), strict=True)
        for name, recall, precision, f1 in of_classes:
            cells.append(cell)
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


def _percent(name: str, found: Share) -> dict[str, float]:
    return {f"{name}_{part}percent": 100 * value for part, value in zip(_PARTS, found[:3], strict=True)}


def _beside(study: Study, cells: Sequence[Cell], table: pd.DataFrame) -> pd.DataFrame:
    counts = [name for name in table if name.endswith("images") or name in ("classes", "n")]
    return pd.concat([cell_columns(study, cells), table.astype(dict.fromkeys(counts, INTEGER))], axis=1)
