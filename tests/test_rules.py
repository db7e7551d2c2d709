"""The rule of each claim, on cases worked by hand: small measurements and frames, no files."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import cases
from pydantic import ValidationError

from analysis.families.registry import Family, load_families
from analysis.metrics.robustness import effective_robustness, is_robust
from companion.chapters.claim_cards import (
    badge,
    brief,
    card,
    flips,
    line,
    lines,
    reasoned,
    sentence,
)
from companion.chapters.claim_cards import (
    written as as_written,
)
from companion.chapters.claim_data import rows
from companion.claims import ledger, rates
from companion.claims.evidence import Evidence, beside_ordinary, gather, numbers_of
from companion.claims.ledger import (
    Case,
    Number,
    Reason,
    Scope,
    Standing,
    load_claims,
)
from companion.claims.reasons import STATES, reason, stale
from companion.claims.rules import found, judge, judge_all
from companion.measurements.effective_robustness import view
from companion.measurements.measurement import IMAGENETS_CLASSES, Measurement
from companion.measurements.quantities import declared
from companion.sources.sets import DIFFERS

CLAIMS = load_claims()
CASES, CARDS, VERDICTS = cases("rules"), cases("cards"), cases("verdicts")
MODELS, EARLY = VERDICTS["models"], VERDICTS["early"]
LEVELS = {name: level for name, (level, _) in (MODELS | EARLY).items()}


def family(name, models, **more):
    """A backbone with models, name → (level, pretraining); `more`: fields of models by name."""
    look = {"size": 8, "interpolation": "box", "mean": [0, 0, 0], "std": [1, 1, 1]}
    built = {"library": "timm", "architecture": "none"}
    described = [
        {"name": model, "level": level, "pretraining": data, "preprocessing": look, "width": 4}
        | (built if level == "random" else {})
        | more.get(model, {})
        for model, (level, data) in models.items()
    ]
    about = {"title": name.upper(), "edition": "paper", "order": 1, "backbone": "none"}
    return Family.model_validate({"name": name, "models": described, **about})


def of_one(fields):
    """The family with these fields of its models; null of one that is absent."""
    there = {n: about for n, about in (MODELS | EARLY).items() if fields.get(n, n in MODELS)}
    return family("one", there, **{name: of for name, of in fields.items() if of})


FAMILIES = {name: of_one(fields) for name, fields in VERDICTS["families"].items()}
ONE = FAMILIES["one"]


def measured(model, experiment, values, data="imagenet", images=100, classes=5, width=4, **about):
    """A measurement with these values; every other quantity is zero.

    About it may be said that its model is ``inferred``, which classes its ``head`` has, the
    ``names`` of its lists, and that its set of images is not ``whole``.
    """
    kinds = declared()[experiment].quantities
    fill = {name: [0, [0], [[0]]][len(kind.shape)] for name, kind in kinds.items()}
    fill |= {name: images for name in ("distinct_images", "scenes") if name in kinds}
    what = "images" if about.get("whole", True) else f"images; {DIFFERS}: few"
    of_source = {"inferred": about.get("inferred", ""), "head_classes": about.get("head", "")}
    content = {
        "format": 2,
        "experiment": experiment,
        "family": "one" if model in LEVELS else "other",
        "model": model,
        "level": LEVELS.get(model, "supervised"),
        "data": {"name": data, "what": what},
        "provenance": VERDICTS["provenance"] | of_source,
        "names": about.get("names", {}),
        "counts": {"images": images, "components": width, "classes": classes},
        "values": {n: {"unit": kinds[n].unit, "value": v} for n, v in (fill | values).items()},
    }
    return Measurement.model_validate(content)


def kurtosis(model, mean, error=0.5, outlier=None, **about):
    """Outlier features with the standard error of the mean kurtosis; a fifth of κ is its spread."""
    values = {
        "kurtosis_mean": mean,
        "kurtosis_standard_error": error,
        "kurtosis_percentiles": np.linspace(0.8 * mean, 1.2 * mean, 101).tolist(),
        "outlier_coordinates": [] if outlier is None else [outlier],
    }
    return measured(model, "outlier_features", values, **about)


def importance(model, largest, error=0.1 / 1.98, **about):
    """Head and images centred, ± 0.1; five times as much without."""
    values = {"importance": [1, 5 * largest], "importance_centred": [largest, 1]}
    values["importance_centred_error"] = error
    return measured(model, "privileged_directions", values, **about)


def pruning(model, change, error=0.01, images=1000, **about):
    """Ten directions, of which two are kept with 80 % pruned: there accuracy changes."""
    about["images"] = images
    values = dict.fromkeys(("accuracy_importance", "accuracy_random"), [0.5] * 10)
    values["difference_importance"] = [-1, change] + [0] * 8
    values["difference_importance_error"] = [error] * 10
    return measured(model, "pruning", values, **about)


def under_shift(model, accuracy, robustness, whole=0.5, random=0.2, **about):
    """Changes with intervals of ± 0.005 with two of ten directions kept, and as many at random."""
    values = {
        f"{part}_change_importance": [[v, 0], [v - 0.005, 0], [v + 0.005, 0]]
        for part, v in (("inside", accuracy), ("robustness", robustness))
    }
    values |= {
        "kept": [2, 10],
        "inside_importance": [[whole + accuracy, whole], [0, 0], [1, 1]],
        "inside_random": [[random, whole], [0, 0], [1, 1]],
    }
    return measured(model, "pruning_under_shift", values, "imagenet-and-shifts", **about)


def concepts(
    model, unique, images=100, textures=3, halves=(0, 0), top=(), first=0, threshold=0.9, alike=1
):
    """Of ten concepts some in a row are encoded; counts of thirty random halves differ by `halves`.

    So many neighbours are `alike`, one group of concepts.
    """
    halves = np.resize(halves, 30).tolist()
    values = {
        "threshold": threshold,
        "lower_threshold": 0.8,
        "positives": [50] * 10,
        "frequent_positives": 40,
        "best": [0.95 if first <= n < first + unique else 0.5 for n in range(10)],
        "unique_draws": [unique],
        "unique_halves": [unique + half for half in halves],
        "lower_halves": [0] * 30,
        "best_halves": [0] * 30,
        "groups": [n // alike for n in range(10)],
        "top_textures": textures,
        "top_concepts": list(range(5)),
    }
    names = {"top_concepts": list(top)}
    return measured(model, "concepts", values, "broden", images, names=names)


def evidence(*measurements, of="one", **more):
    return Evidence({FAMILIES[of].name: FAMILIES[of]}, measurements, **more)


def of_model(name, er, half, limit=0.05):
    """A row of effective robustness; ordinary models have 0 ± 0.05."""
    low, high = er - half, er + half
    level, data = (MODELS | EARLY)[name]
    what = {"family": "one", "name": name, "level": level, "pretraining": data, "title": "ONE"}
    ends = {"er": er, "low": low, "high": high}
    excess = {"excess": er, "excess_low": low, "excess_high": high, "limit": limit}
    judged = {"ordinary_models": 12, "robust": is_robust(low, high, limit), "answers": ()}
    return what | ends | excess | judged


def frame(*models):
    return pd.DataFrame([of_model(*model) for model in models])


def summary(verdict):
    """The outcome and each case in short: + holds, - fails, ? undecided, in brackets aside."""
    signs = {"holds": "+", "fails": "-", "undecided": "?"}
    cases = [
        f"[{name} {signs[case.result]}]" if case.aside else f"{name} {signs[case.result]}"
        for name, case in sorted(verdict.cases.items())
    ]
    return "; ".join([verdict.outcome, *cases])


def judged(claim, gathered):
    return judge(CLAIMS[claim], gathered)


def value(verdict, name, of):
    return {number.of: number.value for number in verdict.numbers if number.name == name}[of]


def of(experiment, model, **about):
    """A measurement of any experiment: values of its quantities by name, and what `measured` takes.

    A number fills a list or table with itself.
    """
    kinds = declared()[experiment].quantities
    values = {name: about.pop(name) for name in [*about] if name in kinds}
    for name, value in values.items():
        for _ in () if isinstance(value, list) else kinds[name].shape:
            values[name] = [values[name]]
    return measured(model, experiment, values, **about)


MAKERS = {"K": kurtosis, "D": importance, "P": pruning, "C": concepts, "under_shift": under_shift}
VIEWS = ("five", "four", "own")


def called(make, text):
    """What a function makes of its arguments as a case writes them."""
    words = text.split()
    if words[0] in declared():
        make = partial(of, words.pop(0))
    make = MAKERS[words.pop(0)] if words[0] in MAKERS else make
    named = dict(word.split("=") for word in words if "=" in word)
    numbers = (yaml.safe_load(word) for word in words[1:] if "=" not in word)
    return make(words[0], *numbers, **{name: yaml.safe_load(v) for name, v in named.items()})


def written(claim, measurements, more):
    """The evidence that a case writes."""
    views = {n: [called(of_model, row) for row in more[n]] for n in more if n in VIEWS}
    return evidence(
        *(called(MAKERS.get(claim[0]), text) for text in measurements),
        robustness={view: pd.DataFrame(rows) for view, rows in views.items()},
        **{name: more[name] for name in more if name not in VIEWS},
    )


def test_every_claim_has_cases_that_are_worked_by_hand():
    here = Path(__file__).read_text()
    without = [claim for claim in CLAIMS if claim not in CASES and f'judged("{claim}"' not in here]
    assert not without, "write cases for them into tests/cases/rules.yaml, as its first lines say"


BY_HAND = [(claim, *case, {})[:4] for claim, rows in CASES.items() for case in rows]


@pytest.mark.parametrize(("claim", "measurements", "expected", "more"), BY_HAND)
def test_a_rule_gives_the_verdict_worked_by_hand(claim, measurements, expected, more):
    """In the order that is written, and in the opposite one, which never matters."""
    gathered = written(claim, measurements, more)
    assert summary(judged(claim, gathered)) == expected
    (of,) = gathered.families.values()
    backwards = replace(
        gathered,
        families={of.name: of.model_copy(update={"models": of.models[::-1]})},
        measurements=gathered.measurements[::-1],
        robustness={view: rows[::-1] for view, rows in gathered.robustness.items()},
    )
    assert summary(judged(claim, backwards)) == expected


RICH, POOR = kurtosis("rich", 40, outlier=0), kurtosis("poor", 12, outlier=1)
LOW = kurtosis("captions", 3.2)
FIVE = frame(("rich", 0.2, 0.01), ("captions", 0.01, 0.02), ("labels", 0, 0.01))
MORE = {"poor": 0.2, "third": 0.2, "fourth": 0.2, "fifth": 0.2, "tuned": 0}
MORE |= {"tuned-poor": 0, "tuned-third": 0}
TEN = pd.concat([FIVE, frame(*((name, er, 0.01) for name, er in MORE.items()))])
FITS = pd.DataFrame(
    [["mean", 9, 0.76, -1.487], ["threshold", 8, 0.8, -1.4]],
    columns=["v2", "models", "slope", "intercept"],
).assign(kinds="all", r=0.99)
CONTROL = kurtosis("drawn", 2.9)


def consistent(claim, true, rng):
    """Measurements on two sets of images that all agree with a claim, or all contradict it.

    Half of them are too vague to say either.
    """
    far, near = rng.uniform(40, 90), rng.uniform(2, 3)
    if claim == "P-80" and true:
        return [under_shift(m, *rng.choice([0, -0.007], 2)) for m in ("rich", "poor")]
    about = {"outlier": 1} if claim == "K-indicator" else {}
    about = about if claim[0] == "K" else {"head": IMAGENETS_CLASSES}
    values = {"far": far, "near": near}
    return [
        MAKERS[claim[0]](m, values.get(v, v), float(rng.choice([0.01, 500])), data=data, **about)
        for m, v in VERDICTS["consistent"][claim][not true].items()
        for data in ("a", "b")
    ]


@pytest.mark.parametrize("true", [True, False])
@pytest.mark.parametrize("claim", VERDICTS["consistent"])
def test_a_consistent_measurement_never_makes_a_verdict_less_certain(claim, true):
    certainty = ["not measured", "undecided", "agrees so far", "partly established", "reproduced"]
    certainty = certainty if true else [*certainty[:2], "differs"]
    rng, reached = np.random.default_rng(0), set()
    for draw in range(25):
        if draw > 7 and reached & {*certainty[2:]}:
            break  # some evidence was enough
        given = rng.permutation(np.array(consistent(claim, true, rng), dtype=object))
        views = {"robustness": {"five": TEN}, "of": "ten regimes"}
        known_first = [evidence(*given[:n], **views) for n in range(len(given) + 1)]
        outcomes = [judged(claim, some).outcome for some in known_first]
        ranks = [certainty.index(outcome) for outcome in outcomes]
        assert ranks == sorted(ranks), outcomes
        reached |= {outcomes[-1]}
    assert reached & {*certainty[2:]}


@pytest.mark.parametrize("claim", [name for name, claim in CLAIMS.items() if claim.cuts])
def test_with_another_cut_a_verdict_is_the_one_from_the_start(claim):
    """What evidence has worked out before rests on no cut."""
    kind = claim if claim in VERDICTS["consistent"] else "K-indicator"
    views = {"robustness": {"five": TEN}, "of": "ten regimes"}
    given = evidence(*consistent(kind, True, np.random.default_rng(0)), **views)
    cuts = {
        name: {
            value: found(CLAIMS[claim], replace(given, cuts=replace(given.cuts, **{name: value})))
            for value in values
        }
        for name, values in CLAIMS[claim].cuts.items()
    }
    outcomes = {name: {v: each.outcome for v, each in of.items()} for name, of in cuts.items()}
    assert judged(claim, given).at_cuts == outcomes


@pytest.mark.parametrize(("before", "of_five", "after", "expected"), VERDICTS["textures"])
def test_textures_are_those_that_the_paper_prints(before, of_five, after, expected):
    printed = {"names": {"one": ("meshed", "flecked", "dotted")}}
    claim = CLAIMS["D-texture"].model_copy(update=printed)
    given = [concepts("rich", 3, textures=of_five, top=before)]
    given += [] if after is None else [concepts("tuned", 3, textures=after)]
    assert summary(judge(claim, evidence(*given))) == expected
    assert judged("D-texture", evidence(*given)).covered == 0  # nothing printed of this backbone


@pytest.mark.parametrize(("printed", "expected"), VERDICTS["ranked"])
def test_textures_ranked_among_themselves_stand_aside(printed, expected):
    """Seven textures, of which neighbours from the fifth on change places with the draws."""
    along = np.array([0.95, 0.93, 0.91, 0.89, 0.80, 0.79, 0.5])
    half = np.array([0.005, 0.005, 0.005, 0.005, 0.02, 0.02, 0.005])
    values = {
        "along_top": along.tolist(),
        "along_top_lowest": (along - half).tolist(),
        "along_top_highest": (along + half).tolist(),
        "per_direction": [0.9, 0.8, 0.95],
        "top_direction": 1,
    }
    ranked = measured("rich", "textures", values, "t", names={"along_top": list("abcdefg")})
    claim = CLAIMS["D-texture"].model_copy(update={"names": {"one": tuple(printed)}})
    verdict = judge(claim, evidence(ranked))
    assert summary(verdict) == expected
    among = sum(name in "abcde" for name in printed)
    assert value(verdict, "among_textures", "rich") == among
    assert value(verdict, "directions_better", "rich") == 2
    probed = judge(claim, evidence(ranked, concepts("rich", 3, top=(printed[0],))))
    assert "[" not in summary(probed)  # the probe that the claim asks for goes before


def test_a_printed_texture_without_a_rank_was_not_measured():
    values = {"along_top": [0.9, 0.8], "per_direction": [0.9], "top_direction": 0, "draws": 5}
    values |= {"along_top_lowest": [0.9, 0.8], "along_top_highest": [0.9, 0.8]}
    ranked = measured("rich", "textures", values, "t", names={"along_top": ["a", "b"]})
    for printed, there in (("a", "b"), True), (("a", "c"), False):
        claim = CLAIMS["D-texture"].model_copy(update={"names": {"one": printed}})
        assert ("rich" in judge(claim, evidence(ranked)).cases) == there


def test_a_difference_of_counts_carries_its_interval():
    verdict = judged("C-more", evidence(concepts("rich", 5, halves=(0, 2)), concepts("tuned", 4)))
    (more,) = (number for number in verdict.numbers if number.name == "more")
    half = 2.0452 * np.std([1, 3] * 15, ddof=1)  # Student's t, 29 degrees of freedom
    assert (more.value, more.low, more.high) == pytest.approx((1, 1 - half, 1 + half), rel=1e-4)


@pytest.mark.parametrize(("low", "high", "letters", "outcome"), VERDICTS["range"])
def test_the_range_and_whose_it_is(low, high, letters, outcome):
    rows = pd.concat([frame(("poor", low, 0.01)), frame(("rich", 0.15, 0.01))])
    rows = pd.concat([rows, rows[:1].assign(name="large", family="vit_l_14", er=high)])
    rows = rows[[name[0] in letters for name in rows["name"]]]
    large = family("vit_l_14", {"large": ("zero_shot", "OpenAI")})
    both = Evidence({"one": ONE, "vit_l_14": large}, robustness={"five": rows})
    assert judged("ER-range", both).outcome == outcome
    if outcome == "reproduced":
        other = replace(both, robustness={"five": rows.assign(family="one")})
        assert summary(judged("ER-range", other)) == "mixed; highest -; lowest +"
        part = {"five": rows[:2], "own": rows[2:]}  # without a published value the own one counts
        assert judged("ER-range", replace(both, robustness=part)).outcome == "reproduced"
    assert judged("ER-range", replace(both, robustness={})).outcome == "not measured"


def test_one_choice_of_fit_has_to_agree():
    agrees, differs = (judged("ER-fit", evidence(fits=part)) for part in (FITS, FITS[1:]))
    assert (agrees.outcome, differs.outcome) == ("reproduced", "differs")
    assert value(agrees, "slope", "V2 mean, all but more data") == 0.76
    assert value(differs, "intercept", "V2 threshold, all but more data") == -1.4  # the nearest
    assert judged("ER-fit", evidence()).outcome == "not measured"


def test_verdicts_as_plain_data_say_coverage_apart_from_agreement():
    inferred = kurtosis("poor", 3, inferred="by its size")
    verdict = judged("K-zero-shot", evidence(RICH, inferred, CONTROL))
    (row,) = rows(CLAIMS, {"K-zero-shot": verdict}, evidence(RICH, inferred, CONTROL))
    files = [f"outlier_features/{name}--imagenet.json" for name in ("rich", "poor", "drawn")]
    assert [m["file"] for m in row["evidence"]["measurements"]] == files
    assert row["evidence"]["tables"] == [] and row["rule"].startswith("κ, the mean over images")
    assert row["rates"]["wrongly_for"] <= 5 <= row["rates"]["power"]
    assert row["at_cuts"]["near_gaussian"][6] == "agrees so far"
    assert row["outcome"] == "agrees so far"
    assert row["coverage"] == {"measured": 1, "of": 2, "unit": "models"}
    assert row["agreement"] == {"holds": 1, "fails": 0, "undecided": 0}
    assert row["aside"] == {"inferred": {"holds": 0, "fails": 1, "undecided": 0}}
    assert row["cases"]["poor"] == {"result": "fails", "aside": "inferred"}
    number = {"name": "low_kurtosis", "value": pytest.approx(32.8), "of": "rich"}
    assert number | {"data": "imagenet", "unit": "dimensionless"} in row["numbers"]
    said = "1 of 2 models was measured: it agrees; 1 model of inferred identity differs"
    first, second, *_ = lines({"K-zero-shot": verdict})
    assert first == f"K-zero-shot      agrees so far      {said}"
    assert second.split()[:3] == ["kurtosis", "40", "(39.01"]


@pytest.fixture(scope="module")
def known():
    """All that is recorded, and the verdicts on it."""
    evidence = gather()
    return evidence, judge_all(evidence, CLAIMS)


@pytest.mark.parametrize("edition", ["paper", "pocket"])
def test_sentences_of_a_page_give_the_reason_and_not_how_many_were_measured(edition, known):
    """What is outside cards and tables. Reasons are about the paper's models alone."""
    claims = {name: claim.of(edition) for name, claim in CLAIMS.items()}
    verdicts = known[1] if edition == "paper" else judge_all(gather(edition), claims)
    for claim in claims.values():
        verdict = verdicts[claim.id]
        said = [badge(verdict), brief(claim, verdict), line(claim, verdict), reasoned(verdict)]
        counted = sentence(verdict).split(";")[0].split(":")[0]
        assert re.search(r"measured|judged$", counted) and counted not in " ".join(said)
        assert verdict.outcome in said[0] and verdict.outcome in said[-1]
        assert edition == "paper" or not verdict.reason


