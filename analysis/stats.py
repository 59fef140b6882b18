"""Means, speedups and their intervals. The replicate is always the process execution (one repetition).

Speedup is defined here and nowhere else:

    speedup = mean baseline time / mean candidate time        (above 1 = the candidate is faster)

Its interval is Fieller's: all ratios r for which a two-sided t-test does not reject `mean baseline - r * mean
candidate = 0`. The test is the t-test for partially overlapping samples: repetitions that the plan put into the same
block are pairs, the others are independent. With pairs only and r = 1 it is `scipy.stats.ttest_rel`, without pairs it
is Welch's `ttest_ind(equal_var=False)`; in between, where a configuration left the plan early or a run failed, no
repetition is thrown away. The interval contains 1 just when p > 0.05.

Where a campaign stops measuring a configuration as soon as it is known well enough, `max_df` caps the degrees of
freedom at those of its first repetitions (Stein 1945), since intervals that end the measuring once they are narrow
are too narrow.

Fieller (1954), Some problems in interval estimation, J. R. Stat. Soc. B 16, 175-185.
Derrick, Russ, Toher and White (2017), Test statistics for the comparison of means for two samples that include both
paired and independent observations, J. Mod. Appl. Stat. Methods 16, 137-157.
Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 65-70.
Stein (1945), A two-sample test for a linear hypothesis whose power is independent of the variance, Ann. Math. Stat. 16,
243-258.
Hedges (1981), Distribution theory for Glass's estimator of effect size, J. Educ. Stat. 6, 107-128.
Bonett (2008), Confidence intervals for standardized linear contrasts of means, Psychol. Methods 13, 99-109.
Wilcoxon (1945), Individual comparisons by ranking methods, Biometrics Bull. 1, 80-83.
Tukey (1977), Exploratory data analysis, Addison-Wesley.
Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
Psychometrika 65, 23-28.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special  # special.stdtr(it) is Student's t; scipy.stats costs half a second to import

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
_UPPER = 1 - ALPHA / 2

FENCE_IQR = 3.0  # Tukey's outer fences
FENCES_FROM = 8  # repetitions; of 5 normal ones 3 % would be outliers, of 8 or 10 it is 0.6 %

EXACT_UP_TO = 50  # values of a side; with more, exact ranks take seconds and tell nothing else

BLOCKS_FROM = 5
SHUFFLES = 999
SHUFFLE_SEED = 1  # the same logs give the same report

FASTER, SLOWER, NOT_DISTINGUISHABLE = "faster", "slower", "not distinguishable"
NOT_COMPARABLE, MISSING = "not comparable", "missing"
VERDICTS = (FASTER, SLOWER, NOT_DISTINGUISHABLE, NOT_COMPARABLE, MISSING)


def mean_interval(
    mean: ArrayLike, sd: ArrayLike, n: ArrayLike, max_df: ArrayLike = math.inf
) -> tuple[NDArray, NDArray]:
    """95 % t-interval of means over n repetitions; NaN where n < 2. Works on scalars and arrays, keeps the unit."""
    mean, sd, n = (np.asarray(x, dtype=float) for x in (mean, sd, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = special.stdtrit(np.minimum(n - 1, max_df), _UPPER) * sd / np.sqrt(n)
    return mean - half, mean + half


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of one configuration: a value per repetition, and the block that each was measured in.

    Attributes:
        values: any unit, the same on both sides of a comparison.
        blocks: None = not measured in blocks; then nothing is paired.
    """

    values: Sequence[float]
    blocks: Sequence[int | None]

    def by_block(self) -> dict[int, float] | None:
        """Value by block; None unless every repetition has a block of its own."""
        if None in self.blocks or len(set(self.blocks)) < len(self.blocks):
            return None
        return dict(zip(self.blocks, self.values, strict=True))


