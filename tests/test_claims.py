"""The claims table and how verdicts follow from measurements."""

import re

import pytest
from conftest import ROOT

from analysis.metrics import concept_counts
from companion.claims import counterparts
from companion.claims.counterparts import load_counterparts
from companion.claims.ledger import ClaimError, load_claims


@pytest.fixture(scope="module")
def claims():
    return load_claims()


def test_every_claim_says_what_it_needs_and_is_shown_on_its_page_and_in_the_ledger(claims):
    assert "\n```{cards}\n```\n" in (ROOT / "book/appendix/claims.md").read_text()
    for claim in claims.values():
        assert claim.statement and claim.expected and claim.needs
        line = f"{{result}} claims/paper#{claim.id}-line\n"
        assert line in (ROOT / "book" / f"{claim.page}.md").read_text()


def test_what_is_set_beside_the_paper_is_published(claims):
    items = load_counterparts()
    assert {name for item in items.values() for name in item.claims} <= {*claims}
    page = (ROOT / "book/appendix/paper.md").read_text()
    assert re.findall(r"^```\{counterparts\} (\S+)$", page, re.M) == [*items]
    for item in items.values():
        for part in item.counterparts:
            experiment, _, label = re.split("[/#]", part.result)
            notebook = (ROOT / f"notebooks/{experiment}.py").read_text()
            assert f'"{label}' in notebook or f'"{label.partition("-")[0]}{{' in notebook, part
            assert {*item.claims_of(part)} <= {*item.claims}


def test_a_claim_rests_on_items_that_there_are(claims, monkeypatch):
    wrong = claims["P-80"].model_copy(update={"items": ("figure-33",)})
    monkeypatch.setattr(counterparts, "load_claims", lambda: {"P-80": wrong})
    with pytest.raises(ClaimError) as said:
        load_counterparts()
    assert str(said.value).startswith(
        "claims.yaml, P-80: counterparts.yaml has no item 'figure-33'; it has figure-1, table-1"
    )


def test_the_printed_regions_add_up_to_the_printed_counts(claims):
    printed = claims["C-overlap"].regions
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
