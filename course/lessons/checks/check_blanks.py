"""Checks for the blanks of the teaching notebooks, which name the mistake that was made.

`check` calls a function that a student wrote with small arrays, of which the result is known, and
what typical mistakes make of it. A wrong result raises AssertionError with a sentence. Needs NumPy
alone.
"""

from itertools import combinations

import numpy as np

TURN = np.array([[0.6, 0.8], [-0.8, 0.6]])


def check(asked, name=""):
    """Check a function by the check of its name, or of another; AssertionError if it is wrong."""

    def filled(*given):
        value = asked(*given)
        parts = value if isinstance(value, tuple) else (value,)
        empty = all(isinstance(part, float) and np.isnan(part) for part in parts)
        assert not empty, "The function returns nan, which is no number: fill in the blank."
        return value

    try:
        with np.errstate(all="ignore"):  # typical mistakes divide by zero
            globals()[name or asked.__name__](filled)
    except AssertionError as error:
        __tracebackhide__ = True  # Jupyter shows the student's line and the sentence
        raise AssertionError(str(error)) from None


def _same(value, wrong):
    return np.shape(value) == np.shape(wrong) and np.allclose(value, wrong)


def _told(value, mistakes):
    """Raise the sentence of the mistake, of (sentence, result, …), whose result a value is."""
    for why, *wrong in mistakes:
        assert not any(_same(value, one) for one in wrong), why


def _length(h, axis=1):
    return np.linalg.norm(h, axis=axis, keepdims=True)


def _scaled(h):
    return h / h.std(axis=1, keepdims=True)


def _logit(a):
    return np.log(a) - np.log1p(-a)


def _back(logits):
    return 1 / (1 + np.exp(-np.array(logits)))


# κ, and where it comes from


def kurtosis(asked):
    h = np.array([[0.0, 1, 2, 3], [0, 0, 0, 5], [1, 5, 5, 9]])  # their κ are 1.64, 7/3 and 2
    c = h - h.mean(axis=1, keepdims=True)
    std = h.std(axis=1, keepdims=True)
    z, each = c / std, np.array([1.64, 7 / 3, 2])
    power = lambda x: np.mean(x**4)  # noqa: E731
    value, exact = asked(h), each.mean()
    assert np.ndim(value) == 0, "One number: average over images, too."
    assert np.isfinite(value), "kurtosis has to return one number."
    _told(value, (
        ("Do not subtract 3: that is the excess kurtosis.", exact - 3),
        ("κ as it is: do not divide by 3.", exact / 3),
        ("The fourth power, not the square: squares average to 1.", 1),
        ("The fourth power, not the third.", (z**3).mean(), (np.abs(z) ** 3).mean()),
        ("The fourth power, not the sixth.", (z**6).mean()),
        ("The mean of the fourth powers, not their sum.", 4 * exact, 12 * exact),
        ("The fourth power of z, not the largest z.", np.abs(z).max(axis=1).mean()),
        ("The mean of the fourth powers, not the largest.", (z**4).max(),
         (z**4).max(axis=1).mean()),
        ("The mean over the images, not the largest.", 7 / 3, (z**4).mean(axis=0).max()),
        ("The mean over the images, not the median.", np.median(each)),
        ("The mean of the fourth powers, not the median.", np.median(z**4)),
        ("np.std as it is, which divides by the number: no ddof.", exact * 9 / 16),
        ("Divide by the standard deviation: the scale must not matter.", power(c), power(h)),
        ("Divide by the standard deviation, not by the variance.", power(c / std**2)),
        ("Divide by the standard deviation, not by the length.", exact / 16, power(h / _length(h))),
        ("Divide by the standard deviation, not by the mean size.",
         power(c / np.abs(c).mean(axis=1, keepdims=True))),
        ("Subtract each image's own mean first, over axis 1.", power(h / std)),
        ("Subtract the mean, not the median.", power((h - np.median(h, axis=1)[:, None]) / std)),
        ("Subtract each image's own mean, axis 1, not the mean image.",
         power((h - h.mean(axis=0)) / std), power(_scaled(h - h.mean(axis=0)))),
        ("Subtract each image's own mean, axis 1, not that of all numbers.",
         power((h - h.mean()) / std)),
        ("Divide by each image's own standard deviation, axis 1, not by that of all numbers.",
         power(c / c.std()), power(c / h.std())),
        ("Divide by each image's own standard deviation, over axis 1, not over axis 0.",
         power(c / h.std(axis=0)), power(c / c.std(axis=0))),
        ("Standardise each image, over axis 1, not each coordinate.",
         power((h - h.mean(axis=0)) / h.std(axis=0))),
        ("Standardise each image, over axis 1, not all numbers at once.",
         power((h - h.mean()) / h.std())),
        ("First κ of each image, then their mean.", power(c) / (c**2).mean() ** 2),
        ("Fourth powers first, then the mean over images.", power(z.mean(axis=0))),
        ("κ of each image, not of the mean image.",
         power((h.mean(axis=0) - h.mean()) / h.mean(axis=0).std())),
    ))  # fmt: skip
    recipe = "Standardise each image, over axis 1; then the mean of all fourth powers."
    assert np.isclose(value, exact), recipe
    spike = np.zeros((2, 10))
    spike[:, 3] = -7, 7
    assert np.isclose(asked(spike), 8 + 1 / 9), "First κ of each image, by its own mean and std."


def _leaders(score):
    """For both of SEVERAL: where most rows of a score have their maximum, and in which share."""
    found = []
    for h in SEVERAL:
        counts = np.bincount(np.argmax(score(h), axis=1))
        found += [counts.argmax(), counts.max() / len(h)]
    return found


def _own(h):
    return h - h.mean(axis=1, keepdims=True)


# In the first, coordinates 1 3 1 3 2 3 3 are the farthest from the rows' means.
SEVERAL = (
    np.array([[2.0, -4, 5, 3, 5], [2, -4, -4, 6, 1], [9, -4, 0, 6, 5], [7, 6, 4, -5, 4],
              [-7, -5, 4, -9, -8], [-6, 2, -3, 3, -6], [-4, 6, 8, -7, 1]]),
    np.random.default_rng(17190).integers(-9, 10, size=(17, 6)) * 1.0,
)  # fmt: skip


def _farthest():
    """Mistakes in finding the farthest coordinate: sentence, and what both arrays give."""
    return [
        ("A coordinate may be far above the mean or below: take np.abs.",
         _leaders(_own), _leaders(lambda h: -_own(h)), _leaders(lambda h: h)),
        ("Subtract each image's own mean, over axis 1, first.", _leaders(np.abs)),
        ("Subtract each image's own mean, axis 1, not the mean image.",
         _leaders(lambda h: np.abs(h - h.mean(axis=0)))),
        ("Subtract each image's own mean, axis 1; divide by nothing.",
         _leaders(lambda h: np.abs((h - h.mean(axis=0)) / h.std(axis=0)))),
        ("Divide by nothing: the distance from the mean is enough.",
         _leaders(lambda h: np.abs(_own(h) / h.std(axis=0))),
         _leaders(lambda h: np.abs(_scaled(_own(h)) / _scaled(_own(h)).std(axis=0)))),
        ("Subtract each image's own mean, axis 1, not that of all numbers.",
         _leaders(lambda h: np.abs(h - h.mean()))),
        ("Subtract the mean, not the median.",
         _leaders(lambda h: np.abs(h - np.median(h, axis=1, keepdims=True)))),
        ("The farthest coordinate, argmax, not the nearest.", _leaders(lambda h: -np.abs(_own(h)))),
    ]  # fmt: skip


def _wins():
    """The counts of wins of each coordinate, for both of SEVERAL."""
    return [np.bincount(np.abs(_own(h)).argmax(axis=1)) for h in SEVERAL]


def _down():
    """The same for a mistake: counts of the rows in which columns have their maximum."""
    return [np.bincount(np.abs(_own(h)).argmax(axis=0)) for h in SEVERAL]


