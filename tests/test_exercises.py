"""Exercises: every chapter has all levels, each a solution, and its numbers are computed."""

import re

import numpy as np
import pytest
import yaml
from conftest import ROOT, sphinx_build
from sphinx.errors import ConfigError

from companion.exercises import EXERCISES, ExerciseError, answers, check, shown

TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text(encoding="utf-8"))
#: The chapters but for the discussion, and the pocket lab's; and what else sets tasks.
LISTED = [one["file"] for part in TOC["parts"][:2] for one in part["chapters"] if "file" in one]
CHAPTERS = [name for name in LISTED if "/" not in name and name not in ("discussion", "summary")]
CHAPTERS += ["guide/pocket_lab"]
PAGES = [*CHAPTERS, "guide/probe", "guide/train"]
#: The order in which a chapter tells; some leave a part out, and beyond the paper it says nothing.
TEMPLATE = (
    "The question", "The picture", "The definition", "What the paper says", "What we found",
    "In the pocket lab", "What to watch out for", "Exercises",
)  # fmt: skip
BOX = re.compile(
    r"^:::\{admonition\} Exercise (?P<label>\S+) · (?P<level>read|compute|design) · \d+ minutes\n"
    r":class: tip exercise\n:name: (?P=label)\n(?P<task>.*?)^:::\n\n"
    r"^:::\{admonition\} Solution\n:class: dropdown solution\n(?P<solution>.*?)^:::$",
    re.MULTILINE | re.DOTALL,
)
#: Found by another than this code: by formula, by hand, or in NumPy by a reader of the book.
FOUND = {
    "start-1": (34,),
    "start-3": (3, 0.978),
    "start-4": (11,),
    "atlas-2": (6, 4.24, 7.26),
    "atlas-3": (13 / 18, 1 / 6),
    "atlas-5": (21, -2.32),
    "frame-2": (100 / 612,),
    "frame-3": (2.99, 100 / 612),
    "frame-4": (17.8, 2.985),
    "frame-5": (16.5, 0.00085),
    "frame-6": (50.2, 4.55, 1),
    "frame-7": (22.9, 0.475),
    "frame-8": (2.8, 0.9034),
    "origin-2": (3 * 512 / 514,),
    "origin-3": (1, 0.849),
    "origin-4": (8.13,),
    "lab-2": (2.33, 4.56),
    "lab-3": (27.2, 17.8),
    "lab-5": (1 / 36, 16 / 216),
    "probe-3": (159,),
    "probe-4": (3.16,),
    "probe-5": (33,),
    "train-2": (25020,),
    "train-4": (1, 0),
    "exam-1": (18.0,),
    "exam-2": (510,),
    "exam-3": (11 / 12, 0.1),
    "exam-4": (-5, 0.97),
    "robustness-2": (0.235, 0.545),
    "robustness-3": (36.5, 40.7, 27.1),
    "robustness-4": (36.7,),
    "outlier-2": (3 * 511 / 513,),
    "outlier-3": (16.3, 35),
    "outlier-4": (5.3, 22),
    "outlier-5": (1.0, 0.009),
    "outlier-6": (2.98,),
    "directions-2": (1.9,),
    "directions-3": (4.3, 30, 360),
    "directions-4": (4.4,),
    "pruning-2": (52.2,),
    "pruning-3": (7.1, 0.1),
    "pruning-5": (0.8, 8.3),
    "concepts-2": (125.3,),
    "concepts-4": (1 / 6, 8 / 252, 0.0013),
    "concepts-5": (0.74,),
    "indicators-3": (100 / 114, 7**-0.5),
    "indicators-4": (0.5135,),
    "indicators-5": (2 / 20, 2 / 924),
}


def exercises(page):
    text = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
    found = [box.groupdict() for box in BOX.finditer(text)]
    assert len(found) == text.count("{admonition} Exercise"), "a box that lacks something"
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_chapter_has_all_levels_in_order_and_every_computed_value(page):
    found = exercises(page)
    prefix = found[0]["label"].removesuffix("-1")
    assert [one["label"] for one in found] == [f"{prefix}-{i + 1}" for i in range(len(found))]
    assert len(found) >= 6 and {one["level"] for one in found} == {"read", "compute", "design"}
    assert found[0]["level"] == "read" and found[-1]["level"] == "design"
    for one in found:
        used = re.findall(r"\{answer\}`(\S+?)(?: (\d))?`", one["solution"])
        values = len(answers(one["label"])[0]) if one["label"] in EXERCISES else 0
        assert used == [(one["label"], str(i + 1) if values > 1 else "") for i in range(values)]


