"""Grades, exams by a seed, and tests for a grader: each number found a second way."""

import csv
import io
import json
import math
import re
from itertools import combinations, permutations

import numpy as np
import pytest
from conftest import ROOT
from scipy.stats import kurtosis
from sklearn.metrics import average_precision_score
from statsmodels.stats.contingency_tables import mcnemar
from test_exercises import make, of_seed

from companion.cli import main as cli
from companion.course import exam, grade, handed_in, key, reading
from companion.course.key import CourseError
from companion.engine import check
from companion.engine.course import ANSWERS

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
    assert (tasks["start-4"].of_values, tasks["start-4"].of_reasons) == (3, 1)


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
    hand_in(tmp_path, "Adams", {"outlier-3": ANSWERS["outlier-3"], "start-4": [1, 12, 9, 0.31]})
    hand_in(tmp_path, "=Baker", {"outlier-3": own}, 4711)
    hand_in(tmp_path, "Cruz", {"outlier-3": own}, 4712)
    hand_in(tmp_path, "Dole", {"outlier-3": [1]}, 4712)
    out = tmp_path / "grades.csv"
    assert cli.main(["grade", str(tmp_path), "--csv", str(out)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Adams +– +2\.5 +3 +5\.5 +6 +1$", text, re.M)  # start-4: 3 values of 4
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
        (["grade", ".", "--exercises", "exam-1"], "there is no exercise 'exam-1'"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not [*tmp_path.iterdir()]


def test_files_of_one_student_merge_and_the_best_attempt_counts(tmp_path, capsys):
    right = ANSWERS["outlier-3"]
    hand_in(tmp_path, "Roth/outlier", {"outlier-3": right, "outlier-2": [1]})
    hand_in(tmp_path, "Roth/pruning", {"outlier-2": ANSWERS["outlier-2"], "outlier-3": [1, 2]})
    hand_in(tmp_path, "Ann Lee_12345_assignsubmission_file", {"start-4": ANSWERS["start-4"]})
    for added in ("__MACOSX/._x.json", ".ipynb_checkpoints/answers.json", "Roth/._answers.json"):
        (tmp_path / added).parent.mkdir(exist_ok=True)
        (tmp_path / added).write_text("\x00\x05\x16\x07")
    assert cli.main(["grade", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Ann Lee +– +3 ", text, re.M)
    assert re.search(r"^Roth +– +– +1 +3 +4 ", text, re.M) and "\nRoth:" not in text
    assert len(text.splitlines()) == 3
    work = handed_in.works(tmp_path)[1]
    roth = grade.graded(tmp_path, [key.tasks()["outlier-2"]])[1]
    again = {"answers": {"outlier-7": {"sentence": "Controls."}}}
    (tmp_path / "Roth/outlier/answers.json").write_text(json.dumps(again))
    mark = grade.graded(tmp_path, [key.tasks()["outlier-7"]])[1].marks["outlier-7"]
    assert (mark.sentence, mark.note) == ("Controls.", "")
    assert len(work.files) == 2 and roth.marks["outlier-2"].attempts == 2


@pytest.mark.parametrize("link", ["file", "folder", "top"])
def test_a_link_to_another_student_is_named_and_not_read(tmp_path, link, capsys):
    hand_in(tmp_path, "Adams", {"outlier-2": ANSWERS["outlier-2"]})
    if link == "file":
        (tmp_path / "Baker").mkdir()
        (tmp_path / "Baker/answers.json").symlink_to("../Adams/answers.json")
    elif link == "folder":
        (tmp_path / "Baker").symlink_to("Adams")
    else:
        (tmp_path / "Baker.json").symlink_to("Adams/answers.json")
    assert cli.main(["grade", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^Baker +– +– +– ", text, re.M) and "is a link, and not read" in text
    assert re.search(r"^Adams +– +1 +1 ", text, re.M)


def test_what_files_say_oddly_is_understood_or_named(tmp_path, capsys):
    own = of_seed("what_kurtosis_measures", 11)
    label = next(one for one in own if not check.is_right(one, own[one]))
    answers = {label: {"values": own[label], "attempts": -5}, "outler-2": {"values": [1]}}
    for name, student in (("Adams", "4711"), ("Baker", None), ("Cruz", 12)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"answers": answers, "student": student}))
    (tmp_path / "Dole.json").write_bytes((tmp_path / "Adams.json").read_bytes())
    assert cli.main(["grade", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert all(check.judged(label, own[label], 11).right)
    assert f"Baker: {label}: right for seed 11, Dole's, and the file has no number." in text
    assert text.count("there is no exercise 'outler-2'") == 4
    assert text.count(f"{label}: -5 attempts are impossible") == 4
    assert "the same file, to the letter, as Adams's; 2 students give the number" in text
    guess = {"answers": {"outlier-2": {"values": [3]}}}  # which is near a seed's answer, by chance
    (tmp_path / "Evans.json").write_text(json.dumps(guess))
    assert cli.main(["grade", str(tmp_path)]) == 0
    assert "Evans:" not in capsys.readouterr().out
    (tmp_path / "Evans.json").unlink()
    students = grade.graded(tmp_path, [key.tasks()[label]])
    assert [student.marks[label].attempts for student in students] == [0, 0, 0, 0]


def test_outlier_5_is_right_for_every_seed():
    boxes = make.tasks((ROOT / "book/outlier_features.md").read_text())
    upto = boxes[: [label for label, *_ in boxes].index("outlier-5") + 1]
    for seed in (3, 42):
        own = make.own_answers(upto, seed)["outlier-5"]
        assert check.is_right("outlier-5", own, 4700 + seed), seed
        assert not check.is_right("outlier-5", [own[0], own[1] + 0.01], 4700 + seed)


# Reading, and the final mark


def test_words_are_read_on_a_sheet_whose_points_count_and_stay(tmp_path, capsys):
    folder, sheets, parts = tmp_path / "in", tmp_path / "reading", tmp_path / "parts.csv"
    for name, words in (("Adams", "Random weights, and a rotation."), ("Baker", "=1+1")):
        hand_in(folder, name, {"outlier-2": ANSWERS["outlier-2"]})
        path = folder / name / "answers.json"
        content = json.loads(path.read_text())
        content["answers"]["outlier-7"] = {"sentence": words, "guess": "It stays."}
        content["answers"]["outlier-2"] |= {"sentence": "d is finite", "code": "kurtosis(h)"}
        path.write_text(json.dumps(content))
    command = ["grade", str(folder), "--sheets", str(sheets), "--parts", str(parts)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "12 cells are empty" in said and said.count("open: lab, project, exam") == 2
    assert {path.name for path in sheets.iterdir()} == {"outlier-2.csv", "outlier-7.csv"}
    text = (sheets / "outlier-7.csv").read_text()
    head, first, second = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    assert head[6:] == [
        "persistence (1)", "random weights (1)", "same layer (1)", "rotation (1)",
        "each with the result that stops (1)",
    ]  # fmt: skip
    assert first[:2] == ["Adams", ""] and second[3] == "'=1+1"
    assert first[2:4] == ["It stays.", "Random weights, and a rotation."]
    assert "kurtosis(h)" in (sheets / "outlier-2.csv").read_text()
    first[6:], second[6:] = ["0", "1", "0", "1", "0,5"], ["0"] * 5
    lines = [";".join(f'"{cell}"' for cell in row) for row in (head, first, second)]
    (sheets / "outlier-7.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    parts.write_text("student,lab,project,exam\nAdams,16,7,30\nBaker,10,10,20\n")
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "2 cells are empty" in said
    mark = 25 * 3.5 / 7 + 20 * 16 / 20 + 25 * 7 / 20 + 30 * 30 / 40
    assert re.search(rf"^Adams +3\.5 +16 +7 +30 +{mark:.1f} % +no: project too low$", said, re.M)
    assert re.search(r"^Baker +1 +10 +10 +20 +41\.1 % +no: less than half$", said, re.M)
    assert "0;1;0;1;0,5" in (sheets / "outlier-7.csv").read_text()
    kept = (sheets / "outlier-7.csv").read_text()
    (sheets / "outlier-7.csv").write_text(kept.replace("0;1;0;1;0,5", "0;1;0;2;0"))
    assert cli.main(command) == 1
    assert (
        "outlier-7.csv, Adams: '2' is not between 0 and 1 points for 'rotation'"
        in capsys.readouterr().err
    )


def said_in_words(folder, name, sentence="Controls."):
    (folder / name).mkdir(parents=True)
    answers = {"answers": {"outlier-7": {"sentence": sentence}}}
    (folder / name / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


NAMES = ["'t Hooft", "=1+1", "'=x", "Müller", "Roth, A.; B.", "“Q”", '"q"']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_nothing_that_a_teacher_typed_is_ever_lost(tmp_path, encoding, delimiter, capsys):
    sheets, parts = tmp_path / "reading", tmp_path / "parts.csv"
    for name in NAMES:
        said_in_words(tmp_path / "first", name)
    said_in_words(tmp_path / "second", "Zoe")
    command = ["--sheets", str(sheets), "--parts", str(parts)]
    assert cli.main(["grade", str(tmp_path / "first"), *command]) == 0
    for path in (sheets / "outlier-7.csv", parts):
        head, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = [[*(cell or "1" for cell in row), "seen"] for row in rows]
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter).writerows([[*head, "mine"], *rows])
        path.write_bytes(text.getvalue().encode(encoding))
    capsys.readouterr()
    for folder in ("second", "first", "first"):
        assert cli.main(["grade", str(tmp_path / folder), *command]) == 0
        said = capsys.readouterr().out
        assert (
            "Rows of students without a file" in said and "'t Hooft" in said
        ) or folder == "first"
    assert "5 cells are empty" not in said and "all points are typed in" in said
    assert said.count(f"{25 * 5 / 5 + 20 / 20 + 25 / 20 + 30 / 40:.1f} %") == len(NAMES)
    text = (sheets / "outlier-7.csv").read_text(encoding="utf-8-sig")
    rows = [*csv.DictReader(io.StringIO(text), delimiter=delimiter)]
    assert {row["student"]: row["mine"] for row in rows} == {
        **dict.fromkeys(map(str, map(grade.as_cell, NAMES)), "seen"), "Zoe": ""
    }  # fmt: skip


def test_sheets_in_which_a_row_could_be_lost_are_refused_and_stay(tmp_path, capsys):
    said_in_words(tmp_path / "in", "Adams")
    path = tmp_path / "reading/outlier-7.csv"
    command = ["grade", str(tmp_path / "in"), "--sheets", str(tmp_path / "reading")]
    assert cli.main(command) == 0
    head, row = path.read_text().splitlines()
    for text, said in {
        f"{head}\n{row}\n{row}": "row 3 is a second row of 'Adams'",
        f"{head}\n{row},2": "row 2 has more cells than headings for 'Adams'",
        f"{head},mine,mine\n{row},2,3": "two columns of one name",
    }.items():
        path.write_text(text)
        assert cli.main(command) == 1
        assert said in capsys.readouterr().err and path.read_text() == text


def test_persons_of_one_name_are_told_apart_and_every_file_is_named(tmp_path, capsys):
    answers = json.dumps({"answers": {"outlier-2": {"values": ANSWERS["outlier-2"]}}})
    for name, content in {
        "Ann Lee_123_assignsubmission_file/Answers.JSON": answers.encode("utf-16"),
        "Ann Lee_456_assignsubmission_file/answers.json": b'{"answers": {}}',
        "Bo_7_assignsubmission_file/answers.json": answers.encode("utf-8-sig"),
        "Bo_7_assignsubmission_file/plot.png": b"",
        "Cy/answers.txt": answers.encode(),
        "dan.zip": b"PK",
        "Mu\u0308ller/answers.json": answers.encode(),
        "M\u00fcller/more.json": answers.encode(),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    out = tmp_path / "grades.csv"
    for _ in range(2):  # what it wrote is no student's
        assert cli.main(["grade", str(tmp_path), "--csv", str(out)]) == 1
    said = capsys.readouterr().out
    rows = {row["student"]: row for row in csv.DictReader(out.open(encoding="utf-8"))}
    assert [*rows] == ["Ann Lee (123)", "Ann Lee (456)", "Bo", "Cy", "M\u00fcller", "dan"]
    earned = [row["points"] for row in rows.values()]
    assert earned[0] == earned[2] == earned[4] == "1" and earned[3] == earned[5] == ""
    assert "another student has this name" in rows["Ann Lee (456)"]["note"]
    assert "Bo: not read: Bo_7_assignsubmission_file/plot.png; answers are a .json" in said
    assert "Cy: not read: Cy/answers.txt" in said and "dan: not read: dan.zip" in said


@pytest.mark.parametrize(
    ("sheet", "parts", "said"),
    [
        ("a,b\n1,2\n", None, "is no sheet of outlier-7 with the key's criteria"),
        (None, "student,lab\nAdams,3\n", "has other columns than student, lab, project, exam"),
        (None, "student,lab,project,exam\nAdams,21,1,1\n", "has '21' points for the lab, of 20"),
        (None, "student,lab,project,exam\nAdams,x,1,1\n", "has 'x' points for the lab, of 20"),
    ],
)
def test_sheets_and_parts_that_are_none_are_refused(tmp_path, sheet, parts, said, capsys):
    (tmp_path / "in").mkdir()
    answers = {"answers": {"outlier-7": {"sentence": "Words."}}}
    (tmp_path / "in/Adams.json").write_text(json.dumps(answers))
    (tmp_path / "reading").mkdir()
    if sheet:
        (tmp_path / "reading/outlier-7.csv").write_text(sheet)
    if parts:
        (tmp_path / "parts.csv").write_text(parts)
    command = ["grade", str(tmp_path / "in"), "--sheets", str(tmp_path / "reading")]
    assert cli.main([*command, "--parts", str(tmp_path / "parts.csv")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_final_mark_has_the_weights_that_the_page_prints():
    assert [tuple(part) for part in reading.parts()] == [
        ("exercises", 0, 25, 0), ("lab", 20, 20, 0), ("project", 20, 25, 8), ("exam", 40, 30, 16),
    ]  # fmt: skip


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
            zero, open_ = answer[0] + half > 0, not beyond and not inside
            assert ("nothing is decided" in words) == (open_ and zero)
            assert ("exceeds the margin is open" in words) == (open_ and not zero)
            ends = np.array([answer[0] - half, answer[0] + half])
            assert min(abs(ends + margin)) > 0.05 and abs(answer[0] + margin) > 0.05


def test_variants_of_paired_differences(exams):
    for task, answer, _ in by_variant(exams, "how many images"):
        lost, gained, _, margin, accuracy = task
        change = np.repeat(
            [1, -1, 0], [int(gained) * 100, int(lost) * 100, 10_000 - 100 * int(lost + gained)]
        )
        needed = change.var() * (1.96 / (margin / 100)) ** 2
        apart = 2 * accuracy * (100 - accuracy) / 1e4 * (1.96 / (margin / 100)) ** 2
        assert answer[0] == gained - lost and answer[1] == pytest.approx(needed, abs=1.01)
        assert answer[3] == pytest.approx(apart, abs=1.01)
        assert answer[5] == pytest.approx(apart / needed, rel=6e-3)
    for task, answer, one in by_variant(exams, "two intervals"):
        images, whole, pruned, lost, gained, _, margin = task
        assert whole - lost + gained == pruned
        change = np.repeat([1, -1, 0], [int(gained), int(lost), int(images - gained - lost)])
        half = 196 * change.std() / math.sqrt(images)
        apart = 196 * math.sqrt(
            sum(k / images * (1 - k / images) / images for k in (whole, pruned))
        )
        assert answer[0] == pytest.approx(100 * (pruned - whole) / images, rel=6e-3)
        assert (answer[1], answer[3]) == (
            pytest.approx(apart, rel=6e-3),
            pytest.approx(half, rel=6e-3),
        )
        assert ("nothing is decided" in one.answer.split("Pairs:")[0]) == (
            answer[0] - apart < -margin and answer[0] + apart > max(0, -margin)
        )


def test_variants_of_lines_and_the_figure(exams, tmp_path):
    for task, answer, one in by_variant(exams, "back through the logit"):
        slope, intercept, imagenet, shifted, logits = task
        predicted = slope * math.log(imagenet / (100 - imagenet)) + intercept
        expected = 100 / (1 + math.exp(-predicted))
        assert answer[:2] == [pytest.approx(expected, rel=6e-3), answer[1]]
        assert answer[2] == pytest.approx(shifted - expected, abs=0.06)
        assert ("above" in one.answer) == (shifted > expected)
        assert logits == pytest.approx(math.log(shifted / (100 - shifted)) - predicted, abs=0.006)
    seeds = [seed for seed in SEEDS if exams[seed][1].variant == "three models"]
    assert seeds
    for seed in seeds:
        one = exams[seed][1]
        here, first, _, second, third, _ = map(float, exam.FIGURE.search(one.task)[1].split())
        answer = numbers(one.answer)
        line = 100 / (1 + math.exp(1.49) * (here / (100 - here)) ** -0.76)
        assert answer[:2] == pytest.approx([first - line, second - line], abs=0.06)
        assert {here, third, first - second} <= {*answer}
    paths = exam.written(seeds[0], tmp_path)
    sheet, picture = paths[0].read_text(), paths[-1].read_bytes()
    assert f"![A figure](exam_{seeds[0]}.png)" in sheet and picture.startswith(b"\x89PNG")
    page = exam.written(seeds[0], tmp_path, html=True)[0].read_text()
    assert '<img src="data:image/png;base64,' in page


def test_variants_of_rankings(exams):
    for task, answer, _ in by_variant(exams, "a count of concepts"):
        words, positives, _, directions, threshold, found = task
        size = int(2 * positives)
        every = [
            average_precision_score(np.isin(np.arange(size), places), -np.arange(size))
            for places in combinations(range(size), int(positives))
        ]
        passing = sum(value >= threshold - 1e-9 for value in every)
        some = 1 - (1 - passing / len(every)) ** directions
        assert answer[:2] == [passing, len(every)]
        assert answer[4] == pytest.approx(some, rel=6e-3)
        assert answer[5] == pytest.approx(words * some, rel=6e-3)
        assert found > words * some
    for task, answer, _ in by_variant(exams, "both signs"):
        positives, negatives, *ranks, threshold = task
        size = int(positives + negatives)

        def better(places, size=size):
            shown = np.isin(np.arange(size), places)
            return [average_precision_score(shown, sign * np.arange(size)) for sign in (-1, 1)]

        every = [better(places) for places in combinations(range(size), int(positives))]
        assert answer[:2] == pytest.approx(better(np.array(ranks) - 1), rel=6e-3)
        passing = sum(max(pair) >= threshold - 1e-9 for pair in every)
        assert answer[3:5] == [passing, len(every)]


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


def test_no_question_answers_itself_or_contradicts_itself():
    """Of hundreds that are drawn: no end that rounding decides, no more words than there are."""
    for seed in range(200):
        one = {name: draw(np.random.default_rng(seed)) for name, draw in exam.DRAW.items()
               if name in ("back through the logit", "a count of concepts", "ranking", "both signs",
                           "two intervals", "three models")}  # fmt: skip
        assert abs(one["back through the logit"]["er"]) > 1
        count = one["a count of concepts"]
        assert count["expected"] + 1 < count["found"] < count["words"] and count["any"] < 0.6
        assert 0 < one["ranking"]["orders_passing"] < one["ranking"]["orders"]
        assert one["ranking"]["any"] < 0.99
        both = one["both signs"]
        assert both["alone"] < both["chance"] < 1 and both["turned"] - both["one"] > 0.02
        pairs = one["two intervals"]
        assert pairs["lost"] <= pairs["whole"] and pairs["apart"] - pairs["half"] > 0.2
        assert one["three models"]["first"] - one["three models"]["second"] > 3


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
    assert not [*built_book.rglob("exam*.md")] and (ROOT / "course/data/exam.md").is_file()