@dataclass(frozen=True, slots=True)
class Speedup:
    """Mean baseline / mean candidate, and how sure that is.

    Attributes:
        baseline, candidate: the two means.
        speedup: baseline / candidate.
        ci_low, ci_high: 95 % Fieller interval; 0 or inf = unbounded on that side, NaN = fewer than 2 repetitions.
        p_value: of the t-test that speedup is 1, not corrected; NaN as above.
        n_baseline, n_candidate: repetitions.
        n_pairs: blocks that both sides share; 0 = compared as independent.
        log_variance, log_df: variance of log(speedup) by the delta method, and its degrees of freedom.
    """

    baseline: float
    candidate: float
    speedup: float
    ci_low: float
    ci_high: float
    p_value: float
    n_baseline: int
    n_candidate: int
    n_pairs: int
    log_variance: float
    log_df: float


def speedup(baseline: Sample, candidate: Sample, max_df: float = math.inf) -> Speedup:
    """Compare two samples; repetitions in common blocks count as pairs if there are two or more.

    Args:
        baseline, candidate: one or more values each.
        max_df: degrees of freedom at most.

    Raises:
        ValueError: a side is empty or its mean is not positive: such a ratio means nothing.
    """
    difference = _difference(baseline, candidate, max_df)
    mean_b, mean_c, n_b, n_c = difference.mean_b, difference.mean_c, difference.n_b, difference.n_c
    ratio = mean_b / mean_c
    if min(n_b, n_c) < 2:
        nan = math.nan
        return Speedup(mean_b, mean_c, ratio, nan, nan, nan, n_b, n_c, difference.n_pairs, nan, nan)

    inverse_low = difference.swapped().smallest_ratio()
    return Speedup(
        baseline=mean_b,
        candidate=mean_c,
        speedup=ratio,
        ci_low=difference.smallest_ratio(),
        ci_high=1 / inverse_low if inverse_low > 0 else math.inf,
        p_value=difference.p_value(),
        n_baseline=n_b,
        n_candidate=n_c,
        n_pairs=difference.n_pairs,
        log_variance=difference.variance(ratio) / mean_b**2,
        log_df=difference.df(ratio),
    )


def order(one: Sample, other: Sample, max_df: float = math.inf) -> int:
    """1 = one is less than the other beyond noise, -1 = more, 0 = neither, or not known: fewer than two values.

    By the test of `speedup`, without its interval, whose ends take many times as long to find.

    Raises:
        ValueError: as `speedup`.
    """
    difference = _difference(other, one, max_df)
    if min(difference.n_b, difference.n_c) < 2 or difference.p_value() >= ALPHA:
        return 0
    return 1 if difference.mean_c < difference.mean_b else -1


def _difference(baseline: Sample, candidate: Sample, max_df: float) -> _Difference:
    """Raises ValueError, as `speedup`."""
    b, c = np.asarray(baseline.values, dtype=float), np.asarray(candidate.values, dtype=float)
    if not (len(b) and len(c)):
        raise ValueError("a side has no values")
    mean_b, mean_c = float(b.mean()), float(c.mean())
    if not (mean_b > 0 and mean_c > 0):
        raise ValueError(f"a mean is not positive: baseline {mean_b:g}, candidate {mean_c:g}")
    paired_b, paired_c = pairs(baseline, candidate)
    return _Difference(
        mean_b=mean_b,
        mean_c=mean_c,
        sd_b=float(b.std(ddof=1)) if np.ptp(b) else 0.0,  # equal values, but for the rounding of their mean
        sd_c=float(c.std(ddof=1)) if np.ptp(c) else 0.0,
        n_b=len(b),
        n_c=len(c),
        n_pairs=len(paired_b),
        correlation=_correlation(paired_b, paired_c),
        max_df=max_df,
    )