# Reasons that somebody wrote


def test_every_outcome_that_is_not_plain_has_a_reason_that_is_true(known):
    """If this fails after something was recorded: write another reason in `data/claims.yaml`.

    A claim without any reason needs none.
    """
    evidence, verdicts = known
    reasoned_about = [name for name, claim in CLAIMS.items() if claim.because]
    assert len(reasoned_about) > 10
    for name in reasoned_about:
        found = verdicts[name]
        written = CLAIMS[name].reason(found.outcome)
        assert not written or not stale(written, found, evidence), name
        assert found.outcome == "reproduced" or found.reason, name
    assert {*STATES} == {*get_args(Standing)}


def of_kind(missing, evidence):
    """A measurement that a reason calls missing, of the paper's models."""
    level = (missing.levels or (None,))[0]
    models = [
        (family.name, model)
        for family in evidence.families.values()
        for model in family.models
        if level in (None, model.level)
        and (not missing.pretraining or model.pretraining in missing.pretraining)
    ]
    family_name, model = models[-1]
    of_data = {"": "elsewhere", "reference": evidence.reference, "probe": evidence.probe}
    m = measured(model.name, missing.experiment, {}, data=of_data[missing.images])
    about = {"family": family_name, "level": model.level}
    if missing.in_task:
        about["provenance"] = m.provenance.model_copy(update={"head_classes": IMAGENETS_CLASSES})
    return m.model_copy(update=about)


