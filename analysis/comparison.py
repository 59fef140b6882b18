"""Two sides, A and B -> what changed from A to B beyond noise. Pure; `analysis.compare` is the command.

A side is one campaign, or several of the same. Change is defined here and nowhere else:

    change = mean of B / mean of A        (above 1 = B takes longer, or more memory)

It is the inverse of B's speedup over A, so its interval is Fieller's, see `analysis.stats`. Nothing is paired: block 3
of one campaign has nothing in common with block 3 of another. With one campaign on each side the replicate is the
process, and what differs from campaign to campaign (a reboot, memory layout, a build) is in no interval. With several
on each side the replicate is the campaign (Kalibera and Jones 2013: the highest level that was repeated).

Each change is held against a tolerance, by the same test against 1 + tolerance instead of 1:

- regression: B is slower beyond noise, and the interval lies above the tolerance, also after Holm's correction over
  all comparisons of the host: any one of them is an alarm, so many of them must not raise more false ones.
- no regression: the whole interval lies at or below the tolerance. Without correction, since all is well only if each
  comparison says so (an intersection-union test).
- uncertain: the interval has the tolerance inside, or only Holm's correction speaks against a regression.

Berger (1982), Multiparameter hypothesis testing and acceptance sampling, Technometrics 24, 295-300.
Kalibera and Jones (2013), Rigorous benchmarking in reasonable time, ISMM, 63-74.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import grids, stats
from analysis.campaign import Dataset
from analysis.errors import AnalysisError
from analysis.grids import Grid
from analysis.names import COLUMNS, DEFAULT_METRIC, INTEGER, METRICS, TIME_METRICS
from analysis.stats import Sample
from analysis.study import (
    SAME_ON_BOTH_SIDES,
    SETTING,
    STUDY_METRICS,
    Cell,
    Machine,
    Setting,
    Study,
    metric_label,
    plain,
)
from analysis.tables import GEOMEAN, MACHINE_FACTS, count, differing, number, why_missing

A, B = SIDES = ("A", "B")

REGRESSION, UNCERTAIN, NO_REGRESSION = "regression", "uncertain", "no regression"
OUTCOMES = (REGRESSION, stats.MISSING, stats.NOT_COMPARABLE, UNCERTAIN, NO_REGRESSION)  # worst first

# What two sides can be compared in: less is better. A ratio of spreads is no change of speed.
COMPARED = tuple(name for name in METRICS if name not in ("std_inference_ms", "images_per_s", "power_w"))
_OF_AMOUNTS = {stats.SLOWER: "larger", stats.FASTER: "smaller"}  # what a verdict is called where less is not faster

# What may be one thing in A and another in B, and is compared all the same. Sizes are not: another input, other work.
_FREE = ("runner", "threads", "delegate")
# Facts of a machine that are never twice the same, or say nothing about speed; the runs know the last two themselves.
_NOT_CONDITIONS = ("collected_utc", "clock_offset_s", "cpu_mhz", "sensors", "governor", "turbo")
# The machine's state around its runs: what to call the median, and which difference of medians is worth a word.
_STATES = {
    "other_cpu_percent": ("other load (% of all CPUs)", 2.0),
    "steal_percent": ("steal (% of all CPUs)", 1.0),
    "cpu_mhz_before": ("clock before runs (MHz)", 100.0),
    "temperature_before_c": ("temperature before runs (°C)", 5.0),
}
_TERMINAL_LINES = 30  # of each host's table; --output has all


@dataclass(frozen=True)
class Comparison:
    """What changed from A to B.

    Attributes:
        study: both sides; A's campaigns are called A/<campaign>, B's B/<campaign>.
        tolerance_percent: by how much B may be worse.
        table: compare.csv, one row per host, configuration and metric, worst first; after each host's rows the
            geometric mean of each metric. `a_mean` and `b_mean` are in the metric's unit, the replicates `a_n` and
            `b_n` are processes or campaigns; `p_value` is of the test that nothing changed, `p_tolerance` of the
            test that the change is the tolerance, `_holm` with Holm's correction over the host.
        conditions: what else differs between A and B: where, what, A's and B's.
        notes: what to know before believing a number, one sentence each.
    """

    study: Study
    tolerance_percent: float
    table: pd.DataFrame
    conditions: Grid
    notes: list[str]

    def of(self, outcome: str) -> pd.DataFrame:
        """The rows with an outcome."""
        return self.table[self.table["outcome"] == outcome]

    @property
    def has_regression(self) -> bool:
        return not self.of(REGRESSION).empty

    @property
    def is_empty(self) -> bool:
        """Whether no comparison could be made."""
        return bool(self.table["outcome"].isin((stats.MISSING, stats.NOT_COMPARABLE)).all())

    @property
    def decided(self) -> bool:
        """Whether every comparison says either regression or none, and nothing lacked or was wrong with the logs."""
        found = self.study.dataset
        known = self.table["outcome"].isin((REGRESSION, NO_REGRESSION)).all()
        return bool(known) and not (found.problems or found.unfinished)


def build(
    a: Dataset,
    b: Dataset,
    metrics: Sequence[str] | None = (DEFAULT_METRIC,),
    *,
    tolerance_percent: float,
    a_host: str | None = None,
    b_host: str | None = None,
) -> Comparison:
    """Compare B with A.

    Args:
        a, b: one campaign each, or several each.
        metrics: names from `COMPARED`; None = those of the study that a run reports.
        tolerance_percent: by how much B may be worse.
        a_host, b_host: only this host of a side.

    Raises:
        AnalysisError: there is nothing to compare: no such metric or host, no host or no campaigns to match.
    """
    asked = {A: (a, a_host), B: (b, b_host)}
    several = {name: len(dataset.campaigns) > 1 for name, (dataset, _) in asked.items()}
    if several[A] != several[B]:
        one, many = (A, B) if several[B] else (B, A)
        raise AnalysisError(
            f"{one} is one campaign and {many} is {len(asked[many][0].campaigns)} "
            f"({', '.join(asked[many][0].campaigns)}); give one on each side, or several on each"
        )
    sides = {name: _side(name, dataset, host) for name, (dataset, host) in asked.items()}
    free = _free(sides)
    study = Study(_merged(*(_without(sides[name], free) for name in SIDES)))
    metrics = _metrics(study, metrics)

    cells: dict[Machine, list[Cell]] = {machine: [] for machine in study.machines}
    for cell in study.cells:
        cells[cell.machine].append(cell)
    hosts: dict[str, dict[str, list[Machine]]] = {A: defaultdict(list), B: defaultdict(list)}
    for machine in study.machines:
        hosts[_side_of(machine)][machine.host].append(machine)
    pairs = _pairs(*(list(hosts[name]) for name in SIDES))
    ok = study.runs[study.runs["status"] == "ok"]
    states = ok.groupby(["campaign", "host"])[list(_STATES)].median()

    rows, conditions = [], _of_campaigns(study) + [("", name, *values) for name, values in free.items()]
    for pair in pairs:
        a_machines, b_machines = (hosts[name].get(host, []) for name, host in zip(SIDES, pair, strict=True))
        of_pair = _Pair(study, (a_machines, b_machines), several[A], tolerance_percent)
        kinds = dict.fromkeys(cell[1:] for machine in (*a_machines, *b_machines) for cell in cells[machine])
        here: list[_Change] = []
        for metric in metrics:
            changes = [change for kind in kinds if (change := of_pair.change(metric, kind))]
            here += [*changes, *of_pair.geomean(changes)]
        rows += _judged(study, pair, here, tolerance_percent)
        where = " / ".join(dict.fromkeys(filter(None, pair)))
        a_cells, b_cells = ([c for m in machines for c in cells[m]] for machines in (a_machines, b_machines))
        conditions += _of_hosts(study, where, a_machines, b_machines) + _of_runs(study, where, a_cells, b_cells)
        conditions += _of_states(states, where, a_machines, b_machines)
    if not rows:
        raise AnalysisError("A and B: no run says which model it is of; nothing to compare")
    return Comparison(
        study, tolerance_percent, _table(rows), _conditions(conditions, len(pairs)), _notes(study, several[A], pairs)
    )


# --- two sides in one study -------------------------------------------------------------------------------------------


def _side(name: str, dataset: Dataset, host: str | None) -> Dataset:
    """The dataset with its campaigns called `<name>/<campaign>`; of one host, if that is asked for."""
    known = sorted({*dataset.runs["host"], *(key[1] for key in (*dataset.hosts, *dataset.unfinished))})
    if host is not None and host not in known:
        option = f"--{name.lower()}-host"
        raise AnalysisError(f"{option} '{host}': {name} has no such host; there are: {', '.join(known)}")

    def mine(of_machines: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
        return {(f"{name}/{key[0]}", key[1]): value for key, value in of_machines.items() if host in (None, key[1])}

    runs = dataset.runs if host is None else dataset.runs[dataset.runs["host"] == host]
    only = {} if host is None else {"hosts": [host]}
    return replace(
        dataset,
        runs=runs.assign(campaign=pd.array([f"{name}/{campaign}" for campaign in runs["campaign"]], dtype="str")),
        campaigns={f"{name}/{campaign}": facts | only for campaign, facts in dataset.campaigns.items()},
        hosts=mine(dataset.hosts),
        plans=mine(dataset.plans),
        unfinished=mine(dataset.unfinished),
        problems=[f"{name}: {problem}" for problem in dataset.problems],
        leases={},
    )


def _side_of(machine: Machine) -> str:
    return machine.campaign.partition("/")[0]


def _free(sides: dict[str, Dataset]) -> dict[str, tuple[str, str]]:
    """The parts of a setting that have one value in all of A and another one in all of B."""
    found = {}
    for name in _FREE:
        values = [{str(v) for v in plain(sides[side].runs[name]) if v not in ("", None)} for side in SIDES]
        if all(len(of_side) == 1 for of_side in values) and values[0] != values[1]:
            found[name] = (*values[0], *values[1])
    return found


def _without(dataset: Dataset, settings: Iterable[str]) -> Dataset:
    """The dataset as if some parts of the setting were not known."""
    unknown = {name: pd.NA if COLUMNS[name] == INTEGER else "" for name in settings}
    runs = dataset.runs.assign(**unknown).astype({name: COLUMNS[name] for name in unknown})
    dashes = dict.fromkeys(unknown, "-")
    plans = {key: plan and [line | dashes for line in plan] for key, plan in dataset.plans.items()}
    return replace(dataset, runs=runs, plans=plans)


def _merged(a: Dataset, b: Dataset) -> Dataset:
    return replace(
        a,
        runs=pd.concat([a.runs, b.runs], ignore_index=True),
        **{name: getattr(a, name) | getattr(b, name) for name in ("campaigns", "hosts", "plans", "unfinished")},
        problems=a.problems + b.problems,
        notes=a.notes + b.notes,
    )


def _metrics(study: Study, asked: Sequence[str] | None) -> list[str]:
    """The metrics that were asked for, each once, else those of the study that a run reports."""
    reported = [name for name in COMPARED if study.runs[name].notna().any()]
    known = ", ".join(reported) or "none"
    for name in asked or ():
        if name not in reported:
            why = "no run of A or B reports it" if name in COMPARED else "not a metric"
            raise AnalysisError(f"metric '{name}': {why}; reported are: {known}")
    found = [name for name in STUDY_METRICS if name in reported] if asked is None else list(dict.fromkeys(asked))
    if not found:
        raise AnalysisError(f"--all-metrics: no run of A or B reports one of the study's; reported are: {known}")
    return found


def _pairs(a: Sequence[str], b: Sequence[str]) -> list[tuple[str, str]]:
    """Which host of A belongs to which of B: the one to the one, else by name; '' = the other side has none."""
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    if not set(a) & set(b):
        raise AnalysisError(
            f"A and B have no host in common (A: {', '.join(a)}; B: {', '.join(b)}); "
            "say which two to compare with --a-host and --b-host"
        )
    return [(host if host in a else "", host if host in b else "") for host in sorted({*a, *b})]


# --- one comparison ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """One metric of one configuration, or of all of a host.

    Attributes:
        kind: model, variant, setting.
        result: A / B; None if there is nothing to divide.
        beyond: the same with A made longer by the tolerance.
        verdict: NOT_COMPARABLE or MISSING; '' = to be judged by the results.
        reason: why not comparable or missing, or how many comparisons a geometric mean is of.
    """

    metric: str
    kind: tuple[str, str, Setting]
    result: stats.Speedup | stats.GeometricMean | None = None
    beyond: stats.Speedup | stats.GeometricMean | None = None
    verdict: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A host of A and one of B: the machines of either, one in each campaign that has it.

    Attributes:
        several: whether the sides are of several campaigns, so that campaigns are the replicates.
    """

    study: Study
    machines: tuple[Sequence[Machine], Sequence[Machine]]
    several: bool
    tolerance_percent: float

    def change(self, metric: str, kind: tuple[str, str, Setting]) -> _Change | None:
        """One configuration on both sides; None where it was measured on both, but not in this metric."""
        study, cells = self.study, [[Cell(machine, *kind) for machine in machines] for machines in self.machines]
        samples = [self._sample(of_side, metric) for of_side in cells]
        absent = [i for i in (0, 1) if not samples[i].values]
        if len(absent) == 2 and all(any(study.n(cell, "ok") for cell in of_side) for of_side in cells):
            return None
        if absent:
            reasons = [why_missing(study, cells[i][0], metric) if cells[i] else "no such host" for i in absent]
            reason = "; ".join(f"{SIDES[i]}: {why}" for i, why in zip(absent, reasons, strict=True))
            return _Change(metric, kind, verdict=stats.MISSING, reason=reason)
        facts = [
            {"model_sha256": study.known(of_side, "model_sha256")} | study.conditions(of_side, metric)
            for of_side in cells
        ]
        mixed = [
            f"{name} differs within {side}: {', '.join(map(_short, values))}"
            for side, of_side in zip(SIDES, facts, strict=True)
            for name, values in of_side.items()
            if len(values) > 1
        ]
        mixed = mixed or differing({"energy_meter": {meter for of in facts for meter in of.get("energy_meter", ())}})
        if mixed:
            return _Change(metric, kind, verdict=stats.NOT_COMPARABLE, reason="; ".join(mixed))
        try:
            result, beyond = self._speedups(*samples)
        except ValueError:
            return _Change(metric, kind, verdict=stats.NOT_COMPARABLE, reason="a mean is 0 or less")
        if math.isnan(result.ci_low):
            what = "campaigns" if self.several else "repetitions"
            reason = f"n = {result.n_baseline} and {result.n_candidate}; an interval needs 2 {what} of each"
            return _Change(metric, kind, result, beyond, stats.NOT_COMPARABLE, reason)
        return _Change(metric, kind, result, beyond)

    def geomean(self, changes: Sequence[_Change]) -> list[_Change]:
        """The geometric mean over all configurations that can be compared in a metric; none of fewer than two.

        Configurations of one campaign share what is its own, so with several campaigns these are averaged first.
        """
        used = [change for change in changes if not change.verdict]
        if len(used) < 2:
            return []
        if self.several:
            samples = [self._geomeans(machines, used) for machines in self.machines]
            if min(len(sample.values) for sample in samples) < 2:
                return []
            means = self._speedups(*samples)
        else:
            means = [stats.geometric_mean([getattr(change, name) for change in used]) for name in ("result", "beyond")]
        of = f"{len(used)} of " if len(used) < len(changes) else ""
        kind = (GEOMEAN, "", Setting("", None, "", None, None))
        return [_Change(used[0].metric, kind, *means, reason=f"of {of}{count(len(changes), 'comparison')}")]

    @property
    def _max_df(self) -> float:
        """Where a campaign stopped when it knew enough; the smaller of two sides'. Numbers of campaigns are fixed."""
        campaigns = [machine.campaign for machines in self.machines for machine in machines]
        return math.inf if self.several else self.study.max_df(*campaigns)

    def _speedups(self, a: Sample, b: Sample) -> tuple[stats.Speedup, stats.Speedup]:
        """A / B, and the same with A made longer by the tolerance."""
        longer = replace(a, values=[value * (1 + self.tolerance_percent / 100) for value in a.values])
        return stats.speedup(a, b, self._max_df), stats.speedup(longer, b, self._max_df)

    def _sample(self, cells: Sequence[Cell], metric: str) -> Sample:
        """A side's replicates: the repetitions of its campaign, or the means of its campaigns. Never in blocks."""
        samples = [self.study.sample(cell, metric) for cell in cells]
        if samples and not self.several:
            return replace(samples[0], blocks=[None] * len(samples[0].values))
        return _of_means([float(np.mean(sample.values)) for sample in samples if sample.values])

    def _geomeans(self, machines: Sequence[Machine], changes: Sequence[_Change]) -> Sample:
        """Of each campaign the geometric mean over some configurations; without campaigns that lack one of them.

        Memory is a growth, so that a mean of it may be 0 or less; such a campaign has no geometric mean either.
        """
        means = []
        for machine in machines:
            samples = [self.study.sample(Cell(machine, *change.kind), change.metric).values for change in changes]
            if all(samples) and min(map(np.mean, samples)) > 0:
                means.append(math.exp(np.mean([math.log(np.mean(values)) for values in samples])))
        return _of_means(means)


