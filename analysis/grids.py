"""Tables as people read them: rounded, with units, without columns that say nothing. The same for HTML, Markdown and
LaTeX; all digits are in tables/*.csv.
"""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Any

import pandas as pd

from analysis import claims, delegation, isa, stats, tables_compression, tables_energy, tables_quality
from analysis.entries import whole
from analysis.names import compiled_for
from analysis.scenario import row_names
from analysis.study import (
    STUDY_METRICS,
    Machine,
    Setting,
    Study,
    mapping,
    metric_label,
    model_key,
    row_label,
    variant_key,
)
from analysis.tables import (
    GEOMEAN,
    TOTAL,
    by_place,
    in_place_of_speedup,
    interval,
    number,
    places,
    share_of_models,
    some,
    with_interval,
)
from analysis.usage import MACHINE

UNKNOWN = "–"
_HASH_DIGITS = 12


@dataclass(frozen=True)
class Grid:
    """A table of texts: `numeric` are the columns that are aligned as numbers."""

    head: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = frozenset()

    @classmethod
    def of(cls, head: Iterable[str], rows: Iterable[Iterable[str]]) -> Grid:
        """From column names of which those that start with '#' are numeric."""
        head = list(head)
        numeric = frozenset(i for i, name in enumerate(head) if name.startswith("#"))
        return cls([name.removeprefix("#") for name in head], [list(row) for row in rows], numeric)


def at_a_glance(study: Study, table: pd.DataFrame) -> Grid:
    """Speedups alone: a row per machine, setting and candidate, a column per model; machines group by group."""
    groups = isa.groups(study)
    order = {machine: i for i, machine in enumerate(groups)}
    grouped = len(set(groups.values())) > 1
    models = sorted({model for model in table["model"] if model != GEOMEAN}, key=model_key)
    rows: dict[tuple, dict[str, str]] = defaultdict(dict)
    for place, row in zip(places(study, table), table.itertuples(), strict=True):
        sign = "≈ " if row.verdict == stats.NOT_DISTINGUISHABLE else ""
        compared = row.verdict not in (stats.MISSING, stats.NOT_COMPARABLE)
        share = share_of_models(row.method) if row.model == GEOMEAN else ""
        text = f"{sign}{number(row.speedup)}" + (f" ({share})" if share else "")
        rows[*place, row.variant][row.model] = text if compared else in_place_of_speedup(row)
    head = [
        *(["Instructions"] if grouped else []),
        "Machine",
        *map(_setting_head, study.varying),
        "Candidate",
        *(f"#{model}" for model in models),
        "#Geometric mean",
    ]
    return Grid.of(
        head,
        (
            [
                *([groups[machine].label] if grouped else []),
                *_place(study, machine, setting),
                variant,
                *(of_model.get(model, "") for model in (*models, GEOMEAN)),
            ]
            for (machine, setting, variant), of_model in sorted(rows.items(), key=lambda item: order[item[0][0]])
        ),
    )


def speedups(study: Study, table: pd.DataFrame, named: bool = True) -> Grid:
    """`tables.speedups` with the interval in one cell; `named`: with the machine and what varies of the setting."""
    head = _place_head(study) if named else []
    head += ["Model", "Candidate", "#Baseline (ms)", "#Candidate (ms)"]
    head += ["#Speedup", "#95 % interval", "#p (Holm)", "Verdict", "#n", "Remark"]
    rows = []
    for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True):
        rows.append(
            [
                *(_place(study, machine, setting) if named else []),
                "geometric mean" if row.model == GEOMEAN else row.model,
                row.variant,
                number(row.baseline_ms),
                number(row.candidate_ms),
                number(row.speedup),
                interval(row.ci_low, row.ci_high),
                p_value(row.p_holm),
                row.verdict,
                "" if pd.isna(row.n_baseline) else f"{row.n_baseline}/{row.n_candidate}",
                row.reason,
            ]
        )
    return _without_empty(Grid.of(head, rows), unknown="")


def terminal_speedups(table: pd.DataFrame) -> Grid:
    """The speedups of one machine and setting, in few columns."""
    rows = [
        [
            row.model,
            row.variant,
            number(row.speedup),
            interval(row.ci_low, row.ci_high),
            row.verdict,
            textwrap.shorten(row.reason, 80, placeholder=" ..."),
        ]
        for row in table.itertuples()
    ]
    return Grid.of(["model", "candidate", "#speedup", "95 % interval", "verdict", ""], rows)


def p_value(p: float) -> str:
    """Two digits, or '<0.001'."""
    return "" if pd.isna(p) else "<0.001" if p < 0.001 else f"{p:.2g}"