WRITTEN = [
    pytest.param(claim.id, outcome, id=f"{claim.id}, {outcome}")
    for claim in CLAIMS.values()
    for outcome in claim.because
]


@pytest.mark.parametrize(("name", "outcome"), WRITTEN)
def test_a_reason_is_no_longer_given_once_what_it_calls_missing_is_there(name, outcome, known):
    evidence, verdicts = known
    claim, found = CLAIMS[name], verdicts[name]
    written = claim.because[outcome]
    assert outcome in (found.outcome, "any")
    pattern = r"[\d.]+".join(map(re.escape, re.split(r"\{[^}]*\}", written.says)))
    assert re.fullmatch(pattern, reason(claim, found, evidence))  # numbers for braces
    for missing in written.missing:
        for n, m in enumerate((of_kind(missing, evidence), kurtosis("other", 3))):
            more = replace(evidence, measurements=[*evidence.measurements, m])
            assert bool(reason(claim, found, more)) == bool(n), missing
    for level in written.not_public:
        families = dict(evidence.families)
        family_of = next(f for f in families.values() if f.at_level(level))
        published = {"library": "open_clip", "stand_in": False}
        models = [m.model_copy(update=published) for m in family_of.at_level(level)]
        families[family_of.name] = family_of.model_copy(update={"models": tuple(models)})
        assert not reason(claim, found, replace(evidence, families=families)), level


