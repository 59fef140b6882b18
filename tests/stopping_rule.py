"""The stopping rule of run_benchmark.sh once more, in numpy, for tests: one of the two can be wrong, hardly both alike.

A configuration leaves the plan after a block when the half widths of the 95 % intervals of its mean and of its speedups
are at most the target. Intervals are those of `analysis.stats`, with Fieller's degrees of freedom at the estimate and
all degrees of freedom at most `least` - 1 (after Stein 1945, A two-sample test for a linear hypothesis whose power is
independent of the variance, Ann. Math. Stat. 16).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special


def mean_half_percent(values: NDArray, least: int) -> NDArray:
    """Half widths of the intervals of means, in percent of them.

    Args:
        values: (..., blocks), any unit; NaN = no value in that block.
        least: min_repetitions.

    Returns:
        (...,); inf with fewer than two values.
    """
    n = np.sum(~np.isnan(values), axis=-1)
    t = special.stdtrit(np.maximum(np.minimum(n, least) - 1, 1), 0.975)
    return np.where(n < 2, np.inf, 100 * t * np.sqrt(_relative_variance(values)))


def speedup_half_percent(baseline: NDArray, candidate: NDArray, least: int) -> NDArray:
    """Half widths of Fieller's intervals of mean baseline / mean candidate, in percent of it.

    Args:
        baseline, candidate: (..., blocks), as in `mean_half_percent`; the same block = a pair.
        least: min_repetitions.

    Returns:
        (...,); inf where unbounded, or with fewer than two values on a side.
    """
    has_b, has_c = ~np.isnan(baseline), ~np.isnan(candidate)
    n_b, n_c, pairs = (np.sum(has, axis=-1).astype(float) for has in (has_b, has_c, has_b & has_c))
    var_b, var_c = _relative_variance(baseline), _relative_variance(candidate)
    pairs = np.where(pairs < 2, 0.0, pairs)
    both = has_b & has_c
    with np.errstate(all="ignore"):
        deviations = [np.where(both, x - _mean(np.where(both, x, np.nan)), 0.0) for x in (baseline, candidate)]
        bb, cc, bc = (np.sum(deviations[i] * deviations[k], axis=-1) for i, k in ((0, 0), (1, 1), (0, 1)))
        correlation = np.where((pairs > 0) & (bb > 0) & (cc > 0), bc / np.sqrt(bb * cc), 0.0)
        covariance = correlation * np.sqrt(var_b * var_c) * pairs / np.sqrt(n_b * n_c)
        welch = (var_b + var_c) ** 2 / (var_b**2 / (n_b - 1) + var_c**2 / (n_c - 1))
        single = n_b + n_c - 2 * pairs
        df = pairs - 1 + (welch - pairs + 1) * single / (single + 2 * pairs)
        t2 = special.stdtrit(np.minimum(df, least - 1), 0.975) ** 2
        root = np.sqrt((1 - t2 * covariance) ** 2 - (1 - t2 * var_b) * (1 - t2 * var_c))
        half = np.where(t2 * var_c < 1, 100 * root / (1 - t2 * var_c), np.inf)
    half = np.where(var_b + var_c == 0, 0.0, np.where(np.isnan(half), np.inf, half))
    return np.where((n_b < 2) | (n_c < 2), np.inf, half)


def stops(values: NDArray, least: int, target_percent: float, baseline: int | None = 0) -> NDArray:
    """Which configurations of one model and setting leave the plan after the last block of `values`.

    Args:
        values: (..., variants, blocks), as in `mean_half_percent`; a variant without any value has nothing to wait for.
        least: min_repetitions; fewer blocks than that stop nothing.
        target_percent: of the half widths.
        baseline: position of the baseline among the variants; None = there is none.

    Returns:
        (..., variants) of bool.
    """
    n = np.sum(~np.isnan(values), axis=-1)
    if values.shape[-1] < least:
        return np.zeros(n.shape, dtype=bool)
    narrow = (n >= least) & (mean_half_percent(values, least) <= target_percent)
    if baseline is not None:
        base = values[..., baseline : baseline + 1, :]
        speedup = speedup_half_percent(base, values, least) <= target_percent
        works = n > 0
        speedup |= ~works | ~works[..., baseline : baseline + 1]
        speedup[..., baseline] = True
        narrow &= speedup
        narrow[..., baseline] &= speedup.all(axis=-1)
    return narrow | (n == 0)


def _mean(values: NDArray) -> NDArray:
    """Without NaN; keeps the last axis."""
    has = ~np.isnan(values)
    return np.sum(np.where(has, values, 0.0), axis=-1, keepdims=True) / np.sum(has, axis=-1, keepdims=True)


def _relative_variance(values: NDArray) -> NDArray:
    """Of the mean, relative to it; 0 for fewer than two values."""
    has = ~np.isnan(values)
    n = np.sum(has, axis=-1)
    with np.errstate(all="ignore"):
        relative = np.where(has, values / _mean(values) - 1, 0.0)
    return np.sum(relative**2, axis=-1) / np.maximum(n * (n - 1), 1)