def pairs(baseline: Sample, candidate: Sample) -> tuple[NDArray, NDArray]:
    """Both sides' values in the blocks that they share, in order of blocks; none if those are fewer than two."""
    b, c = baseline.by_block(), candidate.by_block()
    common = sorted(b.keys() & c.keys()) if b and c else []
    if len(common) < 2:
        return np.array([]), np.array([])
    return np.array([b[k] for k in common], dtype=float), np.array([c[k] for k in common], dtype=float)


def _correlation(b: NDArray, c: NDArray) -> float:
    """Pearson's, 0 where there is no spread to speak of one."""
    return float(np.corrcoef(b, c)[0, 1]) if len(b) and np.ptp(b) and np.ptp(c) else 0.0


@dataclass(frozen=True, slots=True)
class _Difference:
    """mean_b - ratio * mean_c as the t-test for partially overlapping samples sees it."""

    mean_b: float
    mean_c: float
    sd_b: float
    sd_c: float
    n_b: int
    n_c: int
    n_pairs: int
    correlation: float
    max_df: float

    def swapped(self) -> _Difference:
        return replace(
            self,
            mean_b=self.mean_c,
            mean_c=self.mean_b,
            sd_b=self.sd_c,
            sd_c=self.sd_b,
            n_b=self.n_c,
            n_c=self.n_b,
        )

    def variance(self, ratio: float) -> float:
        """Never negative but for rounding, since n_pairs / (n_b * n_c) <= 1 / sqrt(n_b * n_c)."""
        covariance = self.correlation * self.sd_b * self.sd_c * self.n_pairs / (self.n_b * self.n_c)
        return max(0.0, self.sd_b**2 / self.n_b + ratio**2 * self.sd_c**2 / self.n_c - 2 * ratio * covariance)

    def df(self, ratio: float) -> float:
        """n_pairs - 1 if all are pairs, Satterthwaite's if none are, in between by share (Derrick et al.)."""
        variances = (self.sd_b**2 / self.n_b, ratio**2 * self.sd_c**2 / self.n_c)
        welch = satterthwaite(variances, (self.n_b - 1, self.n_c - 1))
        single = self.n_b + self.n_c - 2 * self.n_pairs
        df = self.n_pairs - 1 + (welch - self.n_pairs + 1) * single / (single + 2 * self.n_pairs)
        return min(df, self.max_df)

    def p_value(self) -> float:
        """Two-sided, of ratio 1."""
        distance, variance = abs(self.mean_b - self.mean_c), self.variance(1.0)
        if variance == 0:
            return float(distance == 0)
        return 2 * float(special.stdtr(self.df(1.0), -distance / math.sqrt(variance)))

    def smallest_ratio(self) -> float:
        """Smallest ratio >= 0 that the test does not reject; 0 = no ratio is too small."""

        def excess(ratio: float) -> float:
            t = float(special.stdtrit(self.df(ratio), _UPPER))
            return (self.mean_b - ratio * self.mean_c) ** 2 - t**2 * self.variance(ratio)

        estimate = self.mean_b / self.mean_c
        if excess(0.0) <= 0:
            return 0.0
        if excess(estimate) >= 0:  # no spread: nothing but the estimate itself is accepted
            return estimate
        return optimize.brentq(excess, 0.0, estimate)