@pytest.mark.parametrize(
    ("state", "cases", "numbers", "so"),
    [
        ("every case agrees", [("holds", None), ("holds", "inferred")], {}, True),
        ("every case agrees", [("holds", None), ("undecided", None)], {}, False),
        ("some case differs", [("fails", None), ("holds", None)], {}, True),
        ("some case differs", [("undecided", None)], {}, False),
        ("no case decides", [("holds", "stand-in")], {}, True),
        ("no case decides", [("holds", "stand-in"), ("undecided", None)], {}, False),
        ("not all is measured", [("holds", None)], {}, True),
        ("not all is measured", [("holds", None), ("holds", None)], {}, False),
        ("some fits agree", [], {"fits": 8, "fits_agreeing": 2}, True),
        ("some fits agree", [], {"fits": 8, "fits_agreeing": 8}, False),
    ],
)
def test_what_a_reason_says_of_the_cases_is_looked_up(state, cases, numbers, so):
    every = [(str(n), Case(*case)) for n, case in enumerate(cases)]
    found = ledger.verdict([Scope(2), *every, *(Number(*number) for number in numbers.items())])
    because = Reason(says="so it is", states=(state,))
    assert (stale(because, found, Evidence({})) == []) == so


def test_a_reason_says_when_it_is_true():
    with pytest.raises(ValidationError, match="nothing says when the reason 'it is late' is true"):
        Reason(says="it is late")


