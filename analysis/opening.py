"""What a report opens with, on one screen: what was found, and how sure it is. What to distrust is in the notices.

Pure; computed from the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from analysis import stats
from analysis.findings import overall
from analysis.names import DEFAULT_BASELINE, DEFAULT_METRIC
from analysis.scenario import ANOTHER, SAME, TFLITE
from analysis.study import Machine, Study
from analysis.tables import (
    GEOMEAN,
    compared,
    count,
    interval,
    number,
    places,
    share_of_models,
    some,
    with_interval,
)

_NAMED = 5  # models


def found(study: Study, speedups: pd.DataFrame) -> list[str]:
    """One over all comparisons; then of each candidate the least and the greatest geometric mean, and what it slows."""
    sentences = [overall(speedups)]
    where = pd.Series([study.place_label(*place) for place in places(study, speedups)], speedups.index, dtype="str")
    for variant, mine in speedups.assign(where=where).groupby("variant", sort=False):
        means, models = mine[mine["model"] == GEOMEAN], mine[mine["model"] != GEOMEAN]
        means = means[means["speedup"].notna()].sort_values("speedup", kind="stable")
        if means.empty:
            continue
        of_models = " in the geometric mean of the models" if models["model"].nunique() > 1 else ""
        text = f"{variant}, against {means['baseline_variant'].iloc[0]}{of_models}: "
        if len(means) == 1:
            text += f"{_mean(means.iloc[0])} times as fast, {means['verdict'].iloc[0]}"
        else:
            least, most = (row for _, row in means.iloc[[0, -1]].iterrows())
            verdicts = Counter(means["verdict"])
            parts = [f"{verdict} on {verdicts[verdict]}" for verdict in stats.VERDICTS if verdicts[verdict]]
            text += f"from {_mean(least)} times as fast on {least['where']} to {_mean(most)} on {most['where']}; "
            text += f"{', '.join(parts)} of {len(means)}"
        sentences.append(f"{text}.")
        slower = Counter(models["model"][models["verdict"] == stats.SLOWER]).most_common()
        tested = Counter(models["model"][~models["verdict"].isin((stats.MISSING, stats.NOT_COMPARABLE))])
        names = [model if len(means) == 1 else f"{model} (on {n} of {tested[model]})" for model, n in slower[:_NAMED]]
        if names and of_models:
            more = f" and {len(slower) - _NAMED} more" if len(slower) > _NAMED else ""
            sentences.append(f"{variant} is slower for {', '.join(names)}{more}.")
    return sentences


def scenario(study: Study, table: pd.DataFrame | None) -> list[str]:
    """Of each model that was run in several ways: which is fastest, and which smallest, against running it natively.

    Of many models one sentence: which ways are fastest how often. `table` is `scenario.scenario`, if there is one.
    """
    if table is None:
        return []
    # A ratio without an interval is said where both sides ran once, and not where they are not to be compared.
    table = table[table["program"].ne("") & table["speedup"].notna() & (table["ci_low"].notna() | table["n"].eq(1))]
    best = table.loc[table.groupby(["model", "campaign", "host"], sort=False)["speedup"].idxmax()]
    if table["model"].nunique() > _NAMED:
        return [_fastest_of_many(best)]
    sentences = []
    for model, mine in table.groupby("model", sort=False):
        fastest = best[best["model"] == model]
        ways = fastest.assign(is_faster=fastest["speedup"] > 1).groupby(["runner", "variant", "is_faster"], sort=False)
        for (*_, is_faster), rows in ways:
            least, most = (row for _, row in rows.sort_values("speedup", kind="stable").iloc[[0, -1]].iterrows())
            text = f"{model}: {_way(study, mine, least, most if len(rows) > 1 else None)}"
            where = f" on {len(rows)} of {len(fastest)}" if len(fastest) > 1 else ""
            sentences.append(f"{text}. It is {'fastest' if is_faster else 'the fastest of the others'}{where}.")
        smaller = mine[mine["size_reduction"] > 1]
        if len(smaller):
            smallest = smaller.loc[smaller["size_mb"].idxmin()]
            if not (fastest[["runner", "variant"]] == smallest[["runner", "variant"]]).all(axis="columns").any():
                sentences.append(f"{model}: {_way(study, mine, smallest)}. It is smallest.")
    return sentences


def _fastest_of_many(best: pd.DataFrame) -> str:
    """Which way is fastest for how many models and machines, of the fastest row of each that is not the baseline."""
    names = (best["runner"] + " " + best["variant"]).where(best["speedup"] > 1, best["baseline"])
    ways = [f"{name} for {n}" for name, n in Counter(names).most_common()]
    models, machines = best["model"].nunique(), len(best[["campaign", "host"]].drop_duplicates())
    of = f"{count(models, 'model')} on {count(machines, 'machine')}, {len(best)} in all"
    return f"Of several ways to run {of}, fastest is {some(ways, _NAMED)}: see Speed, accuracy and size."


def _way(study: Study, table: pd.DataFrame, row: pd.Series, most: pd.Series | None = None) -> str:
    """'litert int8 is 2.41 (2.30 to 2.52) times as fast as keras float32, another program, on pi: faster; ...'.

    `table` has the other ways to run the model; `most` is the row of the machine where this one gains most.
    """
    speed = f"{row['label']} is {_times(row)} times as fast as"
    program = ", another program," if row["program"] == ANOTHER else ""
    verdict = "by one run of each, so without an interval" if pd.isna(row["ci_low"]) else row["verdict"]
    text = f"{speed} {row['baseline']}{program} on {_where(study, row)}: {verdict}"
    parts = [text, *_over_others(study, table, row)]
    if most is not None:
        parts.append(f"{_times(most)} times as fast as {most['baseline']} on {_where(study, most)}")
    if row["accuracy_verdict"]:
        points = with_interval(*(row[f"accuracy_difference_{name}"] for name in ("points", "ci_low", "ci_high")))
        parts.append(f"accuracy {row['accuracy_verdict']} (difference {points} points)")
    if row["size_reduction"] != 1 and pd.notna(row["size_reduction"]):
        larger = row["size_reduction"] < 1
        times = number(1 / row["size_reduction"] if larger else row["size_reduction"])
        parts.append(f"its file is {times} times {'larger' if larger else 'smaller'}")
    return "; ".join(parts)


def _times(row: pd.Series) -> str:
    return with_interval(row["speedup"], row["ci_low"], row["ci_high"])


def _over_others(study: Study, table: pd.DataFrame, row: pd.Series) -> Iterator[str]:
    """Against the native runner's compiled function and TFLite's float32: natively much is the price of a call."""
    there = table[(table["campaign"] == row["campaign"]) & (table["host"] == row["host"]) & (table.index != row.name)]
    is_compiled = there["program"].eq(SAME) & there["variant"].eq("compiled")
    is_tflite = there["runner"].isin(TFLITE) & there["variant"].eq(DEFAULT_BASELINE)
    for others in (there[is_compiled], there[is_tflite]):
        has_other_threads = others["threads"].ne(row["threads"]).fillna(True)
        for other in has_other_threads.sort_values(kind="stable").index[:1]:
            result = compared(study, DEFAULT_METRIC, *study.cells_of_runs(table.loc[[other, row.name]])).result
            if result:
                times = with_interval(result.speedup, result.ci_low, result.ci_high)
                yield f"{times} times as fast as {table.loc[other, 'label']}"


def _where(study: Study, row: pd.Series) -> str:
    return study.labels[Machine(row["campaign"], row["host"])]


def energy(study: Study, amounts: pd.DataFrame | None) -> list[str]:
    """What an inference takes at least and at most, then of each candidate the same of its ratios; [] if none is known.

    `amounts` is the table of `tables_energy`, if there is one.
    """
    known = pd.DataFrame() if amounts is None else amounts[amounts["energy_inference_j"].notna()]
    if known.empty:
        return []
    known = known.sort_values("energy_inference_j", kind="stable")
    ends = [_energy(study, known.iloc[[at]]) for at in dict.fromkeys((0, len(known) - 1))]
    sentences = [f"An inference takes {'from ' if len(ends) > 1 else ''}{' to '.join(ends)}."]
    means = amounts[(amounts["model"] == GEOMEAN) & amounts["ratio"].notna()]
    for variant, mine in means.groupby("variant", sort=False):
        mine = mine.sort_values("ratio", kind="stable")
        models = amounts["model"][(amounts["variant"] == variant) & (amounts["model"] != GEOMEAN)]
        of_models = " in the geometric mean of the models" if models.nunique() > 1 else ""
        ratios = [_mean(row, "ratio") for _, row in mine.iterrows()]
        text = f"{variant} takes {'' if len(mine) == 1 else 'from '}{ratios[0]} times the energy of "
        text += f"{mine['baseline_variant'].iloc[0]} per inference{of_models}"
        if len(mine) == 1:
            text += f": {mine['verdict'].iloc[0]}"
        else:
            first, last = (study.place_label(*place) for place in places(study, mine.iloc[[0, -1]]))
            verdicts = Counter(mine["verdict"])
            parts = [f"{verdict} on {verdicts[verdict]}" for verdict in sorted(verdicts)]
            text += f" on {first} to {ratios[-1]} on {last}; {', '.join(parts)} of {len(mine)}"
        sentences.append(f"{text}.")
    return sentences


def _energy(study: Study, row: pd.DataFrame) -> str:
    """'0.0123 J (0.0121 to 0.0125; MobileNet float32, Raspberry Pi 5)', of a table's one row."""
    (place,), (of,) = places(study, row), row.itertuples()
    bounds = interval(of.energy_inference_ci_low_j, of.energy_inference_ci_high_j)
    what = f"{of.model} {of.variant}, {study.place_label(*place)}"
    return f"{number(of.energy_inference_j)} J ({'; '.join(filter(None, (bounds, what)))})"