def effects(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.effects`, geometric means only: what the candidate changes beside the speed."""
    rows = []
    for place, means in by_place(study, table[(table["model"] == GEOMEAN) & table["ratio"].notna()]).items():
        for row in means.sort_values("variant", key=lambda names: names.map(variant_key), kind="stable").itertuples():
            label, _ = metric_label(row.metric)
            models = row.method.removeprefix("geometric mean of ")
            ratio = number(row.ratio), interval(row.ci_low, row.ci_high)
            rows.append([*_place(study, *place), row.variant, label, *ratio, models])
    head = ["Candidate", "Metric", "#Baseline / candidate", "#95 % interval", "Geometric mean of"]
    return Grid.of([*_place_head(study), *head], rows)


def study_findings(study: Study, table: pd.DataFrame) -> Grid:
    """`claims.study_findings`: the study's findings, computed anew; without the single models of two boards."""
    table = table[table["n"].notna() | (table["verdict"] != "")]
    head = ["Finding", "Variant", *map(_setting_head, study.varying), "Of", "What"]
    head += ["#Value", "#95 % interval", "#p (Holm)", "#n", "Verdict", "Basis"]
    rows = [
        [
            *(row.finding, row.variant, *setting_cells(study, row, study.varying)),
            *(row.subject, row.quantity),
            f"{row.value:.0f}" if row.quantity in claims.COUNTS and pd.notna(row.value) else number(row.value),
            *(interval(row.ci_low, row.ci_high), p_value(row.p_holm), _text(row.n), row.verdict, row.basis),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def across(study: Study, table: pd.DataFrame) -> Grid:
    """`across.across`: the time of each configuration on every machine."""
    head = ["Model", "Variant", *map(_setting_head, study.varying), "Instructions", "Machine", "#n", "#Mean (ms)"]
    head += ["#95 % interval", "#Speed relative to the fastest", "#95 % interval", "Verdict", "Remark"]
    rows = [
        [
            *(
                row.model,
                row.variant,
                *_place(study, machine, setting)[1:],
                row.group,
                study.labels[machine],
                str(row.n),
            ),
            *(number(row.mean_ms), interval(row.mean_ci_low_ms, row.mean_ci_high_ms)),
            *(number(row.relative_speed), interval(row.ci_low, row.ci_high), row.verdict),
            _remark(row.reason, row.remark),
        ]
        for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True)
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def threads(study: Study, table: pd.DataFrame) -> Grid:
    """`across.threads`: what more threads gain."""
    head = ["Machine", "Model", "Variant", *map(_setting_head, study.varying), "#n", "#Mean (ms)", "#95 % interval"]
    head += ["#Speedup", "#95 % interval", "#Efficiency", "Remark"]
    rows = [
        [
            *(study.labels[machine], row.model, row.variant, *_place(study, machine, setting)[1:], str(row.n)),
            *(number(row.mean_ms), interval(row.mean_ci_low_ms, row.mean_ci_high_ms), number(row.speedup)),
            *(interval(row.ci_low, row.ci_high), number(row.efficiency, 2), row.reason),
        ]
        for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True)
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def energy_meters(study: Study, table: pd.DataFrame) -> Grid:
    """`tables_energy.meters`: what each machine's meter sees, and what the machine takes with nothing to do."""
    head = ["Machine", "Meter", "Measures", "Leaves out", "#Idle power (W)", "#n (idle)"]
    head += ["#Runs (ok)", "#With energy per inference", "#Estimated", "Remark"]
    rows = [
        [
            study.labels[Machine(row.campaign, row.host)],
            *(row.meter, row.covers, row.leaves_out),
            with_interval(row.idle_power_w, row.idle_power_ci_low_w, row.idle_power_ci_high_w),
            *map(_text, (row.n_idle, row.n_ok, row.n_inference, row.n_estimated)),
            row.reason,
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def energy(study: Study, table: pd.DataFrame, named: bool = True) -> Grid:
    """`tables_energy.amounts` with intervals in brackets; `named`: with the machine and what varies of the setting.

    Energy per image is left out where it is that of an inference.
    """
    beside = dict(_ENERGY_BESIDE)
    if (table["energy_per_image_j"].isna() | (table["energy_per_image_j"] == table["energy_inference_j"])).all():
        del beside["energy_per_image_{}j"]
    head = [*(_place_head(study) if named else []), "Model", "Variant", "#n", "#Per inference (J)"]
    head += ["#Ratio", "#p (Holm)", "Verdict", *beside.values(), "Remark"]

    def mean(row: dict[str, Any], name: str) -> str:
        return with_interval(*(row[column] for column in tables_energy.bounds(name)))

    rows = [
        [
            *(_place(study, *place) if named else []),
            "geometric mean" if row["model"] == GEOMEAN else row["model"],
            row["variant"],
            _text(row["n"]),
            mean(row, "energy_inference_{}j"),
            with_interval(row["ratio"], row["ci_low"], row["ci_high"]),
            p_value(row["p_holm"]),
            row["verdict"],
            *(mean(row, name) for name in beside),
            row["remark"],
        ]
        for place, row in zip(places(study, table), table.to_dict("records"), strict=True)
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


_ENERGY_BESIDE = {
    "energy_net_inference_{}j": "#Above idle (J)",
    "energy_per_image_{}j": "#Per image (J)",
    "energy_run_{}j": "#Per run (J)",
    "power_{}w": "#Power (W)",
}


def sweep(study: Study, table: pd.DataFrame) -> Grid:
    """The part of `sweeps.sweeps` that is of one series, as the lab has it: a row per size, a column per model."""
    models = list(dict.fromkeys(table["model"]))
    rows: dict[tuple, dict[str, str]] = defaultdict(dict)
    for row in table.itertuples():
        text = row.absent or with_interval(row.mean_ms, row.mean_ci_low_ms, row.mean_ci_high_ms)
        rows[row.input_size, row.batch_size][row.model] = text
    ordered = sorted(rows, key=lambda sizes: tuple(0 if pd.isna(size) else size for size in sizes))
    cells = ([*map(_text, sizes), *(rows[sizes].get(model, "") for model in models)] for sizes in ordered)
    return _without_empty(Grid.of(["Input", "Batch", *(f"#{model}" for model in models)], cells), unknown="")


def sweeps(study: Study, table: pd.DataFrame) -> Grid:
    """`sweeps.sweeps`: time, time of an image, throughput and work of every size."""
    head = ["Machine", "Model", "Variant", *map(_setting_head, study.varying), "#n", "#Mean (ms)", "#95 % interval"]
    head += ["#Per image (ms)", "#95 % interval", "#Images/s", "#95 % interval", "#Work (GFLOP)", "#GFLOP/s", "Remark"]
    rows = [
        [
            *(study.labels[machine], row.model, row.variant, *_place(study, machine, setting)[1:], str(row.n)),
            *(number(row.mean_ms), interval(row.mean_ci_low_ms, row.mean_ci_high_ms)),
            *(number(row.per_image_ms), interval(row.per_image_ci_low_ms, row.per_image_ci_high_ms)),
            *(number(row.images_per_s), interval(row.images_per_s_ci_low, row.images_per_s_ci_high)),
            *(number(row.gflop), number(row.gflop_per_s), row.absent),
        ]
        for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True)
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def lab_questions(study: Study, table: pd.DataFrame) -> Grid:
    """`sweeps.lab_questions`: what latency and energy grow with."""
    setting = [name for name in ("runner", "threads", "delegate") if name in study.varying]
    several = table["metric"].nunique() > 1
    head = ["Does it grow with", *(["What"] if several else []), "Machine", "Variant", *map(_setting_head, setting)]
    head += ["#Rank correlation (95 % interval)", "#Exponent (95 % interval)", "#p (Holm)", "Verdict"]
    head += ["#Steps that rise / fall", "#Rise at every step", "Remark"]
    rows = [
        [
            *(row.question, *([metric_label(row.metric)[0]] if several else [])),
            *(study.labels[Machine(row.campaign, row.host)], row.variant),
            *setting_cells(study, row, setting, Machine(row.campaign, row.host)),
            with_interval(row.rho, row.ci_low, row.ci_high),
            with_interval(row.exponent, row.exponent_ci_low, row.exponent_ci_high),
            *(p_value(row.p_holm), row.verdict),
            "" if pd.isna(row.steps) else f"{row.steps_rising} / {row.steps_falling} of {row.steps}",
            *("" if pd.isna(row.steps) else f"{row.strata_rising} of {row.strata}", row.basis),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def trade_off(study: Study, table: pd.DataFrame) -> Grid:
    """`sweeps.trade_off`: each model at its best, and what is better in everything."""
    setting = [name for name in ("runner", "threads", "delegate") if name in study.varying]
    head = ["Machine", "Variant", *map(_setting_head, setting), "Model", "#Input", "#Batch", "#Per image (ms)"]
    head += ["#95 % interval", "#Per image (J)", "#Parameters", "#Size (MB)", "Better in everything"]
    rows = [
        [
            *(study.labels[Machine(row.campaign, row.host)], row.variant),
            *setting_cells(study, row, setting, Machine(row.campaign, row.host)),
            *(row.model, _text(row.input_size), _text(row.batch_size), number(row.per_image_ms)),
            *(interval(row.per_image_ci_low_ms, row.per_image_ci_high_ms), number(row.energy_per_image_j)),
            *(_text(row.parameters), number(row.model_size_mb), row.dominated_by or "none"),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def compression(study: Study, table: pd.DataFrame) -> Grid:
    """The part of `tables_compression.compression` that is of one machine, as the study of the phones has it.

    A row per technique; time and memory of each delegate beside each other, with intervals in brackets.
    """
    machine = Machine(table["campaign"].iloc[0], table["host"].iloc[0])
    delegates = tables_compression.delegates(table)
    beside = [name for name in study.varying if name != "delegate"]
    models = ["Model"] if table["model"].nunique() > 1 else []
    head = [*models, *map(_setting_head, beside), "Technique", "#Size (MB)", "#Compressed (MB)", "#Accuracy (%)"]
    for delegate in delegates:
        name = tables_compression.delegate_name(study, delegate, machine)
        head += [f"#{name}: time (ms)", f"#{name}: memory (MB)"]
    rows = []
    for _, part in table.groupby(["model", "variant", *beside], sort=False, dropna=False):
        of_delegate = {row.delegate: row for row in part.itertuples()}
        row = next(part.itertuples())
        is_baseline = " (baseline)" if row.variant == row.baseline_variant else ""
        cells = [*([row.model] if models else []), *setting_cells(study, row, beside, machine)]
        cells += [tables_compression.variant_name(row.variant) + is_baseline]
        cells += map(number, (row.size_mb, row.compressed_mb))
        bounds = row.accuracy_ci_low_percent, row.accuracy_ci_high_percent
        cells.append(_percent(row.accuracy_percent, *bounds))
        for delegate in delegates:
            cells += _time_and_memory(of_delegate[delegate]) if delegate in of_delegate else ["", ""]
        rows.append(cells)
    return _without_empty(Grid.of(head, rows))


def _percent(value: float, low: float, high: float) -> str:
    """'97.8 (95.9 to 98.8)'; one decimal, which is what some hundred images are worth."""
    return "" if pd.isna(value) else f"{value:.1f} ({low:.1f} to {high:.1f})"


def _time_and_memory(row: tuple) -> list[str]:
    """Of a row of `tables_compression.compression`; what has no time says why."""
    if row.absent:
        return [row.absent, ""]
    known = f"{row.delegated_nodes} of {row.graph_nodes} nodes" if pd.notna(row.graph_nodes) else "parts"
    time = with_interval(row.mean_ms, row.mean_ci_low_ms, row.mean_ci_high_ms)
    time += f", {known}" if row.delegation == delegation.PARTLY else ""
    return [time, with_interval(row.memory_overall_mb, row.memory_ci_low_mb, row.memory_ci_high_mb)]


def scenario(study: Study, table: pd.DataFrame) -> Grid:
    """The part of `scenario.scenario` that is of one machine: speed, accuracy and size of each way to run a model."""
    setting = [name for name in study.varying if name not in ("runner", "batch_size", "input_size")]
    head = [*(["Model"] if table["model"].nunique() > 1 else []), "Runner and variant", *map(_setting_head, setting)]
    head += ["#Time (ms)", "#Speedup", "Verdict", "Baseline's program", "#Accuracy (%)", "#Size (MB)", "#Times smaller"]
    head += ["#Memory (MB)", "Kernels tuned", "On the Pareto front", "Remark"]
    rows = [
        [
            *([row.model] if head[0] == "Model" else []),
            *(row.label, *setting_cells(study, row, setting, Machine(row.campaign, row.host))),
            row.absent or with_interval(row.mean_ms, row.mean_ci_low_ms, row.mean_ci_high_ms),
            *(with_interval(row.speedup, row.ci_low, row.ci_high), row.verdict, row.program),
            _percent(row.accuracy_percent, row.accuracy_ci_low_percent, row.accuracy_ci_high_percent),
            *(number(row.size_mb), number(row.size_reduction)),
            with_interval(row.memory_overall_mb, row.memory_ci_low_mb, row.memory_ci_high_mb),
            "" if pd.isna(row.kernels) or pd.isna(row.tuned_kernels) else f"{row.tuned_kernels} of {row.kernels}",
            "yes" if row.on_front else "",
            _remark(row.reason, row.remark),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def scenario_on_machines(study: Study, table: pd.DataFrame) -> Grid:
    """The speedups of `scenario.scenario`: a row for each way to run a model, a column for each machine."""
    machines = list(dict.fromkeys(map(Machine, table["campaign"], table["host"])))
    found: dict[tuple[str, str, str], dict[Machine, str]] = defaultdict(dict)
    for name, row in zip(row_names(table), table.itertuples(), strict=True):
        sign = "≈ " if row.verdict == stats.NOT_DISTINGUISHABLE else ""
        text = row.verdict if pd.isna(row.speedup) else f"{sign}{number(row.speedup)}"
        found[row.model, name, row.baseline][Machine(row.campaign, row.host)] = text
    head = ["Model", "Runner and variant", "Baseline", *(f"#{study.labels[machine]}" for machine in machines)]
    return Grid.of(head, ([*key, *(of.get(machine, "") for machine in machines)] for key, of in found.items()))


def scenario_claims(study: Study, table: pd.DataFrame) -> Grid:
    """`scenario.kennings_claims`: the rows of Kenning's example and what was measured here."""
    head = ["Machine", "Model", "Kenning's row", "Here", "What", "#Kenning's", "#Measured (95 % interval)"]
    head += ["Verdict", "Amount", "Remark"]
    rows = [
        [
            *(study.labels[Machine(row.campaign, row.host)], row.model, row.claim, row.label, row.quantity),
            *(number(row.claimed), with_interval(row.value, row.ci_low, row.ci_high)),
            *(row.verdict, row.amount, row.remark),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def compression_ratios(study: Study, table: pd.DataFrame) -> Grid:
    """`tables_compression.compression`: how much faster than the baseline, and than on the CPU, of all machines."""
    head = [
        *_place_head(study),
        "Model",
        "Technique",
        "Executed by the delegate",
        "#n",
        "#Times as fast as the baseline",
    ]
    head += ["#Times as fast as on the CPU"]
    rows = [
        [
            *(*_place(study, *place), row.model, tables_compression.variant_name(row.variant), _executed(row)),
            *(str(row.n), with_interval(row.speedup, row.ci_low, row.ci_high)),
            row.absent or with_interval(row.cpu_speedup, row.cpu_ci_low, row.cpu_ci_high),
        ]
        for place, row in zip(places(study, table), table.itertuples(), strict=True)
    ]
    return _without_empty(Grid.of(head, rows), unknown="")


def _executed(row: tuple) -> str:
    """'partly, 59 of 64 nodes'."""
    nodes = f"{row.delegated_nodes} of {row.graph_nodes} nodes" if pd.notna(row.graph_nodes) else ""
    return ", ".join(filter(None, (row.delegation, nodes)))


def quality(study: Study, table: pd.DataFrame) -> Grid:
    """`tables_quality`: how well each configuration classifies; machines on which it does so alike in one row."""
    named = _evaluated_names(study, table)
    head = [*named, "#Accuracy (%)", "#Top 5 (%)", "#Precision, macro (%)", "#Recall, macro (%)", "#G-mean (%)"]
    rows = []
    for row in table.itertuples():
        accuracy, top_5 = (
            _percent(*(getattr(row, f"{name}_{part}percent") for part in ("", "ci_low_", "ci_high_")))
            for name in ("accuracy", "top_5")
        )
        averages = (row.macro_precision_percent, row.macro_recall_percent, row.g_mean_percent)
        cells = [*_evaluated_cells(study, row, named), accuracy, top_5, *map(_one_decimal, averages)]
        rows.append([*cells, _integer(row.matrix), row.remark])
    return _without_empty(_on_machines(study, table, named, [*head, "#Matrix", "Remark"], rows))


def agreement(study: Study, table: pd.DataFrame) -> Grid:
    """`tables_quality`: each configuration against the model itself, on the same images."""
    named = _evaluated_names(study, table)
    head = [*named, "Against", "#Agreement (%)", "#Only the other is right", "#Only this is right"]
    head += ["#Difference (points)", "#p (Holm)", "Verdict", "Remark"]
    rows = []
    for row in table.itertuples():
        against = tables_quality.configuration(row.reference_runner, row.reference_variant)
        bounds = row.agreement_ci_low_percent, row.agreement_ci_high_percent
        cells = [*_evaluated_cells(study, row, named), against, _percent(row.agreement_percent, *bounds)]
        cells += map(_text, (row.only_reference_correct_images, row.only_candidate_correct_images))
        cells.append(_points(row.difference_points, row.difference_ci_low_points, row.difference_ci_high_points))
        rows.append([*cells, p_value(row.p_holm), row.verdict, row.reason])
    return _without_empty(_on_machines(study, table, named, head, rows), unknown="")


def _points(value: float, low: float, high: float) -> str:
    """'-3.3 (-5.3 to -1.4)'."""
    return "" if pd.isna(value) else f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def confused(study: Study) -> Grid:
    """The most frequent confusions of each different confusion matrix that is too large for numbers in its chart."""
    found = tables_quality.results(tables_quality.classified(study))
    rows = []
    for model, of_model in found.items():
        for number_of, result in enumerate(of_model[: tables_quality.MOST_MATRICES], 1):
            counts, names = result.evaluation.confusion_matrix, tables_quality.class_names(result.evaluation)
            pairs = tables_quality.most_confused(counts, _CONFUSED)
            for true, said in pairs if len(counts) > tables_quality.MOST_NUMBERED else ():
                images = int(counts[true, said]), int(counts[true].sum())
                share = _one_decimal(100 * images[0] / images[1])
                rows.append([model, str(number_of), names[true], names[said], str(images[0]), share])
    head = ["Model", "#Matrix", "Class", "Taken for", "#Images", "#Of the class (%)"]
    return Grid.of(head, rows)


_CONFUSED = 5  # of each matrix


def _evaluated_names(study: Study, table: pd.DataFrame) -> list[str]:
    """The head of the columns that name a configuration in tables on accuracy."""
    others = [name for name in study.varying if name != "runner" and table[name].nunique(dropna=False) > 1]
    return ["Model", "Runner", "Variant", *map(_setting_head, others)]


def _evaluated_cells(study: Study, row: tuple, named: Iterable[str]) -> list[str]:
    """What stands in these columns."""
    columns = (name.removeprefix("#").lower().replace(" ", "_") for name in named)
    return [_text(getattr(row, name)) for name in columns]


def _on_machines(
    study: Study, table: pd.DataFrame, named: list[str], head: list[str], rows: Iterable[list[str]]
) -> Grid:
    """A grid whose rows name configurations first; what several machines share is one row, which names them.

    `rows` has one for each row of `table`, without the machine.
    """
    n, machines = len(named), list(map(Machine, table["campaign"], table["host"]))
    everywhere = set(machines)
    found: dict[tuple[str, ...], dict[tuple[str, ...], list[Machine]]] = defaultdict(dict)
    for machine, row in zip(machines, rows, strict=True):
        found[tuple(row[:n])].setdefault(tuple(row[n:]), []).append(machine)
    if len(everywhere) < 2:
        return Grid.of(head, ([*name, *texts] for name, of_text in found.items() for texts in of_text))
    merged = []
    for name, of_text in found.items():
        for texts, where in of_text.items():
            labels = some((study.labels[machine] for machine in where), _MACHINES)
            merged.append([*name, f"all {len(everywhere)}" if set(where) == everywhere else labels, *texts])
    return Grid.of([*head[:n], "Machines", *head[n:]], merged)


_MACHINES = 4  # that are named in a cell


def usage(study: Study, table: pd.DataFrame) -> Grid:
    """`tables_usage.usage`: what the runs of each configuration used of CPU and memory."""
    head = [*_place_head(study), "Model", "Variant", "#n", "#CPU, mean (%)", "#CPU, peak (%)"]
    head += ["#Memory, mean (MB)", "#Memory, peak (MB)", "#Memory, mean (%)", "#Memory, peak (%)", "Of"]
    rows = []
    for place, row in zip(places(study, table), table.itertuples(), strict=True):
        cells = [*_place(study, *place), row.model, row.variant, str(row.n)]
        for name in ("cpu_{}_percent", "memory_{}_mb", "memory_{}_percent"):
            mean, low, high, peak = (
                getattr(row, name.format(part)) for part in ("mean", "mean_ci_low", "mean_ci_high", "peak")
            )
            cells += [with_interval(mean, low, high), number(peak)]
        rows.append([*cells, "the whole machine" if row.of == MACHINE else "its processes"])
    return _without_empty(Grid.of(head, rows))


def final_result(table: pd.DataFrame) -> Grid:
    """`tables.final_result` with 'mean ± sd' in one cell."""
    metrics = [name for name in STUDY_METRICS if table[name].notna().any()]
    head = ["Model", *(f"#{label} ({unit})" for label, unit in map(metric_label, metrics))]

    def cell(mean: float, sd: float) -> str:
        if pd.isna(mean) or pd.isna(sd):
            return number(mean) or UNKNOWN
        decimals = len(number(sd, 2).partition(".")[2])  # no more digits of the mean than the sd leaves
        return f"{mean:.{decimals}f} ± {sd:.{decimals}f}"

    rows = []
    for label, row in table.iterrows():
        rows.append([str(label), *(cell(row[name], row[f"{name}_sd"]) for name in metrics)])
    return Grid.of(head, rows)


def summary(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.summary` of the study's seven metrics."""
    table = table[table["metric"].isin(list(STUDY_METRICS)) & (table["n_ok"] > 0)]
    head = [*_place_head(study), "Model", "Metric", "#n", "#Mean", "#sd", "#95 % interval"]
    rows = [
        [
            *_place(study, machine, setting),
            row_label(row.model, row.variant),
            "{} ({})".format(*metric_label(row.metric)),
            str(row.n_ok),
            number(row.mean),
            number(row.sd, 2),
            interval(row.ci_low, row.ci_high),
        ]
        for (machine, setting), row in zip(places(study, table), table.itertuples(), strict=True)
    ]
    return Grid.of(head, rows)


def machines(study: Study) -> Grid:
    """What the machines are, from host.json; a row per machine."""
    head = ["Machine", "Host", "Processor", "#Cores", "#Threads", "#Clock (MHz)", "#BogoMIPS", "L1d / L2 / L3 (KiB)"]
    head += ["For inference", "GPU", "#Memory (MB)", "System", "Governor", "Virtualization"]
    return _without_empty(Grid.of(head, (_machine(study, machine) for machine in study.machines)))


def _machine(study: Study, machine: Machine) -> list[str]:
    facts = study.dataset.hosts.get(machine) or {}

    def text(name: str) -> str:
        value = facts.get(name)
        return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)

    def joined(*parts: str) -> str:
        return ", ".join(dict.fromkeys(part for part in parts if part))

    caches = [text(name) for name in ("l1d_kb", "l2_kb", "l3_kb")]
    return [
        study.labels[machine],
        machine.host,
        joined(text("board_model"), text("soc"), text("cpu_model"), text("microarchitecture"), text("arch")),
        text("cores"),
        text("cpus"),
        _integer(facts.get("cpu_max_mhz") or facts.get("cpu_mhz")),
        text("bogomips"),
        " / ".join(cache or UNKNOWN for cache in caches) if any(caches) else "",
        text("cpu_features"),
        text("gpu"),
        _integer(facts.get("memory_total_mb")),
        joined(text("os"), text("kernel")),
        joined(text("governor"), {"True": "turbo on", "False": "turbo off"}.get(text("turbo"), "")),
        text("virtualization"),
    ]


