"""How well a classifier classifies: shares of images with intervals, averages over classes, and two models compared.

A confusion matrix has a row for each true class and a column for each predicted one, and counts images.

Shares have Wilson's 95 % interval, which keeps within 0 and 1 and holds for few images and for shares near the ends
(Wilson 1927; Brown, Cai and DasGupta 2001). It is an interval over images: how sure the share is as an estimate for
other images of the same kind. Nothing here is over repetitions, since the same file classifies the same images alike.

What is not defined is NaN, never 0: the precision of a class that was never predicted, the recall of a class without
images, and each average over classes of which one is so. (scikit-learn says 0 and warns, Kenning says 0.)

Precision and recall of a class, macro average (the mean over classes) and micro average (over images): Sokolova and
Lapalme (2009). Where each image has one class and one prediction, micro precision, micro recall and micro F1 are the
same number: the share of images that are right.

G-mean is the geometric mean of the recalls: Kubat and Matwin (1997) for two classes, Sun, Kamel and Wang (2006) for
more. One class that is never found makes it 0.

Two models on the same images are compared by the images that only one of them has right: McNemar (1947), as the exact
binomial test (Dietterich 1998 on why pairs count). By how much they differ is a difference of shares of the same
images, whose interval is that of Agresti and Min (2005): Wald's, with half an image more in each of the four cells, so
that it has a width where no image tells them apart. The two come from different methods: the test decides.

Wilson (1927), Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22, 209-212.
Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion, Stat. Sci. 16, 101-133.
Sokolova and Lapalme (2009), A systematic analysis of performance measures for classification tasks, Inf. Process.
Manag. 45, 427-437.
Kubat and Matwin (1997), Addressing the curse of imbalanced training sets: one-sided selection, ICML, 179-186.
Sun, Kamel and Wang (2006), Boosting for learning multiple classes with imbalanced class distribution, ICDM, 592-602.
McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages,
Psychometrika 12, 153-157.
Agresti and Min (2005), Simple improved confidence intervals for comparing matched proportions, Stat. Med. 24, 729-740.
Dietterich (1998), Approximate statistical tests for comparing supervised classification learning algorithms, Neural
Comput. 10, 1895-1923.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats costs half a second to import

from analysis.stats import ALPHA

_Z = float(special.ndtri(1 - ALPHA / 2))
_MOST_IMAGES = 2**53  # above, a float skips counts


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one process execution classified.

    Attributes:
        confusion_matrix: images by true class (rows) and predicted class (columns), square.
        class_names: in the order of the rows; () = not known.
        evaluated_on: name of the data set; '' = not known.
        top_5_correct: images whose true class is among the five likeliest; None = not known.
        targets, predictions: class of each image, by number and in the same order; () = not known.
        remark: what to know of the images, as who made their file says: that the model may have seen them.
        file_sha256: of the file that holds the images; '' = not known.
    """

    confusion_matrix: NDArray[np.int64]
    class_names: tuple[str, ...] = ()
    evaluated_on: str = ""
    top_5_correct: int | None = None
    targets: tuple[int, ...] = ()
    predictions: tuple[int, ...] = ()
    remark: str = ""
    file_sha256: str = ""

    @property
    def images(self) -> int:
        """How many images were classified."""
        return int(self.confusion_matrix.sum())


def parse(told: object) -> Evaluation:
    """What the line EDGEBENCH evaluation of a log tells. Raises ValueError where it tells no such thing: what it is."""
    if not isinstance(told, dict) or not isinstance(told.get("classes"), list):
        raise ValueError("it names no classes")
    names = tuple(map(str, told["classes"]))
    targets, predictions = (_classes(told.get(key), key) for key in ("labels", "predicted"))
    texts = [told.get(key) for key in ("evaluated_on", "remark", "file_sha256")]
    evaluated_on, remark, file_sha256 = (text if isinstance(text, str) else "" for text in texts)
    counts = confusion_matrix(targets, predictions, len(names))
    top_5 = told.get("top_5_correct")
    if top_5 is not None and not (isinstance(top_5, int) and int(counts.trace()) <= top_5 <= len(targets)):
        raise ValueError(f"top_5_correct is {top_5!r} of {len(targets)} images")
    return Evaluation(
        counts,
        names,
        evaluated_on=evaluated_on,
        top_5_correct=top_5,
        targets=targets,
        predictions=predictions,
        remark=remark,
        file_sha256=file_sha256,
    )


def _classes(numbers: object, key: str) -> tuple[int, ...]:
    is_list = isinstance(numbers, list) and numbers
    if not is_list or not all(type(number) is int and abs(number) < _MOST_IMAGES for number in numbers):
        raise ValueError(f"'{key}' is no list of classes")
    return tuple(numbers)


class Share(NamedTuple):
    """`count` of `total` images, as a share with its 95 % interval; NaN where there are no images."""

    value: float
    ci_low: float
    ci_high: float
    count: int
    total: int


def share(count: int, total: int) -> Share:
    """A share with Wilson's interval. Raises ValueError unless 0 <= count <= total."""
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total}")
    if not total:
        return Share(math.nan, math.nan, math.nan, 0, 0)
    # scipy.stats.binomtest has it, too, a millisecond each: two seconds for the thousand classes of ImageNet.
    middle = (count + _Z**2 / 2) / (total + _Z**2)
    half = _Z / (total + _Z**2) * math.sqrt(count * (total - count) / total + _Z**2 / 4)
    return Share(count / total, max(middle - half, 0.0), min(middle + half, 1.0), count, total)