def persistence(asked):
    value, counts = [asked(h) for h in SEVERAL], _wins()
    assert np.shape(value) == (2, 2), "Two numbers: the coordinate, and its share of the images."
    first, often = np.transpose(value)
    most, share = np.reshape(_leaders(lambda h: np.abs(_own(h))), (2, 2)).T
    _told(np.ravel(value), _farthest())
    sizes = [np.abs(_own(h)).mean(axis=0) for h in SEVERAL]
    _told(first, (
        ("First the coordinate, then the share.", share),
        ("Coordinates are counted from 0.", most + 1),
        ("The number of the coordinate, not how often it wins.", [max(one) for one in counts]),
        ("The farthest coordinate of each image: argmax over axis 1.",
         [one.argmax() for one in _down()]),
        ("The coordinate that wins most often, not the second.",
         [np.argsort(-one)[1] for one in counts]),
        ("The coordinate that wins most often, not the one of the first image.",
         [np.abs(_own(h))[0].argmax() for h in SEVERAL]),
        ("Count wins: the mean size does not matter.",
         [one.argmax() for one in sizes], [np.abs(h).mean(axis=0).argmax() for h in SEVERAL]),
        ("Count wins, and take the largest count: no median.",
         [int(np.median(np.abs(_own(h)).argmax(axis=1))) for h in SEVERAL]),
    ))  # fmt: skip
    recipe = (
        "Which coordinate is farthest from its image's own mean, up or down; the most frequent."
    )
    assert np.allclose(first, most), recipe
    images, wins = np.array([len(h) for h in SEVERAL]), share * [len(h) for h in SEVERAL]
    _told(often, (
        ("A share: divide the count by the number of images.", wins),
        ("A share of the images: divide by their number, not by that of coordinates.",
         wins / [h.shape[1] for h in SEVERAL], wins / [len(one) for one in counts]),
        ("A share of the images: divide by their number, not by that of all numbers.",
         wins / [h.size for h in SEVERAL]),
        ("The share in which it wins, not the rest.", 1 - share),
        ("Divide by the number of images, not of coordinates that win.",
         wins / [(one > 0).sum() for one in counts]),
        ("A fraction, not percent.", 100 * share),
        ("The largest count, not the mean of the counts.", [one.mean() for one in counts] / images),
        ("The share of images in which it wins: count wins, not sizes.",
         [one.max() / one.sum() for one in sizes]),
    ))  # fmt: skip
    assert np.allclose(often, share), "The largest count, over the number of images."
    others = [[3.0, -1, -1, -1], [-3, 1, 1, 1], [0, 3, -1, -2], [0, -1, 3, -2], [-10, -20, 0, 30]]
    how = "Count how often each coordinate wins; the size of a win does not matter."
    assert np.allclose(asked(np.array(others)), (0, 2 / 5)), how  # coordinates 0 0 1 2 3


def kurtosis_and_share(asked):
    value, counts = [asked(h) for h in SEVERAL], _wins()
    assert np.shape(value) == (2, 2), "Two numbers: κ, and the share."
    share = _leaders(lambda h: np.abs(_own(h)))[1::2]
    assert not np.allclose(np.transpose(value)[0], share), "First κ, then the share."
    kurtosis(lambda h: asked(h)[0])
    images, wins = np.array([len(h) for h in SEVERAL]), np.array([max(one) for one in counts])
    often = np.transpose(value)[1]
    _told(often, (
        ("A share: divide the count by the number of images.", wins),
        ("The share of the images, not the number of the coordinate.",
         [one.argmax() for one in counts]),
        ("A share of the images: divide by their number, not by that of coordinates.",
         wins / [h.shape[1] for h in SEVERAL]),
        ("The largest count, not the smallest.", [min(one) for one in counts] / images),
        ("The largest count, not the mean of the counts.",
         [one.mean() for one in counts] / images),
        ("The coordinate that wins most often, not the first.",
         [one[0] for one in counts] / images),
        ("The farthest coordinate of each image: argmax over axis 1.",
         [max(one) for one in _down()] / images),
        ("Count in how many images each coordinate is the farthest.", 1 / images),
        *((why, *(one[1::2] for one in wrong)) for why, *wrong in _farthest()[1:]),
    ))  # fmt: skip
    far = "Farthest from the image's own mean, up or down; the largest count over the images."
    assert np.allclose(often, share), far
    others = [[3.0, -1, -1, -1], [-3, 1, 1, 1], [0, 3, -1, -2], [0, -1, 3, -2], [-10, -20, 0, 30]]
    assert np.isclose(asked(np.array(others))[1], 2 / 5), far


def share_of_mean(asked):
    h = np.array([[-6.0, 8], [6, 1], [3, 3]])  # their mean is (1, 4); their energies 100, 37, 18
    mean, energies, value = h.mean(axis=0), (h**2).sum(axis=1), asked(h)
    top, energy, lengths = 17, energies.mean(), np.sqrt(energies)
    _told(value, (
        ("The mean energy of the images, not its sum: divide by their number.", top / 155),
        ("Sum the mean image's squares, do not average them.", 8.5 / energy),
        ("Divide by the mean energy of the images.", 17),
        ("A share, not what is left of it.", 1 - top / energy),
        ("Energy is a sum of squares, without a root.", np.sqrt(top / energy),
         np.sqrt(top) / lengths.mean()),
        ("Square the mean image before you sum.", 25 / energy),
        ("The mean image, not the median.", (np.median(h, axis=0) ** 2).sum() / energy),
        ("Squares, not absolute values.", 5 / np.abs(h).sum(axis=1).mean()),
        ("Squares: energies are positive, sums of numbers need not be.", 1.0),
        ("The mean of the energies, not the square of the mean length.", top / lengths.mean() ** 2),
        ("The mean of the energies, which are squares of the lengths.", top / lengths.mean()),
        ("The energy of one image is a sum over axis 1.", top / (h**2).sum(axis=0).mean()),
        ("The energy of one image is a sum over axis 1, not a mean.", top / (h**2).mean()),
        ("The energy of one image is the sum of its squares, not the square of its sum.",
         top / np.mean(np.abs(h).sum(axis=1) ** 2), top / np.mean(h.sum(axis=1) ** 2)),
        ("The mean energy of the images, not the largest.", 0.17),
        ("The mean energy of the images, not the median.", top / 37, 1.1 * top / 37),
        ("Sum the mean image's squares, do not take the largest.", 16 / energy),
        ("The mean image, not the sum of the images: mean over axis 0.", 9 * top / energy),
        ("The mean over images is over axis 0.", (h.mean(axis=1) ** 2).sum() / energy),
        ("The mean image is over axis 0: one mean for each coordinate, not of all numbers.",
         h.mean() ** 2 / energy, h.mean() ** 2 / np.mean(h**2)),
        ("Divide by the images' energy: subtract no mean there.",
         top / ((h - mean) ** 2).sum(axis=1).mean()),
        ("Average the images as they are, not scaled to length 1.",
         ((h / _length(h)).mean(axis=0) ** 2).sum()),
    ))  # fmt: skip
    whole = "The mean image is over axis 0; sum its squares; then the mean of such sums."
    assert np.isclose(value, top / energy), whole


# Effective robustness


def logit(asked):
    a = np.array([0.75, 0.2])
    value = asked(a)
    _told(value, (
        ("The natural logarithm, np.log, not np.log10.", np.log10(a / (1 - a))),
        ("The natural logarithm, np.log, not np.log2.", np.log2(a / (1 - a))),
        ("The logarithm of the odds: take np.log.", a / (1 - a)),
        ("Odds are a over 1 − a, not the other way round.", -_logit(a)),
        ("Odds below even have a negative logit: take no absolute value.", np.abs(_logit(a))),
        ("The odds first: a / (1 - a).", np.log(a)),
        ("Brackets: a / (1 - a).", np.log(a / 1 - a)),
        ("Odds are a / (1 - a), with a minus.", np.log(a / (1 + a))),
        ("Odds are a / (1 - a), not 1 / (1 - a).", -np.log(1 - a)),
        ("np.log, which adds no 1 to the odds.", np.log1p(a / (1 - a))),
        ("The logarithm of a quotient is a difference, not a sum.", np.log(a) + np.log(1 - a)),
        ("The logarithm of the quotient, not a quotient of logarithms.", np.log(a) / np.log(1 - a)),
        ("Divide before you take the logarithm.", np.log(a) / (1 - a)),
        ("np.log of the odds, not np.exp.", np.exp(a / (1 - a))),
        ("This is the inverse of the logit.", _back(a)),
        ("Accuracies are fractions, so the error is 1 - a.", np.log(a / (100 - a))),
        ("Take np.log of a / (1 - a).", 1 / (1 - a)),
    ))  # fmt: skip
    assert np.isfinite(value).all(), "The error is 1 - a, and positive."
    assert np.allclose(value, _logit(a)), "The odds of 0.75 are 3 to 1; take np.log of them."