def _integer(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else "" if value is None else str(value)


def trust(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.trust`: how many runs are usable."""
    head = ["Machine", "Repetitions", "#ok", "#invalid", "#failed", "Repeated", "Configurations without result"]
    head += ["#Variation between repetitions (%, median)", "#Outliers", "Weights", "Runner version"]
    rows = []
    for machine, row in zip(study.machines, table.itertuples(), strict=True):
        rows.append(
            [
                study.labels[machine],
                _range(str(row.repetitions_min), str(row.repetitions_max)),
                *(str(n) for n in (row.ok, row.invalid, row.failed)),
                f"{row.repeated}, {row.repeated_ok} ok" if row.repeated else "",
                f"{row.configurations_missing} of {row.configurations}",
                number(row.cv_percent_median, 2),
                str(row.outliers or ""),
                row.weights,
                row.runner_version,
            ]
        )
    return _without_empty(Grid.of(head, rows))


def state(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.trust`: in which state the machines were while they measured; of those that have an ok run."""
    head = ["Machine", "#Steal (%, most)", "#Other load (%, median / most)", "#Load before (most)"]
    head += [
        "#Temperature (°C)",
        "#Clock (MHz)",
        "Governor",
        "Turbo",
        "Firmware throttling",
        "#Thermal throttle events",
    ]
    head += ["#Swapped pages", "Set for the runs", "#Waited (s)"]
    rows = []
    for machine, row in zip(study.machines, table.itertuples(), strict=True):
        if not row.ok:
            continue
        throttled = "" if pd.isna(row.throttled_runs) else f"{row.throttled_runs} runs" if row.throttled_runs else "no"
        rows.append(
            [
                study.labels[machine],
                _one_decimal(row.steal_percent_max),
                " / ".join(filter(None, map(_one_decimal, (row.other_cpu_percent_median, row.other_cpu_percent_max)))),
                _one_decimal(row.load1_before_max),
                _range(_one_decimal(row.temperature_min_c), _one_decimal(row.temperature_max_c)),
                _range(_whole(row.cpu_mhz_min), _whole(row.cpu_mhz_max)),
                *(row.governor, row.turbo, throttled),
                *map(_whole, (row.thermal_throttle_events, row.swapped_pages)),
                "" if row.control == "none" else row.control,
                _whole(row.waited_s),
            ]
        )
    return _without_empty(Grid.of(head, rows))


def phones(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.phones`: battery, power supply and screen of the phones while they measured."""
    head = ["Machine", "#Battery (%)", "#Battery (°C)", "Power supply", "Screen", "#Thermal status (most, of all runs)"]
    rows = [
        [
            study.labels[Machine(row.campaign, row.host)],
            _range(_whole(row.battery_percent_min), _whole(row.battery_percent_max)),
            _range(_one_decimal(row.battery_temperature_min_c), _one_decimal(row.battery_temperature_max_c)),
            *(row.plugged, row.screen, _text(row.thermal_status_max)),
        ]
        for row in table.itertuples()
    ]
    return _without_empty(Grid.of(head, rows))


def decisions(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.decisions`: how many iterations and repetitions, and why."""
    head = [*_place_head(study), "Model", "#Iterations", "Why", "#Within a process (sd, %)"]
    head += ["#Between processes (sd, %)", "#n", "#Mean ± (%)", "#Speedups ± (%)", "Left"]
    rows = []
    for place, row in zip(places(study, table), table.itertuples(), strict=True):
        block = row.left_after_block
        after = "" if pd.isna(block) or block == 0 else f" after block {block}"
        rows.append(
            [
                *_place(study, *place),
                row_label(row.model, row.variant),
                "" if pd.isna(row.iterations) else str(row.iterations),
                row.iterations_reason,
                *(number(share, 2) for share in (row.within_sd_percent, row.between_sd_percent)),
                str(row.n_ok),
                *(number(width, 2) for width in (row.interval_percent, row.speedup_interval_percent)),
                f"{row.left_reason}{after}" if row.left_reason else "at the end" if row.reached else "",
            ]
        )
    return _without_empty(Grid.of(head, rows))


def cost(study: Study, table: pd.DataFrame) -> Grid:
    """`tables.cost`: what the leased machines cost."""
    head = ["Machine", "Host", "Site", "Type", "Lease", "From (UTC)", "Until (UTC)"]
    head += ["#Node hours", "#Service units", "#Measured (h)", "#Measured (% of leased)"]
    rows = []
    for row in table.itertuples():
        if row.host == TOTAL:
            names = [TOTAL, row.campaign if len(study.dataset.campaigns) > 1 else ""]
            facts = [""] * 5
        else:
            machine = Machine(row.campaign, row.host)
            names = [study.labels[machine], study.host_name(machine)]
            given_back = "" < row.released_utc < row.end_utc
            until = _minute(row.released_utc if given_back else row.end_utc)
            until += f", {'given back' if given_back else 'as agreed'}" if until else ""
            facts = [text or UNKNOWN for text in (row.site, row.type, row.lease, _minute(row.start_utc), until)]
        sums = [*map(number, (row.node_hours, row.service_units, row.measured_hours)), number(row.measured_percent, 2)]
        rows.append([*names, *facts, *(text or UNKNOWN for text in sums)])
    return _without_empty(Grid.of(head, rows), unknown="")


def _minute(utc: str) -> str:
    """'2026-11-25 16:00' from 2026-11-25T16:00:00Z."""
    return utc[:16].replace("T", " ")


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _whole(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.0f}"


def _one_decimal(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.1f}"


def runs(study: Study, machine: Machine, metric: str) -> Grid:
    """Every run of one machine."""
    metrics = list(dict.fromkeys([metric, "first_inference_ms", "init_time_ms", "memory_overall_mb"]))
    head = ["Log", "Status", "Model", "Variant", *map(_setting_head, study.varying), "#Repetition", "#Iterations"]
    head += ["#{} ({})".format(*metric_label(name)) for name in metrics] + ["Started (UTC)", "Remark"]
    every = study.dataset.runs
    mine = every[((every["campaign"] == machine.campaign) & (every["host"] == machine.host)).to_numpy()]
    columns = [mine["log"], mine["status"], mine["model"], mine["variant"]]
    columns += [_texts(mine[name]) for name in (*study.varying, "repetition", "iterations")]
    columns += [map(number, mine[name]) for name in metrics] + [mine["start_utc"].str.replace("T", " ").str.rstrip("Z")]
    columns.append([_remark(*pair) for pair in zip(mine["reason"], mine["warnings"], strict=True)])
    return Grid.of(head, zip(*columns, strict=True))


def unusable(study: Study) -> Grid:
    """Every run that is in no mean, and why."""
    bad = study.runs[(study.runs["status"] != "ok").to_numpy()]
    machines = starmap(Machine, zip(bad["campaign"], bad["host"], strict=True))
    rows = zip((study.labels[m] for m in machines), bad["log"], bad["status"], bad["reason"], strict=True)
    return Grid.of(["Machine", "Log", "Status", "Reason"], rows)


def missing(study: Study, table: pd.DataFrame) -> Grid:
    """Every comparison that could not be made, and why."""
    bad = table[table["verdict"].isin((stats.MISSING, stats.NOT_COMPARABLE)) & (table["model"] != GEOMEAN)]
    rows = [
        [study.place_label(*place), row.model, row.variant, row.verdict, row.reason]
        for place, row in zip(places(study, bad), bad.itertuples(), strict=True)
    ]
    return Grid.of(["Machine", "Model", "Candidate", "Verdict", "Reason"], rows)


def settings(study: Study, campaign: str) -> Grid:
    """How a campaign was made: what campaign.json says, but for models and runners."""
    facts = study.campaign(campaign)
    git = mapping(facts.get("git"))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    rows = {
        "created (UTC)": facts.get("created_utc"),
        **{name.replace("_", " "): value for name, value in study.asked(campaign).items()},
        "seed of the order": facts.get("seed"),
        "git revision": f"{git.get('revision')}{dirty}" if git.get("revision") else None,
        **{name.replace("_", "-"): version for name, version in mapping(facts.get("versions")).items()},
    }
    said = {name: value for name, value in rows.items() if value not in (None, [], "")}
    return Grid.of(["Setting", "Value"], ([name, _json(value)] for name, value in said.items()))


def model_files(study: Study, *campaigns: str) -> Grid:
    """The model files of some campaigns."""
    head = [
        "Model",
        "Variant",
        "Format",
        "Compiled for",
        "#Size (MB)",
        "#Compressed (MB)",
        "#Parameters",
        "#MACs of an image (10⁹)",
        "#Batch",
        "#Input",
    ]
    head += ["#Zeros (% of weights)", "#Different weights (most in a channel)", "Weights", "Source", "sha256"]
    rows = []
    for campaign, entry in ((name, entry) for name in campaigns for entry in study.model_files(name)):
        size, compressed = (entry.get(f"{what}_bytes") for what in ("size", "compressed"))
        sparsity = entry.get("weight_sparsity")
        weights = _json(entry.get("weights"))
        if entry.get("weights_seed") is not None:
            weights += f" (seed {entry['weights_seed']})"
        rows.append(
            [
                *([campaign] if len(campaigns) > 1 else []),
                *(_json(entry.get(name)) for name in ("model", "variant", "format")),
                compiled_for(_json(entry.get("target"))),
                f"{size / 1e6:.1f}" if isinstance(size, int) else "",
                f"{compressed / 1e6:.2f}" if isinstance(compressed, int) else "",
                _json(entry.get("parameters")),
                number(macs / 1e9) if (macs := whole(entry.get("macs"))) else "",
                *(_json(entry.get(name)) for name in ("batch_size", "input_size")),
                _whole(100 * sparsity) if isinstance(sparsity, int | float) else "",
                _json(entry.get("weight_clusters")),
                weights,
                *(_json(entry.get(name)) for name in ("source", "sha256")),
            ]
        )
    return _without_empty(Grid.of(["Campaign", *head] if len(campaigns) > 1 else head, rows))


def models(study: Study) -> Grid:
    """The model files of all campaigns, with as much of each sha256 as tells them apart."""
    grid = model_files(study, *study.dataset.campaigns)
    if "sha256" not in grid.head:
        return grid
    i = grid.head.index("sha256")
    return replace(grid, rows=[[*row[:i], row[i][:_HASH_DIGITS], *row[i + 1 :]] for row in grid.rows])


def runners(study: Study, campaign: str) -> Grid:
    """The programs that measured, per host."""
    rows = [
        [host, runner, _json(mapping(facts).get("version")), _json(mapping(facts).get("sha256"))]
        for host, of_host in mapping(study.campaign(campaign).get("runners")).items()
        for runner, facts in mapping(of_host).items()
    ]
    return Grid.of(["Host", "Runner", "Version", "sha256"], rows)


def _json(value: Any) -> str:
    """A JSON value in words."""
    if isinstance(value, list):
        return ", ".join(map(_json, value))
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _place_head(study: Study) -> list[str]:
    return ["Machine", *map(_setting_head, study.varying)]


def _place(study: Study, machine: Machine, setting: Setting) -> list[str]:
    return [study.labels[machine], *setting_cells(study, setting, study.varying, machine)]


def setting_cells(study: Study, row: Any, names: Iterable[str], machine: Machine | None = None) -> list[str]:
    """The parts of a setting, or of a table's row that has its columns."""
    parts = {name: _text(getattr(row, name)) for name in names}
    if "delegate" in parts:
        parts["delegate"] = study.delegate_label(parts["delegate"], machine)
    return list(parts.values())


def _setting_head(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _texts(column: pd.Series) -> list[str]:
    return ["" if value is None or value is pd.NA else str(value) for value in column.astype(object)]


def _remark(reason: str, warnings: str) -> str:
    return "; ".join(part for part in (reason, warnings) if part)


def _without_empty(grid: Grid, unknown: str = UNKNOWN) -> Grid:
    """Without columns in which nothing is known of anything; `unknown` stands for other empty cells."""
    keep = [i for i in range(len(grid.head)) if any(row[i] not in ("", UNKNOWN) for row in grid.rows)]
    rows = [[row[i] or unknown for i in keep] for row in grid.rows]
    numeric = frozenset(new for new, old in enumerate(keep) if old in grid.numeric)
    return Grid([grid.head[i] for i in keep], rows, numeric)


# --- LaTeX ------------------------------------------------------------------------------------------------------------

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}",
    "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "*": "{*}",  # these two after \\
    "±": r"$\pm$", "∞": r"$\infty$", "≈": r"$\approx$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$",
    "°": r"$^{\circ}$", "²": "$^2$", "µ": r"$\mu$", "μ": r"$\mu$", "·": r"$\cdot$", "–": "--", "—": "---",
    "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "®": r"\textregistered{}", "™": r"\texttrademark{}",
    "©": r"\textcopyright{}", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327", "`'^~\"rvc", strict=True))
_LONG = 45  # rows; what does not fit a page has to be a longtable
_WIDE = 30  # characters; a longer text is broken into lines


def latex(grid: Grid) -> str:
    """A booktabs table, to be input; a longtable if it is longer than a page.

    It compiles with pdfLaTeX, LuaLaTeX and XeLaTeX: a letter that not all of them have becomes its code point.
    """
    long = len(grid.rows) > _LONG
    environment = "longtable" if long else "tabular"
    columns = "".join(_latex_column(grid, i) for i in range(len(grid.head)))
    packages = [*["array"] * ("{" in columns), "booktabs", *["longtable"] * long]
    lines = [f"% needs \\usepackage{{{', '.join(packages)}}}"]
    lines.append(
        "% for a caption and a label: \\caption{...}\\label{...}\\\\ before \\toprule"
        if long
        else "% for a caption and a label: \\begin{table}\\caption{...}\\label{...}\\input{this file}\\end{table}"
    )
    lines += [f"\\begin{{{environment}}}{{{columns}}}", "\\toprule", _latex_row(grid.head), "\\midrule"]
    if long:
        lines.append("\\endhead")
    lines += [*map(_latex_row, grid.rows), "\\bottomrule", f"\\end{{{environment}}}", ""]
    return "\n".join(lines)


def _latex_column(grid: Grid, i: int) -> str:
    if i in grid.numeric:
        return "r"
    return r">{\raggedright\arraybackslash}p{4.5cm}" if any(len(row[i]) > _WIDE for row in grid.rows) else "l"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(text: str) -> str:
    """Text on one line in which nothing is markup."""
    parts = re.split("(?<=-)(?=-)", re.sub(r"\s+", " ", text).strip())  # -- would become a dash
    return "{}".join("".join(map(_latex_character, part)) for part in parts)


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    if " " <= c <= "\x7e":
        return c
    letter, *accents = unicodedata.normalize("NFD", c)
    if len(accents) == 1 and letter.isascii() and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{letter}}}"
    return f"(U+{ord(c):04X})"


# --- plain text and Markdown ------------------------------------------------------------------------------------------


def markdown_text(text: str) -> str:
    """Text on one line in which nothing is markup."""
    text = re.sub(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return re.sub(r"\s+", " ", text).strip()


def markdown(grid: Grid) -> str:
    """A pipe table."""
    rule = ["---:" if i in grid.numeric else "---" for i in range(len(grid.head))]
    rows = [list(map(markdown_text, grid.head)), rule, *(list(map(markdown_text, row)) for row in grid.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(grid: Grid) -> str:
    """Columns held apart by spaces."""
    widths = [max(map(len, column)) for column in zip(grid.head, *grid.rows, strict=True)]

    def line(row: list[str]) -> str:
        cells = zip(row, widths, strict=True)
        return "  ".join(c.rjust(w) if i in grid.numeric else c.ljust(w) for i, (c, w) in enumerate(cells)).rstrip()

    return "\n".join(map(line, [grid.head, *grid.rows]))
