"""What a report says in words: what was found, and how far to trust it. Pure; computed from the tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import claims, delegation, stats, sweeps, tables_compression, validity
from analysis.names import DEFAULT_METRIC
from analysis.study import CLOCK_OFFSET_S, SETTING, Machine, Setting, Study, cell_key, mapping, metric_label
from analysis.tables import GEOMEAN, by_place, count, interval, number, places, some, with_interval

FEW_REPETITIONS = 5
UNUSABLE_SHARE = 0.25  # of all runs; with more, what is left may be a selection
# A machine with more than this was not quiet: CPU time that a hypervisor took, that other processes took.
STEAL_PERCENT = 1.0
OTHER_CPU_PERCENT = 5.0
PRUNED_SPARSITY, CLUSTERS = 0.3, 16  # at least, at most: else a pruned or clustered variant is not what it is called
WIDE_POINTS = 1.0  # half of an interval of accuracy; a wider one hides what quantization costs
AUTOCORRELATION_P = 0.01  # one false alarm in a hundred machines

# What host.json calls a container, by systemd-detect-virt(1); "container (...)" is the inventory's word.
CONTAINERS = ("container", "docker", "podman", "lxc", "systemd-nspawn", "openvz", "rkt", "proot")

_NAMED = 20  # hosts
_PAIRS = 3  # of boards

UNTRUSTED, CAUTION, NOTE = "untrusted", "caution", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Sentences about one machine and setting."""

    where: str
    sentences: list[str]


@dataclass(frozen=True, slots=True)
class Notice:
    """What to know before believing a number. UNTRUSTED and CAUTION belong at the top of a report."""

    level: str
    text: str


# --- what was found ---------------------------------------------------------------------------------------------------


def overall(speedups: pd.DataFrame) -> str:
    """One sentence over all comparisons."""
    models = speedups[speedups["model"] != GEOMEAN]
    if models.empty:
        return "These logs have no two variants to compare."
    verdicts = Counter(models["verdict"])
    parts = [f"{verdicts[verdict]} {verdict}" for verdict in stats.VERDICTS if verdicts[verdict]]
    comparisons = count(len(models), "comparison")
    return f"{comparisons} with {models['baseline_variant'].iloc[0]} on the same machine: {_listed(parts)}."


def findings(
    study: Study, speedups: pd.DataFrame, effects: pd.DataFrame, study_findings: pd.DataFrame
) -> list[Finding]:
    """What was found over all machines and on each; each number with its 95 % interval."""
    over_machines, on_machines = _of_study(study, study_findings), _on_machines(study, speedups, effects)
    return [*over_machines, *on_machines] if len(on_machines) > 1 else [*on_machines, *over_machines]


def _on_machines(study: Study, speedups: pd.DataFrame, effects: pd.DataFrame) -> list[Finding]:
    all_effects = by_place(study, effects)
    found = []
    for (machine, setting), rows in by_place(study, speedups).items():
        if (machine, setting) not in study.charted:
            continue  # a point of a sweep: its speedups are in the tables
        sentences = []
        for variant, mine in rows.groupby("variant", sort=False):
            side_effects = all_effects[machine, setting]
            sentences += [*_speed(mine), *_side_effects(side_effects[side_effects["variant"] == variant])]
        found.append(Finding(study.place_label(machine, setting), sentences))
    return found


def _speed(rows: pd.DataFrame) -> list[str]:
    """Sentences about one candidate on one machine: the mean, the models, the exceptions."""
    models, mean = rows[rows["model"] != GEOMEAN], rows[rows["model"] == GEOMEAN].iloc[0]
    variant, baseline, metric = mean["variant"], mean["baseline_variant"], mean["metric"]
    of = {verdict: models[models["verdict"] == verdict] for verdict in stats.VERDICTS}
    sentences = []
    tested = len(models) - len(of[stats.MISSING]) - len(of[stats.NOT_COMPARABLE])
    subject = variant if metric == "avg_inference_ms" else f"{variant} ({metric_label(metric)[0].lower()})"
    if tested == 1:
        row = models[models["verdict"].isin((stats.FASTER, stats.SLOWER, stats.NOT_DISTINGUISHABLE))].iloc[0]
        sentences.append(f"{row['model']}: {_as_fast(subject, baseline, row)}.")
    elif tested:
        sentences.append(f"{_as_fast(subject, baseline, mean)} in the {mean['method']}.")
        sentences += [f"{v.capitalize()}: {_span(of[v])}." for v in (stats.FASTER, stats.SLOWER) if len(of[v])]
        if len(of[stats.NOT_DISTINGUISHABLE]):
            each = [
                f"{r.model} {_ratio(r.speedup, r.ci_low, r.ci_high)}"
                for r in of[stats.NOT_DISTINGUISHABLE].itertuples()
            ]
            sentences.append(f"Not distinguishable: {_listed(each)}.")
    for verdict in (stats.NOT_COMPARABLE, stats.MISSING):
        names = _listed(list(of[verdict]["model"]))
        if names and tested:
            sentences.append(f"{verdict.capitalize()}: {names}.")
        elif names:
            sentences.append(f"No speedup of {subject} over {baseline}, {verdict}: {names}.")
    return sentences