def _line(value, x, y, points):
    """What of an effective robustness is wrong, with a slope of one half and an intercept of −1."""
    p = 0.5 * _logit(x) - 1
    lines, odds = _back(p), np.exp(p)
    assert np.shape(value) == (3,), "One number for each model, with its own prediction."
    value = np.array(value) / points
    right = y - lines
    _told(value, (
        ("As a fraction, not in points.", 100 * right)
        if points == 1 else ("Points: 100 times the difference of accuracies.", right / 100),
        ("Points: 100 times the whole difference.", y / 100 - lines),
        ("Predict an accuracy, not a logit.", _logit(y) - p),
        ("Which minus which? Above the line is +.", -right),
        ("Below the line is −: take no absolute value.", np.abs(right), right**2),
        ("Below the line is −: keep what is negative.", np.clip(right, 0, None)),
        ("Subtract the prediction, do not add it.", y + lines),
        ("The difference as it is: do not round it.", right.round(2)),
        ("The difference itself: divide it by nothing.", right / x, right / y, right / lines),
        ("A difference, not a ratio.", y / lines),
        ("Subtract what the line predicts, not the accuracy on ImageNet.", y - x),
        ("Subtract from the accuracy under shift, not from that on ImageNet.", x - lines),
        ("Subtract from the accuracy under shift itself, not from its logit.", _logit(y) - lines),
        ("The line goes through logits: take the logit first.", y - (0.5 * x - 1)),
        ("The line predicts a logit: turn it into an accuracy.", y - p),
        ("Brackets: subtract the whole prediction, which is an accuracy.", y - 0.5 * _logit(x) - 1),
        ("Odds are not an accuracy: divide them by 1 + odds.", y - odds),
        ("The line predicts a logit: its odds are np.exp of it.", y - p / (1 + p)),
        ("The inverse of the logit has 1 + np.exp(-logit), with a plus.", y - 1 / (1 - 1 / odds)),
        ("Brackets: 1 / (1 + np.exp(-logit)).", y - 1 + 1 / odds, y - 1 - 1 / odds),
        ("Invert ln by np.exp, not by powers of 10.", y - 1 / (1 + 10**-p)),
        ("The line needs the logit of the accuracy on ImageNet.", y - _back(0.5 * x - 1)),
        ("The natural logarithm, np.log, not np.log10.",
         y - _back(0.5 * np.log10(x / (1 - x)) - 1)),
        ("Brackets: the logit is of x / (1 - x).", y - _back(0.5 * np.log(x / 1 - x) - 1)),
        ("The logit, not the logarithm of the accuracy.", y - _back(0.5 * np.log(x) - 1),
         y - np.exp(0.5 * np.log(x) - 1)),
        ("First the logit, then times the slope.", y - _back(_logit(0.5 * x) - 1)),
        ("Predict from the accuracy on ImageNet.", y - _back(0.5 * _logit(y) - 1)),
        ("Each model has a value of its own: take no mean.", np.full(3, right.mean())),
        ("The inverse of the logit has np.exp(-logit), with a minus.", y - _back(-p)),
    ))  # fmt: skip
    assert np.isfinite(value).all(), "Only an accuracy between 0 and 1 has a logit."
    used = y - value  # the predictions: all on a line, but on which?
    inside = np.all((used > 0) & (used < 1))
    slope, intercept = np.polyfit(_logit(x), _logit(used if inside else lines), 1).round(6) + 0.0
    if inside and np.allclose(slope * _logit(x) + intercept, _logit(used)):
        wrong = f"Your line has slope {slope:.2f} and intercept {intercept:.2f}"
        assert np.allclose((slope, intercept), (0.5, -1)), f"{wrong}, not 0.50 and −1.00."
    whole = "The accuracy under shift minus the inverse logit of slope × logit + intercept."
    assert np.allclose(value, right), whole


X, Y = np.array([0.8, 0.6, 0.5]), np.array([0.5, 0.2, 0.4])


def effective_robustness(asked):
    _line(asked(Y, X, 0.5, -1), X, Y, 1)


def effective_robustness_in_points(asked):
    _line(asked(X, Y, 0.5, -1), X, Y, 100)


def _ranks(a):
    return a.argsort().argsort()


def _correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def rank_correlation(asked):
    a = np.array([2.8, 0.5, 3.1, 2.3, 0.8, 0.9, 2.4])
    b = np.array([1.2, 2.1, 1.9, 3.9, 0.7, 0.5, 4.0])
    ra, rb = _ranks(a), _ranks(b)
    exact = _correlation(ra, rb)
    value = asked(a, b)
    assert np.ndim(value) == 0, "One number: corrcoef gives a table, of which it is [0, 1]."
    _told(value, (
        ("Correlate the ranks, not the numbers themselves.", _correlation(a, b)),
        ("Replace both lists by their ranks, not the first alone.", _correlation(ra, b)),
        ("Replace both lists by their ranks, not the second alone.", _correlation(a, rb)),
        ("argsort lists places; the ranks are argsort of that list.",
         _correlation(a.argsort(), b.argsort())),
        ("The ranks of the first list are argsort of its argsort.", _correlation(a.argsort(), rb)),
        ("The ranks of the second list are argsort of its argsort.", _correlation(ra, b.argsort())),
        ("Ranks, not logarithms.", _correlation(np.log(a), np.log(b))),
        ("Do not sort the lists: that pairs what does not belong together.",
         _correlation(np.sort(a), np.sort(b))),
        ("Rank both lists upwards: one of yours goes down.", -exact,
         _correlation((-a).argsort(), b.argsort())),
        ("The table's [0, 0] is a list with itself: take [0, 1].", 1),
        ("The correlation, not the covariance.", np.cov(ra, rb)[0, 1]),
        ("The correlation, not its square.", exact**2),
        ("The correlation, not how often ranks are equal.", (ra == rb).mean(),
         (a.argsort() == b.argsort()).mean()),
        ("Squares of the differences of ranks, not their sizes.",
         1 - np.abs(ra - rb).sum() / 336, 1 - 6 * np.abs(ra - rb).sum() / 336),
        ("The denominator is n (n² − 1), not n³.", 1 - 6 * ((ra - rb) ** 2).sum() / 343),
        ("Correlate ranks; this compares pairs.",
         np.mean(np.sign(a[:, None] - a) * np.sign(b[:, None] - b))),
    ))  # fmt: skip
    assert np.isclose(value, exact), "Replace numbers by their ranks, then correlate the ranks."
    sign = "A correlation has a sign: take no absolute value."
    assert asked(np.arange(4.0), np.array([9.0, 3, 2, -100])) < 0, sign
    up = np.array([3.0, 1, 4, 2])
    ranks = "Correlate the ranks of both lists."
    assert np.isclose(asked(up, np.array([9.0, 1, 2, 0])), 0.6), ranks


def fitted(asked):
    x, y = np.array([-1.0, 0, 2, 3]), np.array([-1.5, -1, 0, 0.5])
    value = asked(_back(x), _back(y))
    assert np.shape(value) == (2,), "Two numbers: the slope, and the intercept."
    _told(value, (
        ("x before y: the line predicts y from x.", (2, 2)),
        ("Slope first, then intercept.", (-1, 0.5)),
        ("np.log, the natural logarithm, not np.log10.", (0.5, -1 / np.log(10))),
        ("np.log, the natural logarithm, not np.log2.", (0.5, -1 / np.log(2))),
        ("The odds are accuracy over error: a / (1 - a).", (0.5, 1)),
        ("The intercept is where the line crosses x = 0: here −1.", (0.5, 0)),
        ("Fit the slope as well: here one half.", (1, -1.5)),
        ("The line need not go through 0: fit an intercept.", (3 / 14, 0)),
        ("A line through logits, not through the accuracies.", np.polyfit(_back(x), _back(y), 1)),
        ("The logit, not the logarithm.", np.polyfit(np.log(_back(x)), np.log(_back(y)), 1)),
        ("The logarithm of the odds: take np.log.", np.polyfit(np.exp(x), np.exp(y), 1)),
        ("The logit of y, too.", np.polyfit(x, _back(y), 1)),
        ("The logit of x, too.", np.polyfit(_back(x), y, 1)),
    ))  # fmt: skip
    assert np.allclose(value, (0.5, -1)), "A line through logits, with an intercept."
    x, y = np.array([-1.0, 2, 0, 3]), np.array([0.0, 1, 2, 0])  # these are on no line
    value = np.array(asked(_back(x), _back(y)))
    spread = np.std(y) / np.std(x)
    slope, intercept = np.polyfit(x, y, 1)
    ends = (y[-1] - y[0]) / (x[-1] - x[0])
    _told(value, (
        ("Do not sort: each model keeps its pair of accuracies.",
         np.polyfit(np.sort(x), np.sort(y), 1)),
        ("All points, not only the first and the last.", (ends, y[0] - ends * x[0])),
        ("The slope is the covariance over the variance of x, not a ratio of spreads.",
         (spread, y.mean() - spread * x.mean())),
        ("A straight line: degree 1.", np.polyfit(x, y, 2)[-2:]),
        ("Mean, not median: a line of least squares goes through the means.",
         (slope, np.median(y - slope * x))),
    ))  # fmt: skip
    assert np.allclose(value, (slope, intercept)), "The line of least squares through all points."