def _of_means(means: Sequence[float]) -> Sample:
    return Sample(means, [None] * len(means))


# --- the table --------------------------------------------------------------------------------------------------------


def _judged(
    study: Study, hosts: tuple[str, str], changes: Sequence[_Change], tolerance_percent: float
) -> list[dict[str, Any]]:
    """The rows of one pair of hosts, worst first."""
    p_values, p_beyond = (
        [math.nan if change.verdict else getattr(change, name).p_value for change in changes]
        for name in ("result", "beyond")
    )
    rows = []
    of_changes = zip(changes, p_values, stats.holm(p_values), p_beyond, stats.holm(p_beyond), strict=True)
    for change, p, p_holm, p_tolerance, p_tolerance_holm in of_changes:
        model, variant, setting = change.kind
        result, limit = change.result, 1 + tolerance_percent / 100
        ratio, low, high = (
            (_inverse(result.speedup), _inverse(result.ci_high), _inverse(result.ci_low)) if result else [math.nan] * 3
        )
        verdict = change.verdict or stats.verdict(result.ci_low, result.ci_high, p_holm)
        if change.verdict:
            outcome = change.verdict
        elif verdict == stats.SLOWER and low > limit and p_tolerance_holm < stats.ALPHA:
            outcome = REGRESSION
        else:
            outcome = NO_REGRESSION if high <= limit else UNCERTAIN
        sizes = {name: of.get(model) for name, of in study.own_sizes.items()}
        rows.append(
            {
                **dict(zip(("a_host", "b_host"), hosts, strict=True)),
                "model": model,
                "variant": variant,
                **setting._asdict(),
                **sizes,
                "metric": change.metric,
                "a_mean": getattr(result, "baseline", math.nan),
                "b_mean": getattr(result, "candidate", math.nan),
                "ratio": ratio,
                "ci_low": low,
                "ci_high": high,
                "change_percent": 100 * (ratio - 1),
                "p_value": p,
                "p_holm": p_holm,
                "p_tolerance": p_tolerance,
                "p_tolerance_holm": p_tolerance_holm,
                "verdict": _OF_AMOUNTS.get(verdict, verdict) if change.metric not in TIME_METRICS else verdict,
                "outcome": outcome,
                "a_n": getattr(result, "n_baseline", None),
                "b_n": getattr(result, "n_candidate", None),
                "reason": change.reason,
            }
        )
    return sorted(rows, key=_badness)


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio else math.inf


