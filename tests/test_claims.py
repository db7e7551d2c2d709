"""The claims table and how verdicts follow from measurements."""

import re

import numpy as np
import pytest
from conftest import ROOT

from analysis.metrics import concept_counts
from companion.claims.counterparts import COUNTERPARTS, bearing, borne_on, load_counterparts
from companion.claims.ledger import ClaimError, Interval, load_claims, printed_regions


@pytest.fixture(scope="module")
def claims():
    return load_claims()


def test_every_claim_says_what_it_needs_and_is_shown_on_its_page_and_in_the_ledger(claims):
    assert len(claims) == 14
    ledger = (ROOT / "book/appendix/claims.md").read_text(encoding="utf-8")
    for claim in claims.values():
        assert claim.statement and claim.expected and claim.needs
        card = f"{{result}} claims/paper#{claim.id}"
        assert f"{card}\n" in ledger
        assert f"{card}-line\n" in (ROOT / "book" / f"{claim.page}.md").read_text(encoding="utf-8")


def test_every_claim_has_a_counterpart_and_what_is_set_beside_the_paper_is_published(claims):
    items = load_counterparts()
    assert {name for item in items.values() for name in item.claims} == {*claims}
    page = (ROOT / "book/appendix/paper.md").read_text(encoding="utf-8")
    assert re.findall(r"^```\{counterparts\} (\S+)$", page, re.M) == [*items]
    for item in items.values():
        for one in item.counterparts:
            experiment, _, label = re.split("[/#]", one.result)
            notebook = (ROOT / f"notebooks/{experiment}.py").read_text(encoding="utf-8")
            assert f'"{label}' in notebook or f'"{label.partition("-")[0]}{{' in notebook, one
            assert {*item.claims_of(one)} <= {*item.claims}


def test_results_lead_to_claims_and_back():
    items = load_counterparts()
    assert bearing(items, "ER-fit")[0] == "measuring_robustness/paper#figure-1"
    beside, claims = borne_on(items, "measuring_robustness/paper#fits")
    assert [item.place for item in beside] == ["Figure 1"] and claims == ["ER-fit"]
    assert borne_on(items, "models/paper#models") == ([], [])
    one = items["table-1"].counterparts[2]
    assert one.closeness == (
        "another quantity; other shifts, evaluations, finetuned and supervised weights (without "
        "ObjectNet, which timm does not measure)"
    )


def test_a_wrong_counterpart_is_named(tmp_path):
    path = tmp_path / "counterparts.yaml"
    path.write_text(
        COUNTERPARTS.read_text("utf-8").replace("quantity: the same", "quantity: like", 1)
    )
    with pytest.raises(
        ClaimError, match=r"counterparts\.yaml, entry \[0\]\.counterparts.*quantity"
    ):
        load_counterparts(path)
    path.write_text(COUNTERPARTS.read_text("utf-8").replace("id: table-1\n", "id: figure-1\n", 1))
    with pytest.raises(ClaimError, match="gives the same id to two entries"):
        load_counterparts(path)


@pytest.mark.parametrize(
    ("low", "high", "reached", "missed"),
    [
        (6.1, 7, "holds", "fails"),
        (6, 7, "undecided", "undecided"),
        (5, 5.9, "fails", "holds"),
        (5, 6, "undecided", "undecided"),
        (np.nan, np.nan, "undecided", "undecided"),
    ],
)
def test_an_interval_and_a_cut(low, high, reached, missed):
    found = Interval((low + high) / 2, low, high)
    assert (found.above(6), found.below(6)) == (reached, missed)


def test_a_wrong_table_names_entry_and_field(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("claims: [{id: X, version: [v3]}]\n")
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