# Directions of a head


FRAME = np.array([[0.6, 0.8, 0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]])  # the directions
ALONG = np.array([[0, 2.0, 0], [0, 3, -4], [-2, 1, 2], [2, 3, -6]])  # images in this frame


def _importances(extra):
    """Images and head; the exact importance by direction; mistakes as (sentence, …)."""
    h, head = ALONG @ FRAME, np.vstack([np.diag([5.0, 4, 1]), np.zeros((extra, 3))]) @ FRAME
    v = np.linalg.svd(head, full_matrices=False)[2]
    w, unit, cosines = np.array([5, 4, 1]) / 10, h / _length(h), np.abs(ALONG / _length(ALONG))
    mean, size = cosines.mean(axis=0), np.abs(ALONG).mean(axis=0)
    centred = h - h.mean(axis=0)
    along = lambda unit, v=v: np.abs(unit @ v.T).mean(axis=0)  # noqa: E731
    of = {}
    for name, matrix in (("h", h), ("centred", head - head.mean(axis=0))):
        _, s, rows = np.linalg.svd(matrix, full_matrices=False)
        of[name] = s / s.sum() * along(unit, rows)
    return h, head, w, mean, (
        ("Take np.abs of each cosine before you average.", w * (unit @ v.T).mean(axis=0),
         w * np.abs((unit @ v.T).mean(axis=0))),
        ("The absolute cosine, not its square.", w * (cosines**2).mean(axis=0)),
        ("The mean of |cosine|, not the root of a mean square.",
         w * np.sqrt((cosines**2).mean(axis=0))),
        ("The mean over the images, not the largest.", w * cosines.max(axis=0)),
        ("The mean over the images, not the median.", w * np.median(cosines, axis=0)),
        ("The mean over the images, not their sum.", 4 * w * mean),
        ("The mean over all images, not the first alone.", w * cosines[0]),
        ("Each image at length 1: divide by its norm, over axis 1.", w * size,
         np.array([5, 4, 1]) * size),
        ("Each image by its own length, axis 1: one length for all is not enough.",
         w * size / np.linalg.norm(h), w * size / _length(h).mean(), w * size / size.sum()),
        ("Each image by its own length, over axis 1, not over axis 0.",
         w * along(h / _length(h, axis=0)), w * along(h) / np.linalg.norm(h, axis=0)),
        ("The length is np.linalg.norm, not a sum of sizes.",
         w * along(h / np.abs(h).sum(axis=1, keepdims=True))),
        ("The images as they are: subtract no mean.", w * along(centred / _length(centred))),
        ("The directions are the rows of what svd returns last: multiply by its transpose.",
         w * np.abs(unit @ v).mean(axis=0)),
        ("Decompose the head, not the images.", of["h"]),
        ("The head as it is: subtract no mean.", of["centred"]),
        ("Singular values, not their squares.", np.array([25, 16, 1]) / 42 * mean),
        ("eigh gives squares of the singular values, and the smallest first.",
         np.array([1, 16, 25]) / 42 * mean[::-1]),
        ("The singular values in the order of the directions.", w[::-1] * mean),
        ("A share: divide the singular values by their sum.", np.array([5, 4, 1]) * mean),
        ("Divide by the sum of the singular values, not by the largest.", 2 * w * mean),
        ("Divide by the sum of the singular values, not by their mean.", 3 * w * mean),
        ("A product of the two shares, not a sum.", w + mean),
        ("A product of the two shares, not a ratio.", w / mean),
        ("The products as they are: divide by nothing more.", w * mean / (w @ mean),
         3 * w * mean / (w @ mean)),
        ("The mean of the images' |cosines|, not the |cosine| of the mean image.",
         w * along(h.mean(axis=0, keepdims=True) / np.linalg.norm(h.mean(axis=0)))),
        ("In the order of the directions: do not sort.", np.sort(w * mean)[::-1]),
        ("Multiply by each singular value's share.", mean),
        ("Each direction has a share of its own, not that of the first.", mean / 2),
        ("Multiply by the mean absolute cosine.", w),
    )  # fmt: skip


def importance(asked):
    h, head, w, mean, mistakes = _importances(extra=2)
    value = asked(h, head)
    assert np.shape(value) == (3,), "One number for each direction: average over images, axis 0."
    _told(value, mistakes)
    whole = "Each singular value's share of their sum, times the mean |cosine| with its direction."
    assert np.allclose(value, w * mean), whole


def importance_over_mean(asked):
    h, head, w, mean, mistakes = _importances(extra=1)
    over = lambda found: np.max(found) / np.mean(found)  # noqa: E731
    value, found = asked(h, head), w * mean
    assert np.ndim(value) == 0, "One number: the largest importance over the mean."
    some = np.sort(found)
    _told(value, (
        ("Divide by the mean importance.", some[-1], 10 * some[-1]),
        ("Divide by the mean importance, not by the sum.", some[-1] / some.sum()),
        ("Divide by the mean importance, not by the median.", some[-1] / np.median(some),
         some[-1] / np.median(found[1:])),
        ("Divide by the mean importance, not by the second.", some[-1] / some[-2]),
        ("The largest importance, not the smallest.", some[0] / some.mean()),
        ("The largest importance, which need not be the first.", found[0] / some.mean()),
        ("First the products, then the largest and the mean.",
         w.max() / w.mean() * mean.max() / mean.mean()),
        *((why, *map(over, wrong)) for why, *wrong in mistakes
          if not any(np.isclose(over(one), over(found)) for one in wrong)),
    ))  # fmt: skip
    assert np.isclose(value, over(found)), "σ times the mean |cos| of images of length 1."


def alike(asked):
    a, b = np.array([3.0, 4]), np.array([5.0, -12])  # lengths 5 and 13, product −33
    value = asked(a, b)
    _told(value, (
        ("Take the absolute value: a direction has no sign.", -33 / 65),
        ("The absolute value of the sum of products, not of each.", 63 / 65, 0.99 * 63 / 65),
        ("Divide by both lengths.", 33),
        ("Divide by both lengths, not only by the first.", 33 / 5),
        ("Divide by both lengths, not only by the second.", 33 / 13),
        ("Divide by the product of the lengths, not by their sum.", 33 / 18),
        ("Divide by the product of the lengths, not by the square of the longer.", 33 / 169),
        ("Divide by the product of the lengths, not by the length of the products.",
         33 / np.linalg.norm(a * b)),
        ("The cosine, not its square.", (33 / 65) ** 2),
        ("Lengths are roots of sums of squares.", 33 / 4225),
        ("Lengths are roots of sums of squares, not sums of sizes.", 33 / 119),
        ("Lengths are roots of sums of squares, not sums of numbers.", -33 / 49),
        ("Brackets: divide by the product of the lengths.", 33 / 5 * 13),
        ("The product of the lengths, without another root.", 33 / np.sqrt(65)),
        ("The likeness itself, not 1 minus it.", 32 / 65),
        ("The cosine of the angle, not the distance.", np.sqrt(260), 18 / 65),
        ("The cosine, not the angle.", np.arccos(-33 / 65)),
        ("The cosine, not the correlation: subtract no mean.", 1),
        ("Multiply number by number, then add: a @ b.", 49 / 65),
    ))  # fmt: skip
    assert np.isclose(value, 33 / 65), "The product over both lengths, without its sign."