def _badness(row: dict[str, Any]) -> tuple:
    """Sort key: the worst first, geometric means last."""
    ratio = 0.0 if math.isnan(row["ratio"]) else row["ratio"]
    return (row["model"] == GEOMEAN, OUTCOMES.index(row["outcome"]), -ratio)


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    return table.astype({**{name: COLUMNS[name] for name in SETTING}, "a_n": INTEGER, "b_n": INTEGER})


# --- what else differs between A and B --------------------------------------------------------------------------------

_Condition = tuple[str, str, str, str]  # host ('' = all), what, A's, B's


def _campaigns(study: Study, side: str) -> list[str]:
    return [name for name in study.dataset.campaigns if name.partition("/")[0] == side]


def _of_campaigns(study: Study) -> list[_Condition]:
    """What campaign.json of the two sides say differently: the kit, and what was asked of it."""
    said: dict[str, dict[str, list[Any]]] = {A: defaultdict(list), B: defaultdict(list)}
    for side in SIDES:
        for name in _campaigns(study, side):
            git = study.campaign(name).get("git")
            revision = git.get("revision") if isinstance(git, dict) else None
            if isinstance(revision, str):
                changed = " with uncommitted changes" if git.get("dirty") else ""
                said[side]["revision of the kit"].append(f"{revision[:12]}{changed}")
            for key, value in study.asked(name).items():
                said[side][key.replace("_", " ")].append("none" if value in ("", [], None) else value)
    return _differing("", {what: (values, said[B][what]) for what, values in said[A].items() if what in said[B]})


