"""The rule of each claim, on cases worked by hand: small measurements and frames, no files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import Family, load_families
from analysis.images import sets
from analysis.images.imagelist import DIFFERS
from companion import cli
from companion.claims.evidence import Evidence, gather
from companion.claims.ledger import ClaimError, load_claims
from companion.claims.rules import RULES, judge_all
from companion.measurements.quantities import QUANTITIES
from companion.measurements.records import Measurement
from companion.publish.cards import beside, card, lines, rows

CLAIMS = load_claims()
PROVENANCE = {
    "weights": "none", "weights_sha256": None, "weights_note": "made up",
    "origins": [{"name": "none", "sha256": "0" * 64}], "layer": "last", "head": "",
    "version": "0", "made_from": {"features": "0"}, "libraries": {"numpy": "0"},
    "device": "none", "precision": "none",
}  # fmt: skip


def family(name: str, *models: tuple[str, str, str]) -> Family:
    """A backbone with models (name, level, pretraining)."""
    look = {"size": 8, "interpolation": "box", "mean": [0, 0, 0], "std": [1, 1, 1]}
    built = {"library": "timm", "architecture": "none"}
    return Family.model_validate({
        "name": name, "title": name.upper(), "edition": "paper", "order": 1, "backbone": "none",
        "models": [
            {"name": n, "level": level, "pretraining": data, "preprocessing": look, "width": 4}
            | (built if level == "random" else {})
            for n, level, data in models
        ],
    })  # fmt: skip


#: One backbone with two zero-shot models, one of which was finetuned.
ONE = family(
    "one", ("rich", "zero_shot", "OpenAI"), ("poor", "zero_shot", "YFCC-15M"),
    ("captions", "captions", "captions"), ("tuned", "finetuned", "OpenAI"),
    ("labels", "supervised", "labels"), ("drawn", "random", "none"),
)  # fmt: skip
LEVELS = {model.name: model.level for model in ONE.models}


def measured(
    model: str, experiment: str, data: str = "imagenet", copy: str = "", images: int = 10, **values
):
    """A measurement with these values; every other quantity is zero."""
    kinds = QUANTITIES[experiment]
    fill = {name: [0, [0], [[0]]][kind.dimensions] for name, kind in kinds.items()}
    return Measurement.model_validate({
        "format": 2, "experiment": experiment, "family": ONE.name if model in LEVELS else "other",
        "model": model, "level": LEVELS.get(model, "supervised"),
        "data": {"name": data, "what": f"images{copy}"}, "provenance": PROVENANCE,
        "counts": {"images": images, "components": 4, "classes": 5},
        "values": {n: {"unit": kinds[n].unit, "value": v} for n, v in (fill | values).items()},
    })  # fmt: skip


def kurtosis(model: str, mean: float, low: float, high: float, outliers=(), **about):
    """Outlier features with single images' kurtosis spread evenly from `low` to `high`."""
    spread = np.linspace(low, high, 101).tolist()
    return measured(
        model, "outlier_features", kurtosis_mean=mean, kurtosis_percentiles=spread,
        outlier_coordinates=list(outliers), **about,
    )  # fmt: skip


def importance(model: str, largest: float, **about):
    return measured(
        model, "privileged_directions", importance=[1, largest],
        importance_head_centred=[largest / 2, 1], **about,
    )  # fmt: skip


def pruning(model: str, change: float, error: float = 0.01, **about):
    """Ten directions, of which two are kept with 80 % pruned: there accuracy changes."""
    rank = 10
    zeros = dict.fromkeys(("accuracy_importance", "accuracy_random"), [0.5] * rank)
    return measured(
        model, "pruning", difference_importance=[-1, change] + [0] * (rank - 2),
        difference_importance_error=[error] * rank, **zeros, **about,
    )  # fmt: skip


def evidence(*measurements, **more) -> Evidence:
    return Evidence({ONE.name: ONE}, measurements, **more)


