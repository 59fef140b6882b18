"""Means, speedups, intervals: against scipy, against the literature's formulas, and where there is little to go by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis import stats
from analysis.stats import Sample

B, C = [10.1, 9.8, 10.4, 10.0, 9.9], [5.2, 4.9, 5.1, 5.3, 4.8]


def paired(values, blocks=None):
    return Sample(list(values), list(blocks or range(len(values))))


def single(values):
    return Sample(list(values), [None] * len(values))


def test_mean_interval_is_the_t_interval():
    low, high = stats.mean_interval(np.mean(B), np.std(B, ddof=1), len(B))
    expected = scipy_stats.t.interval(0.95, len(B) - 1, np.mean(B), scipy_stats.sem(B))
    assert (low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sd", "n", "expected"),
    [
        pytest.param(math.nan, 1, (math.nan, math.nan), id="one repetition"),
        pytest.param(math.nan, 0, (math.nan, math.nan), id="none"),
        pytest.param(0.0, 3, (2.0, 2.0), id="no spread"),
    ],
)
def test_mean_interval_with_little_to_go_by(sd, n, expected):
    assert stats.mean_interval(2.0, sd, n) == pytest.approx(expected, nan_ok=True)


def test_speedup_is_the_ratio_of_the_means():
    found = stats.speedup(single([10, 12]), single([5, 6, 7]))
    assert found.speedup == pytest.approx(11 / 6)
    assert (found.baseline, found.candidate, found.n_baseline, found.n_candidate) == (11, 6, 2, 3)


def test_pairs_are_scipys_paired_test_and_fiellers_closed_form():
    found = stats.speedup(paired(B), paired(C))
    assert found.n_pairs == 5
    assert found.p_value == pytest.approx(scipy_stats.ttest_rel(B, C).pvalue)
    n, t2 = len(B), scipy_stats.t.ppf(0.975, len(B) - 1) ** 2
    (vb, vbc), (_, vc) = np.cov(B, C) / n
    b, c = np.mean(B), np.mean(C)
    roots = np.roots([c**2 - t2 * vc, -2 * (b * c - t2 * vbc), b**2 - t2 * vb])
    assert (found.ci_low, found.ci_high) == pytest.approx(sorted(roots))


def test_without_blocks_it_is_welchs_test():
    found = stats.speedup(single(B), single(C))
    assert found.n_pairs == 0
    assert found.p_value == pytest.approx(scipy_stats.ttest_ind(B, C, equal_var=False).pvalue)


def test_repetitions_of_which_the_other_side_has_no_block_are_kept():
    """A configuration that was known well enough left the plan after block 2."""
    found = stats.speedup(paired(B), paired(C[:2]))
    assert (found.n_baseline, found.n_candidate, found.n_pairs) == (5, 2, 2)
    assert found.speedup == pytest.approx(np.mean(B) / np.mean(C[:2]))


@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param(single(C), id="one side without blocks"),
        pytest.param(paired(C, [7, 8, 9, 10, 11]), id="no block in common"),
        pytest.param(paired(C, [0, 7, 8, 9, 10]), id="one block in common"),
        pytest.param(paired(C, [0, 0, 1, 1, 2]), id="a block twice"),
    ],
)
def test_nothing_is_paired_that_was_not_measured_in_common_blocks(candidate):
    assert stats.speedup(paired(B), candidate).n_pairs == 0


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_interval_leaves_out_1_just_when_p_is_below_alpha(n, pairs):
    noise = np.random.default_rng(n)
    make = paired if pairs else single
    for _ in range(200):
        sides = make(noise.normal(1.02, 0.02, n)), make(noise.normal(1.0, 0.02, n))
        found = stats.speedup(*sides)
        assert (found.p_value < 0.05) == (not found.ci_low <= 1 <= found.ci_high)
        assert stats.order(*reversed(sides)) == (found.ci_low > 1) - (found.ci_high < 1)


@pytest.mark.parametrize(
    ("n_baseline", "n_candidate", "sd_baseline", "sd_candidate", "ratio", "block_sd"),
    [
        pytest.param(3, 3, 0.02, 0.02, 3.0, 0.03, id="3 blocks"),
        pytest.param(10, 10, 0.02, 0.02, 1.0, 0.03, id="10 blocks"),
        pytest.param(3, 10, 0.02, 0.02, 2.0, 0.03, id="one side left after block 3"),
        pytest.param(10, 10, 0.05, 0.01, 0.5, 0.0, id="unequal spread, independent"),
        pytest.param(4, 9, 0.2, 0.05, 2.0, 0.0, id="unequal n, independent"),
    ],
)
def test_intervals_hold_the_truth_95_times_in_100(n_baseline, n_candidate, sd_baseline, sd_candidate, ratio, block_sd):
    noise = np.random.default_rng(1)
    make = paired if block_sd else single
    hits, rounds = 0, 1500
    for _ in range(rounds):
        block = noise.normal(0, block_sd, max(n_baseline, n_candidate))
        baseline = ratio * (1 + noise.normal(0, sd_baseline, n_baseline) + block[:n_baseline])
        candidate = 1 + noise.normal(0, sd_candidate, n_candidate) + block[:n_candidate]
        found = stats.speedup(make(baseline), make(candidate))
        hits += found.ci_low <= ratio <= found.ci_high
    assert 0.93 <= hits / rounds <= 0.975


def test_swapping_the_sides_turns_the_interval_over():
    one, other = stats.speedup(single(B), single(C)), stats.speedup(single(C), single(B))
    assert (other.ci_low, other.ci_high) == pytest.approx((1 / one.ci_high, 1 / one.ci_low))


@pytest.mark.parametrize(
    ("baseline", "candidate", "low", "high"),
    [
        pytest.param(B, [1.0, 50.0, 3.0], 0, math.inf, id="the candidate's mean may be 0: no upper bound"),
        pytest.param([1.0, 50.0, 3.0], B, 0, math.inf, id="the baseline's mean may be 0: no lower bound"),
    ],
)
def test_unbounded_intervals_are_said_to_be_unbounded(baseline, candidate, low, high):
    found = stats.speedup(single(baseline), single(candidate))
    assert found.ci_low == low or found.ci_high == high
    assert stats.verdict(found.ci_low, found.ci_high, 0.0) == stats.NOT_DISTINGUISHABLE


@pytest.mark.parametrize("make", [paired, single])
def test_no_spread_gives_the_estimate_alone(make):
    found = stats.speedup(make([0.3, 0.3, 0.3]), make([0.1, 0.1, 0.1]))
    assert (found.ci_low, found.ci_high) == pytest.approx((3, 3))
    assert found.p_value == 0
    assert stats.speedup(make([0.1, 0.1]), make([0.1, 0.1])).p_value == 1


def test_one_repetition_has_a_ratio_but_no_interval():
    found = stats.speedup(single([10]), single(C))
    assert found.speedup > 1
    assert math.isnan(found.ci_low)
    assert math.isnan(found.p_value)


@pytest.mark.parametrize(
    ("baseline", "candidate"), [([], C), (B, []), ([0, 0], C), (B, [0, 0]), ([-1, -2], C)], ids=str
)
def test_ratios_that_mean_nothing_are_refused(baseline, candidate):
    with pytest.raises(ValueError, match=r"no values|not positive"):
        stats.speedup(single(baseline), single(candidate))


def test_degrees_of_freedom_are_capped_where_measuring_stopped_early():
    free, capped = stats.speedup(paired(B), paired(C)), stats.speedup(paired(B), paired(C), max_df=2)
    n, t2 = len(B), scipy_stats.t.ppf(0.975, 2) ** 2
    (vb, vbc), (_, vc) = np.cov(B, C) / n
    b, c = np.mean(B), np.mean(C)
    roots = np.roots([c**2 - t2 * vc, -2 * (b * c - t2 * vbc), b**2 - t2 * vb])
    assert (capped.ci_low, capped.ci_high) == pytest.approx(sorted(roots))
    assert capped.p_value > free.p_value
    assert capped.log_df == 2
    assert stats.geometric_mean([capped]).ci_high > stats.geometric_mean([free]).ci_high
    assert stats.speedup(single(B), single(C), max_df=2).log_df == 2
    low, high = stats.mean_interval(10.0, 1.0, [3, 60], 9)
    assert high - 10.0 == pytest.approx(scipy_stats.t.ppf(0.975, [2, 9]) / np.sqrt([3, 60]))
    assert low == pytest.approx(20.0 - high)


SIX_B, SIX_C = [10.1, 9.8, 10.4, 10.0, 9.9, 10.3], [10.0, 9.6, 10.7, 9.6, 9.4, 9.7]


@pytest.mark.parametrize(
    ("baseline", "candidate", "p", "least"),
    [
        pytest.param(paired(SIX_B), paired(SIX_C), scipy_stats.wilcoxon(SIX_B, SIX_C, method="exact").pvalue, 2 / 64,
                     id="pairs"),
        pytest.param(paired(B), paired(C), 2 / 32, 2 / 32, id="all pairs one way"),
        pytest.param(paired([1, 2, 3]), paired([1, 1, 2]), scipy_stats.wilcoxon([1, 1], method="asymptotic").pvalue,
                     2 / 4, id="ties"),
        pytest.param(single(B), single(C), 2 / 252, 2 / 252, id="independent"),
        pytest.param(paired(B), paired(C, range(9, 14)), 2 / 252, 2 / 252, id="no block in common"),
        pytest.param(paired(B), paired(B), math.nan, math.nan, id="nothing to rank in pairs"),
        pytest.param(single([1, 1]), single([1, 1]), math.nan, math.nan, id="nothing to rank"),
        pytest.param(single([1, 1]), single([1]), math.nan, math.nan, id="one repetition"),
    ],
)  # fmt: skip
def test_rank_test(baseline, candidate, p, least):
    assert stats.rank_test(baseline, candidate) == pytest.approx((p, least), nan_ok=True)


def test_hedges_g_is_the_difference_in_standard_deviations():
    unit = math.sqrt((np.var(B, ddof=1) + np.var(C, ddof=1)) / 2)
    expected = (np.mean(B) - np.mean(C)) / unit * (1 - 3 / (4 * 8 - 1))
    assert stats.hedges_g(paired(B), paired(C)) == stats.hedges_g(single(B), single(C)) == pytest.approx(expected)
    assert stats.hedges_g(single(C), single(B)) == pytest.approx(-expected)
    assert math.isnan(stats.hedges_g(single([1, 1]), single([2, 2])))
    assert math.isnan(stats.hedges_g(single([1, 1]), single([2])))


@pytest.mark.parametrize(
    ("verdict", "p_rank", "p_rank_holm", "least", "remark"),
    [
        (stats.FASTER, 0.002, 0.02, 0.002, ""),
        (stats.FASTER, 0.2, 1.0, 0.002, "the rank test does not find this (p = 0.2)"),
        pytest.param(stats.FASTER, 0.125, 1.0, 0.125, "", id="four pairs cannot tell"),
        (stats.NOT_DISTINGUISHABLE, 0.002, 0.02, 0.002, "the rank test finds a difference (p = 0.02, Holm)"),
        pytest.param(stats.NOT_DISTINGUISHABLE, 0.02, 0.2, 0.002, "", id="not after correction"),
        (stats.MISSING, math.nan, math.nan, math.nan, ""),
    ],
)
def test_a_remark_where_ranks_and_means_disagree(verdict, p_rank, p_rank_holm, least, remark):
    assert stats.disagreement(verdict, p_rank, p_rank_holm, least) == remark


def test_fences():
    low, high = stats.fences([10.0, 10.0, 10.0], [12.0, 12.0, 10.0], [8, 7, 8])
    assert list(low) == [4.0, -math.inf, -math.inf]  # too few repetitions; half of them equal
    assert list(high) == [18.0, math.inf, math.inf]


def autocorrelated(random, rho, configurations=14, blocks=30):
    noise = random.normal(size=(configurations, blocks))
    for i in range(1, blocks):
        noise[:, i] = rho * noise[:, i - 1] + math.sqrt(1 - rho**2) * noise[:, i]
    return noise


def test_autocorrelation_is_found_over_all_configurations_of_a_machine():
    random = np.random.default_rng(4)
    lag1, p = stats.autocorrelation(autocorrelated(random, 0.3))
    assert 0.15 < lag1 < 0.4
    assert p < 0.01
    drift = random.normal(size=(14, 10)) + np.arange(10)
    assert stats.autocorrelation(drift)[1] < 0.01


@pytest.mark.parametrize("common", [0.0, 3.0])
def test_independent_repetitions_are_seldom_called_dependent(common):
    """Also where a block does the same to all of its configurations, so that these are not independent."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(300):
        noise = random.normal(size=(14, 10)) + common * random.normal(size=(1, 10))
        noise[0, 3] = math.nan
        found.append(stats.autocorrelation(noise))
    lag1, p = np.transpose(found)
    assert abs(np.mean(lag1)) < 0.04
    assert 0.02 <= np.mean(p < 0.05) <= 0.09