def satterthwaite(variances: Sequence[float], df: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances (Welch-Satterthwaite); all of them if there is no spread."""
    total = math.fsum(variances)
    if total <= 0:
        return math.fsum(df)
    return 1 / math.fsum((v / total) ** 2 / d for v, d in zip(variances, df, strict=True))


@dataclass(frozen=True, slots=True)
class GeometricMean:
    """Geometric mean of the speedups of n models, its 95 % interval and the p-value that it is 1."""

    speedup: float
    ci_low: float
    ci_high: float
    p_value: float
    n: int


def geometric_mean(speedups: Sequence[Speedup]) -> GeometricMean:
    """Geometric mean of speedups that have intervals.

    The interval covers the noise between repetitions (delta method on the logs, Satterthwaite's combination of the
    speedups' degrees of freedom), with the models taken as given and their noise as independent; it says nothing about
    other models.

    Raises:
        ValueError: no speedups.
    """
    if not speedups:
        raise ValueError("no speedups to average")
    n = len(speedups)
    if n == 1:  # the same numbers as for the model itself
        (only,) = speedups
        return GeometricMean(only.speedup, only.ci_low, only.ci_high, only.p_value, n)
    centre = float(np.mean([math.log(s.speedup) for s in speedups]))
    variances = [s.log_variance for s in speedups]
    error = math.sqrt(sum(variances)) / n
    df = satterthwaite(variances, [s.log_df for s in speedups])
    half = float(special.stdtrit(df, _UPPER)) * error
    p_value = 2 * float(special.stdtr(df, -abs(centre) / error)) if error > 0 else float(centre == 0)
    return GeometricMean(math.exp(centre), math.exp(centre - half), math.exp(centre + half), p_value, n)


def holm(p_values: ArrayLike) -> NDArray:
    """Holm's adjusted p-values of one family; NaN (not tested) stays NaN and does not count."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def verdict(ci_low: float, ci_high: float, p_holm: float) -> str:
    """'faster' or 'slower' only if a bounded interval leaves out 1 and the corrected p-value agrees."""
    bounded = ci_low > 0 and math.isfinite(ci_high)
    if not bounded or ci_low <= 1 <= ci_high or not p_holm < ALPHA:
        return NOT_DISTINGUISHABLE
    return FASTER if ci_low > 1 else SLOWER


# --- beside the t-test ------------------------------------------------------------------------------------------------


def rank_test(baseline: Sample, candidate: Sample) -> tuple[float, float]:
    """Two-sided p-value of a rank test that speedup is 1, and the least one that so few values can give.

    Pairs, where there are any: Wilcoxon's signed ranks, which has no use for repetitions without a partner; else Mann
    and Whitney's test. Both are exact for small samples without ties, else normal approximations. Ranks, not random
    permutations of the means: they see what the t-test does not (one odd run moves a mean, not a rank), and no seed
    decides. NaN where there is nothing to rank: fewer than 2 values of a side, or all are equal.

    Returns:
        (p-value, the least that it can be).
    """
    from scipy import stats as tests  # half a second

    b, c = pairs(baseline, candidate)
    if len(b):
        difference = (b - c)[b != c]
        if not len(difference):
            return math.nan, math.nan
        found = tests.wilcoxon(difference, method=_method(np.abs(difference), len(difference)))
        return float(found.pvalue), 2.0 ** (1 - len(difference))
    b, c = np.asarray(baseline.values, dtype=float), np.asarray(candidate.values, dtype=float)
    both = np.concatenate([b, c])
    if min(len(b), len(c)) < 2 or not np.ptp(both):
        return math.nan, math.nan
    found = tests.mannwhitneyu(b, c, method=_method(both, max(len(b), len(c))))
    return float(found.pvalue), 2 / math.comb(len(both), len(b))


def _method(ranked: NDArray, n: int) -> str:
    tied = len(np.unique(ranked)) < len(ranked)
    return "asymptotic" if tied or n > EXACT_UP_TO else "exact"


def hedges_g(baseline: Sample, candidate: Sample) -> float:
    """By how many standard deviations (between repetitions) the means differ; above 0 = the candidate is faster.

    The unit is the root of the mean of both variances (Bonett 2008): the same for pairs and independent samples, and
    right where spreads differ. Hedges' correction for small samples. NaN where it has no unit.
    """
    b, c = np.asarray(baseline.values, dtype=float), np.asarray(candidate.values, dtype=float)
    if min(len(b), len(c)) < 2 or not (np.ptp(b) or np.ptp(c)):
        return math.nan
    unit = math.sqrt((b.var(ddof=1) + c.var(ddof=1)) / 2)
    return float((b.mean() - c.mean()) / unit * (1 - 3 / (4 * (len(b) + len(c) - 2) - 1)))


def disagreement(verdict: str, p_rank: float, p_rank_holm: float, p_rank_least: float) -> str:
    """A remark where the rank test and a verdict of the t-test differ; '' where they do not, or it could not tell.

    Either must be clear: a verdict that ranks do not support even uncorrected, or a difference that only ranks find.
    """
    if verdict in (FASTER, SLOWER) and p_rank >= ALPHA > p_rank_least:
        return f"the rank test does not find this (p = {p_rank:.2g})"
    if verdict == NOT_DISTINGUISHABLE and p_rank_holm < ALPHA:
        return f"the rank test finds a difference (p = {p_rank_holm:.2g}, Holm)"
    return ""


# --- rank correlations ------------------------------------------------------------------------------------------------

RANKED_FROM = 3  # things; of two the rank correlation is always 1 or -1
PERMUTATIONS = 9999  # at most; up to 7! = 5040 all of them are tried


def rank_interval(rho: float, n: int) -> tuple[float, float]:
    """95 % interval of Spearman's rank correlation of n things; NaN where n < 4. Conservative up to 0.9 for few things.

    Fisher's z with the variance of Bonett and Wright (2000). Half a step between two values that rho can have is a
    continuity correction: else a perfect order of a few things would have an interval of no width.
    """
    if n < 4 or math.isnan(rho):
        return math.nan, math.nan
    half_step = 6 / (n * (n * n - 1))
    inner = min(max(rho, half_step - 1), 1 - half_step)
    half = float(special.ndtri(_UPPER)) * math.sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(inner) + side) for side in (-half, half))
    return min(low, rho), max(high, rho)