def frame(*models: tuple[str, float, float]) -> pd.DataFrame:
    """Effective robustness ± of models of the one backbone."""
    named = {model.name: model for model in ONE.models}
    return pd.DataFrame([
        {"family": "one", "name": n, "level": named[n].level, "pretraining": named[n].pretraining,
         "title": "ONE", "er": er, "er_95": half, "low": er - half, "high": er + half}
        for n, er, half in models
    ])  # fmt: skip


def under_shift(model: str, accuracy: float, robustness: float):
    """Changes with intervals of ± 0.01 with two of ten directions kept."""
    changes = {
        f"{part}_change_importance": [[v, 0], [v - 0.01, 0], [v + 0.01, 0]]
        for part, v in (("inside", accuracy), ("robustness", robustness))
    }
    inside = [[0.5 + accuracy, 0.5], [0, 0], [1, 1]]
    return measured(
        model, "pruning_under_shift", data="imagenet-and-shifts", kept=[2, 10],
        inside_importance=inside, **changes,
    )  # fmt: skip


def concepts(model: str, unique: int, images: int = 10, textures: int = 3, halves=(0, 0)):
    """Of ten concepts the first are encoded; counts of random halves differ by `halves`."""
    return measured(
        model, "concepts", "broden", images=images, threshold=0.9, lower_threshold=0.8,
        positives=[50] * 10, frequent_positives=40,
        best=[0.95 if n < unique else 0.5 for n in range(10)], unique_draws=[unique],
        unique_halves=[unique + half for half in halves], lower_halves=[0] * len(halves),
        best_halves=[0] * len(halves), top_textures=textures, top_concepts=list(range(5)),
    )  # fmt: skip


def judged(claim: str, known: Evidence):
    return RULES[claim](CLAIMS[claim], known)


K = {"rich": kurtosis("rich", 40, 20, 60, [0]), "poor": kurtosis("poor", 12, 8, 16, [1])}
CASES = {
    # every single image above 3, and above every image of the control
    "K-zero-shot": [
        ((), "not measured", {}),
        ((K["rich"],), "partly", {"rich": True}),
        ((K["rich"], K["poor"]), "reproduced", {"rich": True, "poor": True}),
        ((kurtosis("rich", 40, 2.9, 60),), "differs", {"rich": False}),
        ((K["rich"], kurtosis("drawn", 5, 3, 21)), "differs", {"rich": False}),
        ((K["rich"], kurtosis("drawn", 5, 3, 21, data="coco")), "partly", {"rich": True}),
        ((K["poor"], kurtosis("rich", 40, 2, 60)), "differs", {"rich": False, "poor": True}),
        # of a model that was measured on ImageNet only that counts; copies that differ never do
        ((K["rich"], kurtosis("rich", 2, 2, 2, data="coco")), "partly", {"rich": True}),
        ((kurtosis("rich", 40, 20, 60, copy=f"; {DIFFERS}: few"),), "not measured", {}),
        ((kurtosis("rich", 40, 20, 60, data="some_captions"),), "not measured", {}),
    ],
    # mean kurtosis below 6; a model of another family stands beside them and decides nothing
    "K-others": [
        ((kurtosis("stand-in", 30, 20, 60),), "not measured", {}),
        ((kurtosis("tuned", 5.9, 3, 9),), "partly", {"tuned": True}),
        ((kurtosis("tuned", 5.9, 3, 9), kurtosis("labels", 3, 2, 4)), "reproduced",
         {"tuned": True, "labels": True}),
        ((kurtosis("tuned", 6, 3, 9), kurtosis("labels", 3, 2, 4)), "differs",
         {"tuned": False, "labels": True}),
    ],
    # 95 % of the images above 95 % of those of the other, on the same data
    "K-openai": [
        ((K["rich"],), "not measured", {}),
        (tuple(K.values()), "reproduced", {"rich, poor": True}),
        ((kurtosis("rich", 40, 10, 60), kurtosis("poor", 12, 8, 16)), "differs",
         {"rich, poor": False}),
        ((K["rich"], kurtosis("poor", 12, 8, 16, data="coco")), "not measured", {}),
    ],
    # the cut is 10 times the mean; lower levels lie below zero-shot on the same data
    "D-privileged": [
        ((), "not measured", {}),
        ((importance("rich", 10), importance("drawn", 47)), "partly", {"rich": True}),
        ((importance("rich", 9.9),), "differs", {"rich": False}),
        ((importance("rich", 20), importance("tuned", 19)), "partly",
         {"rich": True, "tuned": True}),
        ((importance("rich", 20), importance("labels", 21)), "differs",
         {"rich": True, "labels": False}),
        ((importance("rich", 20), importance("labels", 21, data="coco")), "partly",
         {"rich": True}),
        ((importance("labels", 2),), "not measured", {}),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "measurements", "outcome", "holds"),
    [(claim, *case) for claim, cases in CASES.items() for case in cases],
)
def test_rules_on_measurements(claim, measurements, outcome, holds):
    verdict = judged(claim, evidence(*measurements))
    assert (verdict.outcome, verdict.holds) == (outcome, holds)