def test_the_command_prints_every_claim(answer, tmp_path):
    text = answer("claims")
    assert [line.split()[0] for line in text.splitlines() if line[0] != " "] == [*CLAIMS]
    assert [row["id"] for row in json.loads(answer("claims", "--json"))["claims"]] == [*CLAIMS]
    answer("export", tmp_path / "claims.json")
    exported = json.loads((tmp_path / "claims.json").read_text())
    assert [row["id"] for row in exported["claims"]] == [*CLAIMS]
    rated = {row["id"]: row["rates"] for row in exported["claims"] if row["rates"]}
    assert {*rated} == {*rates.kept()["claim"]}  # a new claim has none until worlds are listed
    assert all(each["draws"] >= 400 for each in rated.values())


def test_no_model_is_robust_for_its_accuracy_alone():
    """Finetuned ones are, as the atlas says of the same models; of YFCC's hardly any is known."""
    judgements = gather("paper", experiments=("accuracy",)).robust
    for view_name, models in VERDICTS["robust"].items():
        for model, robust in models.items():
            assert (judgements[model].view, judgements[model].robust) == (view_name, robust), model


def test_hardly_any_ordinary_model_is_called_robust():
    """Of the baseline's models, a sixth of which lie above the line beyond their sets' error."""
    five = view("five")
    er = effective_robustness(five.pool["shifted"], five.pool["imagenet"], five.reference)
    judged = beside_ordinary(five.pool.assign(er=er, low=er, high=er), five)
    judged = judged.dropna(subset=["excess"])
    assert len(judged) > 200 and (judged["excess_low"] > judged["limit"]).mean() < 0.04