def less_common(asked):
    head = np.array([[1.0, 5, 0], [3, 5, 4], [8, 2, 5]])  # the mean row is 4 4 3
    mean, c = head.mean(axis=0), head - head.mean(axis=0)
    unit = mean / np.linalg.norm(mean)
    left, w, v = np.linalg.svd(head, full_matrices=False)
    value = asked(head)
    assert np.shape(value) == (3, 3), "As many rows and columns as before."
    _told(value, (
        ("The mean over the rows: axis 0, not axis 1.", head - head.mean(axis=1, keepdims=True)),
        ("A mean for each column, not of all numbers.", head - head.mean()),
        ("The mean row, not the first.", head - head[0]),
        ("The mean row, not the sum of the rows.", head - head.sum(axis=0)),
        ("Subtract it, do not add it.", head + mean),
        ("Subtract it, do not divide by it.", head / mean),
        ("Subtract all of it, not a part.", head - mean / 2),
        ("Each row minus the mean, not the mean minus each row.", -c),
        ("The mean row, not the median.", head - np.median(head, axis=0),
         head - np.median(head, axis=0) - 1),
        ("The mean row, not the largest numbers.", head - head.max(axis=0)),
        ("The mean row, not the smallest numbers.", head - head.min(axis=0)),
        ("The mean row as it is, not scaled to length 1.", head - unit),
        ("The same row from each row: this takes off as much as lies along it.",
         head - np.outer(head @ unit, unit)),
        ("The mean row, not the first direction.", head - w[0] * np.outer(left[:, 0], v[0])),
        ("Subtract, and divide by nothing.", c / head.std(axis=0), c / head.std()),
        ("Subtract, and leave the rows' lengths as they come out.", c / _length(c)),
        ("Subtract the mean row; the rows' lengths do not matter.", head / _length(head)),
        ("Nothing was subtracted.", head),
    ))  # fmt: skip
    assert np.allclose(value, c), "Subtract the mean row from each row, and do no more."


# Pruning


def accuracy(asked):
    draw = np.random.default_rng(4)
    head, h = draw.normal(size=(5, 4)) + 0.5, draw.normal(size=(97, 4)) + 0.3
    scores = h @ head.T
    classes = np.where(draw.random(97) < 0.7, scores.argmax(axis=1), draw.integers(5, size=97))
    far = ((h[:, None] - head) ** 2).sum(axis=2)
    right = lambda scores: (scores.argmax(axis=1) == classes).mean()  # noqa: E731
    largest = "For each image, axis 1, the class of the largest score, with its sign."
    try:
        value, exact = asked(h, head, classes), right(scores)
    except ValueError:  # of shapes that do not go together
        raise AssertionError(largest) from None
    assert np.ndim(value) == 0, "One number: how many are right, over how many there are."
    _told(value, (
        ("A share: divide by the number of images.", 97 * exact),
        ("A share: divide by the number of images, not of classes.", 97 * exact / 5),
        ("A fraction, not percent.", 100 * exact),
        ("How often it is right, not how often it is wrong.", 1 - exact),
        ("The class of the largest score, not of the smallest.", right(-scores)),
        ("Classes are counted from 0: add nothing.", (scores.argmax(axis=1) + 1 == classes).mean()),
        ("Scores have a sign: take neither np.abs nor squares.", right(scores**2)),
        ("One class for each image: argmax over axis 1.", (scores.argmax() == classes).mean()),
        ("The rows of the head as they are, not scaled to length 1.",
         right(h @ (head / _length(head)).T)),
        ("The images as they are: subtract no mean.", right((h - h.mean(axis=0)) @ head.T)),
        ("The head as it is: subtract no mean.", right(h @ _own(head).T)),
        ("Scores are products, not distances.", right(-far), right(far)),
        ("How often it is right in all images, not whether it ever is.", 1),
        ("Right is ==, not >=.", (scores.argmax(axis=1) >= classes).mean()),
        ("Compare the class of the largest score, not the score.", (scores.max(axis=1) > 0).mean(),
         0),
        ("How often the right class wins, not its mean score.",
         scores[np.arange(len(h)), classes].mean()),
    ))  # fmt: skip
    assert np.isclose(value, exact), largest


def _curve(h, head, classes, order, part):
    """The curve that a mistake gives: part(i, left, weights, directions) replaces the right one."""
    left, weights, directions = np.linalg.svd(head, full_matrices=False)
    scores, curve = np.zeros((len(h), len(head))), []
    for i in order:
        scores = scores + part(i, left, weights, directions)
        curve.append((scores.argmax(axis=1) == classes).mean())
    return np.array(curve)


def pruning_curve(asked):
    draw, order = np.random.default_rng(2), np.array([1, 2, 0, 3])
    head, h = draw.normal(size=(6, 4)) * [3, 2, 2, 1], draw.normal(size=(101, 4))
    classes = (h @ head.T).argmax(axis=1)
    curve = lambda part, order=order: _curve(h, head, classes, order, part)  # noqa: E731
    part = lambda i, u, w, v: np.outer(h @ v[i], w[i] * u[:, i])  # noqa: E731
    share = lambda scores: (scores.argmax(axis=1) == classes).mean()  # noqa: E731
    u, w, v = np.linalg.svd(head, full_matrices=False)
    parts = [part(i, u, w, v) for i in order]
    value, exact, none = asked(h, head, classes, order), curve(part), share(0 * parts[0])
    assert np.shape(value) == (4,), "One accuracy after each direction."
    _told(value, (
        ("Keep what was added before: +=, not =.", [share(one) for one in parts]),
        ("Count after each direction is added, not before.", [none, *exact[:-1]]),
        ("Add the parts, and take the largest score: nothing is subtracted, no argmin.",
         curve(lambda *of: -part(*of))),
        ("Start from zero and add; this starts from all and takes away.",
         [share(h @ head.T - sum(parts[: k + 1])) for k in range(4)],
         [share(sum(parts[k + 1:], 0 * parts[0])) for k in range(4)]),
        ("Keep the first directions of the order, not the last.",
         [share(sum(parts[k:])) for k in range(4)], curve(part, order[::-1])),
        ("A direction is a row of `directions`: directions[i].",
         curve(lambda i, u, w, v: np.outer(h @ v[:, i], w[i] * u[:, i])),
         curve(lambda i, u, w, v: np.outer(h @ v[:, i], w[i] * u[:, i]))[::-1]),
        ("Multiply each part by its own weight.",
         curve(lambda i, u, w, v: np.outer(h @ v[i], u[:, i]))),
        ("Multiply by the weight, not by its square.",
         curve(lambda i, u, w, v: np.outer(h @ v[i], w[i] ** 2 * u[:, i]))),
        ("Projections have a sign: take no absolute value of them.",
         curve(lambda i, u, w, v: np.outer(np.abs(h @ v[i]), w[i] * u[:, i]))),
        ("The left column has signs: take no absolute value of it.",
         curve(lambda i, u, w, v: np.outer(h @ v[i], w[i] * np.abs(u[:, i])))),
        ("The accuracies in the order in which directions are added.", exact[::-1]),
        ("Go through the directions in the given order.", curve(part, range(4))),
        ("Go through the numbers in `order` themselves: no argsort.",
         curve(part, np.argsort(order))),
        ("The accuracy after each direction: do not add them up.", np.cumsum(exact)),
    ))  # fmt: skip
    assert np.max(value) <= 1, "Shares of images, not their numbers."
    whole = "With all directions nothing is lost: add weight × (h @ direction) × left column."
    assert np.isclose(value[-1], 1), whole
    assert np.allclose(value, exact), "Add one part, count, then add the next."
    short = asked(h, head, classes, order[:1])
    assert np.shape(short) == (1,) and np.isclose(short[0], exact[0]), "As many as the order has."