ROBUST = {"five": frame(("rich", 0.2, 0.01), ("captions", 0.01, 0.02), ("labels", 0, 0.01))}
LOW = kurtosis("captions", 3.2, 2, 4)


@pytest.mark.parametrize(
    ("claim", "measurements", "robustness", "outcome", "holds"),
    [
        ("K-captions", [LOW], {}, "partly", {"captions, κ": True}),
        ("K-captions", [LOW], ROBUST, "reproduced", {"captions, κ": True, "captions, ER": True}),
        ("K-captions", [kurtosis("captions", 7, 2, 9)], ROBUST, "differs",
         {"captions, κ": False, "captions, ER": True}),
        ("K-captions", [LOW], {"five": frame(("captions", 0.03, 0.02))}, "differs",
         {"captions, κ": True, "captions, ER": False}),
        ("K-captions", [], ROBUST, "not measured", {}),
        # robust models may have outlier features, others may not; some are not known
        ("K-indicator", [K["rich"]], ROBUST, "not measured", {}),
        ("K-indicator", [K["rich"], LOW], ROBUST, "partly", {"captions": True}),
        ("K-indicator", [kurtosis("labels", 7, 3, 9, [2]), LOW], ROBUST, "differs",
         {"labels": False, "captions": True}),
        ("K-indicator", [kurtosis("labels", 7, 3, 9)], ROBUST, "partly", {"labels": True}),
        ("K-indicator", [kurtosis("labels", 5, 3, 9, [2])], ROBUST, "partly", {"labels": True}),
        ("K-indicator", [kurtosis("tuned", 5, 3, 9)], ROBUST, "not measured", {}),
        # a second row of the same name is another checkpoint: which one, nobody knows
        ("K-indicator", [LOW], {"five": pd.concat([ROBUST["five"]] * 2)}, "not measured", {}),
        # own accuracies go before published ones; those on four shifts are no evidence here
        ("K-indicator", [LOW], ROBUST | {"own": frame(("captions", 1, 0))}, "not measured", {}),
        ("K-indicator", [LOW], {"four": ROBUST["five"]}, "not measured", {}),
    ],
)  # fmt: skip
def test_rules_on_kurtosis_and_robustness(claim, measurements, robustness, outcome, holds):
    verdict = judged(claim, evidence(*measurements, robustness=robustness))
    assert (verdict.outcome, verdict.holds) == (outcome, holds)


