"""The findings of the study that the kit repeats, computed anew from the data. Pure.

Each is a ratio that the study says is above 1, with its 95 % interval. Where a finding is about kinds of machines, the
replicate is the kind of machine (its processor), not the run: the interval is Student's, of a mean or of a difference
of two means (Welch), on logarithms. Where it is about one machine against another, it covers the noise of the
repetitions. What the data cannot say is `not measured`; what was not measured alike is `not comparable`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from analysis import isa, stats
from analysis.across import by_setting, differences, ratio, size_mb
from analysis.delegation import ON_CPU
from analysis.entries import FLAGS
from analysis.names import COLUMNS, INTEGER, UNTUNED
from analysis.study import SETTING, Cell, Machine, Setting, Study, cell_key, model_key, setting_key, variant_key
from analysis.tables import GEOMEAN, compared, count, interval, number, some
from analysis.tables_compression import FINE_TUNED, compressed_mb, is_asked_about

GENERAL = "candidate is faster in general"
SLOWER = "slower candidates"
VNNI = "machines with VNNI gain more"
PI_GAIN = "Raspberry Pi 5 gains more than 4"
PI_SPEED = "Raspberry Pi 5 is faster than 4"
INITIALIZATION = "candidate initializes faster"
STILL_INITIALIZED = "initialized faster where not faster"
MEMORY = "candidate takes less memory"

# Those of the study of the phones, asked only where there are such variants or delegates.
CPU_SLOWER = "dynamic range is slower on the CPU"
GPU_NOT_SLOWER = "dynamic range is not slower on the GPU"
HALF_MEMORY = "dynamic range takes half the memory on the CPU"
QUARTER = "dynamic range is a quarter of the size"
SAVES_COMPRESSED = "clustering and pruning save size only compressed"
OF_PHONES = (CPU_SLOWER, GPU_NOT_SLOWER, HALF_MEMORY, QUARTER, SAVES_COMPRESSED)

CONFIRMED, CONTRADICTED, NOT_MEASURED = "confirmed", "contradicted", "not measured"
SLOWER_ON, INITIALIZED_IN = "machines on which it is slower", "comparisons with a faster initialization"
COUNTS = (SLOWER_ON, INITIALIZED_IN)  # quantities that are no ratios

_BY_NUMBERS = "by the numbers"  # the verdict of a row that is judged when all of the table are known
_NO_COMPARISON = "no comparison could be made"
_NO_MODEL = "no model that all of them have"
_NAMED = 8
_DYNAMIC_RANGE = "dynamic_range"
# What counts as half, as a quarter, and as no saving.
_HALF, _QUARTER, _SAME_SIZE = (1.5, 2.5), (3.5, 4.5), (0.95, 1.05)

_COLUMNS = ("finding", "variant", "baseline_variant", *SETTING, "subject", "quantity")
_NUMBERS = ("value", "ci_low", "ci_high", "p_value", "p_holm", "n", "verdict", "basis")


class Estimate(NamedTuple):
    """A ratio with its interval; NaN = none, for lack of replicates. p_value: that the ratio is 1."""

    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan


NONE = Estimate(math.nan)


def mean_over(logs: Sequence[float]) -> Estimate:
    """Geometric mean of ratios, whose logarithms are given; Student's interval if there are two or more."""
    if len(logs) < 2:
        return Estimate(math.exp(logs[0])) if logs else NONE
    return _student(float(np.mean(logs)), float(np.var(logs, ddof=1)) / len(logs), len(logs) - 1)


def ratio_of_means(logs: Sequence[float], base: Sequence[float]) -> Estimate:
    """Geometric mean of some ratios / that of others, both as logarithms; Welch's interval if both have two or more."""
    if not (len(logs) and len(base)):
        return NONE
    difference = float(np.mean(logs) - np.mean(base))
    if min(len(logs), len(base)) < 2:
        return Estimate(math.exp(difference))
    variances = [float(np.var(side, ddof=1)) / len(side) for side in (logs, base)]
    return _student(difference, sum(variances), stats.satterthwaite(variances, [len(logs) - 1, len(base) - 1]))


