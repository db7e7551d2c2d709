"""Checks for the blanks of the teaching notebooks, which name the most frequent mistakes.

`check` calls a function that a student wrote with small arrays, of which the result is known, and
what frequent mistakes make of it. A wrong result raises AssertionError with a sentence. Needs NumPy
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
    exact = np.mean([1.64, 7 / 3, 2])
    power = lambda x: np.mean(x**4)  # noqa: E731
    value = asked(h)
    assert np.ndim(value) == 0, "One number: average over images, too."
    _told(value, (
        ("Do not subtract 3: that is the excess kurtosis.", exact - 3),
        ("The fourth power, not the square: squares average to 1.", 1),
        ("Subtract each image's own mean first, over axis 1.", power(h / std)),
        ("Divide by each image's own standard deviation, axis 1, not by that of all numbers.",
         power(c / c.std()), power(c / h.std())),
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
        ("Subtract each image's own mean, axis 1, not that of all numbers.",
         _leaders(lambda h: np.abs(h - h.mean()))),
    ]  # fmt: skip


def persistence(asked):
    value = [asked(h) for h in SEVERAL]
    assert np.shape(value) == (2, 2), "Two numbers: the coordinate, and its share of the images."
    first, often = np.transpose(value)
    most, share = np.reshape(_leaders(lambda h: np.abs(_own(h))), (2, 2)).T
    _told(np.ravel(value), _farthest())
    _told(first, (
        ("First the coordinate, then the share.", share),
        ("Coordinates are counted from 0.", most + 1),
        ("The number of the coordinate, not how often it wins.", share * [len(h) for h in SEVERAL]),
        ("Count wins: the mean size does not matter.",
         [np.abs(_own(h)).mean(axis=0).argmax() for h in SEVERAL],
         [np.abs(h).mean(axis=0).argmax() for h in SEVERAL]),
    ))  # fmt: skip
    recipe = (
        "Which coordinate is farthest from its image's own mean, up or down; the most frequent."
    )
    assert np.allclose(first, most), recipe
    wins = share * [len(h) for h in SEVERAL]
    _told(often, (
        ("A share: divide the count by the number of images.", wins),
        ("A share of the images: divide by their number, not by that of coordinates.",
         wins / [h.shape[1] for h in SEVERAL]),
        ("A share of the images: divide by their number, not by that of all numbers.",
         wins / [h.size for h in SEVERAL]),
        ("The share in which it wins, not the rest.", 1 - share),
    ))  # fmt: skip
    assert np.allclose(often, share), "The largest count, over the number of images."
    others = [[3.0, -1, -1, -1], [-3, 1, 1, 1], [0, 3, -1, -2], [0, -1, 3, -2], [-10, -20, 0, 30]]
    how = "Count how often each coordinate wins; the size of a win does not matter."
    assert np.allclose(asked(np.array(others)), (0, 2 / 5)), how  # coordinates 0 0 1 2 3


def kurtosis_and_share(asked):
    value = [asked(h) for h in SEVERAL]
    assert np.shape(value) == (2, 2), "Two numbers: κ, and the share."
    most, share = np.reshape(_leaders(lambda h: np.abs(_own(h))), (2, 2)).T
    assert not np.allclose(np.transpose(value)[0], share), "First κ, then the share."
    kurtosis(lambda h: asked(h)[0])
    often, images = np.transpose(value)[1], [len(h) for h in SEVERAL]
    _told(often, (
        ("A share: divide the count by the number of images.", share * images),
        ("The share of the images, not the number of the coordinate.", most),
        *((why, *(one[1::2] for one in wrong)) for why, *wrong in _farthest()[1:]),
    ))  # fmt: skip
    far = "Farthest from the image's own mean, up or down; the largest count over the images."
    assert np.allclose(often, share), far
    others = [[3.0, -1, -1, -1], [-3, 1, 1, 1], [0, 3, -1, -2], [0, -1, 3, -2], [-10, -20, 0, 30]]
    assert np.isclose(asked(np.array(others))[1], 2 / 5), far


def share_of_mean(asked):
    h = np.array([[-6.0, 8], [6, 1], [3, 3]])  # their mean is (1, 4); their energies 100, 37, 18
    mean, energies, value = h.mean(axis=0), (h**2).sum(axis=1), asked(h)
    top, energy = 17, energies.mean()
    _told(value, (
        ("The mean energy of the images, not its sum: divide by their number.", top / 155),
        ("A share, not what is left of it.", 1 - top / energy),
        ("The mean image is over axis 0: one mean for each coordinate, not of all numbers.",
         h.mean() ** 2 / energy, h.mean() ** 2 / np.mean(h**2)),
        ("Divide by the images' energy: subtract no mean there.",
         top / ((h - mean) ** 2).sum(axis=1).mean()),
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
        ("Odds are a over 1 − a, not the other way round.", -_logit(a)),
        ("Odds are a / (1 - a), not 1 / (1 - a).", -np.log(1 - a)),
    ))  # fmt: skip
    assert np.isfinite(value).all(), "The error is 1 - a, and positive."
    assert np.allclose(value, _logit(a)), "The odds of 0.75 are 3 to 1; take np.log of them."


def _line(value, x, y, points):
    """What of an effective robustness is wrong, with a slope of one half and an intercept of −1."""
    p = 0.5 * _logit(x) - 1
    lines = _back(p)
    assert np.shape(value) == (3,), "One number for each model, with its own prediction."
    value = np.array(value) / points
    right = y - lines
    _told(value, (
        ("As a fraction, not in points.", 100 * right)
        if points == 1 else ("Points: 100 times the difference of accuracies.", right / 100),
        ("Predict an accuracy, not a logit.", _logit(y) - p),
        ("Which minus which? Above the line is +.", -right),
        ("The difference itself: divide it by nothing.", right / x, right / y, right / lines),
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
        ("Rank both lists upwards: one of yours goes down.", -exact,
         _correlation((-a).argsort(), b.argsort())),
        ("The correlation, not how often ranks are equal.", (ra == rb).mean(),
         (a.argsort() == b.argsort()).mean()),
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
        ("The odds are accuracy over error: a / (1 - a).", (0.5, 1)),
        ("The intercept is where the line crosses x = 0: here −1.", (0.5, 0)),
        ("Fit the slope as well: here one half.", (1, -1.5)),
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
    ))  # fmt: skip
    assert np.allclose(value, (slope, intercept)), "The line of least squares through all points."


# Directions of a head


FRAME = np.array([[0.6, 0.8, 0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]])  # the directions
ALONG = np.array([[0, 2.0, 0], [0, 3, -4], [-2, 1, 2], [2, 3, -6]])  # images in this frame


def _importances(extra):
    """Images and head; the exact importance by direction; mistakes as (sentence, …)."""
    h, head = ALONG @ FRAME, np.vstack([np.diag([5.0, 4, 1]), np.zeros((extra, 3))]) @ FRAME
    w, unit, size = np.array([5, 4, 1]) / 10, ALONG / _length(ALONG), np.abs(ALONG).mean(axis=0)
    mean = np.abs(unit).mean(axis=0)
    return h, head, w * mean, (
        ("Take np.abs of each cosine before you average.", w * unit.mean(axis=0),
         w * np.abs(unit.mean(axis=0))),
        ("Each image at length 1: divide by its norm, over axis 1.", w * size, 10 * w * size),
        ("Singular values, not their squares.", np.array([25, 16, 1]) / 42 * mean),
        ("A share: divide the singular values by their sum.", 10 * w * mean),
    )  # fmt: skip


def importance(asked):
    h, head, exact, mistakes = _importances(extra=2)
    value = asked(h, head)
    assert np.shape(value) == (3,), "One number for each direction: average over images, axis 0."
    _told(value, mistakes)
    whole = "Each singular value's share of their sum, times the mean |cosine| with its direction."
    assert np.allclose(value, exact), whole


def importance_over_mean(asked):
    h, head, found, mistakes = _importances(extra=1)
    over = lambda found: np.max(found) / np.mean(found)  # noqa: E731
    value = asked(h, head)
    assert np.ndim(value) == 0, "One number: the largest importance over the mean."
    _told(value, (
        ("Divide by the mean importance.", found.max(), 10 * found.max()),
        ("The largest importance, which need not be the first.", found[0] / found.mean()),
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
        ("Brackets: divide by the product of the lengths.", 33 / 5 * 13),
        ("The cosine of the angle, not the distance.", np.sqrt(260), 18 / 65),
    ))  # fmt: skip
    assert np.isclose(value, 33 / 65), "The product over both lengths, without its sign."


def less_common(asked):
    head = np.array([[1.0, 5, 0], [3, 5, 4], [8, 2, 5]])  # the mean row is 4 4 3
    c = head - head.mean(axis=0)
    value = asked(head)
    assert np.shape(value) == (3, 3), "As many rows and columns as before."
    _told(value, (
        ("The mean over the rows: axis 0, not axis 1.", head - head.mean(axis=1, keepdims=True)),
        ("A mean for each column, not of all numbers.", head - head.mean()),
        ("The mean row, not the first.", head - head[0]),
        ("Subtract, and divide by nothing.", c / head.std(axis=0), c / head.std()),
    ))  # fmt: skip
    assert np.allclose(value, c), "Subtract the mean row from each row, and do no more."


# Pruning


def accuracy(asked):
    draw = np.random.default_rng(4)
    head, h = draw.normal(size=(5, 4)) + 0.5, draw.normal(size=(97, 4)) + 0.3
    scores = h @ head.T
    classes = np.where(draw.random(97) < 0.7, scores.argmax(axis=1), draw.integers(5, size=97))
    right = lambda scores: (scores.argmax(axis=1) == classes).mean()  # noqa: E731
    largest = "For each image, axis 1, the class of the largest score, with its sign."
    try:
        value, exact = asked(h, head, classes), right(scores)
    except ValueError:  # of shapes that do not go together
        raise AssertionError(largest) from None
    assert np.ndim(value) == 0, "One number: how many are right, over how many there are."
    _told(value, (
        ("A share: divide by the number of images, not of classes.", 97 * exact / 5),
        ("The class of the largest score, not of the smallest.", right(-scores)),
        ("Scores have a sign: take neither np.abs nor squares.", right(scores**2)),
        ("One class for each image: argmax over axis 1.", (scores.argmax() == classes).mean()),
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
    value, exact = asked(h, head, classes, order), curve(part)
    assert np.shape(value) == (4,), "One accuracy after each direction."
    _told(value, (
        ("Keep what was added before: +=, not =.", [share(one) for one in parts]),
        ("Add the parts, and take the largest score: nothing is subtracted, no argmin.",
         curve(lambda *of: -part(*of))),
        ("Multiply each part by its own weight.",
         curve(lambda i, u, w, v: np.outer(h @ v[i], u[:, i]))),
        ("Go through the directions in the given order.", curve(part, range(4))),
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
        ("Directions are counted from 0: subtract no 1.", head - part(0)),
        ("Multiply the part by its weight, the singular value.", head - part(1) / w[1],
         head - part(1) + part(1) / w[1]),
        ("A direction is a row of what svd returns last, not a column.",
         head - w[1] * np.outer(u[:, 1], v[:, 1])),
        ("Each row loses its own multiple of the direction, not the direction itself.",
         head - v[1], head - w[1] * v[1]),
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
        ("Divide by the number of positives, not of images.", exact / 2),
        ("The scores as they are: no absolute values.", [2 / 3, 34 / 45, 7 / 15]),
        ("Average over the positives, not over all places.", share.mean(axis=0)),
    ))  # fmt: skip
    at = "Places 1, 3 and 6: (1/1 + 2/3 + 3/6) / 3. Places count from 1; each column has its own."
    assert np.allclose(value, exact), at


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
        ("At least 0.9, not 0.8.", good(p.mean(axis=1), 0.8)),
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
        ("Subtract the mean text, axis 0, before you decompose.", of(four)),
        ("The mean text is over axis 0, not over axis 1.", of(four - four.mean(axis=1)[:, None])),
        ("The mean text has a number for each column: not the mean of all numbers.",
         of(four - four.mean())),
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
        ("Sum both over the images, or average both.", 11.48 / 55),
        ("All directions, not only the first.", 17.96 / 55),
        ("Square each projection, then sum: not the other way round.", 36.16 / 55, 31.36 / 55),
        ("The images as they are: subtract no mean.", 22.96 / 45.5, 15.08 / 45.5),
    ))  # fmt: skip
    assert np.isclose(value, 22.96 / 55), "Project onto each direction, square, add all up."


def dropped(asked):
    three, two = np.array([[3.0, -4, 1], [0, 5, 2]]), np.array([[0.6, 0.8, 0], [0, 0, 1]])
    value, along = asked(three, two), three @ two.T @ two
    assert np.shape(value) == (2, 3), "As many numbers come back as went in."
    _told(value, (
        ("Subtract each image's own part along a direction.", three - two.sum(axis=0)),
        ("Each image's own part, not the mean image's.", three - along.mean(axis=0)),
        ("What is left as it is: divide by no length.",
         (three - along) / _length(three), (three - along) / _length(three - along)),
        ("Directions are no choice of coordinates: project.",
         three * (1 - np.abs(two).sum(axis=0)), three * (1 - (two**2).sum(axis=0)),
         three * (two.sum(axis=0) == 0)),
    ))  # fmt: skip
    left = [[3.84, -2.88, 0], [-2.4, 1.8, 0]]
    assert np.allclose(value, left), "Subtract h @ directions.T @ directions and no more."


# Bits


def crest(asked):
    h = np.array([[3.0, -4, 0, 0], [0, 0, 0, 7], [1, 3, 3, 1], [2, -5, 1, 6]])
    root, top = np.sqrt((h**2).mean(axis=1)), np.abs(h).max(axis=1)
    value = asked(h)
    assert np.shape(value) == (4,), "One number for each image: axis 1."
    _told(value, (
        ("Take np.abs before max: the tallest number may be negative.", h.max(axis=1) / root),
        ("The root of the mean square, not of the sum.", top / root / 2),
        ("The root mean square, not the mean size.", top / np.abs(h).mean(axis=1)),
        ("The root mean square, not the median size.", top / np.median(np.abs(h), axis=1)),
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
    _told(value, (
        ("Multiply the whole numbers by the step again.", bare),
        ("The nearest multiple: np.round, not np.floor.", step * np.floor(h / step)),
        ("Each image has its own step: the largest |h| over axis 1.", by(np.abs(h).max() / 7)),
        ("The largest |h|: take np.abs before max.", by(h.max(axis=1, keepdims=True) / 7)),
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
    length, value = _length(h), asked(h)
    assert np.shape(value) == (3, 3), "As many rows and columns as before."
    _told(value, (
        ("Divide each row by its own length, not by that of the whole array.",
         h / np.linalg.norm(h)),
        ("Divide each row by its own length: over axis 1, not axis 0.", h / _length(h, 0)),
        ("Divide rows, not columns: keepdims=True keeps the lengths beside their rows.",
         h / length[:, 0]),
        ("Divide each row by its own length, not by the largest length.", h / 5),
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
        ("Squares: the sum of the mean row's squares.", mean.sum(), np.abs(mean).sum()),
        ("Energy is a sum of squares, without a root.", np.sqrt(exact)),
        ("First the mean of the scaled rows, then squares.", 1, 4),
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
    ))  # fmt: skip
    assert np.allclose(value, [1.5, -0.75, 0], atol=1e-6), "The first mean over the root."