@pytest.mark.parametrize(
    ("measurements", "outcome", "holds"),
    [
        ([], "not measured", {}),
        ([pruning("rich", -0.01)], "partly", {"rich, accuracy": True}),
        ([pruning("rich", -0.02)], "differs", {"rich, accuracy": False}),
        ([pruning("rich", -0.5, data="coco_500_images")], "not measured", {}),
        ([under_shift("rich", 0, 0)], "partly",
         {"rich, accuracy": True, "rich, robustness": True}),
        ([under_shift("rich", 0, -0.02)], "differs",
         {"rich, accuracy": True, "rich, robustness": False}),
        # of one model measured in both ways, that under shift decides
        ([pruning("rich", -0.02), under_shift("rich", 0, 0), under_shift("poor", 0, 0)],
         "reproduced", dict.fromkeys(("rich, accuracy", "rich, robustness", "poor, accuracy",
                                      "poor, robustness"), True)),
    ],
)  # fmt: skip
def test_pruning_needs_a_loss_beyond_doubt(measurements, outcome, holds):
    verdict = judged("P-80", evidence(*measurements))
    assert (verdict.outcome, verdict.holds, verdict.covered) == (outcome, holds, 4)


@pytest.mark.parametrize(
    ("claim", "known", "outcome", "holds"),
    [
        ("C-more", [], "not measured", {}),
        ("C-more", [("rich", 5)], "not measured", {}),
        ("C-more", [("rich", 5), ("tuned", 4)], "partly", {"rich, tuned": True}),
        ("C-more", [("rich", 5), ("tuned", 5)], "differs", {"rich, tuned": False}),
        ("C-more", [("rich", 5), ("tuned", 4, 9)], "not measured", {}),  # of other images
        ("C-more", [("rich", 5), ("poor", 6), ("tuned", 4), ("labels", 3)], "reproduced",
         {"rich, tuned": True, "rich, labels": True, "poor, labels": True}),
        ("C-overlap", [("rich", 2), ("tuned", 4)], "differs", {"tuned": False}),
        ("C-overlap", [("rich", 3), ("tuned", 4)], "reproduced", {"tuned": True}),
        ("C-overlap", [("rich", 3), ("tuned", 0)], "not measured", {}),
        ("D-texture", [("rich", 3, 10, 3)], "partly", {"rich": True}),
        ("D-texture", [("rich", 3, 10, 2)], "differs", {"rich": False}),
        ("D-texture", [("rich", 3, 10, 3), ("tuned", 3, 10, 3)], "differs",
         {"rich": True, "tuned": False}),
        ("D-texture", [("rich", 3, 10, 3), ("tuned", 3, 10, 2)], "reproduced",
         {"rich": True, "tuned": True}),
        # 6 is nearer to the mean of 8 and 4 than to 3; 4 is not
        ("C-not-indicator", [("rich", 8), ("poor", 4), ("captions", 6), ("labels", 3)],
         "reproduced", {"captions": True}),
        ("C-not-indicator", [("rich", 8), ("poor", 4), ("captions", 4), ("labels", 3)],
         "differs", {"captions": False}),
        ("C-not-indicator", [("rich", 8), ("captions", 6)], "not measured", {}),
    ],
)  # fmt: skip
def test_rules_on_concepts(claim, known, outcome, holds):
    verdict = judged(claim, evidence(*(concepts(*one) for one in known)))
    assert (verdict.outcome, verdict.holds) == (outcome, holds)


def test_a_difference_of_counts_carries_its_interval():
    verdict = judged("C-more", evidence(concepts("rich", 5, halves=(0, 2)), concepts("tuned", 4)))
    (more,) = verdict.of("more").values()
    half = 1.96 * np.std([1, 3], ddof=1)
    assert (more.value, more.low, more.high) == pytest.approx((1, 1 - half, 1 + half))
    assert verdict.of("sure")[""].value == 0