@pytest.mark.parametrize("repetitions", [[], [[1.0, 2, 3, 4]], [[1.0] * 9]], ids=["none", "few", "no spread"])
def test_autocorrelation_with_little_to_go_by(repetitions):
    assert stats.autocorrelation(repetitions) == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_geometric_mean_with_its_interval():
    speedups = [stats.speedup(single(np.multiply(B, k)), single(C)) for k in (1, 2, 4)]
    found = stats.geometric_mean(speedups)
    assert found.speedup == pytest.approx(np.prod([s.speedup for s in speedups]) ** (1 / 3))
    assert found.n == 3
    assert found.ci_low < found.speedup < found.ci_high
    assert found.speedup / found.ci_low == pytest.approx(found.ci_high / found.speedup)
    # Of one model it is that model's, but for the delta method.
    alone = stats.geometric_mean(speedups[:1])
    assert (alone.ci_low, alone.ci_high) == pytest.approx((speedups[0].ci_low, speedups[0].ci_high), rel=3e-3)


def test_geometric_mean_holds_the_truth_95_times_in_100():
    noise = np.random.default_rng(2)
    hits = 0
    for _ in range(600):
        models = [(single(noise.normal(r, 0.03 * r, 3)), single(noise.normal(1, 0.01, 3))) for r in (0.6, 2.0, 3.0)]
        found = stats.geometric_mean([stats.speedup(b, c) for b, c in models])
        hits += found.ci_low <= 3.6 ** (1 / 3) <= found.ci_high
    assert 0.93 <= hits / 600 <= 0.98


def test_geometric_mean_of_nothing():
    with pytest.raises(ValueError, match="no speedups"):
        stats.geometric_mean([])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="as R's p.adjust"),
        pytest.param([0.5, 0.9], [1.0, 1.0], id="never above 1"),
        pytest.param([0.01, math.nan, 0.02], [0.02, math.nan, 0.02], id="not tested does not count"),
        pytest.param([], [], id="empty"),
    ],
)
def test_holm(p, expected):
    assert stats.holm(p) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "expected"),
    [
        (1.8, 2.0, 0.001, stats.FASTER),
        (0.6, 0.7, 0.001, stats.SLOWER),
        (0.9, 1.1, 0.5, stats.NOT_DISTINGUISHABLE),
        pytest.param(1.01, 1.2, 0.08, stats.NOT_DISTINGUISHABLE, id="not after correction"),
        pytest.param(1.5, math.inf, 0.001, stats.NOT_DISTINGUISHABLE, id="unbounded above"),
        pytest.param(0.0, 0.7, 0.001, stats.NOT_DISTINGUISHABLE, id="unbounded below"),
    ],
)
def test_verdict(low, high, p_holm, expected):
    assert stats.verdict(low, high, p_holm) == expected