def _student(centre: float, variance: float, df: float) -> Estimate:
    error = math.sqrt(variance)
    half = float(special.stdtrit(df, 1 - stats.ALPHA / 2)) * error
    p_value = 2 * float(special.stdtr(df, -abs(centre) / error)) if error > 0 else float(centre == 0)
    return Estimate(math.exp(centre), math.exp(centre - half), math.exp(centre + half), p_value)


# --- tables/study_findings.csv ----------------------------------------------------------------------------------------


def study_findings(
    study: Study, speedups: pd.DataFrame, effects: pd.DataFrame, metric: str, baseline: str
) -> pd.DataFrame:
    """tables/study_findings.csv: the study's findings on each candidate and setting, a row for each number.

    They are about other weights. Of what a runner does with the same ones, such as `torch.compile`, none is asked, nor
    of int8 that computes in floating point and of kernels that are not tuned.
    p_holm is corrected over all findings of the table; rows without a p-value describe, and test nothing. `n` counts
    what the interval is over: kinds of machines, or the models of a pair of machines.
    """
    of_speedups, of_effects = _by_question(study, speedups), _by_question(study, effects)
    rows: list[dict] = []
    # Of a sweep over batch or input sizes they are asked at the least: the study had one of each.
    # On another processor than the CPU only the study of the phones was made.
    asked_at = {setting for _, setting in study.charted if setting.delegate in ("", *ON_CPU)}
    # What computes in float32, or is slow for want of tuning, says nothing about quantization.
    unlike = {(cell.setting, cell.variant) for cell in (*study.in_float, *study.untuned)}
    mine = (
        (setting, variant)
        for setting, variant in of_speedups
        if setting in asked_at and _is_of_weights(variant) and not unlike & {(setting, variant), (setting, baseline)}
    )
    questions = sorted(mine, key=_question_key)
    for setting, group in groupby(questions, key=lambda question: question[0]):
        variants = [variant for _, variant in group]
        for variant in variants:
            about = setting, variant
            asked = _Question(study, metric, baseline, variant, setting, of_speedups[about], of_effects[about])
            for finding in (_general, _slower, _vnni, _pi_gain, _initialization, _still_initialized, _memory):
                rows += finding(asked)
            rows += _pi_speed(asked)
        rows += _pi_speed(replace(asked, variant=baseline))
    rows += _of_phones(study, metric, baseline)
    table = pd.DataFrame(rows, columns=[*_COLUMNS, *_NUMBERS])
    table = table.astype({name: COLUMNS[name] for name in SETTING} | {"p_value": float, "n": INTEGER})
    table["p_holm"] = stats.holm(table["p_value"])
    judged = zip(*(table[name] for name in ("verdict", "ci_low", "ci_high", "p_holm")), strict=True)
    table["verdict"] = [_judged(*numbers) if said == _BY_NUMBERS else said for said, *numbers in judged]
    return table


def _is_of_weights(variant: str) -> bool:
    """Whether the first study could have been asked about a variant: it neither clustered, pruned nor compiled."""
    return variant not in FLAGS and not variant.startswith(FINE_TUNED) and not variant.endswith(UNTUNED)


def _by_question(study: Study, table: pd.DataFrame) -> dict[tuple[Setting, str], pd.DataFrame]:
    """A table of comparisons cut by setting and candidate."""
    parts = by_setting(study, table).items()
    return {
        (setting, variant): mine for setting, part in parts for variant, mine in part.groupby("variant", sort=False)
    }


def _question_key(question: tuple[Setting, str]) -> tuple:
    return setting_key(question[0]), variant_key(question[1])


def _judged(ci_low: float, ci_high: float, p_holm: float) -> str:
    verdict = stats.verdict(ci_low, ci_high, p_holm)
    return {stats.FASTER: CONFIRMED, stats.SLOWER: CONTRADICTED}.get(verdict, verdict)