def without(asked):
    head = np.random.default_rng(1).normal(size=(5, 4)) + 1
    u, w, v = np.linalg.svd(head, full_matrices=False)
    part = lambda i: w[i] * np.outer(u[:, i], v[i])  # noqa: E731
    value = asked(head, 1)
    assert np.shape(value) == (5, 4), "A head of the same shape."
    _told(value, (
        ("The head without this part, not the part alone.", part(1)),
        ("Subtract the part, do not add it.", head + part(1)),
        ("Directions are counted from 0: subtract no 1.", head - part(0)),
        ("Directions are counted from 0: add no 1.", head - part(2)),
        ("Directions are counted from the first, not from the last.", head - part(3),
         head - part(2), head - w[1] * np.outer(u[:, 2], v[2])),
        ("This leaves out all directions up to the one asked for.", part(2) + part(3)),
        ("This leaves out all directions from the one asked for on.", part(0)),
        ("Multiply the part by its weight, the singular value.", head - part(1) / w[1],
         head - part(1) + part(1) / w[1]),
        ("Multiply the part by its weight, not by the square.", head - w[1] * part(1)),
        ("A direction is a row of what svd returns last, not a column.",
         head - w[1] * np.outer(u[:, 1], v[:, 1])),
        ("Singular vectors have signs: take no absolute values.", head - np.abs(part(1))),
        ("Subtract left × weight × direction: a column of the head is no singular vector.",
         head - np.outer(head[:, 1], v[1])),
        ("Each row loses its own multiple of the direction, not the direction itself.",
         head - v[1], head - w[1] * v[1]),
        ("Project on the direction: do not multiply number by number.", head - head * v[1]),
        ("A direction of the head, not one of its rows.", head - head[1],
         head * (np.arange(5) != 1)[:, None]),
        ("A direction of the head, not one of its columns.", head * (np.arange(4) != 1),
         head * (np.arange(4) != 1)),
    ))  # fmt: skip
    assert np.allclose(value, head - part(1)), "Subtract weight × left column × right row."
    assert np.allclose(asked(head, 0), head - part(0)), "The direction that was asked for."


# Concepts


def average_precision(asked):
    scores = np.array([[-4.0, 1, 2], [-5, 2, 7], [-6, 3, 1], [-7, 4, 9], [-8, 0, 3], [-9, 5, 8]])
    positive = np.array([True, False, True, False, False, True])  # places 1 3 6; 1 3 5; 2 5 6
    hits = positive[np.argsort(-scores, axis=0)]
    share = hits.cumsum(axis=0) / np.arange(1, 7)[:, None]
    over = lambda share: (share * hits).sum(axis=0) / 3  # noqa: E731
    value = asked(scores, positive)
    assert np.shape(value) == (3,), "One number for each column: sort and count along axis 0."
    assert np.isfinite(value).all(), "Places count from 1: nothing is divided by 0."
    exact = over(share)
    _told(value, (
        ("The highest score first: sort by -scores.", [2 / 3, 1 / 2, 13 / 15]),
        ("At each positive the share so far; this is the share in all.", [0.5, 0.5, 0.5]),
        ("This is the share among the first three alone.", [2 / 3, 2 / 3, 1 / 3]),
        ("The mean of the precisions at the positives, not the largest.", [1, 1, 0.5]),
        ("Divide by the number of positives, not of images.", exact / 2),
        ("Divide by the number of positives, not of negatives.", exact * 1.01),
        ("The mean over the positives: divide by their number.", 3 * exact),
        ("The share of positives so far, not 1 over the place.",
         over(1 / np.arange(1, 7)[:, None])),
        ("Divide by the place, not by the number of positives.", [2 / 3, 2 / 3, 2 / 3]),
        ("Divide by the place, not by the number of images.", over(hits.cumsum(axis=0) / 6)),
        ("The share counts the positive itself: subtract no 1.", [2 / 9, 11 / 45, 8 / 45]),
        ("The scores as they are: no absolute values.", [2 / 3, 34 / 45, 7 / 15]),
        ("Average over the positives, not over all places.", share.mean(axis=0)),
        ("Average over the positives; this is an area under all precisions.",
         ((share[1:] + share[:-1]) / 2).mean(axis=0)),
        ("Sort once: argsort gives the images in order.", [65 / 90, 37 / 90, 57.5 / 90]),
        ("Each column has its own order.", [65 / 90, 65 / 90, 65 / 90]),
        ("Images are sorted: argsort over axis 0.", _sorted_across(scores, positive)),
        ("Count the positives down each column: cumsum over axis 0.",
         over(hits.cumsum(axis=1) / np.arange(1, 7)[:, None])),
        ("The precision at each positive, as it is, not the best from there on.",
         over(np.maximum.accumulate(share[::-1])[::-1])),
        ("Multiply by the precision: each positive counts as much as its share.", [1, 1, 1]),
        ("Places count from 1.", [10 / 21, 0.5, 23 / 63],
         over(hits.cumsum(axis=0) / (np.arange(6) + 1e-9)[:, None])),
        ("Add up at the positives alone.", share.sum(axis=0) / 3),
        ("Add up at the positives, not at the negatives.", (share * ~hits).sum(axis=0) / 3),
        ("This is an area under a ROC curve. Average precisions.", [5 / 9, 2 / 3, 2 / 9]),
    ))  # fmt: skip
    at = "Places 1, 3 and 6: (1/1 + 2/3 + 3/6) / 3. Places count from 1; each column has its own."
    assert np.allclose(value, exact), at


def _sorted_across(scores, positive):
    hits = positive[np.argsort(-scores, axis=1)]
    share = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    return (share * hits).sum(axis=0) / positive.sum()


def by_chance(asked):
    places = np.array([*combinations(range(10), 5)])
    counts = np.arange(1, 6)
    p, value = counts / (places + 1), asked(5)
    good = lambda p, bar=0.9: (p >= bar - 1e-12).mean()  # noqa: E731
    assert np.ndim(value) == 0, "One number: the share of the rows."
    _told(value, (
        ("A share: divide by the number of rows.", 8),
        ("A share of the orders that there are, not of all subsets.", 8 / 2**10),
        ("Whether any row passes is not how often: take the mean.", 1),
        ("The rows with 0.9 or more, not those with less.", 1 - 8 / 252),
        ("First the mean of each row, then compare.", good(p)),
        ("The share of rows that pass, not their mean precision.", p.mean()),
        ("None passes: over axis 1, positives count from 1, and places here from 0.", 0),
        ("The places of a row are in order: do not turn them round.",
         good((counts / (places[:, ::-1] + 1)).mean(axis=1))),
        ("The mean over a row, not the largest.", good(p.max(axis=1))),
        ("At least 0.9, not 0.8.", good(p.mean(axis=1), 0.8)),
        ("0.9 itself passes: compare with >= 0.9 - 1e-12.", (p.mean(axis=1) > 0.9 + 1e-9).mean()),
        ("The mean of a row, not its median.", good(np.median(p, axis=1))),
        ("The mean of a row, which has to reach 0.9: not its smallest or last, nor 1.",
         good(p.min(axis=1)), good(p[:, -1]), good(p.mean(axis=1), 1)),
    ) if not np.isclose(value, 8 / 252) else ())  # fmt: skip
    assert np.isclose(value, 8 / 252), "With n = 5 eight orders of 252 pass; places count from 0."
    assert np.isclose(asked(2), 1 / 6), "With n = 2 one order of six passes."


def at_least_one(asked):
    value = asked(0.2, 3)
    _told(value, (
        ("This is the probability that all pass.", 0.008),
        ("Take 1 − probability first: that none passes, not that not all pass.", 0.992),
        ("A probability cannot grow beyond 1: do not add them up.", 0.6),
        ("This is the probability that none passes: take it from 1.", 0.512),
        ("To the power of the count, not times the count.", 1 - 0.8 * 3),
        ("To the power of the count: no direction is left out.", 1 - 0.8**2),
        ("This is the probability that exactly one passes.", 3 * 0.2 * 0.64, 3 * 0.2 * 0.8),
        ("The power, not its approximation by np.exp.", 1 - np.exp(-0.6)),
        ("A power of the probability that it does not pass, not a root.", 0.2 ** (1 / 3)),
    ))  # fmt: skip
    assert np.isclose(value, 0.488), "That none passes has probability 0.8 cubed."


# What the head does not read


def _four():
    """Six texts; their axes, along which squares add up to 18, 8, 2 and 0."""
    turn = np.array([[0.6, 0.8, 0, 0], [-0.8, 0.6, 0, 0], [0, 0, 0.6, 0.8], [0, 0, -0.8, 0.6]])
    bare = [[3.0, 0, 0, 0], [-3, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, -2, 0]]
    return np.array(bare) @ turn + [10, 20, 30, 40], turn[[0, 2, 1, 3]]