def _as_fast(subject: str, baseline: str, row: pd.Series) -> str:
    ratio = _ratio(row["speedup"], row["ci_low"], row["ci_high"])
    if row["verdict"] == stats.NOT_DISTINGUISHABLE:
        return f"{subject} is not distinguishable from {baseline}: {ratio} times as fast"
    slower = ", so slower" if row["verdict"] == stats.SLOWER else ""
    return f"{subject} is {ratio} times as fast as {baseline}{slower}"


def _span(rows: pd.DataFrame) -> str:
    """'MobileNet 0.63 (0.61 to 0.65)', or from the least to the greatest of several."""
    ordered = rows.sort_values("speedup", kind="stable")
    ends = (ordered.iloc[0], ordered.iloc[-1])
    low, high = (f"{row['model']} {_ratio(row['speedup'], row['ci_low'], row['ci_high'])}" for row in ends)
    return low if len(rows) == 1 else f"{count(len(rows), 'model')}, from {low} to {high}"


def _side_effects(effects: pd.DataFrame) -> list[str]:
    """One sentence on initialization and memory, from geometric means over models."""
    means = effects[effects["model"] == GEOMEAN].set_index("metric")
    parts = []
    init, memory = means.loc["init_time_ms"], means.loc["memory_overall_mb"]
    if pd.notna(init["ratio"]):
        parts.append(f"initialization is {_ratio(init['ratio'], init['ci_low'], init['ci_high'])} times as fast")
    if pd.notna(memory["ratio"]):
        share = _ratio(1 / memory["ratio"], 1 / memory["ci_high"], 1 / memory["ci_low"])
        parts.append(f"overall memory is {share} of {memory['baseline_variant']}'s")
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _ratio(value: float, low: float, high: float) -> str:
    return f"{number(value)} ({interval(low, high)})"


# --- the study's findings ---------------------------------------------------------------------------------------------


def _of_study(study: Study, table: pd.DataFrame) -> list[Finding]:
    """`claims.study_findings` in sentences: one finding for each variant and setting."""
    found = []
    for (variant, *values), rows in table.groupby(["variant", *SETTING], sort=False, dropna=False):
        setting = study.setting_label(Setting(*(None if pd.isna(value) else value for value in values)))
        sentences = [text for part in _STUDY_SENTENCES for text in part(study, rows)]
        sentences += _unsaid(rows, said=bool(sentences))
        if sentences:
            found.append(Finding(", ".join(filter(None, ("The study's findings", variant, setting))), sentences))
    return found


def _measured(rows: pd.DataFrame, finding: str) -> list:
    """The rows of a finding that are judged by their interval."""
    mine = rows[(rows["finding"] == finding) & rows["p_holm"].notna()]
    return list(mine.itertuples())


def _in_general(_: Study, rows: pd.DataFrame) -> list[str]:
    return [
        f"{row.variant} is {_ratio(row.value, row.ci_low, row.ci_high)} times as fast as {row.baseline_variant} in the "
        f"geometric mean over {count(row.n, 'kind')} of machine: {row.verdict}."
        for row in _measured(rows, claims.GENERAL)
    ]


def _where_slower(study: Study, rows: pd.DataFrame) -> list[str]:
    """On which machines, and in which models on how many; of a single machine its own sentences say it."""
    mine = rows[rows["finding"] == claims.SLOWER]
    machines, models = mine[mine["verdict"] != ""], mine[mine["verdict"] == ""]
    if len(machines) < 2:
        return []
    slower = [
        f"{row.subject} {_ratio(row.value, row.ci_low, row.ci_high)}"
        for row in machines[machines["verdict"] == stats.SLOWER].itertuples()
    ]
    text = f"Slower in the mean of the models: {some(slower, 5)}." if slower else "Slower in the mean on no machine."
    single = [f"{row.subject} on {row.value:.0f} of {row.n}" for row in models.itertuples() if row.value]
    return [text, *([f"Slower in single models: {some(single, 10)} machines."] if single else [])]