def _mean(row: pd.Series, ratio: str = "speedup") -> str:
    share = share_of_models(row["method"])
    return f"{number(row[ratio])} ({interval(row['ci_low'], row['ci_high'])}{f'; {share}' if share else ''})"


def sure(study: Study, speedups: pd.DataFrame, trust: pd.DataFrame) -> list[str]:
    """How many repetitions there are, how much they vary, how wide intervals are, how much is decided."""
    ok, measured = study.runs["status"].eq("ok").sum(), trust[trust["repetitions_max"] > 0]
    sentences = []
    if len(measured):
        least, most = measured["repetitions_min"].min(), measured["repetitions_max"].max()
        each = count(most, "repetition") if least == most else f"{least} to {most} repetitions"
        runs = f"{ok} of {count(len(study.runs), 'run')} {'is' if ok == 1 else 'are'} ok"
        sentences.append(f"{runs}: {each} of what has a result, each a process of its own.")
    if trust["cv_percent_median"].notna().any():
        median, most = (number(trust[f"cv_percent_{name}"].max(), 2) for name in ("median", "max"))
        on = ", on the machine where it is most" if len(measured) > 1 else ""
        text = f"Repetitions vary by {median} % (standard deviation; the median of the configurations{on})"
        sentences.append(f"{text}, {most} % at most.")
    models = speedups[(speedups["model"] != GEOMEAN) & speedups["ci_low"].notna()]
    if speedups.empty:
        return sentences
    if models.empty:
        return [*sentences, "No speedup has an interval: nothing here is sure."]
    half = 50 * (models["ci_high"] - models["ci_low"]) / models["speedup"]
    widest = models.loc[[half.idxmax()]]
    [(model, variant)], [at] = widest[["model", "variant"]].to_numpy(), places(study, widest)
    median, most = number(half.median(), 2), number(half.max(), 2)
    text = f"The 95 % intervals of the speedups are ± {median} % (median), ± {most} % at most"
    sentences.append(f"{text} ({model} {variant}, {study.place_label(*at)}).")
    decided = models["verdict"].isin((stats.FASTER, stats.SLOWER)).sum()
    text = f"{decided} of {count(len(models), 'comparison')} with an interval {'is' if decided == 1 else 'are'} decided"
    return [*sentences, f"{text}: p is below 0.05 after Holm's correction."]
