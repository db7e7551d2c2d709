"""The claims table and how verdicts follow from measurements."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from analysis.metrics import concept_counts
from companion.claims.ledger import ClaimError, load_claims, printed_regions
from companion.claims.order import judge_order, judge_values
from companion.claims.rules import judge_cases

ORDER = ("zero_shot", "finetuned", "supervised")


@pytest.fixture(scope="module")
def claims():
    return load_claims()


def test_every_claim_has_a_chapter_and_says_what_it_needs(claims):
    assert len(claims) == 14
    for claim in claims.values():
        assert (ROOT / "book" / f"{claim.page}.md").is_file()
        assert claim.statement and claim.expected and claim.needs


def test_every_claim_is_shown_on_its_page_and_in_the_ledger(claims):
    ledger = (ROOT / "book/appendix/claims.md").read_text(encoding="utf-8")
    for claim in claims.values():
        card = f"{{result}} claims/paper#{claim.id}\n"
        assert card in ledger
        assert card in (ROOT / "book" / f"{claim.page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        ({"lowest": 0.062, "highest": 0.367}, "reproduced"),
        ({"lowest": 0.062}, "partly"),
        ({"lowest": 0.059, "highest": 0.367}, "differs"),
        ({}, "not measured"),
    ],
)
def test_values_within_the_tolerance(claims, measured, outcome):
    assert judge_values(claims["ER-range"], measured) == outcome


def test_values_that_the_claim_does_not_state_are_refused(claims):
    with pytest.raises(ClaimError, match="ER-range cannot be judged by"):
        judge_values(claims["ER-range"], {"median": 0.2})
    with pytest.raises(ClaimError, match="no numbers"):
        judge_values(claims["ER-order"], {"median": 0.2})


@pytest.mark.parametrize(
    ("holds", "outcome"),
    [
        ({}, "not measured"),
        ({"a": True}, "partly"),
        ({"a": True, "b": False}, "differs"),
        ({"a": True, "b": True}, "reproduced"),
    ],
)
def test_cases(holds, outcome):
    assert judge_cases(holds, covered=2) == outcome


def test_more_cases_than_the_claim_covers_are_refused():
    with pytest.raises(ValueError, match="3 models were checked, but the claim covers 2"):
        judge_cases(dict.fromkeys("abc", True), covered=2)


def view(*rows):
    return pd.DataFrame(rows, columns=list(ORDER))


nan = np.nan


@pytest.mark.parametrize(
    ("views", "outcome", "pairs", "complete"),
    [
        ([view((3, 2, 1), (6, 5, 4))], "reproduced", 6, 2),
        ([view((3, 2, 1), (6, nan, 4))], "partly", 4, 1),
        ([view((3, 2, 1), (6, nan, 7))], "differs", 4, 1),
        ([view((3, 3, 1))], "differs", 3, 1),
        ([view((nan, nan, 1), (6, nan, nan))], "not measured", 0, 0),
        # completed by another view, and never compared across the two
        ([view((3, nan, 1)), view((0.3, 0.2, 0.1))], "reproduced", 4, 1),
        ([view((3, nan, nan)), view((nan, 5, 1))], "partly", 1, 0),
    ],
)
def test_order(views, outcome, pairs, complete):
    found = judge_order(ORDER, views)
    assert (found.outcome, found.pairs, found.complete) == (outcome, pairs, complete)
    assert all(found.holds.values()) == (found.reversed_pairs == 0)


def test_a_wrong_table_names_entry_and_field(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("- {id: X, version: [v3]}\n")
    with pytest.raises(ClaimError, match=r"claims\.yaml, entry \[0\]\.version"):
        load_claims(path)


def test_the_printed_regions_add_up_to_the_printed_counts(claims):
    printed = printed_regions(claims["C-overlap"])
    sums = {
        f"{family}_{level}": n
        for family, regions in printed.items()
        for level, n in concept_counts.totals(regions).items()
    }
    assert sums == claims["C-more"].values
    shares = {
        f: round(100 * concept_counts.shared(r, "finetuned", "zero_shot") / sums[f"{f}_finetuned"])
        for f, r in printed.items()
    }
    assert shares == {"rn50": 94, "rn101": 88, "vit_b_16": 98, "vit_b_32": 98}


def test_printed_regions_add_up_to_the_printed_numbers(claims):
    for name, regions in printed_regions(claims["C-overlap"]).items():
        for level, number in concept_counts.totals(regions).items():
            assert claims["C-more"].values[f"{name}_{level}"] == number
