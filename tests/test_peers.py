"""Models beside equally accurate ones and beside other groups: against second implementations."""

import numpy as np
import pytest
import statsmodels.api as sm
from conftest import refused
from scipy import stats
from sklearn.model_selection import LeaveOneGroupOut

from companion.chapters import peers
from companion.measurements import accuracies

LOGIT = stats.logistic.ppf


@pytest.fixture(scope="module")
def clip(table):
    models = accuracies.wide(table, "matched_frequency")
    models = models[(models["source"] == "open_clip") & (models["imagenet"] > 0.1)]
    return models.assign(group=models["weights"].str[:6])


def test_a_group_is_predicted_from_all_others(clip):
    x, y, groups = (clip[c].to_numpy() for c in ("imagenet", "shifted", "group"))
    expected = np.empty(len(x))
    for others, left_out in LeaveOneGroupOut().split(x, y, groups):
        line = stats.linregress(LOGIT(x[others]), LOGIT(y[others]))
        expected[left_out] = stats.logistic.cdf(line.slope * LOGIT(x[left_out]) + line.intercept)
    assert peers.expected_by_others(x, y, groups) == pytest.approx(expected, abs=1e-12)
    error = np.sqrt(np.mean((y - expected) ** 2))
    assert peers.left_out_error(x, y, groups) == pytest.approx(error, abs=1e-12)
    refused("at least two groups", peers.expected_by_others, x, y, np.zeros(len(x)))


def test_what_is_off_the_line_does_not_go_with_accuracy(clip):
    x, y = clip["imagenet"], clip["objectnet"]
    off = peers.off_the_line(x, y)
    expected = sm.OLS(LOGIT(y), sm.add_constant(LOGIT(x))).fit().resid
    assert off == pytest.approx(np.asarray(expected), abs=1e-12)
    assert abs(np.corrcoef(off, LOGIT(x))[0, 1]) < 1e-10


def test_the_share_explained_is_the_adjusted_one(clip):
    off = peers.off_the_line(clip["imagenet"], clip["shifted"])
    names = clip["group"].to_numpy()
    dummies = (names[:, None] == np.unique(names)[1:]).astype(float)
    for causes, design in (
        ([clip["objectnet"]], clip[["objectnet"]].to_numpy()),
        ([names], dummies),
        ([names, clip["objectnet"]], np.column_stack([dummies, clip["objectnet"]])),
    ):
        expected = sm.OLS(off, sm.add_constant(design)).fit().rsquared_adj
        assert peers.share_explained(off, *causes) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(peers.share_explained([1, 2], ["a", "b"]))
