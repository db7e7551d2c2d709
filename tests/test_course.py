"""Grades, exams by a seed, and tests for a grader: each number found a second way."""

import csv
import io
import json
import math
import re
import runpy
from itertools import combinations, permutations

import numpy as np
import pytest
from conftest import ROOT, python_in
from scipy.stats import kurtosis
from sklearn.metrics import average_precision_score
from statsmodels.stats.contingency_tables import mcnemar
from test_exercises import of_seed

from companion import cli
from companion.course import exam, grade, key, otter
from companion.course.key import CourseError
from results.course import ANSWERS

SEEDS = range(60)
NUMBER = r"−?\d[\d,]*(?:\.\d+)?"


def number(text):
    return float(text.replace("−", "-").replace(",", ""))


def numbers(text):
    return [number(found) for found in re.findall(NUMBER, text)]


# The key


def test_every_value_that_can_be_checked_earns_points_and_others_need_a_reader():
    tasks = key.tasks()
    for label, task in tasks.items():
        counted = sorted(place for one in task.criteria for place in one.values)
        assert counted == [*range(len(ANSWERS.get(label, [])))], label
        if counted:
            assert task.earned([True] * len(counted)) == task.of_values > 0
            assert task.earned([False] * len(counted)) == 0
    assert tasks["outlier-3"].earned([True, False]) == 1
    assert tasks["robustness-3"].earned([True, False, True]) == pytest.approx(4 / 3)
    assert (tasks["start-4"].of_values, tasks["start-4"].of_reasons) == (2, 1)


def test_a_key_whose_points_do_not_add_up_is_named(tmp_path):
    page = tmp_path / "teach.md"
    page.write_text("| {ref}`a-1 <a-1>` | 3 | one (1); two (1) |\n")
    with pytest.raises(CourseError, match="the points of a-1 do not add up to 3"):
        key.tasks(page)
    page.write_text("nothing")
    with pytest.raises(CourseError, match="has no answer key"):
        key.tasks(page)


# Grades


def hand_in(folder, name, answers, student=None):
    (folder / name).mkdir(parents=True)
    kept = {
        label: {"values": values, "right": [True] * len(values), "time": "t", "attempts": 1}
        for label, values in answers.items()
    }
    content = {"answers": kept} | ({"student": student} if student is not None else {})
    (folder / name / "answers.json").write_text(json.dumps(content))


