"""Metrics of classifiers, against values by hand and from print."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from analysis import quality
from tests.unit.kennings import MATRIX

COUNTS = quality.matrix(MATRIX)  # 155 images: 55, 50, 50 of each class; 54, 48, 53 said to be of each


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_newcombe_1998(count, total, low, high):
    """Two-sided confidence intervals for the single proportion, Stat. Med. 17, 857-872, table I, method 3."""
    found = quality.share(count, total)
    assert (found.value, found.count, found.total) == (count / total, count, total)
    assert (round(found.ci_low, 4), round(found.ci_high, 4)) == (low, high)


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (135, 155), (1408, 1470), (1470, 1470)])
def test_intervals_are_those_of_scipy(count, total):
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert quality.share(count, total)[1:3] == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_shares_of_nothing_are_not_defined_and_impossible_ones_refused():
    assert all(map(math.isnan, quality.share(0, 0)[:3]))
    with pytest.raises(ValueError, match="3 of 2"):
        quality.share(3, 2)


def test_one_model():
    assert quality.top_1(COUNTS)[3:] == (135, 155)
    assert [found[3:] for found in quality.recall(COUNTS)] == [(50, 55), (40, 50), (45, 50)]
    assert [found[3:] for found in quality.precision(COUNTS)] == [(50, 54), (40, 48), (45, 53)]
    assert quality.f1(COUNTS).tolist() == pytest.approx([100 / 109, 80 / 98, 90 / 103])
    assert quality.macro(quality.recall(COUNTS)) == pytest.approx((50 / 55 + 0.8 + 0.9) / 3)
    assert quality.macro(quality.f1(COUNTS)) == pytest.approx((100 / 109 + 80 / 98 + 90 / 103) / 3)
    assert quality.g_mean(COUNTS) == pytest.approx((50 / 55 * 0.8 * 0.9) ** (1 / 3))


def test_rows_are_true_classes():
    counts = quality.confusion_matrix([0, 0, 0, 1], [0, 1, 1, 1], 2)
    assert counts.tolist() == [[1, 2], [0, 1]]
    assert [found.value for found in quality.recall(counts)] == [1 / 3, 1]
    assert [found.value for found in quality.precision(counts)] == [1, 1 / 3]


def test_what_is_not_defined_is_nan():
    never_said = np.array([[3, 1, 0], [0, 4, 0], [1, 1, 0]])
    assert math.isnan(quality.precision(never_said)[2].value)
    assert math.isnan(quality.macro(quality.precision(never_said)))
    assert quality.recall(never_said)[2].value == 0, "there are images, and none is found"
    assert quality.g_mean(never_said) == 0
    without_images = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert math.isnan(quality.recall(without_images)[2].value)
    assert math.isnan(quality.g_mean(without_images))
    assert math.isnan(quality.f1(without_images)[2])
    assert math.isnan(quality.top_1(np.zeros((2, 2), dtype=np.int64)).value)


def test_g_mean_of_many_classes_does_not_underflow():
    assert quality.g_mean(np.full((1000, 1000), 1)) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("abc", "is not a table of numbers"),
        ([[1, 2], [3]], "is not a table of numbers"),
        ([], r"is not square, its shape is \(0,\)"),
        ([[1, 2, 3], [4, 5, 6]], r"is not square, its shape is \(2, 3\)"),
        ([[0.5, 1], [1, 1]], "other things than counts"),
        ([[-1, 1], [1, 1]], "other things than counts"),
        ([[math.nan, 1], [1, 1]], "other things than counts"),
    ],
)
def test_what_is_no_confusion_matrix(counts, message):
    with pytest.raises(ValueError, match=message):
        quality.matrix(counts)


def test_classes_out_of_range_and_other_images_are_refused():
    with pytest.raises(ValueError, match="not one of 0 to 1"):
        quality.confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match="2 and 1 images are not the same images"):
        quality.agreement([0, 1], [0])


def test_agreement_is_whether_right_or_wrong():
    assert quality.agreement([0, 1, 2, 2], [0, 1, 2, 1])[3:] == (3, 4)


def test_mcnemar_counts_what_only_one_has_right():
    """One image for the one, eight for the other: 2 (1 + 9) / 2^9."""
    targets = [0] * 20
    one = [0] * 8 + [1] * 3 + [0] + [1] * 8
    other = [0] * 8 + [1] * 3 + [1] + [0] * 8
    assert quality.mcnemar(targets, one, other) == (1, 8, pytest.approx(2 * (1 + 9) / 2**9))
    assert quality.mcnemar(targets, other, one)[:2] == (8, 1)
    assert quality.mcnemar(targets, one, one) == (0, 0, 1.0)
    assert math.isnan(quality.mcnemar([], [], []).p_value)


def test_both_wrong_in_different_ways_is_no_difference():
    assert quality.mcnemar([0, 0], [1, 0], [2, 0]) == (0, 0, 1.0)