@pytest.mark.parametrize(
    ("robustness", "outcome", "holds", "pairs"),
    [
        ({}, "not measured", {}, None),
        ({"five": frame(("labels", 0, 0.01))}, "not measured", {}, 0),
        ({"five": frame(("rich", 0.2, 0.01), ("tuned", 0.1, 0.01), ("labels", 0, 0.01))},
         "partly", {"rich": True}, 3),
        ({"five": frame(("rich", 0.2, 0), ("poor", 0.1, 0), ("tuned", 0.1, 0), ("labels", 0, 0))},
         "partly", {"rich": True, "poor": True}, 4),
        ({"five": frame(("rich", 0.2, 0), ("tuned", 0.2, 0)), "own": frame(("labels", 0.3, 0))},
         "differs", {"rich": False}, 1),
    ],
)  # fmt: skip
def test_the_order_of_levels(robustness, outcome, holds, pairs):
    verdict = judged("ER-order", evidence(robustness=robustness))
    assert (verdict.outcome, verdict.holds, verdict.covered) == (outcome, holds, 2)
    assert pairs is None or verdict.of("pairs")[""].value == pairs


@pytest.mark.parametrize(
    ("low", "high", "own", "outcome"),
    [
        (0.062, 0.367, None, "reproduced"),
        (0.059, 0.367, None, "differs"),
        (0.062, 0.367, 0.05, "differs"),  # without a published value the own one counts
    ],
)
def test_the_range_and_whose_it_is(low, high, own, outcome):
    large = family("vit_l_14", ("large", "zero_shot", "OpenAI"))
    five = pd.concat([frame(("poor", low, 0.01)), frame(("rich", high, 0.01))])
    as_named = five.assign(family=["one", "vit_l_14"])
    known = {"five": as_named} | ({} if own is None else {"own": frame(("rich", own, 0.01))})
    if own is not None:
        known["five"] = as_named[as_named["name"] == "poor"]
    both = Evidence({"one": ONE, "vit_l_14": large}, robustness=known)
    assert judged("ER-range", both).outcome == outcome
    other = replace(both, robustness={"five": five.assign(family="one")})
    assert judged("ER-range", other).outcome == "differs"  # the numbers of another model
    assert judged("ER-range", replace(both, robustness={})).outcome == "not measured"


def test_one_choice_of_fit_has_to_agree():
    fits = pd.DataFrame({"v2": ["mean", "threshold"], "kinds": "all", "models": [9, 8],
                         "slope": [0.76, 0.8], "intercept": [-1.487, -1.4], "r": 0.99})  # fmt: skip
    agrees, differs = (judged("ER-fit", evidence(fits=part)) for part in (fits, fits[1:]))
    assert (agrees.outcome, differs.outcome) == ("reproduced", "differs")
    assert agrees.of("slope").keys() == {"V2 mean, pool all"}
    assert differs.of("intercept")["V2 threshold, pool all"].value == -1.4  # the nearest
    assert judged("ER-fit", evidence()).outcome == "not measured"


def test_every_claim_has_a_rule_and_a_claim_without_one_is_an_error():
    assert RULES.keys() == CLAIMS.keys()
    with pytest.raises(ClaimError, match=r"no rule judges claim new"):
        judge_all(evidence(), {"new": CLAIMS["P-80"]})


def test_verdicts_as_plain_data_say_how_many_of_how_many_with_units():
    known = evidence(K["rich"])
    (row,) = rows({"K-zero-shot": judged("K-zero-shot", known)})
    assert (row["outcome"], row["agreeing"], row["checked"], row["covered"]) == ("partly", 1, 1, 2)
    assert {"name": "kurtosis", "value": 40.0, "unit": "dimensionless", "of": "rich",
            "data": "imagenet"} in row["numbers"]  # fmt: skip
    told = lines({"K-zero-shot": judged("K-zero-shot", known)})
    assert told[0].endswith(" partly        1 of 1 checked agree, 2 covered")
    assert told[1].split() == ["kurtosis", "40", "rich", "imagenet"]