def mean_rank_correlation(predictor: ArrayLike, measured: ArrayLike) -> tuple[float, float]:
    """Mean over strata of Spearman's rank correlation over things, and the p-value that it is 0.

    The p-value is of a permutation test that deals the predictors out to the things anew, to a thing the same in all
    strata: strata that rank the same things again add no evidence. Two-sided.

    Args:
        predictor: things x strata, whole; any unit.
        measured: the same; NaN = not measured.

    Returns:
        (mean, p); NaN where no stratum has 3 measured things and spread in both. p is NaN for fewer than 3 things.
    """
    from scipy import stats as tests  # half a second

    ranks = (
        np.nan_to_num(tests.rankdata(np.asarray(values, dtype=float), axis=0, nan_policy="omit"))
        for values in (predictor, measured)
    )
    return _of_ranks(*(tuple(map(tuple, of.tolist())) for of in ranks))


@lru_cache(maxsize=1024)  # many machines rank the same things in the same order
def _of_ranks(predictor: tuple[tuple[float, ...], ...], measured: tuple[tuple[float, ...], ...]) -> tuple[float, float]:
    """`mean_rank_correlation` of ranks; 0 = not measured."""
    from scipy import stats as tests

    x, y = np.array(predictor, ndmin=2), np.array(measured, ndmin=2)
    there = y > 0
    strata = [
        (x[:, j], there[:, j], tests.rankdata(y[there[:, j], j]))
        for j in range(x.shape[1])
        if there[:, j].sum() >= RANKED_FROM and np.ptp(y[there[:, j], j]) and np.ptp(x[there[:, j], j])
    ]
    if not strata:
        return math.nan, math.nan

    def mean_rho(order: NDArray, axis: int = -1) -> NDArray:
        order = np.moveaxis(np.asarray(order, dtype=int), axis, -1)
        return np.mean([_correlations(tests.rankdata(x_j[order][..., of], axis=-1), y_j) for x_j, of, y_j in strata], 0)

    order = np.arange(len(x))
    found = tests.permutation_test(
        (order,), mean_rho, permutation_type="pairings", vectorized=True, n_resamples=PERMUTATIONS, rng=SHUFFLE_SEED
    )
    return float(mean_rho(order)), min(1.0, float(found.pvalue))