def _of_hosts(study: Study, where: str, a: Sequence[Machine], b: Sequence[Machine]) -> list[_Condition]:
    """What host.json says differently about two hosts."""
    facts = [[study.dataset.hosts.get(machine) or {} for machine in machines] for machines in (a, b)]
    names = [name for name in MACHINE_FACTS if name not in _NOT_CONDITIONS]
    found = {name.replace("_", " "): [[of.get(name) for of in of_side] for of_side in facts] for name in names}
    return _differing(where, found)


def _of_runs(study: Study, where: str, a: Sequence[Cell], b: Sequence[Cell]) -> list[_Condition]:
    """What the sidecars say differently about runners, models, and what was set on the machine."""
    found = {name.replace("_", " "): [study.known(of_side, name) for of_side in (a, b)] for name in SAME_ON_BOTH_SIDES}
    for model in dict.fromkeys((cell.model, cell.variant) for cell in a):
        of_model = [[cell for cell in of_side if (cell.model, cell.variant) == model] for of_side in (a, b)]
        found["model file " + " ".join(model)] = [study.known(cells, "model_sha256") for cells in of_model]
    return _differing(where, found)


def _of_states(states: pd.DataFrame, where: str, a: Sequence[Machine], b: Sequence[Machine]) -> list[_Condition]:
    """How the machines were while they measured: medians over ok runs, where they are apart by more than a little."""
    mine = [states[states.index.isin(machines)].median() for machines in (a, b)]
    return [
        (where, f"{words}, median", *(number(of_side[name]) for of_side in mine))
        for name, (words, much) in _STATES.items()
        if abs(mine[1][name] - mine[0][name]) > much  # never if one is not known
    ]