def test_measurements_of_a_folder_are_judged_alone(tmp_path):
    (tmp_path / "pruning").mkdir()
    gathered = gather("paper", tmp_path)
    assert not gathered.measurements and not gathered.concepts
    assert judged("K-others", gathered).outcome == "not measured"
    verdict = judged("ER-range", gathered)
    assert verdict.outcome == "reproduced"  # from published accuracies
    refitted = [value(verdict, f"refitted_{end}", "line") for end in ("lowest", "highest")]
    assert refitted == pytest.approx([0.0698, 0.3856], abs=5e-5)  # computed apart, by np.polyfit


@pytest.fixture(scope="module")
def gathered():
    return evidence(
        *(RICH, POOR, LOW, kurtosis("drawn", 2.9, 0), kurtosis("stand-in", 29.7)),
        *(importance("rich", 36), importance("drawn", 16), under_shift("rich", 0, 0)),
        *(
            pruning("rich", -0.02, images=100, head=IMAGENETS_CLASSES),
            pruning("poor", -0.5, data="coco"),
        ),
        *(concepts("rich", 5), concepts("tuned", 4, textures=2), concepts("labels", 1)),
        robustness={"five": FIVE, "own": frame(("poor", 0.1, 0.01))},
        misread=pd.DataFrame({"name": ["poor"], "er": [0.081]}),
        others={"other": family("other", {"stand-in": ("supervised", "labels")})},
    )