def matrix(counts: ArrayLike) -> NDArray[np.int64]:
    """A confusion matrix from counts of any type. Raises ValueError where it is none: what it is instead."""
    try:
        found = np.asarray(counts, dtype=float)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("the confusion matrix is not a table of numbers") from None
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not found.size:
        raise ValueError(f"the confusion matrix is not square, its shape is {found.shape}")
    if not ((found >= 0) & (found < _MOST_IMAGES) & (found == np.floor(found))).all():
        raise ValueError("the confusion matrix holds other things than counts of images")
    return found.astype(np.int64)


def confusion_matrix(targets: Sequence[int], predictions: Sequence[int], classes: int) -> NDArray[np.int64]:
    """The confusion matrix of images whose true and predicted classes are given.

    Raises ValueError where the two differ in length, or a class is not in 0..classes-1.
    """
    true, said = _paired(targets, predictions)
    if true.size and not (min(true.min(), said.min()) >= 0 and max(true.max(), said.max()) < classes):
        raise ValueError(f"a class is not one of 0 to {classes - 1}")
    return np.bincount(true * classes + said, minlength=classes * classes).reshape(classes, classes)


# --- one model --------------------------------------------------------------------------------------------------------


def top_1(counts: NDArray[np.int64]) -> Share:
    """The share of images that are right: accuracy, and all three micro averages."""
    return share(int(np.trace(counts)), int(counts.sum()))


def recall(counts: NDArray[np.int64]) -> list[Share]:
    """Of each class, the share of its images that are found (sensitivity)."""
    return _of_diagonal(counts, counts.sum(axis=1))


def precision(counts: NDArray[np.int64]) -> list[Share]:
    """Of each class, the share that is right of the images that are said to be of it.

    The interval takes it as given how often the class was said.
    """
    return _of_diagonal(counts, counts.sum(axis=0))


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each class, the harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn)."""
    both = counts.sum(axis=0) + counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return 2 * counts.diagonal() / both


def macro(of_classes: Sequence[Share] | NDArray[np.float64]) -> float:
    """The mean over classes, each of the same weight; NaN where one of them is not defined."""
    return float(np.mean(_values(of_classes)))


def g_mean(counts: NDArray[np.int64]) -> float:
    """The geometric mean of the recalls; NaN where a class has no images."""
    recalls = _values(recall(counts))
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(recalls))))  # a product of many would underflow


# --- two models on the same images ------------------------------------------------------------------------------------


def agreement(predictions: Sequence[int], others: Sequence[int]) -> Share:
    """The share of images of which two models say the same, right or wrong. Raises ValueError where lengths differ."""
    one, other = _paired(predictions, others)
    return share(int((one == other).sum()), len(one))


class Difference(NamedTuple):
    """How much more often one model is right than another, as a share of the same images, with its 95 % interval.

    NaN where there are no images.
    """

    value: float
    ci_low: float
    ci_high: float


def difference(only_one: int, only_other: int, total: int) -> Difference:
    """The one's share of `total` images less the other's, from how many only one of them has right.

    Raises ValueError for counts that cannot be.
    """
    if min(only_one, only_other) < 0 or only_one + only_other > total:
        raise ValueError(f"{only_one} and {only_other} of {total}")
    if not total:
        return Difference(math.nan, math.nan, math.nan)
    more, images = only_one - only_other, total + 2
    half = _Z * math.sqrt(only_one + only_other + 1 - more**2 / images) / images
    return Difference(more / total, max(more / images - half, -1.0), min(more / images + half, 1.0))


class McNemar(NamedTuple):
    """Of how many images only the one and only the other model is right, and how likely that is if they are equal.

    `p_value` is two-sided; 1 where they are right of the same images, NaN where there are no images.
    """

    only_one: int
    only_other: int
    p_value: float


def mcnemar(targets: Sequence[int], predictions: Sequence[int], others: Sequence[int]) -> McNemar:
    """McNemar's exact test that two models are equally often right. Raises ValueError where lengths differ."""
    (true, one), (_, other) = _paired(targets, predictions), _paired(targets, others)
    only_one = int(((one == true) & (other != true)).sum())
    only_other = int(((one != true) & (other == true)).sum())
    if not len(true):
        return McNemar(0, 0, math.nan)
    if not only_one + only_other:
        return McNemar(0, 0, 1.0)
    return McNemar(only_one, only_other, _sign_test(only_one, only_one + only_other))


@lru_cache(maxsize=1024)  # a millisecond each, and many machines find the same
def _sign_test(count: int, total: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(count, total).pvalue)


def _paired(one: Sequence[int], other: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} images are not the same images")
    return np.asarray(one, dtype=np.int64), np.asarray(other, dtype=np.int64)


def _of_diagonal(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> list[Share]:
    return [share(int(right), int(total)) for right, total in zip(counts.diagonal(), totals, strict=True)]


def _values(of_classes: Sequence[Share] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([one.value if isinstance(one, Share) else one for one in of_classes], dtype=float)