def test_a_class_is_graded_whatever_its_files_say_of_themselves(tmp_path, capsys):
    own = of_seed("outlier_features", 11)["outlier-3"]
    hand_in(tmp_path, "Adams", {"outlier-3": ANSWERS["outlier-3"], "start-4": [1, 12, 9]})
    hand_in(tmp_path, "=Baker", {"outlier-3": own}, 4711)
    hand_in(tmp_path, "Cruz", {"outlier-3": own}, 4712)
    hand_in(tmp_path, "Dole", {"outlier-3": [1]}, 4712)
    out = tmp_path / "grades.csv"
    assert cli.main(["grade", str(tmp_path), "--csv", str(out)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Adams +– +1\.5 +3 +4\.5 +5 +1$", text, re.M)  # start-4: 2 values of 3
    assert re.search(r"^=Baker +4711 +– +3 +3 ", text, re.M)
    assert "Cruz: outlier-3: right for seed 11, =Baker's, not for 12." in text
    assert "Dole: 2 students give the number 4712." in text
    rows = [*csv.DictReader(io.StringIO(out.read_text()))]
    assert len(rows) == 8 and {row["student"] for row in rows} == {
        "Adams",
        "'=Baker",
        "Cruz",
        "Dole",
    }
    points = {(row["student"], row["exercise"]): row["points"] for row in rows}
    assert points["Cruz", "outlier-3"] == "2"  # the second value hardly depends on the seed
    assert points["'=Baker", "outlier-3"] == "3"
    assert cli.main(["grade", str(tmp_path), "--exercises", "outlier-2"]) == 0
    assert "outlier-3" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no answers in it"),
        ('{"answers": {"outlier-2": 3}}', "no answers in it"),
        ('{"answers": {}, "student": "me"}', "the student's number is 'me'"),
        ('{"answers": {}, "student": true}', "the student's number is True"),
        ('{"answers": {}, "student": 1%s}' % ("0" * 400), "the student's number is 1000"),
        (" " * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_none_is_named_and_the_others_are_graded(tmp_path, content, said, capsys):
    hand_in(tmp_path, "Adams", {"outlier-2": ANSWERS["outlier-2"]})
    (tmp_path / "Evil_answers.json").write_text(content)
    assert cli.main(["grade", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert f"Evil: {said}" in text and re.search(r"^Adams +– +1 +1 ", text, re.M)


@pytest.mark.parametrize(
    "values", ["3", [], [1, 2], ["x"], [math.nan], [math.inf], [10**400], [True], None]
)
def test_values_that_are_none_earn_nothing(tmp_path, values):
    hand_in(tmp_path, "Adams", {})
    text = json.dumps({"answers": {"outlier-2": {"values": values, "attempts": "many"}}})
    (tmp_path / "Adams/answers.json").write_text(text)
    (student,) = grade.graded(tmp_path, [key.tasks()["outlier-2"]])
    assert student.points == 0 and student.marks["outlier-2"].note == "not 1 number(s)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grade", "nowhere"], "nowhere is no folder: name the one with"),
        (["grade", "."], "has no answers: each student hands in one answers.json."),
        (["grade", ".", "--exercises", "outler-2"], "there is no exercise 'outler-2'"),
        (["grade", ".", "--exercises", "outlier-1"], "outlier-1 has no values to check"),
        (["otter", ".", "--exercises", "exam-1"], "there is no exercise 'exam-1'"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not [*tmp_path.iterdir()]


# Tests for otter-grader. Its own program ran them: see the commit.


def test_tests_of_otter_tell_right_from_wrong_answers(tmp_path, monkeypatch):
    assert cli.main(["otter", str(tmp_path), "--exercises", "outlier-3", "start-4"]) == 0
    notebook = json.loads((tmp_path / "answers.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "outlier_3 = ..." in code and 'grader.check("start_4")' in code
    test = runpy.run_path(str(tmp_path / "tests/outlier_3.py"))["test"]
    (suite,) = test["suites"]
    assert test["points"] == 3 and [case["points"] for case in suite["cases"]] == [1, 2]
    own = of_seed("outlier_features", 11)["outlier-3"]
    passed = []
    for given in ("outlier_3 = 16.3, 35", "outlier_3 = 16.3, 1",
                  f"outlier_3, student_number = {own}, 4711"):  # fmt: skip
        program = [given]
        for case in suite["cases"]:
            *lines, _ = case["code"].splitlines()
            program += [line.removeprefix(">>> ") for line in lines[:-1]]
            program.append(f"print({lines[-1].removeprefix('>>> ')})")
        done = python_in(tmp_path, "-c", "\n".join(program), PYTHONPATH="")
        passed.append(done.stdout.split())
    assert passed == [["True", "True"], ["True", "False"], ["True", "True"]]
    with pytest.raises(CourseError, match=r"answers\.ipynb is there already"):
        otter.write(tmp_path, [])


# Exams


@pytest.fixture(scope="module")
def exams():
    return {seed: {one.number: one for one in exam.drawn(seed)} for seed in SEEDS}


def by_variant(exams, variant):
    found = [one for of in exams.values() for one in of.values() if one.variant == variant]
    assert len({one.task for one in found}) > 1 or len(found) == 1
    return [(numbers(one.task), numbers(one.answer), one) for one in found]


def test_exams_differ_by_seed_have_forty_points_and_the_key_lies_apart(tmp_path, exams):
    assert {one.variant for one in exam.variants()} == {*exam.DRAW}
    for questions in exams.values():
        assert [*questions] == [1, 2, 3, 4, 5, 6]
        for one in questions.values():
            assert "{" not in one.task + one.answer
            assert sum(map(int, re.findall(r"\((\d)\)", one.answer))) in (one.points, 0)
        assert sum(one.points for one in questions.values()) == 40
    tasks = ["".join(one.task for one in questions.values()) for questions in exams.values()]
    assert len({*tasks}) == len(tasks)
    paths = exam.written(7, tmp_path / "exams")
    sheet, answers = (path.read_text() for path in paths)
    for one in exams[7].values():
        assert one.task in sheet and one.answer not in sheet and one.answer in answers
    assert exam.written(7, tmp_path / "exams") == paths  # the same again
    pages = exam.written(7, tmp_path / "exams", html=True)
    printed, solved = (path.read_text() for path in pages)
    assert [path.name for path in pages] == ["exam_7.html", "exam_7_key.html"]
    assert printed.count('class="room"') == 6 == solved.count("<strong>Answer.</strong>")
    assert "Answer" not in printed and 'class="room"' not in solved and "Name:" in printed
    assert exams[7][2].task.split(".")[0] in printed and "<script" not in printed + solved
    paths[0].write_text(sheet + "edited")
    with pytest.raises(CourseError, match=r"exam_7\.md is there with another text"):
        exam.written(7, tmp_path / "exams")
    assert paths[0].read_text() == sheet + "edited"


def test_lines_and_models(exams):
    def er(imagenet, shifted, slope, intercept):
        odds = imagenet / (100 - imagenet)
        return shifted - 100 / (1 + math.exp(-intercept) * odds**-slope)

    for task, answer, one in by_variant(exams, "line"):
        slope, intercept, *models, other_slope, other_intercept, first, second = task
        pairs = models[:2], models[2:]
        printed = [er(*pair, slope, intercept) for pair in pairs]
        assert answer[:2] == pytest.approx(printed, rel=6e-3)
        others = [er(*pair, other_slope, other_intercept) for pair in pairs]
        assert [first, second] == pytest.approx(others, rel=6e-3)
        assert (printed[0] > printed[1]) != (others[0] > others[1])
        assert ("the first is" in one.answer) == (printed[0] > printed[1])


def test_vectors(exams):
    for task, answer, _ in by_variant(exams, "indicator vector"):
        width, size, ones = int(task[0]), task[1], int(task[-1])
        values = [kurtosis(1.0 * (np.arange(width) < n), fisher=False) for n in range(1, width)]
        assert size != 0 and answer[0] == pytest.approx(values[ones - 1], rel=6e-3)
        assert answer[3] == pytest.approx(min(values)) and answer[4] == 1 + np.argmin(values)
    for task, answer, _ in by_variant(exams, "one component"):
        found = kurtosis(1.0 * (np.arange(int(task[0])) < 1), fisher=False)
        assert answer[0] == pytest.approx(found, abs=0.006) and answer[0] == task[1] + 3


def test_rankings(exams):
    for task, answer, one in by_variant(exams, "ranking"):
        positives, negatives, *ranks, threshold, directions = task
        size = int(positives + negatives)
        score = -np.arange(size)
        every = [
            average_precision_score(np.isin(np.arange(size), places), score)
            for places in combinations(range(size), int(positives))
        ]
        own = average_precision_score(np.isin(np.arange(size), np.array(ranks) - 1), score)
        passing = sum(value >= threshold for value in every)
        chance = passing / len(every)
        assert len(ranks) == positives and answer[0] == pytest.approx(own, rel=6e-3)
        assert ("so the concept passes" in one.answer) == (own >= threshold)
        assert answer[2:4] == [passing, len(every)] or answer[1:4:2] == [2, len(every)]
        assert f"{passing} of {len(every)} orders pass" in one.answer
        assert f"At least one passes with probability {answer[-2]:g}" in one.answer.replace(
            exam.shown(answer[-2]), f"{answer[-2]:g}"
        )
        assert answer[-2] == pytest.approx(1 - (1 - chance) ** directions, rel=6e-3)


def test_paired_differences(exams):
    for task, answer, one in by_variant(exams, "paired"):
        images, lost, gained, *_ = task
        margin, few_lost, few_gained = task[4:]
        halves = []
        for g, b in ((gained, lost), (few_gained, few_lost)):
            change = np.repeat([1, -1, 0], [int(g), int(b), int(images - g - b)])
            assert answer[0] == pytest.approx(100 * change.mean(), rel=6e-3)
            halves.append(196 * change.std() / math.sqrt(images))
        assert answer[1] == pytest.approx(halves[0], rel=6e-3)
        assert mcnemar([[0, gained], [lost, 0]], exact=False).pvalue < 1  # and no interval is empty
        for half, words in zip(halves, one.answer.split("The difference is the same"), strict=True):
            beyond, inside = answer[0] + half < -margin, answer[0] - half > -margin
            assert ("a cost (2)" in words) == beyond and ("no cost" in words) == inside
            assert ("nothing is decided" in words) == (not beyond and not inside)


CHANGED = {
    "rotation": ["κ", "persistence"],
    "stretched coordinates": ["κ", "persistence", "the importance of the first direction",
                              "the share of energy in the mean"],
    "constant with its bias": ["κ", "persistence", "the importance of the first direction",
                               "the share of energy in the mean"],
    "scale of the head": ["nothing"],
}  # fmt: skip


@pytest.mark.parametrize("variant", CHANGED)
def test_what_a_change_changes_follows_whatever_is_drawn(variant):
    for seed in SEEDS:
        fields = exam.DRAW[variant](np.random.default_rng(seed))
        assert fields["changed"].split(", ") == CHANGED[variant]
        six = [*fields["changed"].split(", "), *fields["same"].split(", ")]
        assert len({*six} - {"nothing"}) == 6


def test_certificates(exams):
    for task, answer, _ in by_variant(exams, "a certificate"):
        sensitivity, specificity, one_in, candidates, robust, others, _ = task
        models = 100 * one_in
        called = sensitivity * models / one_in / 100
        wrongly = (100 - specificity) * models * (1 - 1 / one_in) / 100
        assert answer[0] == pytest.approx(called / (called + wrongly), rel=6e-3)
        kinds = [1] * int(robust) + [0] * int(others)
        orders = {*permutations(kinds)} if len(kinds) <= 8 else set()
        perfect = sum(list(o) in (sorted(o), sorted(o, reverse=True)) for o in orders)
        some = 1 - (1 - perfect / len(orders)) ** candidates
        assert answer[2] == pytest.approx(some, rel=6e-3)


def test_the_site_of_readers_has_neither_exams_by_seed_nor_their_key(built_book):
    for path in [
        *built_book.rglob("*.html"),
        *built_book.rglob("*.md*"),
        *built_book.rglob("*.js"),
    ]:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert "Key, seed" not in text and "orders_passing" not in text
    assert not [*built_book.rglob("exam*.md")] and (ROOT / "data/teach/exam.md").is_file()