def _differing(where: str, found: dict[str, Sequence[Sequence[Any]]]) -> list[_Condition]:
    """Of what is known on both sides, what differs."""
    texts = {
        what: [" or ".join(sorted(set(filter(None, map(_text, v))))) for v in both] for what, both in found.items()
    }
    return [(where, what, *map(_short, (a, b))) for what, (a, b) in texts.items() if a and b and a != b]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _short(text: str) -> str:
    """A checksum's first digits; other text as it is."""
    is_sum = len(text) == 64 and all(c in "0123456789abcdef" for c in text)
    return text[:12] if is_sum else text


def _conditions(found: Sequence[_Condition], n_hosts: int) -> Grid:
    """A line for each difference; hosts that have the same one share it."""
    hosts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for where, *difference in found:
        hosts[tuple(difference)].append(where)
    named = {
        what: "all" if "" in where or len(where) == n_hosts > 1 else ", ".join(where) for what, where in hosts.items()
    }
    return Grid.of(["Where", "What", A, B], ([where, *what] for what, where in named.items()))


# --- in words ---------------------------------------------------------------------------------------------------------


def _notes(study: Study, several: bool, pairs: Sequence[tuple[str, str]]) -> list[str]:
    found = [f"{a} of A is compared with {b} of B." for a, b in pairs if a and b and a != b]
    if several:
        found.append("Several campaigns on each side: each of them is one replicate.")
    else:
        text = "One campaign on each side: what differs from campaign to campaign (a reboot, memory layout, a build)"
        found.append(f"{text} is not in the intervals.")
    for (campaign, host), left in study.dataset.unfinished.items():
        side, _, name = campaign.partition("/")
        found.append(f"{side} is not complete: {name}/{host}: {left}.")
    return found + study.dataset.problems