@dataclass(frozen=True)
class _Question:
    """One candidate at one setting: the rows of `tables.speedups` and `tables.effects` that are about it."""

    study: Study
    metric: str
    baseline: str
    variant: str
    setting: Setting
    speedups: pd.DataFrame
    effects: pd.DataFrame

    def row(
        self, finding: str, quantity: str, estimate: Estimate = NONE, *, verdict: str = _BY_NUMBERS, **facts: object
    ) -> dict:
        """A row of the table; what has no interval is not measured."""
        if verdict == _BY_NUMBERS and math.isnan(estimate.ci_low):
            verdict = NOT_MEASURED
        names = {"finding": finding, "variant": self.variant, "baseline_variant": self.baseline}
        numbers = estimate._asdict() | {"verdict": verdict, "subject": "", "basis": "", "n": None}
        return names | self.setting._asdict() | {"quantity": quantity} | numbers | facts

    def cells(self, machines: Iterable[Machine], models: Iterable[str], *variants: str) -> list[Cell]:
        return [Cell(m, model, v, self.setting) for m in machines for model in models for v in variants]

    def facts(self, machine: Machine) -> dict:
        return self.study.dataset.hosts.get(machine) or {}

    def speedup(self, machine: Machine, model: str) -> stats.Speedup:
        """Raises ValueError where there is nothing to divide."""
        cells = self.cells([machine], [model], self.baseline, self.variant)
        max_df = self.study.max_df(machine.campaign)
        return stats.speedup(*(self.study.sample(cell, self.metric) for cell in cells), max_df)

    def effects_on(self, metric: str) -> pd.DataFrame:
        return self.effects[self.effects["metric"] == metric]


class _Ratios(NamedTuple):
    """The mean logarithm of each machine's ratios over the models that all have; machines without any are out."""

    of_machine: dict[Machine, float]
    models: list[str]


def _ratios(rows: pd.DataFrame, column: str, machines: Iterable[Machine] | None = None) -> _Ratios:
    """From the rows of single models of a table of comparisons: those that have an interval."""
    usable = rows[(rows["model"] != GEOMEAN) & rows["ci_low"].notna() & (rows[column] > 0)]
    table = usable.pivot(index=["campaign", "host"], columns="model", values=column)
    if machines is not None:
        table = table[table.index.isin(list(machines))]
    table = np.log(table.dropna(axis="columns"))
    if not table.size:
        return _Ratios({}, [])
    means = {Machine(*key): mean for key, mean in table.mean(axis="columns").items()}
    return _Ratios(means, sorted(table.columns, key=model_key))


def _kinds(asked: _Question, logs: Mapping[Machine, float]) -> dict[str, float]:
    """The mean over the machines of each kind."""
    of_kind: dict[str, list[float]] = defaultdict(list)
    for machine, log in logs.items():
        of_kind[isa.processor(asked.facts(machine), asked.study.platforms[machine])].append(log)
    return {kind: float(np.mean(values)) for kind, values in of_kind.items()}


def _over_machines(asked: _Question, finding: str, quantity: str, ratios: _Ratios) -> dict:
    """A row with the mean over kinds of machines."""
    kinds = _kinds(asked, ratios.of_machine)
    basis = f"{count(len(ratios.models), 'model')}, {count(len(kinds), 'kind')} of machine: {some(kinds, _NAMED)}"
    if len(kinds) < 2:
        basis = f"an interval needs two kinds of machine; here {some(kinds, _NAMED)}" if kinds else _NO_COMPARISON
    apart = differences(asked.study, asked.cells(ratios.of_machine, ratios.models, asked.baseline, asked.variant))
    if apart.forbidding:
        return asked.row(finding, quantity, verdict=stats.NOT_COMPARABLE, basis=apart.forbidding)
    basis = "; ".join(filter(None, (basis, apart.worth_saying)))
    return asked.row(finding, quantity, mean_over(list(kinds.values())), n=len(kinds), basis=basis)


def _described(kinds: Mapping[str, float]) -> Estimate:
    """The mean over kinds of machines, which nothing is tested of."""
    return mean_over(list(kinds.values()))._replace(p_value=math.nan)


def _general(asked: _Question) -> list[dict]:
    return [_over_machines(asked, GENERAL, "speedup", _ratios(asked.speedups, "speedup"))]