def _by_instructions(_: Study, rows: pd.DataFrame) -> list[str]:
    return [
        f"Machines with VNNI gain {_ratio(row.value, row.ci_low, row.ci_high)} times what x86 machines without it gain "
        f"({row.n} kinds of machine): {row.verdict}."
        for row in _measured(rows, claims.VNNI)
    ]


def _on_boards(_: Study, rows: pd.DataFrame) -> list[str]:
    sentences = []
    for finding, text in (
        (claims.PI_SPEED, "With {variant} a Raspberry Pi 5 is {ratio} times as fast as a 4 (the study: about three)"),
        (claims.PI_GAIN, "The speedup on a Raspberry Pi 5 is {ratio} times that on a 4"),
    ):
        pairs = _measured(rows, finding)
        for row in pairs[:_PAIRS]:
            ratio = _ratio(row.value, row.ci_low, row.ci_high)
            which = f", {row.subject}" if len(pairs) > 1 else ""
            sentences.append(f"{text.format(variant=row.variant, ratio=ratio)}{which}: {row.verdict}.")
        if len(pairs) > _PAIRS:
            sentences.append(f"{len(pairs) - _PAIRS} more pairs of boards are in tables/study_findings.csv.")
    return sentences


def _beside_speed(_: Study, rows: pd.DataFrame) -> list[str]:
    sentences = [
        f"Initialization is {_ratio(row.value, row.ci_low, row.ci_high)} times as fast over {count(row.n, 'kind')} of "
        f"machine: {row.verdict}."
        for row in _measured(rows, claims.INITIALIZATION)
    ]
    still = rows[(rows["finding"] == claims.STILL_INITIALIZED) & rows["value"].notna()]
    sentences += [
        f"In {row.value:.0f} of {count(row.n, 'comparison')} without faster inference, initialization is faster."
        for row in still.itertuples()
    ]
    sentences += [
        f"Overall memory is {_ratio(1 / row.value, 1 / row.ci_high, 1 / row.ci_low)} of {row.baseline_variant}'s: "
        f"{row.verdict}."
        for row in _measured(rows, claims.MEMORY)
    ]
    return sentences


def _on_phones(study: Study, rows: pd.DataFrame) -> list[str]:
    """What the study of the phones says, of each machine; then of the files, of which nothing is tested."""
    machines = {label: machine for machine, label in study.labels.items()}
    sentences = []
    for finding, text in (
        (claims.CPU_SLOWER, "it takes {1} times as long as {0.baseline_variant} (the study of the phones: 1.25)"),
        (claims.GPU_NOT_SLOWER, "it is {1} times as fast as {0.baseline_variant} (the study of the phones: 1.02)"),
        (claims.HALF_MEMORY, "{0.baseline_variant} takes {1} times its memory (the study of the phones: 2)"),
    ):
        for row in rows[(rows["finding"] == finding) & rows["value"].notna()].itertuples():
            ratio = _ratio(row.value, row.ci_low, row.ci_high)
            where = tables_compression.delegate_name(study, row.delegate, machines[row.subject])
            sentences.append(f"On {row.subject}'s {where} {text.format(row, ratio)}: {row.verdict}.")
    sizes = rows[rows["finding"].isin((claims.QUARTER, claims.SAVES_COMPRESSED)) & rows["value"].notna()]
    for row in sizes.itertuples():
        what = row.quantity.removeprefix("baseline / candidate ")
        there = ", a quarter in the study of the phones" if row.finding == claims.QUARTER else ""
        text = f"Its {what} is {number(1 / row.value)} of {row.baseline_variant}'s ({row.subject}{there})"
        sentences.append(f"{text}: {row.verdict}.")
    return sentences


_STUDY_SENTENCES = (_in_general, _where_slower, _by_instructions, _on_boards, _beside_speed, _on_phones)


def _unsaid(rows: pd.DataFrame, said: bool) -> list[str]:
    """What could not be measured or compared, and why; the baseline's alone is not worth a line."""
    sentences = []
    only_boards = set(rows["finding"]) == {claims.PI_SPEED}
    for verdict in (stats.NOT_COMPARABLE, claims.NOT_MEASURED):
        mine = rows[(rows["verdict"] == verdict)]
        by_reason: dict[str, list[str]] = {}
        for row in mine.itertuples():
            by_reason.setdefault(row.basis, []).append(row.finding)
        parts = [f"{_listed(list(dict.fromkeys(names)))} ({why})" for why, names in by_reason.items()]
        if parts and (said or not only_boards or verdict == stats.NOT_COMPARABLE):
            sentences.append(f"{verdict.capitalize()}: {'; '.join(parts)}.")
    return sentences


