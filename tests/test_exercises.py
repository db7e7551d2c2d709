"""Exercises: every chapter has all levels, each a solution, and its numbers are computed."""

import contextlib
import doctest
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, build_book, cases, solutions_in, sphinx_build
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sphinx.errors import ConfigError

from analysis.metrics import (
    average_precision,
    basis,
    directions,
    modalities,
    outliers,
    pruning,
    quantisation,
)
from companion.engine import check as checks
from companion.engine import course, lite
from companion.engine.check import HASHED, ExerciseError, check, judged, say, student
from companion.engine.course import ANSWERS

spec = importlib.util.spec_from_file_location("make_teach", ROOT / "course/data/make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

CASES = cases("exercises")
TOC = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
#: The chapters but for the discussion, and the pocket lab's; and what else sets tasks.
LISTED = [item["file"] for part in TOC["parts"][:3] for item in part["chapters"] if "file" in item]
CHAPTERS = [
    name
    for name in LISTED
    if "/" not in name and "\n## Exercises\n" in (ROOT / f"book/{name}.md").read_text()
]
CHAPTERS += ["guide/pocket_lab"]
PAGES = [*CHAPTERS, "guide/probe"]
#: Found by formula or by hand.
FOUND = cases("answers")


def ratio(h, head):
    values = directions.importance(h, head)
    return values.max() / values.mean()


def kappa(h):
    return outliers.kurtosis(h).mean()


def points_lost(models, kind, kept):
    costs = []
    for head, labels, h in models:
        order = pruning.pruning_order(directions.importance(h, head), kind)
        right = pruning.right_at_every_step(h, labels, head, order, kept=kept)
        costs.append(((h @ head.T).argmax(1) == labels).mean() - right.mean(axis=1))
    return 100 * np.mean(costs, axis=0)


def text_frame(texts, h):
    frame = basis.text_directions(texts, at_length=False)
    return frame.directions[:24], basis.energy_by_text_variance(h, frame).energy[:24].sum()


def error(h, width):
    return quantisation.relative_error(h, quantisation.uniform(h, width)).mean()


def two_checkpoints(n):
    rng = np.random.default_rng(0)
    rng.standard_normal(n["h"].shape), rng.standard_normal((512, 512))  # those of before
    for file, name in (("embeddings.npz", "images"), ("controls.npz", "supervised")):
        h = np.load(ROOT / "course/lessons" / file)[name].astype(float)
        turn = np.linalg.qr(rng.standard_normal((h.shape[1],) * 2))[0]
        yield error(h, 4) / error(h @ turn, 4)


def in_the_outlier(n):
    """Of the most important direction: its energy in the outlier, its cosine with the mean."""
    outlier = outliers.outlier_features(n["images"]).coordinates()[0]
    first = directions.decompose(n["captions"]).directions[0]
    mean = n["images"].mean(0)
    return first[outlier] ** 2, abs(1 - cdist([first], [mean], "cosine")[0, 0])


def signs_right(n):
    """By the decoded signs of all images, as written and rotated; and of CLIP's, in percent."""
    of = [(n["images"], n["classes"]), (n["images"] @ n["turn"], n["classes"] @ n["turn"])]
    products = [quantisation.sign(images) @ classes.T for images, classes in of]
    toy = [(product.argmax(axis=1) == n["labels"]).mean() for product in products]
    some = (n["photographs"], quantisation.sign(n["photographs"]))
    products = [images @ n["captions"].T for images in some]
    return toy + [100 * (p.argmax(axis=1) == np.arange(500)).mean() for p in products]


def changed(h, head):
    """In what share of the images the class changes without the mean."""
    classes = [(some @ head.T).argmax(axis=1) for some in (h, basis.less_mean(h))]
    return (classes[0] != classes[1]).mean()


def pruned_in_pairs(images, captions, kept):
    rows, found = np.arange(1, 500, 2), []
    order = pruning.pruning_order(directions.importance(images[::2], captions), "importance")
    right = pruning.right_at_every_step(images[rows], rows, captions, order, kept=kept)
    whole = (images[rows] @ captions.T).argmax(axis=1) == rows
    for one in right[::-1]:
        difference, error = pruning.paired_difference(one, whole)
        found += [100 * difference, 196 * error]
    return found


def of_cats(n):
    labels = np.zeros((500, 1))
    labels[n["cats"]] = 1
    of = n["captions"][n["cats"]].mean(0) - n["captions"].mean(0)
    outlier = outliers.outlier_features(n["images"]).coordinates()[:1]
    own = np.eye(512)[:, outlier]
    scores = n["images"] @ np.column_stack([of, own, -own, n["random"]])
    found = average_precision.average_precision(scores, sparse.csr_array(labels))[:, 0]
    return found[0], found[3:].max(), *found[1:3]


def chosen_captions(n):
    cosines = 1 - cdist(n["images"][n["chosen"]], n["captions"][n["chosen"]], "cosine")
    others = cosines.sum() - np.trace(cosines)
    ranks = (cosines > np.diag(cosines)[:, None]).sum(axis=1)
    return (ranks == 0).mean(), np.trace(cosines) / 100, others / 9900


def quieter(*pairs):
    return [round(511 * modalities.quietness(these, others)) for these, others in pairs]


#: Where no formula gives it: the book's metrics on what a solution has drawn, by its names.
BY_THE_METRICS = {
    "start-6": chosen_captions,
    "origin-7": lambda n: quieter((n["images"], n["captions"]), (n["captions"], n["images"]),
        (n["images"] @ n["turn"], n["captions"] @ n["turn"])),
    "outlier-4": lambda n: [kappa(np.maximum(n["h"] - cut, 0)) for cut in (0, 1)],
    "outlier-5": lambda n: [outliers.persistence(h).fraction
        for h in (n["h"] + 10 * n["seventh"], np.maximum(n["h"], 0))],
    "outlier-6": lambda n: [kappa((n["h"] + 10 * n["seventh"]) @ n["turn"]),
        kappa(n["images"]), kappa(n["images"] @ n["turn"])],
    "frame-3": lambda n: [changed(n["h"], n["W"]), 0, kappa(basis.less_mean(n["h"]))],
    "frame-4": lambda n: [basis.mean_share(n["turned"]), kappa(basis.eigenframe(n["turned"]))],
    "frame-5": lambda n: [kappa(n["both"]), basis.mean_share(n["both"])],
    "frame-6": lambda n: [kappa(n["h"]), 1,
        kappa(basis.without(n["h"], text_frame(n["texts"], n["h"])[0])), 1],
    "frame-7": lambda n: [kappa(basis.without(n["h"], n["random"])), 0.335],
    "frame-8": lambda n: [kappa(n["h"] @ n["turn"]), text_frame(n["texts"], n["h"])[1],
        text_frame(n["captions"], n["images"])[1]],
    "bits-2": lambda n: [quantisation.crest(n["h"]).mean(),
        (quantisation.uniform(n["h"], 4) == 0).mean()],
    "bits-3": lambda n: [error(n["h"], b) / quantisation.expected_error(n["crest"], b).mean()
        for b in (3, 8)],
    "bits-4": lambda n: [quantisation.crest(n["turned"]).mean(),
        error(n["h"], 4) / error(n["turned"], 4), *two_checkpoints(n)],
    "bits-5": signs_right,
    "directions-2": lambda n: ratio(n["h"], n["W"]),
    "directions-3": lambda n: [ratio(n["h"] + n["common"], n["W"]),
        ratio(n["h"], n["W"] + n["common"]), ratio(n["h"] + n["common"], n["W"] + n["common"])],
    "directions-4": lambda n: ratio(n["h"] + n["common"], n["W"] - n["W"].mean(0)),
    "directions-5": lambda n: [ratio(n["images"], n["captions"]),
        ratio(n["images"], n["captions"] - n["captions"].mean(0)), *in_the_outlier(n)],
    "pruning-3": lambda n: points_lost(n["models"], "importance", [7, 8]),
    "pruning-4": lambda n: [47.5, points_lost(n["models"], "singular_value", [8])[0]],
    "pruning-6": lambda n: pruned_in_pairs(n["images"], n["captions"], [128, 256]),
    "concepts-5": lambda n: [1 - (1 - 1 / 742) ** 1000, *of_cats(n)],
    "indicators-6": lambda n: [0.625, *(roc_auc_score(n["found"], of) for of in (
        outliers.kurtosis(n["images"]), n["ordered"][:, -1], np.diff(n["ordered"])[:, -1]))],
}  # fmt: skip


@cache
def exercises(page):
    return make.exercises((ROOT / "book" / f"{page}.md").read_text())


@pytest.mark.parametrize("page", PAGES)
def test_a_chapter_has_all_levels_in_order_hints_and_every_computed_value(page):
    tasks = exercises(page)
    prefix = tasks[0].label.removesuffix("-1")
    assert [task.label for task in tasks] == [f"{prefix}-{i + 1}" for i in range(len(tasks))]
    assert len(tasks) >= 6 and {task.level for task in tasks} == {"read", "compute", "design"}
    assert tasks[0].level == "read" and tasks[-1].level == "design"
    for task in tasks:
        used = re.findall(r"\{answer\}`(\S+?)(?: (\d))?`", task.solution)
        values = ANSWERS.get(task.label, [])
        named = [str(i + 1) if len(values) > 1 else "" for i in range(len(values))]
        assert used == [(task.label, name) for name in named]
        answers = {f"{value:.3g}" for value in values if len(f"{value:.3g}") > 1}
        assert not answers & {*re.findall(r"\d+(?:\.\d+)?", task.hint or "")}, task.label
        assert task.hint, task.label
        if task.level == "compute":
            assert task.program, task.label
            assert task.program.count("\n") <= 14, task.label
            assert max(map(len, task.program.splitlines())) <= 84


def test_worked_examples_print_what_they_say():
    """Each is followed by an exercise with gaps, and by one that leaves all to the reader."""
    worked = re.compile(r"Worked example: .*?```pycon\n(.*?)```.*?:::\n\n(.*?)^:::$", re.M | re.S)
    found = [one for page in PAGES for one in worked.findall(text_of(page))]
    for code, following in found:
        example = doctest.DocTestParser().get_doctest(code, {"np": np}, "worked", None, 0)
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0, code
        assert " = ..." in following or " - ..." in following
    assert len(found) == 2


def test_the_answers_kept_are_what_others_found():
    """And what the solutions print, says the test of what scripts make."""
    for label, values in FOUND.items():
        kept = ANSWERS[label][: len(values)]  # those that have a formula
        np.testing.assert_allclose(kept, values, rtol=0.011, err_msg=label)
    assert {*FOUND, *BY_THE_METRICS} == {*ANSWERS} - {"pruning-2", "pruning-5", "probe-4"}


@pytest.mark.slow
def test_the_metrics_of_the_book_give_the_same(monkeypatch):
    of = ("outlier_features", "what_kurtosis_measures", "bits", "privileged_directions", "pruning")
    of += ("concepts", "indicators", "introduction", "where_outlier_features_come_from")
    programs = {task.program: task.label for page in of for task in exercises(page)}
    run, left = make.run, {}

    def noting(program, names):
        printed = run(program, names)
        left[programs[program]] = dict(names)
        return printed

    monkeypatch.setattr(make, "run", noting)
    monkeypatch.setattr(make, "add_seeds", lambda *_: None)
    monkeypatch.setattr(make, "PAGES", [ROOT / f"book/{page}.md" for page in of])
    make.answers()
    for label, by_the_metrics in BY_THE_METRICS.items():
        ours, kept = np.ravel(by_the_metrics(left[label])), ANSWERS[label]
        np.testing.assert_allclose(ours, kept, rtol=5e-3, atol=2e-3, err_msg=label)


def text_of(page):
    return (ROOT / "book" / f"{page}.md").read_text()


def test_the_answer_key_has_points_for_every_exercise_and_they_add_up():
    box = r"\{admonition\} Answer key: .*? · (\d+) points\n:class: dropdown instructor\n(.*?)^:::$"
    key = re.findall(box, text_of("guide/teach"), re.M | re.S)
    labels = []
    for total, rows in key:
        entries = re.findall(r"^\| \{ref\}`(\S+) <\1>` \| (\d) \| (.*) \|$", rows, re.M)
        for label, points, criteria in entries:
            assert sum(map(int, re.findall(r"\((\d)\)", criteria))) == int(points), label
            used = len(re.findall(r"\{answer\}", criteria))
            assert used == len(ANSWERS.get(label, [])), label
        assert sum(int(points) for _, points, _ in entries) == int(total)
        labels += [label for label, *_ in entries]
    assert sorted(labels) == sorted(task.label for page in PAGES for task in exercises(page))


@pytest.mark.parametrize("page", CHAPTERS)
def test_exercises_open_with_goals_and_the_time_that_they_take(page):
    text = text_of(page)
    box = re.search(r"^:::\{admonition\} Aims of the exercises\n.*?^:::$", text, re.M | re.S)[0]
    assert len(re.findall(r"^- \*\*\w+\*\* ", box, re.M)) == 3
    work = sum(map(int, re.findall(r"Exercise \S+ · \w+ · (\d+) minutes", text)))
    times = rf"^\{{\{{ minutes \}}\}} to read, {work} minutes of exercises[.;] .*Prerequisites: "
    assert re.search(times, box, re.M), work
    assert text.index(box) > text.index("\n## Exercises\n")


@pytest.mark.parametrize("label", sorted(label for label in ANSWERS if label[:4] != "exam"))
def test_the_answer_is_right_and_what_is_far_off_is_not(label, capsys):
    values = ANSWERS[label]
    assert check(label, *values) and capsys.readouterr().out == f"{label}: right.\n"
    assert check(label, values) and not check(label, *(-2 * value - 1000 for value in values))
    assert f"{label}, value 1: not yet. {HASHED[label]['hint']}" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Where `check` keeps its answers."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_the_call_that_a_page_shows_can_be_made(page):
    ((label, values),) = re.findall(r'`check\("([\w-]+)", ([\d., ]+)\)`', text_of(page))
    check(label, *map(float, values.split(",")))


@pytest.mark.parametrize(("label", "values", "message"), CASES["refused"])
def test_wrong_questions_are_refused(label, values, message):
    with pytest.raises(ExerciseError, match=re.escape(message)):
        check(label, *values)


@pytest.mark.parametrize(("label", "values", "named"), CASES["typical"])
def test_a_typical_error_is_named(label, values, named, capsys):
    assert not check(label, *values)
    assert named in capsys.readouterr().out


def test_what_the_solution_of_lab_1_says_of_styles():
    table = pd.read_csv(ROOT / "data/pocket/accuracies.csv")
    unseen = table.query("split == 'test' and role == 'unseen' and family == 'pocket_cnn'")
    by_style = unseen.pivot_table("accuracy", "style", "model").drop(columns="pocket-cnn-random")
    orders = {tuple(by_style[model].sort_values().index) for model in by_style}
    ((hardest, *_, easiest),) = orders
    assert (hardest, easiest, by_style.shape[1]) == ("fluent_high_contrast", "fluent_flat", 5)


DESIGN = """
:::{admonition} Exercise a-9 · design · 9 minutes
:class: tip exercise
:name: a-9
Plan it.
:::

:::{admonition} Solution
:class: dropdown solution
A plan.
:::
"""


def built_for(whom, folder, monkeypatch, slides):
    """What the folder then holds as pages, and Sphinx's warnings."""
    monkeypatch.setenv("COMPANION_FOR", whom)
    notebook = os.path.relpath(course.TEACH / "effective_robustness.py", folder / "source")
    code = f"\n```{{literalinclude}} {notebook}\n:pyobject: effective_robustness\n```\n"
    pages = {
        "index": CASES["page"] + DESIGN + code,
        "guide/teach": "| {ref}`a-9 <a-9>` | 3 | a margin first (2); its reason (1) |",
        "guide/slides/one": f"# T\n\n> 1 min\n\n```{{result}} {slides}\n```\n",
    }
    return sphinx_build(folder, pages, "companion_teach", exclude_patterns=["guide", "_build"])[1]


@pytest.mark.parametrize("whom", ["readers", "students", "instructors"])
def test_solutions_carry_computed_numbers_or_are_left_out(whom, tmp_path, monkeypatch):
    warnings = built_for(whom, tmp_path, monkeypatch, "concepts/rn50#venn")
    html = tmp_path / "html"
    page = (html / "index.html").read_text()
    (source,) = (path.read_text() for path in (html / "_sources").iterdir())
    numbered = "It is 35," in page.replace("</span>", "").replace("<span>", "")
    for text in (page, source, (html / "searchindex.js").read_text()):
        assert ("Forty" in text or "forti" in text) == (whom == "instructors")
    assert "A task." in page and numbered == ("{answer}" in source) == (whom != "students")
    criteria = re.findall(r"<li><p>(.*?)</p>", page.partition("A complete answer has:")[2])
    assert criteria == (["a margin first", "its reason"] if whom != "students" else [])
    warned = "answer: answers.json has no 'outlier-3 3'; after a change" in warnings
    assert warned == (whom != "students")  # whose pages have no solution
    archives = [zipfile.ZipFile(p) for p in (tmp_path / "source/_build/teach").glob("*.zip")]
    solved = [n for a in archives for n in a.namelist() if n.endswith(".ipynb") and "_bl" not in n]
    assert len(archives) == 10
    assert len(solved) == {"students": 0, "readers": 8, "instructors": 9}[whom]
    slides = (html / "slides/one.html").read_text()
    assert "Not measured in this build." in slides


def test_students_find_no_solution_where_a_build_for_instructors_was(tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(lite, "CORE", {})
    monkeypatch.setattr(lite, "wheels", lambda _: {})
    (kept / "pyodide-lock.json").write_text("{}")
    monkeypatch.setattr(lite, "place", partial(lite.place, folder=kept))
    out = tmp_path / "html"
    for whom in ("instructors", "students"):
        built_for(whom, tmp_path, monkeypatch, "concepts/rn50#venn")
        assert bool(found := solutions_in(out)) == (whom == "instructors"), found
        (out / "_downloads/0ab1").mkdir(parents=True, exist_ok=True)
        (out / "_downloads/0ab1/pruning_solved.ipynb").write_text("of a build before")
    assert (tmp_path / "html/lite/pruning_blanks.html").is_file()


@pytest.mark.slow
def test_the_book_for_students_hands_out_no_solution(clone, tmp_path):
    """All of the book, built for instructors before: every file but those of runs is searched.

    Notebooks of the paper's measurements have lines that a blank may have, too.
    """
    try:
        lite.fetch(clone / ".companion/lite")
    except lite.LiteError as error:
        pytest.skip(str(error))
    try:
        for whom in ("instructors", "students"):
            done = build_book(clone, COMPANION_FOR=whom)
            assert done.returncode == 0, done.stderr[-2000:]
            out = clone / "book/_build/html"
            parts = [Path(name).relative_to(out).parts for name in solutions_in(out)]
            found = [part for part in parts if not {"runs", "results"} & {*part}]
            assert bool(found) == (whom == "instructors"), found
        programs = [task.program.splitlines() for page in PAGES for task in exercises(page)]
        lines = {max(lines, key=len) for lines in programs if lines}
        texts = [path.read_text(errors="replace") for path in out.rglob("*.md*")]
        assert [line for line in lines if any(line in text for text in texts)] == []
    finally:
        shutil.rmtree(clone / ".companion/lite")
        assert build_book(clone).returncode == 0


@pytest.mark.parametrize(("whom", "slides", "said"), CASES["stopped"])
def test_a_build_is_for_readers_and_slides_show_results(whom, slides, said, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=re.escape(said)):
        built_for(whom, tmp_path, monkeypatch, slides)


# What is kept, and a student's own seed


def test_answers_are_kept_with_attempts_and_the_best_stays(capsys):
    values = ANSWERS["outlier-3"]
    check("outlier-3", 16.3, 1)
    check("outlier-3", *values)
    check("outlier-3", 1, 1)
    kept = json.loads(Path("answers.json").read_text())
    one = kept["answers"]["outlier-3"]
    assert (one["values"], one["right"], one["attempts"]) == (values, [True, True], 3)
    assert datetime.fromisoformat(one["time"]).tzinfo and "student" not in kept
    assert not check("outlier-2", ...) and "place of the dots" in capsys.readouterr().out
    assert [*json.loads(Path("answers.json").read_text())["answers"]] == ["outlier-3"]


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '{"answers": 3}', "\x00"])
def test_a_file_of_answers_that_is_none_stays_and_is_named(content, capsys):
    Path("answers.json").write_text(content)
    assert check("start-4", *ANSWERS["start-4"])
    assert "answers.json cannot be read" in capsys.readouterr().out
    assert Path("answers.json").read_text() == content