def sides(study: Study) -> list[str]:
    """What A and B are, a line for each campaign: 'A: nightly, 2026-11-20, 140 runs: 138 ok, 2 invalid'."""
    lines = []
    for side in SIDES:
        for campaign in _campaigns(study, side):
            mine = study.runs[study.runs["campaign"] == campaign]
            days = sorted({start[:10] for start in mine["start_utc"] if start})
            when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
            counts = mine["status"].value_counts()
            runs = f"{count(len(mine), 'run')}: " + ", ".join(f"{n} {status}" for status, n in counts.items())
            lines.append(f"{side}: " + ", ".join(filter(None, (campaign.partition("/")[2], when, runs))))
    return lines


def verdict(comparison: Comparison) -> str:
    """The whole in a few sentences."""
    total, tolerance = len(comparison.table), f"{comparison.tolerance_percent:g} %"
    n = {outcome: len(comparison.of(outcome)) for outcome in OUTCOMES}
    bad = comparison.of(REGRESSION)
    if len(bad):
        worst = bad.loc[bad["ratio"].idxmax()]
        of = f"{n[REGRESSION]} of {count(total, 'comparison')}"
        text = (
            f"REGRESSION: in {of} B is worse by more than {tolerance}; the worst is {_named(worst)}: {change(worst)}."
        )
    elif n[NO_REGRESSION] == total:
        text = f"No regression: in none of {count(total, 'comparison')} is B worse by more than {tolerance}."
    elif n[NO_REGRESSION]:
        of = f"{n[NO_REGRESSION]} of {count(total, 'comparison')}"
        text = f"No regression found: in {of} B is not worse by more than {tolerance}; the others do not tell."
    else:
        text = f"No regression found, but none of {count(total, 'comparison')} tells whether B is worse by {tolerance}."
    if n[UNCERTAIN]:
        text += f" Uncertain: {n[UNCERTAIN]}; more repetitions or a larger tolerance would decide."
    for outcome in (stats.MISSING, stats.NOT_COMPARABLE):
        text += f" {outcome.capitalize()}: {n[outcome]}." if n[outcome] else ""
    return text