def _slower(asked: _Question) -> list[dict]:
    """Each machine's mean with its verdict; each model: on how many machines it is slower."""
    rows = []
    compared = asked.speedups[asked.speedups["speedup"].notna() & asked.speedups["ci_low"].notna()]
    single = compared[compared["model"] != GEOMEAN]
    of_machine = dict(iter(single.groupby(["campaign", "host"], sort=False)))
    for row in compared[compared["model"] == GEOMEAN].itertuples():
        machine = Machine(row.campaign, row.host)
        mine = of_machine[machine]
        slower = mine[mine["verdict"] == stats.SLOWER]
        each = [f"{r.model} {number(r.speedup)} ({interval(r.ci_low, r.ci_high)})" for r in slower.itertuples()]
        facts = {"subject": asked.study.labels[machine], "n": len(mine), "verdict": row.verdict}
        basis = f"{row.method}; slower: {', '.join(each) or 'none'}"
        rows.append(asked.row(SLOWER, "speedup", Estimate(row.speedup, row.ci_low, row.ci_high), basis=basis, **facts))
    for model, mine in single.groupby("model", sort=False):
        where = [
            asked.study.labels[Machine(r.campaign, r.host)] for r in mine.itertuples() if r.verdict == stats.SLOWER
        ]
        facts = {"subject": model, "n": len(mine), "verdict": "", "basis": some(where, _NAMED)}
        rows.append(asked.row(SLOWER, SLOWER_ON, Estimate(len(where)), **facts))
    return rows


def _vnni(asked: _Question) -> list[dict]:
    having = {machine: isa.vnni(asked.facts(machine)) for machine in asked.study.machines}
    ratios = _ratios(asked.speedups, "speedup", [machine for machine, has in having.items() if has is not None])
    sides = {
        side: _kinds(asked, {m: log for m, log in ratios.of_machine.items() if having[m] is side})
        for side in (True, False)
    }
    names = {True: "x86 machines with VNNI", False: "x86 machines without VNNI"}
    parts = [f"{names[side]}: {some(kinds, _NAMED) or 'none'}" for side, kinds in sides.items()]
    apart = differences(asked.study, asked.cells(ratios.of_machine, ratios.models, asked.baseline, asked.variant))
    quantity = "speedup with VNNI / speedup without"
    if apart.forbidding:
        return [asked.row(VNNI, quantity, verdict=stats.NOT_COMPARABLE, basis=apart.forbidding)]
    means = [
        asked.row(
            VNNI, "speedup", _described(kinds), subject=names[side], n=len(kinds), verdict="", basis=some(kinds, _NAMED)
        )
        for side, kinds in sides.items()
        if kinds
    ]
    if min(map(len, sides.values())) < 2:
        parts.append("an interval needs two kinds of machine on either side")
    compared = _ratios(asked.speedups, "speedup").of_machine
    unknown = [asked.study.labels[machine] for machine in compared if isa.unknown(asked.facts(machine))]
    parts += [f"instructions not known: {some(unknown, _NAMED)}"] if unknown else []
    models = count(len(ratios.models), "model") if ratios.models else ""
    basis = "; ".join(filter(None, (models, *parts, apart.worth_saying)))
    estimate = ratio_of_means(*(list(kinds.values()) for kinds in sides.values()))
    return [asked.row(VNNI, quantity, estimate, n=sum(map(len, sides.values())), basis=basis), *means]


def _pi_gain(asked: _Question) -> list[dict]:
    """Speedup on a Raspberry Pi 5 / speedup on a 4."""
    usable = asked.speedups[(asked.speedups["model"] != GEOMEAN) & asked.speedups["ci_low"].notna()]
    logs: dict[Machine, dict[str, float]] = defaultdict(dict)
    for row in usable.itertuples():
        logs[Machine(row.campaign, row.host)][row.model] = math.log(row.speedup)

    def gain(five: Machine, four: Machine, model: str) -> stats.Speedup:
        return _over(*(asked.speedup(machine, model) for machine in (five, four)))

    quantity = "speedup on Raspberry Pi 5 / on 4"
    return _pis(asked, PI_GAIN, quantity, logs, gain, (asked.baseline, asked.variant))