@pytest.mark.parametrize(("claim", "texts"), CARDS.items())
def test_cards_show_a_verdicts_numbers_as_one_table(claim, texts, gathered):
    verdict = judged(claim, gathered)
    said = card(CLAIMS[claim], verdict, gathered)
    for text in texts:
        assert text in said
    assert "{ref}" not in said.replace("{ref}`what robust means", "") and "nan" not in said
    assert said.startswith("::::{div} claim-card") and said.endswith(f"{{bearing}}`{claim}`\n::::")
    shown, *folded = re.split(r"^:::\{dropdown\} (?:Measured|Rule)$", said, flags=re.M)
    assert len(folded) == 2 and CLAIMS[claim].statement in shown
    counted = sentence(verdict).casefold()
    assert counted in folded[0].casefold() and counted not in shown.casefold()


def test_a_number_has_the_unit_of_its_quantity_and_a_heading_says_it():
    m = of("outlier_features", "rich", persistence_fraction=0.995)
    (number,) = numbers_of(m, persistence_fraction=m.value("persistence_fraction"))
    assert (number.unit, as_written(number, "persistence (%)")) == ("fraction", "99.5")
    with pytest.raises(ledger.ClaimError, match=r"is in fraction, so .* must end with \(%\)"):
        as_written(number, "persistence")
    (count,) = ledger.numbers(models=3)
    with pytest.raises(ledger.ClaimError, match=r"is in count, so .* must not end with \(%\)"):
        as_written(count, "models (%)")
    with pytest.raises(ledger.ClaimError, match="nothing says in which unit 'ripple' is"):
        numbers_of(m, ripple=3.0)