def _named(row: pd.Series) -> str:
    """'MobileNet float32 on pi5 (inference, average)'."""
    what = " ".join(filter(None, (row["model"], row["variant"])))
    return f"{what} on {row['b_host'] or row['a_host']} ({metric_label(row['metric'])[0].lower()})"


def change(row: pd.Series) -> str:
    """'+5.21 % (+4.80 to +5.60)'; '' = none."""
    text = percent(row["ratio"])
    bounds = percent_interval(row["ci_low"], row["ci_high"])
    return f"{text} % ({bounds})" if bounds else f"{text} %" if text else ""


def percent(ratio: float) -> str:
    """A ratio as a change in percent: 1.0521 is '+5.21'; '' = none."""
    if math.isnan(ratio):
        return ""
    if math.isinf(ratio):
        return "∞"
    value = 100 * (ratio - 1)
    decimals = 2 if abs(round(value, 2)) < 10 else 1 if abs(round(value, 1)) < 100 else 0
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"  # + 0.0 makes of -0.0 what people write


def percent_interval(low: float, high: float) -> str:
    """'+4.80 to +5.60'; '' = none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{percent(low)} to {percent(high)}"


def labels(comparison: Comparison, rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Model, variant and, where it varies, the setting of each row."""
    study = comparison.study
    found = []
    for row in rows.itertuples():
        if row.model == GEOMEAN:
            found.append(("geometric mean", "", ""))
            continue
        values = (None if pd.isna(value) else value for value in (getattr(row, name) for name in SETTING))
        found.append((row.model, row.variant, study.setting_label(Setting(*values))))
    return found