def _pi_speed(asked: _Question) -> list[dict]:
    """Time on a Raspberry Pi 4 / time on a 5, of one variant."""
    logs: dict[Machine, dict[str, float]] = defaultdict(dict)
    for cell in asked.study.statuses:
        values = asked.study.sample(cell, asked.metric).values
        if (cell.variant, cell.setting) == (asked.variant, asked.setting) and len(values) > 1 and np.mean(values) > 0:
            logs[cell.machine][cell.model] = -math.log(np.mean(values))

    def faster(five: Machine, four: Machine, model: str) -> stats.Speedup:
        cells = asked.cells((four, five), [model], asked.variant)
        return ratio(asked.study, asked.metric, *cells)

    return _pis(asked, PI_SPEED, "time on Raspberry Pi 4 / on 5", logs, faster, (asked.variant,))


def _pis(
    asked: _Question,
    finding: str,
    quantity: str,
    logs: Mapping[Machine, Mapping[str, float]],
    compare: Callable[[Machine, Machine, str], stats.Speedup],
    variants: Sequence[str],
) -> list[dict]:
    """Raspberry Pi 5s against 4s: boards are the replicates if there are two of each, else repetitions are."""
    fives, fours = _boards(asked, 5), _boards(asked, 4)
    if not (fives and fours):
        lacking = [f"no Raspberry Pi {kind}" for kind, boards in ((5, fives), (4, fours)) if not boards]
        return [asked.row(finding, quantity, basis=" and ".join(lacking))]
    if min(len(fives), len(fours)) < 2:
        pairs = product(chain(*fives.values()), chain(*fours.values()))
        return [row for pair in pairs for row in _pair_of_pis(asked, finding, quantity, pair, logs, compare, variants)]
    machines = list(chain(*fives.values(), *fours.values()))
    models = _common(logs, machines)
    apart = differences(asked.study, asked.cells(machines, models, *variants))
    if apart.forbidding or not models:
        verdict = stats.NOT_COMPARABLE if apart.forbidding else NOT_MEASURED
        return [asked.row(finding, quantity, verdict=verdict, basis=apart.forbidding or _NO_MODEL)]
    sides = [
        [
            float(np.mean([logs[machine][model] for machine in of_board for model in models]))
            for of_board in side.values()
        ]
        for side in (fives, fours)
    ]
    basis = f"{count(len(models), 'model')}, {len(fives)} boards against {len(fours)}"
    basis = "; ".join(filter(None, (basis, apart.worth_saying)))
    return [asked.row(finding, quantity, ratio_of_means(*sides), n=len(fives) + len(fours), basis=basis)]


def _pair_of_pis(
    asked: _Question,
    finding: str,
    quantity: str,
    pair: tuple[Machine, Machine],
    logs: Mapping[Machine, Mapping[str, float]],
    compare: Callable[[Machine, Machine, str], stats.Speedup],
    variants: Sequence[str],
) -> list[dict]:
    """A row for the geometric mean over models, and one for each model."""
    found: dict[str, stats.Speedup] = {}
    refused: dict[str, str] = {}
    saying = set()
    for model in _common(logs, pair):
        apart = differences(asked.study, asked.cells(pair, [model], *variants))
        if apart.forbidding:
            refused[model] = apart.forbidding
        else:
            found[model] = compare(*pair, model)
            saying |= {apart.worth_saying} - {""}
    subject = " / ".join(asked.study.host_name(machine) for machine in pair)
    reasons = "; ".join(dict.fromkeys(refused.values()))
    if not found:
        verdict = stats.NOT_COMPARABLE if refused else NOT_MEASURED
        return [asked.row(finding, quantity, verdict=verdict, subject=subject, basis=reasons or _NO_MODEL)]
    mean = stats.geometric_mean(list(found.values()))
    left_out = f"without {', '.join(refused)}: {reasons}" if refused else ""
    basis = "; ".join(filter(None, (f"geometric mean of {count(len(found), 'model')}", left_out, *sorted(saying))))
    estimate = Estimate(mean.speedup, mean.ci_low, mean.ci_high, mean.p_value)
    rows = [asked.row(finding, quantity, estimate, n=len(found), subject=subject, basis=basis)]
    for model, one in found.items():
        estimate = Estimate(one.speedup, one.ci_low, one.ci_high)
        rows.append(asked.row(finding, quantity, estimate, verdict="", subject=f"{subject}, {model}"))
    return rows