def _correlations(ranks: NDArray, of: NDArray) -> NDArray:
    """Pearson's along the last axis; 0 where there is no spread."""
    a, b = ranks - ranks.mean(axis=-1, keepdims=True), of - of.mean()
    spread = np.sqrt((a**2).sum(axis=-1) * (b**2).sum())
    return np.divide((a * b).sum(axis=-1), spread, out=np.zeros(a.shape[:-1]), where=spread > 0)


def least_rank_p(n: int) -> float:
    """The least p-value that the permutation test of a rank correlation of n things can give."""
    return min(1.0, 2 / math.factorial(min(n, 20)))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; NaN where there is no spread."""
    from scipy import stats as tests  # half a second

    return float(tests.spearmanr(x, y).statistic) if np.ptp(x) and np.ptp(y) else math.nan


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent of a power law through points whose both coordinates are positive: least squares on logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def student(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, its 95 % t-interval and the p-value that it is 0; NaN where there are too few values."""
    n = len(values)
    if not n:
        return math.nan, math.nan, math.nan, math.nan
    mean = float(np.mean(values))
    if n < 2:
        return mean, math.nan, math.nan, math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = float(special.stdtrit(n - 1, _UPPER)) * error
    p_value = 2 * float(special.stdtr(n - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return mean, mean - half, mean + half, p_value


# --- repetitions ------------------------------------------------------------------------------------------------------


def fences(first_quartile: ArrayLike, third_quartile: ArrayLike, n: ArrayLike) -> tuple[NDArray, NDArray]:
    """Tukey's outer fences, 3 interquartile ranges beyond the quartiles: what lies outside is an outlier.

    Infinite where n values are too few to tell, or half of them are equal. Of 10 normal repetitions 0.6 % lie outside.
    """
    low, high = np.asarray(first_quartile, dtype=float), np.asarray(third_quartile, dtype=float)
    reach = np.where((np.asarray(n) >= FENCES_FROM) & (high > low), FENCE_IQR * (high - low), math.inf)
    return low - reach, high + reach


def autocorrelation(repetitions: ArrayLike) -> tuple[float, float]:
    """Lag-1 autocorrelation of repetitions in the order in which they ran, and the p-value that it is not above 0.

    All configurations of a machine are taken together, since each alone has too few repetitions. The p-value is of a
    permutation test that puts whole blocks into random orders, so that what a block does to all of its configurations
    alike is no autocorrelation.

    Args:
        repetitions: configurations x blocks, any unit; NaN = no such repetition.

    Returns:
        (mean over configurations less its expectation for independent repetitions, p); NaN where there is no spread,
        or fewer than 5 blocks.
    """
    x = np.asarray(repetitions, dtype=float)
    if x.ndim != 2 or not x.size or x.shape[1] < BLOCKS_FROM:
        return math.nan, math.nan
    centred = x - np.nanmean(x, axis=1, keepdims=True)
    spread = np.sqrt(np.nansum(centred**2, axis=1, keepdims=True))
    centred = np.nan_to_num(centred[spread[:, 0] > 0] / spread[spread[:, 0] > 0])
    if not len(centred):
        return math.nan, math.nan
    # Of blocks i and j: the sum over configurations of the products, so that an order's statistic is a sum along it.
    products = centred.T @ centred
    blocks = np.arange(x.shape[1])
    random = np.random.default_rng(SHUFFLE_SEED)
    orders = np.vstack([blocks, random.permuted(np.tile(blocks, (SHUFFLES, 1)), axis=1)])
    lag1 = products[orders[:, :-1], orders[:, 1:]].sum(axis=1) / len(centred)
    at_least = np.count_nonzero(lag1[1:] >= lag1[0] - 1e-12)
    return float(lag1[0]) + 1 / len(blocks), float(1 + at_least) / (1 + SHUFFLES)