def grid(comparison: Comparison, rows: pd.DataFrame) -> Grid:
    """The rows of one pair of hosts as people read them."""
    texts = []
    for (model, variant, setting), (_, row) in zip(labels(comparison, rows), rows.iterrows(), strict=True):
        name, unit = metric_label(row["metric"])
        n = "" if pd.isna(row["a_n"]) else f"{row['a_n']}/{row['b_n']}"
        means = f"{number(row['a_mean'])}", f"{number(row['b_mean'])}"
        change = percent(row["ratio"]), percent_interval(row["ci_low"], row["ci_high"])
        judged = row["verdict"], row["outcome"] if row["outcome"] != row["verdict"] else "", row["reason"]
        texts.append([model, variant, setting, f"{name} ({unit})", *means, *change, n, *judged])
    head = ["Model", "Variant", "Setting", "Metric", "#A", "#B", "#Change (%)", "#95 % interval", "#n", "Verdict"]
    whole = Grid.of([*head, "Outcome", "Remark"], texts)
    one_metric = len({row[3] for row in whole.rows}) == 1
    return _columns(whole, [i for i in range(len(whole.head)) if not (i == 3 and one_metric)])


def _columns(whole: Grid, keep: Iterable[int]) -> Grid:
    """Some columns, without those that are empty."""
    keep = [i for i in keep if any(row[i] for row in whole.rows)]
    head = [("#" if i in whole.numeric else "") + whole.head[i] for i in keep]
    return Grid.of(head, ([row[i] for i in keep] for row in whole.rows))


def by_hosts(comparison: Comparison) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of each pair of hosts with what to call them: 'Raspberry Pi 5 (pi)'."""
    platforms = comparison.study.platforms
    names = {
        (_side_of(m), m.host): m.host if m.host == label else f"{label} ({m.host})" for m, label in platforms.items()
    }
    for (a, b), rows in comparison.table.groupby(["a_host", "b_host"], sort=False):
        of_sides = (names.get(key, "") for key in ((A, a), (B, b)))
        yield " / ".join(dict.fromkeys(filter(None, of_sides))), rows


def text(comparison: Comparison) -> str:
    """For the terminal: what differs first, the verdict last."""
    blocks = ["\n".join(sides(comparison.study)), _plain_conditions(comparison)]
    for name, rows in by_hosts(comparison):
        shown = max(_TERMINAL_LINES, int((rows["outcome"] == REGRESSION).sum()))
        lines = [_title(comparison, name, rows), grids.plain(grid(comparison, rows.head(shown)))]
        lines += [f"and {len(rows) - shown} more; --output has all"] if len(rows) > shown else []
        blocks.append("\n".join(lines))
    blocks.append("\n".join([*(f"! {note}" for note in comparison.notes), verdict(comparison)]))
    return "\n\n".join(blocks)


NOTHING_ELSE = "Nothing that is on record on both sides differs between A and B."


def _plain_conditions(comparison: Comparison) -> str:
    if not comparison.conditions.rows:
        return NOTHING_ELSE
    return "Differs between A and B, and may be why:\n" + grids.plain(comparison.conditions)


def _title(comparison: Comparison, hosts: str, rows: pd.DataFrame) -> str:
    metrics = rows["metric"].drop_duplicates()
    what = " ({}, {})".format(*metric_label(metrics.iloc[0])) if len(metrics) == 1 else ""
    return f"{hosts}{what.lower()}: B against A, tolerance {comparison.tolerance_percent:g} %"


def markdown(comparison: Comparison) -> str:
    """compare.md: the verdict first, then what differs, then every comparison."""
    found = comparison.conditions
    parts = ["# B against A", "**" + grids.markdown_text(verdict(comparison)) + "**"]
    parts.append("\n".join(f"- {grids.markdown_text(line)}" for line in sides(comparison.study)))
    parts += ["## What differs between A and B", grids.markdown(found) if found.rows else NOTHING_ELSE]
    for name, rows in by_hosts(comparison):
        title = grids.markdown_text(_title(comparison, name, rows))
        parts += [f"## {title}", grids.markdown(grid(comparison, rows))]
    notes = [*comparison.notes, METHOD]
    return "\n\n".join([*parts, "## To know", "\n".join(f"- {grids.markdown_text(n)}" for n in notes)]) + "\n"


METHOD = (
    "Change: mean of B / mean of A, 95 % Fieller interval, nothing paired. Verdict: against no change, p-values after "
    "Holm's correction over each host. Regression: slower, and the interval beyond the tolerance, also after Holm's "
    "correction; no regression: the interval at or below the tolerance; else uncertain."
)