# --- what latency grows with ------------------------------------------------------------------------------------------


def of_sweeps(study: Study, tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """What latency and energy grow with, and which models are worth their time.

    A finding for each machine and way to run, of its first variant: the others are in the tables. So is all of it where
    nothing was swept.
    """
    if "sweeps" not in tables:
        return []
    best = sweeps.by_series(tables["trade_off"]) if "trade_off" in tables else {}
    found, said = [], set()
    for series, rows in sweeps.by_series(tables["lab_questions"]).items() if "lab_questions" in tables else ():
        if (way := (series.machine, series.rest)) in said:
            continue
        said.add(way)
        asked = list(rows[(rows["verdict"] != claims.NOT_MEASURED) | (rows["steps"].fillna(0) > 0)].itertuples())
        sentences = [f"{_grows(row)}: {_growth(row)}." for row in asked]
        sentences += _worth(study, best[series]) if series in best else []
        if sentences:
            found.append(Finding(f"What latency grows with, {sweeps.label(study, series)}", sentences))
    return found


def growth_in_short(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A sentence on the questions on time that were answered anywhere, over all series; [] where nothing was swept."""
    if not {"sweeps", "lab_questions"} <= set(tables):
        return []
    questions = tables["lab_questions"]
    answered = questions[(questions["metric"] == DEFAULT_METRIC) & (questions["verdict"] != claims.NOT_MEASURED)]
    said: dict[str, list[str]] = {}
    for question, rows in answered.groupby("question", sort=False):
        verdicts = Counter(rows["verdict"]).most_common()
        words = ", ".join(f"{verdict} in {n}" for verdict, n in verdicts) + f" of {len(rows)} cases"
        column, name = ("rho", "rank correlation") if question in sweeps.BETWEEN_MODELS else ("exponent", "exponent")
        span = " to ".join(dict.fromkeys(number(value, 2) for value in (rows[column].min(), rows[column].max())))
        said.setdefault(words if len(rows) > 1 else verdicts[0][0], []).append(f"{question} ({name} {span})")
    answers = [f"{_listed(asked)}: {words}" for words, asked in said.items()]
    if not answers:
        return []
    return [f"Latency of {count(answered['models'].max(), 'model')} grows with {'; with '.join(answers)}."]


def _grows(row: tuple) -> str:
    what = "Latency" if row.metric == DEFAULT_METRIC else metric_label(row.metric)[0]
    return f"{what} grows with {row.question}"


def _growth(row: tuple) -> str:
    """The verdict with what it rests on."""
    if row.question in sweeps.BETWEEN_MODELS:
        rho = with_interval(row.rho, row.ci_low, row.ci_high)
        numbers = f"rank correlation {rho} among {count(row.models, 'model')}"
        if stats.least_rank_p(row.models) > stats.ALPHA:
            numbers += ", too few for any order to be told from chance"
    else:
        exponent = with_interval(row.exponent, row.exponent_ci_low, row.exponent_ci_high)
        numbers = f"exponent {exponent} of {count(row.models, 'model')}"
    falls = f" and falls at {row.steps_falling}" if row.steps_falling else ""
    steps = f"it rises beyond noise at {row.steps_rising} of {count(row.steps, 'step')}{falls}"
    return f"{row.verdict}, {numbers}; {steps}"


def _worth(study: Study, rows: pd.DataFrame) -> list[str]:
    """Which models no other beats in everything, and which some do."""
    criteria = ["latency per image", *(name for column, name in _CRITERIA.items() if rows[column].notna().any())]
    front, beaten = rows[rows["dominated_by"] == ""], rows[rows["dominated_by"] != ""]
    parts = [f"{row.model} (by {row.dominated_by})" for row in beaten.itertuples()]
    worse = f"; worse in everything than another: {_listed(parts)}" if parts else "; no model is worse in everything"
    machines = {(campaign, host) for campaign, host in zip(rows["campaign"], rows["host"], strict=True)}
    random = any("random" in study.known(study.cells_of[Machine(*key)], "weights") for key in machines)
    best = f"Best trade-off of {_listed(criteria)}: {_listed(list(front['model']))}{worse}."
    files = (entry for campaign, _ in machines for entry in study.model_files(campaign))
    if any(entry.get("evaluated_images") for entry in files):
        return [f"{best} Accuracy is no part of it, see Compression."]
    accuracy = "Accuracy was not measured" + (", and with random weights there is none" if random else "")
    return [best, f"{accuracy}: no trade-off with it can be told."]


_CRITERIA = {"energy_per_image_j": "energy per image", "parameters": "parameters", "model_size_mb": "size of the file"}


# --- how far to trust it ----------------------------------------------------------------------------------------------


def notices(
    study: Study,
    trust: pd.DataFrame,
    speedups: pd.DataFrame,
    decisions: pd.DataFrame,
    energy_meters: pd.DataFrame | None = None,
    phones: pd.DataFrame | None = None,
    of_scenario: pd.DataFrame | None = None,
) -> list[Notice]:
    """Everything that limits what the numbers mean, worst first."""
    found = [*_unfinished(study), *_of_delegates(study), *_of_models(study), *_of_campaigns(study)]
    found += [*_of_kernels(study), *_of_accuracy(study, of_scenario)]
    found += [*_of_runs(study, trust, speedups), *_of_machines(study, trust), *_of_phones(study, phones)]
    found += [*_short_of_target(study, decisions), *_of_repetitions(study, trust), *_steadiness(study)]
    found += [] if energy_meters is None else _of_energy(study, energy_meters)
    return sorted(found, key=lambda notice: (UNTRUSTED, CAUTION, NOTE).index(notice.level))


def _unfinished(study: Study) -> list[Notice]:
    """The hosts from which more is to come, each by its name."""
    left = [f"{study.host_name(Machine(*key))}: {words}" for key, words in study.dataset.unfinished.items()]
    more = len(left) - _NAMED
    shown = [*left[:_NAMED], f"and {count(more, 'more host')} that {'is' if more == 1 else 'are'} not done"]
    return [Notice(CAUTION, text) for text in (shown if more > 0 else left)]


def _of_delegates(study: Study) -> list[Notice]:
    """Delegates that executed nothing of some models, and such that executed only parts; alike machines together."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)  # machines by delegate and what it executed
    measured = defaultdict(list)
    for cell in sorted(study.statuses, key=cell_key) if study.fell_back or study.partly else ():
        measured[cell.machine, cell.setting.runner, cell.setting.delegate].append(cell)
    for (machine, runner, delegate), cells in measured.items():
        files = count(len({cell[1:3] for cell in cells}), "model file")
        files += f" in {runner}" if "runner" in study.varying else ""
        where, nothing = study.labels[machine], {cell[1:3] for cell in study.fell_back.intersection(cells)}
        if nothing:
            text = f"executed nothing of {len(nothing)} of {files}: these runs are not counted as {delegate}'s."
            found[delegate, text].append(where)
        parts = {" ".join(cell[1:3]): study.partly[cell] for cell in cells if cell in study.partly}
        if parts:
            each = some((f"{name} {nodes}".strip() for name, nodes in parts.items()), 5)
            rest = "TFLite's own kernels" if delegate in delegation.ON_CPU else "the CPU"
            text = f"executed only parts of {len(parts)} of {files}, and {rest} the rest: {each}."
            found[f"{delegate}*", text].append(where)
    return [Notice(CAUTION, f"{name} on {some(machines, 5)} {text}") for (name, text), machines in found.items()]


def _of_models(study: Study) -> list[Notice]:
    """Files that are not what their variant says, as the model builder read it back from them."""
    found = []
    for entry in (entry for name in study.dataset.campaigns for entry in study.model_files(name)):
        variant, sparsity, clusters = (entry.get(key) for key in ("variant", "weight_sparsity", "weight_clusters"))
        name = f"{entry.get('model')} {variant}"
        if str(variant).startswith("pruned_") and isinstance(sparsity, int | float) and sparsity < PRUNED_SPARSITY:
            text = f"{name} is not pruned: only {100 * sparsity:.0f} % of the weights in its file are zero."
            found.append(Notice(CAUTION, text))
        if str(variant).startswith("clustered_") and isinstance(clusters, int) and clusters > CLUSTERS:
            text = f"{name} is not clustered: a channel in its file has {clusters} different weights."
            found.append(Notice(CAUTION, text))
    return list(dict.fromkeys(found))


def _of_kernels(study: Study) -> list[Notice]:
    """Kernels of TVM that are not tuned, or for other threads, where the variant does not say so; int8 that is none."""
    found: dict[str, list[str]] = defaultdict(list)
    # modelzoo tunes for one core (convert_tvm.py).
    is_of_threads = (study.runs["tuned_kernels"] > 0).fillna(False) & (study.runs["threads"] > 1).fillna(False)
    for (runner, threads), of_threads in study.runs[is_of_threads].groupby(["runner", "threads"], sort=True):
        text = f"kernels in {runner} were tuned for one thread and ran with {threads}: more may be in it than is shown."
        cells = (study.run_cells[i] for i in of_threads.index)
        found[text] += dict.fromkeys(study.labels[cell.machine] for cell in cells if cell)
    for cell, told in sorted(study.untuned.items(), key=lambda item: cell_key(item[0])):
        name = f"{cell.model} {cell.variant} in {cell.setting.runner}"
        untuned = "is untuned" if told.startswith("0 ") else "is not as tuned as it could be"
        text = f"{name} {untuned} ({told}), which its variant does not say: it is slower than what TVM can make."
        found[text].append(study.labels[cell.machine])
    for cell, arithmetic in sorted(study.in_float.items(), key=lambda item: cell_key(item[0])):
        text = f"int8 in {cell.setting.runner} computes in {arithmetic}: only inputs and outputs are int8."
        found[text].append(study.labels[cell.machine])
    return [Notice(CAUTION, f"On {some(dict.fromkeys(where), 5)}: {text}") for text, where in found.items()]


def _of_accuracy(study: Study, table: pd.DataFrame | None) -> list[Notice]:
    """What is to be known of the images that accuracy was found on, and too few of them; from `scenario.scenario`."""
    files = (entry for name in study.dataset.campaigns for entry in study.model_files(name))
    told = {
        str(entry.get("remark") or ""): entry.get("evaluated_on") for entry in files if entry.get("evaluated_images")
    }
    told |= {said.remark: said.evaluated_on for said in study.dataset.evaluations.values()}
    found = [f"Accuracy on {images or 'images'}: {remark}." for remark, images in told.items() if remark]
    if table is not None:
        half = (table["accuracy_ci_high_percent"] - table["accuracy_ci_low_percent"]) / 2
        for model, wide in table[half > WIDE_POINTS].assign(half=half).groupby("model", sort=False):
            least = count(int(wide["evaluated_images"].min()), "image")
            found.append(
                f"Accuracy of {model} is of {least}: its intervals are up to ± {wide['half'].max():.1f} points."
            )
    return [Notice(CAUTION, text) for text in found]


def _of_phones(study: Study, phones: pd.DataFrame | None) -> list[Notice]:
    """Phones that were charged, or whose screen was on, in some runs and not in others; from the table of that name."""
    if phones is None:
        return []
    return [
        Notice(
            CAUTION, f"The {what} of {study.labels[Machine(row.campaign, row.host)]} was not always the same: {said}."
        )
        for row in phones.itertuples()
        for what, said in (("power supply", row.plugged), ("screen", row.screen))
        if "," in said
    ]


def _of_runs(study: Study, trust: pd.DataFrame, speedups: pd.DataFrame) -> list[Notice]:
    found = []
    n = {status: int(trust[status].sum()) for status in ("ok", "invalid", "failed")}
    total, unusable = sum(n.values()), n["invalid"] + n["failed"]
    if not n["ok"]:
        found.append(
            Notice(UNTRUSTED, f"No run is usable: of {total}, {n['invalid']} are invalid and {n['failed']} failed.")
        )
    elif unusable:
        # What fell back in every run selects nothing from what is left.
        selected = unusable - sum(sum(study.statuses[cell].values()) for cell in study.fell_back)
        level = UNTRUSTED if selected > UNUSABLE_SHARE * total else CAUTION
        parts = f"{n['invalid']} invalid, {n['failed']} failed"
        text = f"{unusable} of {total} runs are not in any mean: {parts}. Reasons below."
        if study.repeated:
            text += f" {first_attempts(study)}"
        found.append(Notice(level, text))
    models = speedups[speedups["model"] != GEOMEAN]
    refused = models[(models["verdict"] == stats.NOT_COMPARABLE) & models["reason"].str.contains("differs:")]
    if len(refused):
        text = f"{count(len(refused), 'comparison')} refused, since the two sides were not measured alike: "
        found.append(Notice(UNTRUSTED, text + some(sorted(set(refused["reason"])), 3) + "."))
    missing = int(trust["configurations_missing"].sum())
    if missing:
        text = f"{missing} of {count(int(trust['configurations'].sum()), 'configuration')} without a usable run"
        text += f", {len(study.out_of_memory)} of them out of memory." if study.out_of_memory else "."
        found.append(Notice(CAUTION, text))
    few = trust[(trust["repetitions_min"] > 0) & (trust["repetitions_min"] < FEW_REPETITIONS)]
    if len(few):
        least = int(few["repetitions_min"].min())
        text = f"As few as {count(least, 'repetition')} of a configuration ({_which(study, trust, few)})"
        found.append(Notice(CAUTION, f"{text}: intervals are wide, and a single odd run counts much."))
    if study.dataset.problems:
        n_problems = len(study.dataset.problems)
        found.append(Notice(CAUTION, f"{count(n_problems, 'problem')} while reading the logs, listed below."))
    return found


def _short_of_target(study: Study, decisions: pd.DataFrame) -> list[Notice]:
    """What ended at the last repetition without being known as well as was asked for, by name."""
    found = []
    for (_, target), rows in decisions[decisions["reached"] != ""].groupby(["campaign", "target_percent"], sort=False):
        short = rows[rows["reached"] == "no"]
        if len(short):
            names = [
                f"{study.place_label(*place)}, {row.model} {row.variant}"
                for place, row in zip(places(study, short), short.itertuples(), strict=True)
            ]
            text = f"{len(short)} of {count(len(rows), 'configuration')} did not reach {target:g} %"
            found.append(Notice(CAUTION, f"{text} (half width of an interval): {some(names, 3)}."))
    return found


def _of_repetitions(study: Study, trust: pd.DataFrame) -> list[Notice]:
    """Repetitions that stand out, and such that are not independent."""
    found = []
    outliers = trust[trust["outliers"] > 0]
    if len(outliers):
        text = f"{count(int(outliers['outliers'].sum()), 'outlier')} among the repetitions ({{which}}): more than "
        text += (
            f"{stats.FENCE_IQR:g} interquartile ranges beyond the quartiles. Ringed in the charts, and in all means."
        )
        found.append(Notice(NOTE, text.format(which=_which(study, trust, outliers))))
    alike = trust[trust["autocorrelation_p"] < AUTOCORRELATION_P]
    if len(alike):
        most = number(alike["autocorrelation"].max(), 2)
        text = f"Repetitions are not independent ({_which(study, trust, alike)}; autocorrelation up to {most}): "
        text += "intervals are too narrow, of means more than of speedups paired by block."
        found.append(Notice(CAUTION, text))
    return found


def _steadiness(study: Study) -> list[Notice]:
    """Of which runners it is not known whether they had come to a steady state; a note per runner."""
    ok = study.runs[study.runs["status"] == "ok"]
    known = ok["iteration_wall_us"].map(validity.is_steadiness_known).astype(bool)
    found = []
    for runner, of_runner in known.groupby(ok["runner"]):
        if of_runner.all():
            continue
        listed = ok.loc[of_runner.index, "iteration_wall_us"].notna().any()
        why = f"fewer than {validity.DRIFT_FROM} iterations" if listed else "it prints no times of single iterations"
        runs = count(len(of_runner), "run")
        share = "" if not of_runner.any() else f" in {(~of_runner).sum()} of {runs}"
        found.append(Notice(NOTE, f"Steady state could not be tested with {runner}{share}: {why}."))
    return found


def _of_energy(study: Study, meters: pd.DataFrame) -> list[Notice]:
    """Where energy is an estimate, or that above idle is not known; `meters` is the table of `tables_energy`."""
    found = []

    def say(rows: pd.DataFrame, text: str) -> None:
        names = some(dict.fromkeys(study.labels[Machine(row.campaign, row.host)] for row in rows.itertuples()), 5)
        if names:
            found.append(Notice(CAUTION, text.format(which=names)))

    say(
        meters[meters["n_estimated"].fillna(0) > 0],
        "Energy per inference is estimated ({which}): where a runner does not say when it measured, the last part of "
        "the process is taken, as long as its iterations took.",
    )
    say(
        meters[(meters["n_above_idle"] < meters["n_inference"]).fillna(False)],
        "Idle power is not known, or not for all runs ({which}): energy above idle is of the other runs only.",
    )
    return found


def repeats(study: Study) -> str:
    """'3 were repeated, 2 of these with success'; '' if none were."""
    repeated, ok = (sum(counts) for counts in zip((0, 0), *study.repeated.values(), strict=True))
    return f"{repeated} {'was' if repeated == 1 else 'were'} repeated, {ok} of these with success" if repeated else ""


def first_attempts(study: Study) -> str:
    """A sentence on originals and repeats; '' if nothing was repeated."""
    first = Counter(study.runs["status"][study.runs["retry"].isna().to_numpy()])
    if not study.repeated:
        return ""
    bad = f"{first['invalid']} were invalid and {first['failed']} failed"
    return f"Of {count(first.total(), 'first attempt')}, {bad}; {repeats(study)}."


def _of_campaigns(study: Study) -> list[Notice]:
    found = []
    weights = {str(entry.get("weights")) for name in study.dataset.campaigns for entry in study.model_files(name)}
    weights |= set(study.runs["weights"])
    if "random" in weights:
        found.append(Notice(CAUTION, "Weights are random: speed only; accuracy or outputs mean nothing."))
    if not weights - {"", "None", "unknown"}:
        found.append(Notice(NOTE, "What weights the models had is not known."))
    for name in study.dataset.campaigns:
        if study.asked(name).get("profile") == "quick":
            text = (
                f"Campaign {name} has the profile quick: short runs for a first look, not for publication. Use precise."
            )
            found.append(Notice(CAUTION, text))
        if mapping(study.campaign(name).get("git")).get("dirty"):
            found.append(Notice(NOTE, f"Campaign {name} was run from a working tree with uncommitted changes."))
    return found


def _of_machines(study: Study, trust: pd.DataFrame) -> list[Notice]:
    found = []

    def say(level: str, rows: pd.DataFrame, text: str) -> None:
        if len(rows):
            found.append(Notice(level, text.format(which=_which(study, trust, rows))))

    bare = trust[(trust["without_state"] > 0)]
    say(CAUTION, bare, "Logs without sidecars ({which}): the state of the machine while measuring is not known.")
    facts = [study.dataset.hosts.get((row.campaign, row.host)) or {} for row in trust.itertuples()]
    around = [str(fact.get("virtualization") or "none") for fact in facts]
    contained = [name.startswith(CONTAINERS) for name in around]
    say(
        CAUTION,
        trust[contained],
        "Container ({which}): governor and clock were beyond our control, and what else the machine did is not known.",
    )
    virtual = [name != "none" and not name.startswith(CONTAINERS) for name in around]
    say(CAUTION, trust[virtual], "Virtual machine ({which}): what its neighbours did is not known.")
    stolen = trust[trust["steal_percent_max"] > STEAL_PERCENT]
    most = number(stolen["steal_percent_max"].max(), 2)
    say(CAUTION, stolen, f"The hypervisor took up to {most} % of CPU time during a run ({{which}}).")
    busy = trust[trust["other_cpu_percent_max"] > OTHER_CPU_PERCENT]
    most = number(busy["other_cpu_percent_max"].max(), 2)
    say(CAUTION, busy, f"Other processes took up to {most} % of the CPUs during a run ({{which}}).")
    throttled = trust[trust["throttled_runs"].fillna(0) > 0]
    say(CAUTION, throttled, "The firmware reported throttling or under-voltage ({which}).")
    say(
        NOTE,
        trust[trust["control"].str.contains("=")],
        "The machine was set for its runs ({which}); the table of their states says how.",
    )
    for machine in study.machines:
        offset = study.clock_offset_s(machine)
        if abs(offset) > CLOCK_OFFSET_S:
            way = "ahead of" if offset > 0 else "behind"
            text = f"The clock of {study.labels[machine]} is {abs(offset):.0f} s {way} the controller's: "
            found.append(Notice(NOTE, text + "so are its times (UTC). Nothing is ordered by them."))
    known = trust["ok"] > trust["without_state"]
    say(
        NOTE,
        trust[known & (trust["governor"] == "")],
        "Frequency governor not known ({which}): clocks may have varied.",
    )
    saving = trust["governor"].str.contains("powersave|ondemand|conservative|schedutil")
    say(NOTE, trust[saving], "Frequency governor not fixed to performance ({which}): clocks may have varied.")
    found += [Notice(NOTE, f"{note}.") for note in study.dataset.notes]
    if trust["runner_version"][trust["runner_version"] != ""].nunique() > 1:
        text = "Machines used different runner versions: speedups hold on each machine, times do not compare across."
        found.append(Notice(NOTE, text))
    return found


def _which(study: Study, trust: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The machines of some rows of the trust table, in words."""
    if 1 < len(trust) == len(rows):
        return "all machines"
    return some([study.labels[machine] for i, machine in enumerate(study.machines) if trust.index[i] in rows.index], 5)


def _listed(texts: Sequence[str]) -> str:
    """'a, b and c'."""
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)