def shares(asked):
    four, axes = _four()
    value = asked(four)
    assert isinstance(value, tuple) and len(value) == 2, "Two arrays: directions, and shares."
    v, x = value
    few = asked(four[[0, 2, 4]])  # fewer texts than numbers
    whole = np.shape(v) == (4, 4) and np.shape(x) == (4,) and np.shape(few[1]) == (4,)
    assert whole, "All d directions, also those with no variance."
    exact = np.array([18, 8, 2, 0]) / 28
    of = lambda texts: np.linalg.svd(texts)[1] ** 2 / (texts**2).sum()  # noqa: E731
    _told(x, (
        ("Squares of the singular values.", np.array([3, 2, 1, 0]) / 6),
        ("Shares add up to 1: divide by the sum of the squares.", 28 * exact),
        ("Divide by the sum of the squares, not by the largest.", exact * 28 / 18),
        ("Divide by the sum of the squares, not by their mean.", exact * 4),
        ("Divide by the sum of the squares, not by the number of texts.", exact * 28 / 6),
        ("Divide squares by the sum of squares, not by the square of the sum.", exact * 28 / 72),
        ("The share of each direction: do not add them up.", np.cumsum(exact)),
        ("Subtract the mean text, axis 0, before you decompose.", of(four)),
        ("The mean text is over axis 0, not over axis 1.", of(four - four.mean(axis=1)[:, None])),
        ("The mean text has a number for each column: not the mean of all numbers.",
         of(four - four.mean())),
        ("Subtract the mean text, not the first.", of(four - four[0])),
        ("Subtract the mean text, and divide by nothing.",
         of((four - four.mean(axis=0)) / (four.std(axis=0) + 1e-9)), of(four / _length(four))),
        ("The largest first, as svd returns them.", exact[::-1]),
    ))  # fmt: skip
    assert np.allclose(x, exact), "Squares of the singular values of the texts less their mean."
    assert not np.allclose(v, np.abs(v)), "A direction's numbers have signs: take no np.abs."
    last = "The directions in the order of their shares, the largest first."
    assert not np.isclose(abs(v[3] @ axes[0]), 1), last
    rows = "Directions are the rows of what svd returns last."
    assert np.allclose(np.abs(v @ axes.T), np.eye(4), atol=1e-6), rows


def least_varying(asked):
    four, axes = _four()
    found = [asked(four, share) for share in (0.05, 0.3, 0.4)]
    counts = [len(np.atleast_1d(some)) for some in found]
    _told(counts, (
        ("Add the shares up from the last direction on, not from the first.", [0, 0, 0], [1, 0, 0]),
        ("Add the shares up: each one below the share is not enough.",
         [1, 3, 3], [1, 1, 2], [1, 2, 2]),
        ("Keep what holds at most the share, not what holds more.", [3, 2, 1]),
        ("At most the share: this takes one direction more.", [2, 3, 4]),
        ("At most `share` of the variance, not all but that.", [3, 3, 3]),
        ("All directions that together hold at most the share, not one alone.", [1, 1, 1]),
        ("Add shares up, do not multiply them.", [4, 4, 4], [2, 4, 4]),
        ("Shares of variance as they are, not squared.", [2, 2, 3], [1, 3, 3], [2, 3, 3]),
        ("A direction with no variance holds nothing: it is among them.", [0, 1, 2]),
    ))  # fmt: skip
    assert counts == [1, 2, 3], "Those that together hold at most the share."
    three = np.array(found[2])
    assert np.shape(three) == (3, 4), "Whole directions: choose rows."
    last = [abs(row @ axis) for row, axis in zip(three, axes[::-1], strict=False)]
    if not np.allclose(last, 1):
        first = "From the last direction on, not from the first."
        assert not np.isclose(abs(three[0] @ axes[0]), 1), first
        order = "The direction of least variance comes first: turn the order round."
        assert not np.isclose(abs(three[2] @ axes[3]), 1), order
    assert np.allclose(last, 1), "Rows of the directions, from the last upwards."


def energy_along(asked):
    h = np.array([[3.0, -4, 1], [0, 5, 2]])  # energies 26 and 29
    two = np.array([[0.6, 0.8, 0], [0, 0, 1]])  # along them: −1.4 and 1, 4 and 2
    value = asked(h, two)
    _told(value, (
        ("A share: divide by the energy of the images.", 22.96),
        ("The share along the directions, not what is left.", 1 - 22.96 / 55),
        ("Energy is a sum of squares, without a root.", np.sqrt(22.96 / 55)),
        ("Sums of squares, not their means: there are fewer directions.", 22.96 / 4 / (55 / 6)),
        ("Add the images' energies up, then divide.", (2.96 / 26 + 20 / 29) / 2),
        ("Sum both over the images, or average both.", 11.48 / 55),
        ("Squares, not absolute values.", 8.4 / 15),
        ("Square each projection before you sum.", 8.4 / 55),
        ("All directions, not only the first.", 17.96 / 55),
        ("Square each projection, then sum: not the other way round.", 36.16 / 55, 31.36 / 55),
        ("The sum of the images' energies, not their mean.", 22.96 / 27.5),
        ("Square each number, then sum: not the other way round.", 22.96 / 7, 22.96 / 49),
        ("Sum over the directions: do not divide by their number.", 22.96 / 110),
        ("The energy of each image, not of the mean image.", 3.94 / 55),
        ("Divide by the energy of the images, not of the directions.", 22.96 / 2),
        ("The images as they are: subtract no mean.", 22.96 / 45.5, 15.08 / 45.5),
        ("Sums of squares, not sums of numbers.", 5.6 / 7),
        ("The share of the energy, not the mean share of the lengths.",
         (np.sqrt(2.96 / 26) + np.sqrt(20 / 29)) / 2),
        ("Sum the squares, do not average them.", 5.74 / 55),
    ))  # fmt: skip
    assert np.isclose(value, 22.96 / 55), "Project onto each direction, square, add all up."


def dropped(asked):
    three, two = np.array([[3.0, -4, 1], [0, 5, 2]]), np.array([[0.6, 0.8, 0], [0, 0, 1]])
    value, along = asked(three, two), three @ two.T @ two
    assert np.shape(value) == (2, 3), "As many numbers come back as went in."
    _told(value, (
        ("What is left, not the part that is removed.", along),
        ("Subtract the part, do not add it.", three + along),
        ("Subtract each image's own part along a direction.", three - two.sum(axis=0)),
        ("The part has a sign: take no absolute value.", three - np.abs(three @ two.T) @ two),
        ("All directions, not only the first.", three - three @ two[:1].T @ two[:1]),
        ("All directions, not only the last.", three - three @ two[1:].T @ two[1:]),
        ("A part points along its direction: multiply by it.", three - (three @ two.T).sum()),
        ("Subtract the part once.", three - 2 * along),
        ("Subtract all of the part: do not average over directions.", three - along / 2),
        ("Each image's own part, not the mean image's.", three - along.mean(axis=0)),
        ("What is left as it is: divide by no length.",
         (three - along) / _length(three), (three - along) / _length(three - along)),
        ("The whole part, not scaled to length 1.", three - along / _length(along)),
        ("Each direction by itself: do not add directions up.",
         three - three @ two.sum(axis=0)[:, None] * two.sum(axis=0)),
        ("The projection, without a square.", three - three @ (two.T @ two) ** 2),
        ("Directions are no choice of coordinates: project.",
         three * (1 - np.abs(two).sum(axis=0)), three * (1 - (two**2).sum(axis=0)),
         three * (two.sum(axis=0) == 0)),
        ("Nothing was subtracted.", three),
    ))  # fmt: skip
    left = [[3.84, -2.88, 0], [-2.4, 1.8, 0]]
    assert np.allclose(value, left), "Subtract h @ directions.T @ directions and no more."


# Bits