def test_the_command_prints_every_claim(capsys):
    assert cli.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line[0] != " "] == [*CLAIMS]
    assert cli.main(["claims", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["outcome"] for row in told] == [line[17:30].strip() for line in text.splitlines()
                                                if line[0] != " "]  # fmt: skip
    assert cli.main(["claims", "--measurements", "no-folder"]) == 1
    assert "no-folder is no folder" in capsys.readouterr().err


def test_measurements_of_a_folder_are_judged_alone(tmp_path):
    with pytest.raises(ClaimError, match=r"elsewhere is no folder: give one"):
        gather("paper", tmp_path / "elsewhere")
    known = gather("paper", tmp_path)
    assert not known.measurements and not known.concepts
    assert judged("K-others", known).outcome == "not measured"
    assert judged("ER-range", known).outcome == "reproduced"  # from published accuracies


def test_cards_are_made_of_the_verdicts_numbers():
    known = evidence(
        *K.values(), LOW, kurtosis("drawn", 2.9, 2, 3.4), importance("rich", 162),
        importance("drawn", 47), pruning("rich", -0.02), pruning("poor", -0.5, data="coco"),
        kurtosis("stand-in", 29.7, 20, 60), under_shift("rich", 0, 0), concepts("rich", 5),
        concepts("tuned", 4, textures=2),
        robustness=ROBUST | {"own": frame(("poor", 0.1, 0.01))},
    )  # fmt: skip
    verdicts = judge_all(known, CLAIMS)
    cards = {name: card(CLAIMS[name], verdict, known) for name, verdict in verdicts.items()}
    title = sets.title("imagenet")
    assert f"ONE, OpenAI, {title}: κ 40.0 (single images 20.0 to 60.0)" in cards["K-zero-shot"]
    assert f"ONE, random weights, {title}: κ 2.90 (up to 3.40)" in cards["K-zero-shot"]
    assert "Measured: 2 of 2 zero-shot models, 2 on ImageNet" in cards["K-zero-shot"]
    assert "has κ 29.7 on 10 photographs" in cards["K-others"]
    assert "κ 3.20" in cards["K-captions"] and "+1.0 ± 2.0 points" in cards["K-captions"]
    assert "162 times the mean (81.0 with the head centred)" in cards["D-privileged"]
    assert "50.0 % with 2 (−2.0 ± 2.0 points)" in cards["P-80"]
    assert "accuracy +0.0 (−1.0 to +1.0) points" in cards["P-80"]
    assert "does not decide the claim: ONE, YFCC-15M, coco" in cards["P-80"]
    assert "less finetuned, OpenAI +1 ± 0 concepts" in cards["C-more"]
    assert "ONE, finetuned, OpenAI 100.0 %" in cards["C-overlap"]
    assert "3 of 5" in cards["D-texture"] and "2 of 5" in cards["D-texture"]
    assert "1 of 2 zero-shot models run from +10.0 to +10.0 points" in cards["ER-range"]
    assert "0 of the comparisons are between accuracies from this book's own" in cards["ER-order"]
    assert "No evidence yet. It needs: " in cards["ER-fit"]
    assert "below 6" in cards["K-others"] and "{" not in cards["ER-fit"].split("Rule")[1]


def test_cards_of_the_papers_printed_numbers():
    known = Evidence(load_families("paper"))
    for name, numbers in {"C-more": "89 (RN50)", "C-overlap": "94 % (RN50)"}.items():
        said = card(CLAIMS[name], judged(name, known), known)
        assert "verdict-not-measured" in said and numbers in said


def test_the_pocket_lab_is_judged_by_the_same_rules_and_told_by_level():
    known = evidence(*K.values(), LOW, kurtosis("drawn", 2.9, 2, 3.4), robustness=ROBUST)
    said = {n: beside(CLAIMS[n], judged(n, known), known) for n in ("K-zero-shot", "K-captions")}
    of_zero_shot = "κ: zero-shot 40.0 and 12.0, random weights 2.90. By the card's rule 2 of 2"
    assert of_zero_shot in said["K-zero-shot"]
    assert "+1.0 (−1.0 to +3.0)" in said["K-captions"]
    assert "ImageNet-Captions (ER) agree with the claim. Where no" in said["K-captions"]
    nothing = beside(CLAIMS["P-80"], judged("P-80", known), known)
    assert nothing == "*In the pocket lab:* not measured in this build."