def test_answers_that_cannot_be_written_are_judged_all_the_same(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert check("start-4", *ANSWERS["start-4"])
    assert "No space left on device" in capsys.readouterr().out


SEEDED = [label for label in HASHED if "seeds" in HASHED[label]]


@cache
def of_seed(page, seed):
    """The answers of a page that a seed gives, by the programs of its solutions."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("embeddings.npz").symlink_to(ROOT / "course/lessons/embeddings.npz")
        return make.own_answers(make.tasks(text_of(page)), seed)


def test_a_students_number_gives_a_seed_whose_values_alone_are_right(capsys):
    assert student(4711) == 11 and "default_rng(11)" in capsys.readouterr().out
    assert check("frame-4", *of_seed("what_kurtosis_measures", 11)["frame-4"])
    assert not check("frame-4", *ANSWERS["frame-4"])
    assert "the value of seed 0. Draw with default_rng(11)" in capsys.readouterr().out
    close = [1.01 * value for value in of_seed("what_kurtosis_measures", 11)["frame-4"]]
    assert not check("frame-4", *close)
    assert "Close: give four digits" in capsys.readouterr().out
    assert check("start-4", *ANSWERS["start-4"])  # which draws nothing
    others = of_seed("what_kurtosis_measures", 5)["frame-4"]
    assert check("frame-4", *others, student=205) and not check("frame-4", *others, student=206)
    assert json.loads(Path("answers.json").read_text())["student"] == 206
    for number in (-1, 1.5, "4711", True):
        with pytest.raises(ExerciseError, match="whole number such as 4711"):
            check("frame-4", *others, student=number)


def test_seeds_are_what_the_programs_of_now_give():
    """And two of them are computed again; the others were made by the same programs."""
    own = of_seed("what_kurtosis_measures", 5) | of_seed("what_kurtosis_measures", 11)
    for seed in (5, 11):
        own = of_seed("what_kurtosis_measures", seed)
        assert all(all(judged(at, own[at], seed).right) for at in own if at in SEEDED)
    for page in PAGES:
        made_from = make.made_from(make.tasks(text_of(page)))
        of = {HASHED[t.label]["made_from"] for t in exercises(page) if t.label in SEEDED}
        assert of <= {made_from}, page
    assert len(SEEDED) >= 25 and all(len(HASHED[label]["seeds"]) == 100 for label in SEEDED)


def test_hardly_a_seed_has_the_answer_of_another():
    same = [
        HASHED[label]["seeds"][one] == HASHED[label]["seeds"][other]
        for label in SEEDED
        for one in range(0, 100, 3)
        for other in range(one)
    ]
    assert np.mean(same) < 0.02


@pytest.mark.parametrize("off", [0, 0.02, 6e-4])
def test_hashes_accept_what_lies_within_and_hide_the_value(off):
    rng = np.random.default_rng(0)
    for value in (*rng.normal(size=20), 3, -27, 512, 1e-4, 0):
        value = round(value * 10) if off == 0 else value
        kept = checks.hashed("a", *checks.bin_of(value, off))
        factors = (1,) if off == 0 else (1, 1 + 0.99 * off, 1 / (1 + 0.99 * off))
        assert all(checks.matches(kept, "a", value * factor, off) for factor in factors)
        assert not checks.matches(
            kept, "a", value * (1 + 1.1 * off) + 0.1 * (off == 0 or not value), off
        )
        assert not checks.matches(kept, "a", -value - (value == 0), off)
    for value in (np.nan, np.inf, -1e300):
        assert not checks.matches(kept, "a", value, off)


def test_what_is_handed_out_has_no_answer_in_plain_text():
    handed_out = course.checking()["check.json"].decode()
    for label in set(ANSWERS) & set(json.loads(handed_out)):
        record = {k: v for k, v in HASHED[label].items() if k not in ("hint", "mistake")}
        assert not [v for v in ANSWERS[label] if len(f"{v:g}") > 3 and f"{v:g}" in str(record)], (
            label
        )


def test_words_and_code_are_kept_beside_values(capsys, monkeypatch):
    say("outlier-3", "  Because the mean counts.  ")
    monkeypatch.setattr(sys.modules["__main__"], "In", ["", "x = 1", "check(1)"], raising=False)
    check("outlier-3", *ANSWERS["outlier-3"])
    check("outlier-3", 1, 2)
    say("outlier-7", "Random weights.")
    kept = json.loads(Path("answers.json").read_text())["answers"]
    one = kept["outlier-3"]
    assert (one["sentence"], one["code"], one["attempts"]) == (
        "Because the mean counts.",
        "check(1)",
        2,
    )
    assert one["right"] == [True, True] and kept["outlier-7"] == {"sentence": "Random weights."}
    for wrong in ("", " ", "x" * 10_001, 3):
        with pytest.raises(ExerciseError, match="give a text of at most 10,000 letters"):
            say("outlier-7", wrong)