def test_a_reason_without_an_outcome_is_given_whatever_the_outcome_is():
    because = {"says": "so it is", "states": ["not all is measured"]}
    entry = CLAIMS["K-zero-shot"].model_dump() | {"because": because}
    claim = ledger.Claim.model_validate(entry)
    for m, outcome in ((RICH, "agrees so far"), (kurtosis("rich", 3), "differs")):
        found = judge(claim, evidence(m, CONTROL))
        assert (found.outcome, found.reason) == (outcome, "so it is")
    assert not judge(claim, evidence(RICH, POOR, CONTROL)).reason


def test_a_card_has_its_controls_last(gathered):
    said = card(CLAIMS["D-privileged"], judged("D-privileged", gathered), gathered)
    *_, before, last = said.split("\n| ")
    assert "random" in last and "random" not in before


def test_a_card_says_where_its_verdict_flips(gathered):
    assert (
        flips(judged("K-zero-shot", gathered))
        == "*reproduced* at 3.5 to 10, *partly established* at 12, *mixed* at 15 to 30."
    )
    assert flips(judged("ER-order", gathered)) == flips(judged("K-others", evidence())) == ""


@pytest.mark.parametrize(("claim", "measurements", "expected", "more"), VERDICTS["badges"])
def test_a_badge_is_a_sentence(claim, measurements, expected, more):
    assert sentence(judged(claim, written(claim, measurements, more))) == expected


def test_cards_of_the_papers_printed_numbers():
    gathered = Evidence(load_families("paper"))
    for name, numbers in (("C-more", "| RN50 | 89 |"), ("C-overlap", "| RN50 | 93.9 | 82.6 |")):
        said = card(CLAIMS[name], judged(name, gathered), gathered)
        assert "verdict-not-measured" in said and numbers in said


def test_the_pocket_lab_is_judged_by_the_same_rules():
    gathered = evidence(RICH, POOR, LOW, CONTROL, robustness={"five": FIVE})
    said = {n: brief(CLAIMS[n], judged(n, gathered)) for n in ("K-captions", "P-80")}
    assert "the comparison separates nothing" in said["K-captions"]
    assert said["P-80"].startswith("[not measured]")