def _boards(asked: _Question, kind: int) -> dict[str, list[Machine]]:
    """The measured Raspberry Pis of a kind by the names of their hosts: one host in two campaigns is one board."""
    found: dict[str, list[Machine]] = defaultdict(list)
    for machine in dict.fromkeys(cell.machine for cell in asked.study.statuses):
        if isa.raspberry_pi(asked.facts(machine), asked.study.platforms[machine]) == kind:
            found[machine.host].append(machine)
    return found


def _common(logs: Mapping[Machine, Mapping[str, float]], machines: Iterable[Machine]) -> list[str]:
    """The models that all of some machines have."""
    return sorted(set.intersection(*(set(logs.get(machine, ())) for machine in machines)), key=model_key)


def _over(one: stats.Speedup, other: stats.Speedup) -> stats.Speedup:
    """The ratio of two speedups that are independent of each other, by the delta method on their logarithms."""
    variances = (one.log_variance, other.log_variance)
    value, df = one.speedup / other.speedup, stats.satterthwaite(variances, (one.log_df, other.log_df))
    half = float(special.stdtrit(df, 1 - stats.ALPHA / 2)) * math.sqrt(sum(variances))
    low, high = value * math.exp(-half), value * math.exp(half)
    return replace(one, speedup=value, ci_low=low, ci_high=high, log_variance=sum(variances), log_df=df)


def _initialization(asked: _Question) -> list[dict]:
    ratios = _ratios(asked.effects_on("init_time_ms"), "ratio")
    return [_over_machines(asked, INITIALIZATION, "baseline / candidate initialization time", ratios)]


def _memory(asked: _Question) -> list[dict]:
    ratios = _ratios(asked.effects_on("memory_overall_mb"), "ratio")
    return [_over_machines(asked, MEMORY, "baseline / candidate overall memory", ratios)]


def _still_initialized(asked: _Question) -> list[dict]:
    """Of the comparisons without faster inference: in how many initialization is faster, by an uncorrected interval."""
    models = asked.speedups[asked.speedups["model"] != GEOMEAN]
    not_faster = models[models["verdict"].isin((stats.SLOWER, stats.NOT_DISTINGUISHABLE))]
    effects = asked.effects_on("init_time_ms").set_index(["campaign", "host", "model"])
    known = [effects.loc[(row.campaign, row.host, row.model)] for row in not_faster.itertuples()]
    known = [effect for effect in known if pd.notna(effect["ci_low"])]
    shorter = sum(effect["ci_low"] > 1 for effect in known)
    if not known:
        return [asked.row(STILL_INITIALIZED, INITIALIZED_IN, basis="no comparison in which inference is not faster")]
    facts = {"verdict": "", "n": len(known), "basis": f"of {count(len(known), 'comparison')} without faster inference"}
    return [asked.row(STILL_INITIALIZED, INITIALIZED_IN, Estimate(shorter), **facts)]


# --- the study of the phones ------------------------------------------------------------------------------------------


def _of_phones(study: Study, metric: str, baseline: str) -> list[dict]:
    """What the study of the phones says, on each machine; [] where no such variant or delegate was measured."""
    if not any(map(is_asked_about, study.statuses)):
        return []
    empty = pd.DataFrame()
    settings = sorted({setting for _, setting in study.charted}, key=setting_key)
    asked = _Question(study, metric, baseline, _DYNAMIC_RANGE, settings[0], empty, empty)
    rows = []
    for finding, delegates, quantity, of, turned in (
        (CPU_SLOWER, (*ON_CPU, ""), "candidate / baseline time", metric, True),
        (GPU_NOT_SLOWER, ("gpu",), "baseline / candidate time", metric, False),
        (HALF_MEMORY, (*ON_CPU, ""), "baseline / candidate overall memory", "memory_overall_mb", False),
    ):
        there = [setting for setting in settings if setting.delegate in delegates]
        for setting in there or [settings[0]._replace(delegate=delegates[0])]:
            rows += _on_machines(replace(asked, setting=setting), finding, quantity, of, turned)
    return [*rows, *_sizes(asked)]


