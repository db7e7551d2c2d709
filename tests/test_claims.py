"""The claims table and how verdicts follow from measurements."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, copy_checkout, run_in

from analysis.images.imagelist import DIFFERS
from companion.claims.ledger import ClaimError, judge_cases, judge_order, judge_values, load_claims

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


def test_a_wrong_table_names_entry_and_field(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("- {id: X, version: [v3]}\n")
    with pytest.raises(ClaimError, match=r"claims\.yaml, entry 0\.version"):
        load_claims(path)


def record(
    project: Path, name: str, level: str, experiment: str, data: str, copy: str = "", **values
) -> None:
    """A measurement of one of RN50's models with the given values, for want of a real one."""
    folder = project / "data/measurements" / experiment
    content = json.loads((folder / "vit_b_16-openai--coco_500_images.json").read_text("utf-8"))
    content |= {"family": "rn50", "model": name, "level": level}
    content["data"]["name"] = data
    content["data"]["what"] += copy
    for quantity, value in values.items():
        content["values"][quantity]["value"] = value
    (folder / f"{name}--{data}.json").write_text(json.dumps(content), encoding="utf-8")


def verdicts(project: Path) -> dict[str, str]:
    """Claim → its card as the notebook computes it."""
    done = run_in(project, "companion.cli", "run", "claims", "paper")
    assert done.returncode == 0, done.stderr
    text = (project / "book/runs/claims/paper.ipynb").read_text(encoding="utf-8")
    cards = [
        "".join(output["data"]["text/markdown"])
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    return {card.split("**")[1]: card for card in cards if "claim-card" in card}


@pytest.mark.slow
def test_claims_get_verdicts_from_measurements_of_the_papers_models(tmp_path):
    project = copy_checkout(tmp_path / "project")
    before = verdicts(project)
    for claim in ("K-openai", "K-captions", "K-indicator", "C-more", "C-overlap", "D-texture"):
        assert "verdict-not-measured" in before[claim], claim
    levels = {
        "rn50-openai": ("zero_shot", 40, [0]), "rn50-yfcc15m": ("zero_shot", 12, [0]),
        "rn50-captions": ("captions", 3.2, []), "rn50-supervised": ("supervised", 5, []),
    }  # fmt: skip
    for name, (level, kurtosis, outlying) in levels.items():
        spread = np.linspace(0.8 * kurtosis, 1.2 * kurtosis, 101).round(2).tolist()
        record(
            project, name, level, "outlier_features", "imagenet", kurtosis_mean=kurtosis,
            kurtosis_percentiles=spread, outlier_coordinates=outlying,
        )  # fmt: skip
    counts = {
        "rn50-openai": ("zero_shot", 20, range(20)),
        "rn50-openai-finetuned": ("finetuned", 10, range(12, 22)),
        "rn50-supervised": ("supervised", 21, range(21)),
        "rn50-captions": ("captions", 20, range(20)),
    }  # fmt: skip
    for name, (level, number, encoded) in counts.items():
        best = [0.95 if i in encoded else 0.5 for i in range(28)]
        halves = [number + i % 2 for i in range(30)]
        record(
            project, name, level, "concepts", "broden", best=best, unique_draws=[number] * 5,
            unique_halves=halves, top_textures=4 if level == "zero_shot" else 1,
        )  # fmt: skip
    after = verdicts(project)
    assert "verdict-partly" in after["K-openai"] and "40.0 and YFCC-15M 12.0" in after["K-openai"]
    assert "verdict-partly" in after["K-captions"] and "κ 3.20" in after["K-captions"]
    assert "verdict-partly" in after["K-others"] and "1 of the" in after["K-others"]
    assert "RN50, OpenAI WIT-400M, ImageNet" in after["K-zero-shot"]
    assert "2 on ImageNet" in after["K-zero-shot"]
    # The supervised model encodes one concept more, which is against the claim.
    assert "verdict-differs" in after["C-more"]
    assert "1 of 2 comparisons favour zero-shot" in after["C-more"]
    assert "verdict-partly" in after["C-overlap"] and "80.0 %" in after["C-overlap"]
    assert "verdict-partly" in after["C-not-indicator"]
    assert "verdict-partly" in after["D-texture"]
    assert "RN50, zero-shot, OpenAI WIT-400M: 4 of 5, finetuned 1. Rule" in after["D-texture"]
    record(project, "rn50-supervised", "supervised", "outlier_features", "imagenet",
           kurtosis_mean=50, outlier_coordinates=[3])  # fmt: skip
    assert "verdict-differs" in verdicts(project)["K-others"]
    for name, (level, *_) in levels.items():
        record(project, name, level, "outlier_features", "imagenet", copy=f"; {DIFFERS}: few")
    assert verdicts(project)["K-openai"] == before["K-openai"]  # incomplete copies decide nothing