def crest(asked):
    h = np.array([[3.0, -4, 0, 0], [0, 0, 0, 7], [1, 3, 3, 1], [2, -5, 1, 6]])
    size, low, high = np.abs(h), h.min(axis=1), h.max(axis=1)
    root, top = np.sqrt((h**2).mean(axis=1)), np.abs(h).max(axis=1)
    value = asked(h)
    assert np.shape(value) == (4,), "One number for each image: axis 1."
    _told(value, (
        ("Take np.abs before max: the tallest number may be negative.", high / root),
        ("The root of the mean square, not of the sum.", top / root / 2),
        ("The root of the mean square: take it.", top / root**2),
        ("The root of the mean square, not of the mean size.", top / np.sqrt(size.mean(axis=1))),
        ("The root mean square, not the mean size.", top / size.mean(axis=1)),
        ("The root mean square, not the median size.", top / np.median(size, axis=1)),
        ("The root mean square, not the standard deviation: subtract nothing.",
         top / h.std(axis=1), np.abs(h - h.mean(axis=1)[:, None]).max(axis=1) / h.std(axis=1)),
        ("The largest magnitude itself: subtract no mean.",
         np.abs(h - h.mean(axis=1)[:, None]).max(axis=1) / root),
        ("The largest magnitude, not the range.", (high - low) / root, (high - low) / root / 2),
        ("Each image's own largest magnitude: over axis 1.", 7 / root),
        ("Each image's own root mean square: over axis 1.", top / np.sqrt((h**2).mean())),
        ("The largest over the root mean square, not the other way round.", root / top),
        ("The ratio itself, not its square.", top**2 / root**2),
        ("Each image, over axis 1: this is each coordinate.",
         size.max(axis=0) / np.sqrt((h**2).mean(axis=0))),
        ("The largest magnitude, not that of the mean.", np.abs(h.mean(axis=1)) / root),
    ))  # fmt: skip
    whole = "np.abs, then max; divide by the root of the mean square."
    assert np.allclose(value, top / root), whole


def quantised(asked):
    h = np.array([[-7, 1.4, 5, -0.8], [0.7, 0.26, 0, -0.14]])
    top = np.abs(h).max(axis=1, keepdims=True)
    bare = np.array([[-7, 1, 5, -1], [7, 3, 0, -1]])  # whole steps
    step, value = top / 7, asked(h, 4)
    assert np.shape(value) == (2, 4), "As many numbers come back as went in."
    by = lambda step: step * np.round(h / step)  # noqa: E731
    span = h.max(axis=1, keepdims=True) - h.min(axis=1, keepdims=True)
    _told(value, (
        ("Multiply the whole numbers by the step again.", bare),
        ("Multiply the whole numbers by the step, do not divide.", bare / step),
        ("Round h over the step, not times the step.", np.round(h * step) / step),
        ("Round h over the step, not h itself.", step * np.round(h)),
        ("Round to whole steps, and multiply by the step again.", h / step),
        ("Round to steps, not to decimal places.", np.round(h, 4)),
        ("The nearest multiple: np.round, not np.floor.", step * np.floor(h / step)),
        ("The nearest multiple: np.round, not np.ceil.", step * np.ceil(h / step)),
        ("The nearest multiple: np.round, not np.trunc.", step * np.trunc(h / step)),
        ("Whole multiples of the step: 0 stays 0.", step * (np.floor(h / step) + 0.5)),
        ("Each image has its own step: the largest |h| over axis 1.", by(np.abs(h).max() / 7)),
        ("Each image has its own step: over axis 1, not axis 0.",
         by(np.abs(h).max(axis=0) / 7)),
        ("The largest |h|: take np.abs before max.", by(h.max(axis=1, keepdims=True) / 7)),
        ("The largest |h|, not the range.", by(span / 7), by(span / 15)),
        ("The largest |h|, not the standard deviation.", by(h.std(axis=1, keepdims=True) / 7)),
        ("The number of steps on each side is 2**(bits - 1) - 1: subtract 1.", by(top / 8)),
        ("One bit is for the sign: 2**(bits - 1) - 1 steps on each side.", by(top / 15),
         by(top / 16)),
        ("2**(bits - 1) - 1 steps on each side of zero, not on both.", by(2 * top / 15)),
        ("With 4 bits there are 7 steps on each side, not 4.", by(top / 4)),
    ))  # fmt: skip
    assert np.allclose(value, step * bare), "The nearest multiple of each image's own step."
    three = asked(h, 3)[0]
    assert np.allclose(three, [-7, 7 / 3, 14 / 3, 0]), "3 bits: 3 steps, 2**(bits - 1) - 1."
    step = 0.7 / 127
    eight = asked(h, 8)[1] / step
    assert np.allclose(eight, [127, 47, 0, -25]), "8 bits: 127 steps each way."


# Grow an outlier


def unit(asked):
    h = np.array([[3.0, 4, 0], [0, 0, -2], [1, -2, 2]])
    length, square = _length(h), (h**2).sum(axis=1, keepdims=True)
    value = asked(h)
    assert np.shape(value) == (3, 3), "As many rows and columns as before."
    _told(value, (
        ("Divide each row by its own length, not by that of the whole array.",
         h / np.linalg.norm(h)),
        ("Divide each row by its own length: over axis 1, not axis 0.", h / _length(h, 0)),
        ("Divide rows, not columns: keepdims=True keeps the lengths beside their rows.",
         h / length[:, 0]),
        ("The length is the root of the sum of squares: divide by that, not by the sum.",
         h / h.sum(axis=1, keepdims=True)),
        ("The length is np.linalg.norm, not a sum of sizes.",
         h / np.abs(h).sum(axis=1, keepdims=True)),
        ("Divide by the length, not by its square.", h / square),
        ("Divide by the length, not by the largest size.",
         h / np.abs(h).max(axis=1, keepdims=True)),
        ("Divide each row by its own length, not by the largest length.", h / 5),
        ("Divide by the length, not by the standard deviation.",
         h / h.std(axis=1, keepdims=True)),
        ("The root of the sum of squares, not of their mean.", h / np.sqrt(square / 3)),
        ("The row as it is: subtract no mean.", (h - h.mean(axis=1, keepdims=True)) / length),
        ("Divide by the length, do not multiply.", h * length),
    ))  # fmt: skip
    assert np.allclose(value, h / length), "Divide each row, axis 1, by its own length."


def mean_share(asked):
    h = np.array([[3.0, 4], [-8, 6], [0, -2], [2, 0]])
    unit = h / _length(h)
    mean, value = unit.mean(axis=0), asked(h)
    exact = (mean**2).sum()
    assert np.ndim(value) == 0, "One number: the sum of the squares of the mean."
    _told(value, (
        ("Scale each row to length 1 first.", (h.mean(axis=0) ** 2).sum(),
         (h.mean(axis=0) ** 2).sum() / (h**2).sum(axis=1).mean()),
        ("The sum of the squares, not their mean.", exact / 2),
        ("The sum of the squares, not the largest.", (mean**2).max()),
        ("Squares: the sum of the mean row's squares.", mean.sum(), np.abs(mean).sum()),
        ("Energy is a sum of squares, without a root.", np.sqrt(exact)),
        ("The mean over the rows, axis 0, not their sum.", 16 * exact),
        ("A mean for each column, not of all numbers.", unit.mean() ** 2),
        ("First the mean of the scaled rows, then squares.", 1, 4),
        ("What the mean holds, not what is left.", 1 - exact),
        ("The energy of the mean, not its product with a row.",
         unit[0] @ h.mean(axis=0) / np.linalg.norm(h.mean(axis=0))),
    ))  # fmt: skip
    assert np.isclose(value, exact), "The mean of the scaled rows, axis 0; the sum of its squares."


def adam(asked):
    m, s = np.array([3.0, -3, 0]), np.array([4.0, 16, 0])
    value = asked(m, s)
    assert np.shape(value) == (3,), "A step for each number."
    assert np.isfinite(value[1]), "The root of the second moment alone: a mean may be negative."
    recipe = "The first mean over the root of the second plus 1e-8: nothing is divided by 0."
    assert np.all(np.isfinite(value)), recipe
    root = np.sqrt(s)
    _told(value, (
        ("Divide by the root of the second moment.", m),
        ("The root of the second moment.", m / (s + 1e-8)),
        ("Divide by the root, do not multiply.", m * root),
        ("Each number by its own second moment: take no mean.", m / (np.sqrt(s.mean()) + 1e-8)),
        ("The size of the mean counts, not only its sign.", np.sign(m)),
        ("The mean has a sign: take no absolute value.", np.abs(m) / (root + 1e-8)),
        ("As it is: `train` subtracts the step.", -m / (root + 1e-8)),
        ("The mean itself, not its square.", m**2 / (root + 1e-8)),
        ("Add 1e-8 to the root, not 1.", m / (root + 1)),
        ("The first mean over the root, not the other way round.", root / (m + 1e-8)),
    ))  # fmt: skip
    assert np.allclose(value, [1.5, -0.75, 0], atol=1e-6), "The first mean over the root."