def _on_machines(asked: _Question, finding: str, quantity: str, metric: str, turned: bool) -> list[dict]:
    """A row for each machine: the geometric mean over models; `turned`: of candidate / baseline."""
    rows, study = [], asked.study
    for machine in study.machines:
        models = {cell.model for cell in study.cells_of[machine] if cell.variant == asked.variant}
        sides = (
            asked.cells([machine], [model], asked.baseline, asked.variant) for model in sorted(models, key=model_key)
        )
        comparisons = [comparison for pair in sides if not (comparison := compared(study, metric, *pair)).verdict]
        found = [comparison.result for comparison in comparisons]
        if found:
            mean = stats.geometric_mean(found)
            estimate = Estimate(mean.speedup, mean.ci_low, mean.ci_high, mean.p_value)
            if turned:
                estimate = Estimate(1 / mean.speedup, 1 / mean.ci_high, 1 / mean.ci_low, mean.p_value)
            parts = [f"{comparison.cell.model}: {comparison.reason}" for comparison in comparisons if comparison.reason]
            basis = "; ".join((count(len(found), "model"), *parts))
            facts = {"subject": study.labels[machine], "n": len(found), "basis": basis}
            if finding == HALF_MEMORY:
                facts |= {"verdict": _within(_HALF, estimate)}
                facts["basis"] += f"; half: from {_HALF[0]} to {_HALF[1]}"
                estimate = estimate._replace(p_value=math.nan)
            rows.append(asked.row(finding, quantity, estimate, **facts))
    return rows or [asked.row(finding, quantity, basis=_NO_COMPARISON)]


def _within(limits: tuple[float, float], estimate: Estimate) -> str:
    """Whether an interval is within limits, or outside of them; a part on each side tells nothing."""
    if limits[0] <= estimate.ci_low and estimate.ci_high <= limits[1]:
        return CONFIRMED
    is_outside = estimate.ci_high < limits[0] or estimate.ci_low > limits[1]
    return CONTRADICTED if is_outside else stats.NOT_DISTINGUISHABLE


def _sizes(asked: _Question) -> list[dict]:
    """How much smaller files are, which nothing is tested of: dynamic range, then what was clustered or pruned."""
    of_model: dict[str, list[Cell]] = defaultdict(list)
    for cell in sorted(asked.study.statuses, key=cell_key):
        of_model[cell.model].append(cell)
    rows = []
    for model, cells in sorted(of_model.items(), key=lambda item: model_key(item[0])):
        rows += _size(asked, QUARTER, model, cells, size_mb, "size", _QUARTER)
        for variant in sorted({cell.variant for cell in cells}, key=variant_key):
            if variant.startswith(FINE_TUNED):
                before = replace(asked, variant=variant, baseline=variant.partition("_")[2])
                rows += _size(before, SAVES_COMPRESSED, model, cells, size_mb, "size", _SAME_SIZE)
                limits = (_SAME_SIZE[1], math.inf)
                rows += _size(before, SAVES_COMPRESSED, model, cells, compressed_mb, "compressed size", limits)
    return rows


def _size(
    asked: _Question,
    finding: str,
    model: str,
    cells: Sequence[Cell],
    size: Callable[[Study, Cell], float],
    what: str,
    limits: tuple[float, float],
) -> list[dict]:
    """A row: baseline / candidate, confirmed if that is within limits; where both were measured in one way first."""
    mine = (cell for cell in cells if cell.variant == asked.variant)
    pairs = ((cell._replace(variant=asked.baseline), cell) for cell in mine)
    sizes = ([size(asked.study, cell) for cell in pair] for pair in pairs if pair[0] in asked.study.statuses)
    before, after = next((pair for pair in sizes if not math.isnan(sum(pair))), (math.nan, math.nan))
    quantity = f"baseline / candidate {what}"
    if math.isnan(before / after):
        return [asked.row(finding, quantity, subject=model, basis=f"the {what} of both is not known")]
    verdict = CONFIRMED if limits[0] <= before / after <= limits[1] else CONTRADICTED
    basis = f"{number(before)} and {number(after)} MB"
    return [asked.row(finding, quantity, Estimate(before / after), subject=model, verdict=verdict, n=1, basis=basis)]