#: These train models; the others run as printed.
TRAINING = {"origin-5", "origin-6", "train-5"}


@pytest.mark.parametrize("page", PAGES)
def test_the_code_in_solutions_runs_as_printed_and_prints_the_answers(page, tmp_path, monkeypatch):
    (tmp_path / "accuracies.csv").symlink_to(ROOT / "notebooks" / "teach" / "accuracies.csv")
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    printed = []
    names = {"np": np, "print": lambda *values: printed.extend(np.hstack(values))}
    for one in exercises(page):
        label = one["label"]
        if one["level"] != "compute" or label in TRAINING:
            continue
        (code,) = re.findall(r"^```python\n(.*?)^```$", one["solution"], re.MULTILINE | re.DOTALL)
        assert code.count("\n") <= 12 and max(map(len, code.splitlines())) <= 84
        printed.clear()
        exec(code, names)
        if label in EXERCISES:
            assert check(label, *printed), label
        if label != "pruning-4":  # the random orders are another draw
            expected = answers(label)[0] if label in EXERCISES else 0.0
            np.testing.assert_allclose(printed, expected, rtol=0.02, atol=1e-12, err_msg=label)


def told(page):
    return (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")


def test_every_answer_belongs_to_an_exercise():
    exam = set(re.findall(r"\{answer\}`(exam-\d)", told("guide/teach")))
    assert {one["label"] for page in PAGES for one in exercises(page)} | exam >= {*EXERCISES}
    assert {*EXERCISES} - {*FOUND} == {"pruning-4"}, "which has a test of its own"


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_opens_with_goals_and_the_time_that_its_exercises_take(page):
    text = told(page)
    box = re.search(r"^:::\{admonition\} In this chapter\n.*?^:::$", text, re.M | re.S)[0]
    assert len(re.findall(r"^- \*\*\w+\*\* ", box, re.M)) == 3
    work = sum(map(int, re.findall(r"Exercise \S+ · \w+ · (\d+) minutes", text)))
    assert re.search(rf"^\{{\{{ minutes \}}\}} to read, {work} to work[.;] .*Needs: ", box, re.M), (
        work
    )
    (last,) = re.findall(
        r"^:::\{admonition\} Take away\n:class: take-away\n(.*?)^:::$", text, re.M | re.S
    )
    assert "{result}" in last


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_tells_in_the_same_order(page):
    text = told(page)
    parts = [part for part in re.findall(r"^## (.+)$", text, re.M) if part in TEMPLATE]
    assert parts == sorted(parts, key=TEMPLATE.index) and {parts[0], parts[-1]} == {
        "The question", "Exercises"
    }  # fmt: skip
    cards = text.find("```{result} claims/paper")
    assert cards < 0 or cards > text.index("## What we found")


CHECKED = {label: values for label, values in FOUND.items() if not label.startswith("exam")}


@pytest.mark.parametrize(("label", "values"), CHECKED.items(), ids=CHECKED)
def test_what_others_found_is_right_and_what_is_far_off_is_not(label, values, capsys):
    assert check(label, *values) and capsys.readouterr().out == f"{label}: right.\n"
    assert not check(label, *(-2 * value - 100 for value in values))
    assert f"{label}, value 1: not yet. {EXERCISES[label][1]}" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_the_call_that_a_page_shows_can_be_made(page):
    text = (ROOT / f"book/{page}.md").read_text(encoding="utf-8")
    ((label, values),) = re.findall(r'`check\("([\w-]+)", ([\d., ]+)\)`', text)
    check(label, *map(float, values.split(",")))


@pytest.mark.parametrize("label", sorted({*FOUND} - {*CHECKED}))
def test_the_exam_is_right_and_is_not_checked(label):
    np.testing.assert_allclose(answers(label)[0], FOUND[label], rtol=0.01)
    with pytest.raises(ExerciseError, match="is of the exam"):
        check(label, *FOUND[label])


def test_random_order_loses_most_and_numbers_are_short():
    at_random, by_value = answers("pruning-4").mean(axis=0)
    assert at_random > 30 > 1 > by_value
    assert shown("outlier-3", 1) == "35" and shown("concepts-5", 0) == "0.74"
    assert shown("train-2", 0) == "25,020"


@pytest.mark.parametrize("label", ["directions-3", "pruning-4"])
def test_an_answer_from_another_draw_is_right(label):
    draws = (EXERCISES[label][0](np.random.default_rng(seed)) for seed in range(1000, 1006))
    assert all(check(label, *values) for values in draws)


def test_nothing_lost_is_no_answer_where_a_direction_costs():
    assert not check("pruning-5", 0, 0)


@pytest.mark.parametrize(
    ("label", "values", "message"),
    [
        ("outlier-9", (1.0,), "'outlier-9' has no answer to check"),
        ("outlier-3", (1.0,), "outlier-3 got 1 values, give 2, one each."),
    ],
)
def test_wrong_questions_are_refused(label, values, message):
    with pytest.raises(ExerciseError, match=re.escape(message)):
        check(label, *values)


@pytest.mark.parametrize(
    ("label", "values", "named"),
    [
        ("outlier-2", (0,), "value 1: not yet. Did you subtract 3?"),
        ("robustness-2", (23.5, 54.5), "value 2: not yet. It is 100 times the answer"),
        ("robustness-4", (0.367,), "value 1: not yet. It is a hundredth of the answer"),
        ("atlas-3", (1 / 6, 13 / 18), "atlas-3: not yet. The values are right in another order."),
    ],
)
def test_a_typical_error_is_named(label, values, named, capsys):
    assert not check(label, *values)
    assert named in capsys.readouterr().out


PAGE = """# Title

:::{admonition} Exercise
A task.
:::

:::{admonition} Solution
:class: dropdown solution
It is {answer}`outlier-3 2`, not {answer}`outlier-3 3`.
:::

:::{admonition} Answer
:class: dropdown instructor
Forty-two.
:::
"""


def built_for(whom, folder, monkeypatch, slides):
    """What the folder then holds as pages, and Sphinx's warnings."""
    monkeypatch.setenv("COMPANION_FOR", whom)
    pages = {"index": PAGE, "guide/slides": f"# T\n\n```{{result}} {slides}\n```\n"}
    return sphinx_build(folder, pages, "companion_teach", exclude_patterns=["guide"])[1]


@pytest.mark.parametrize("whom", ["readers", "students", "instructors"])
def test_solutions_carry_computed_numbers_or_are_left_out_of_pages_and_sources(
    whom, tmp_path, monkeypatch
):
    warnings = built_for(whom, tmp_path, monkeypatch, "concepts/rn50#venn")
    html = tmp_path / "html"
    page = (html / "index.html").read_text(encoding="utf-8")
    (source,) = (path.read_text(encoding="utf-8") for path in (html / "_sources").iterdir())
    shown = "It is 35," in page.replace("</span>", "").replace("<span>", "")
    for text in (page, source, (html / "searchindex.js").read_text(encoding="utf-8")):
        assert ("Forty" in text or "forti" in text) == (whom == "instructors")
    assert "A task." in page and shown == ("{answer}" in source) == (whom != "students")
    assert "answer: index 2 is out of bounds" in warnings
    assert len([*(tmp_path / "source/_build/teach").glob("*.ipynb")]) == 7
    slides = (html / "slides.html").read_text(encoding="utf-8")
    assert "Not measured in this build." in slides


@pytest.mark.parametrize(
    ("whom", "slides", "told"),
    [
        ("teachers", "claims/paper#ledger", "one of readers, students, instructors."),
        ("readers", "claims#ledger", "guide/slides.md: 'claims#ledger' is not of the form"),
    ],
)
def test_a_build_is_for_somebody_known_and_slides_show_results(
    whom, slides, told, tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match=re.escape(told)):
        built_for(whom, tmp_path, monkeypatch, slides)
