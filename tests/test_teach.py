"""What to teach with: notebooks that run alone and compute what the metrics do, slides, a lab."""

import ast
import importlib.util
import json
import re
import shutil
import sys
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT, python_in
from scipy import sparse
from test_exercises import make as answered

from analysis.metrics import (
    average_precision,
    basis,
    directions,
    outliers,
    pruning,
    quantisation,
    robustness,
)
from companion.engine import course
from companion.runs.grid_jobs import NEEDED

TEACH = ROOT / "course" / "lessons"
LONGEST = 70


def run_alone(name, folder, monkeypatch, make=course.teachers):
    """What a notebook defines, run in a folder with the data that it names and nothing else."""
    source = (TEACH / f"{name}.py").read_text()
    shutil.copy2(course.BLANKS, folder)
    for file in course.needs(source)[3:]:
        assert f"`{file}`" in source.split("# %%\n")[0], "its first cell names its data"
        shutil.copy2(TEACH / file, folder)
    monkeypatch.chdir(folder)
    elsewhere = [p for p in sys.path if p not in ("", str(ROOT))]
    monkeypatch.setattr(sys, "path", [str(folder), *elsewhere])
    mpl.use("agg")
    namespace = {"__name__": "alone"}
    try:
        exec(compile(make(source), name, "exec"), namespace)
    finally:
        plt.close("all")
    return namespace


def outlier_features(names):
    h = names["images"]
    reference = outliers.outlier_features(h)
    turned = outliers.kurtosis(h @ names["rotation"]).mean()
    yield names["kappa"], reference.kurtosis_mean
    yield (names["leader"], names["share"]), reference.persistence
    yield names["kappa_turned"], turned
    yield round(names["mean_share"], 5), round(basis.mean_share(h), 5)  # rounded, not of length 1


def effective_robustness(names):
    pool, x, y = names["pool"], names["imagenet"], names["shifted"]
    line = robustness.fit_baseline(x[pool], y[pool])
    yield (names["slope"], names["intercept"]), (line.slope, line.intercept)
    yield names["er"], robustness.effective_robustness(y, x, line)
    yield names["printed"], robustness.effective_robustness(y, x)


def privileged_directions(names):
    reference = directions.importance(names["images"], names["captions"])
    yield names["found"], reference
    yield names["ratio"], reference.max() / reference.mean()


def pruned(names):
    head = directions.decompose(names["captions"])
    order = np.argsort(-directions.importance(names["images"], head), kind="stable")
    yield names["curve"], pruning.pruning_curve(names["images"], names["right"], head, order)
    without = pruning.accuracy_without_each(names["images"], names["right"], head)
    yield names["accuracy_without"], without[names["top"]]


def concepts(names):
    labels = sparse.csr_array(names["shown"][:, :5])
    turned = names["images"] @ directions.decompose(names["captions"]).directions.T  # no ties
    ours = average_precision.average_precision(turned, labels)
    theirs = [names["average_precision"](turned, word) for word in names["shown"].T[:5]]
    yield np.array(theirs).T, ours
    yield names["by_chance"](2), 1 / 6


def unread(names):
    texts = basis.text_directions(names["captions"], at_length=False)
    least = texts.directions[np.cumsum(texts.variance) <= 1e-4]
    yield names["least"].T @ names["least"], least.T @ least
    left = basis.without(names["images"], least)
    yield names["kappa"], outliers.kurtosis(left).mean()
    part = basis.mean_part(names["images"], least)
    one = basis.less_direction(names["images"], part)
    yield names["kurtosis"](names["without_one"]), outliers.kurtosis(one).mean()


def bits(names):
    h, rows = names["images"], np.arange(500)
    yield names["crest"](h), quantisation.crest(h)
    found = quantisation.nearest(h, rows)
    for shares, some in ((names["written"], h), (names["rotated"], names["turned"])):
        for share, width in list(zip(shares, (8, 6, 4, 3), strict=True))[:3]:
            ours = quantisation.kept(found, quantisation.uniform(some, width), rows).mean()
            yield abs(share - ours) < 0.005, True  # ties all count there


def grow_an_outlier(names):
    images, (grown, share, retrieved) = names["images"].astype(float), names["grown"]
    yield abs(grown - outliers.kurtosis(images).mean()) < 1e-3, True  # in float32 there
    yield abs(share - basis.mean_share(images)) < 1e-3, True
    prevented, same_share, same_retrieved = names["prevented"]
    yield names["own"][0] > 60 and abs(names["start"][0] - 3) < 0.3, True
    yield (grown > 6, prevented < 3.3, names["columns"][0] > 6), (True, True, True)
    yield share > same_share > 0.2 and abs(retrieved - same_retrieved) < 0.03, True
    yield outliers.kurtosis(images - images.mean(axis=0)).mean() < 3.3, True
    for without in ("clean", "mild"):
        yield names[without][0] < 4.5 and names[without][1] < 0.05, True


CHECKS = (outlier_features, effective_robustness, privileged_directions, concepts, unread, bits)
CHECKS = {check.__name__: check for check in (*CHECKS, grow_an_outlier)} | {"pruning": pruned}


SLOW = {"grow_an_outlier": [pytest.mark.slow]}


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW.get(n, ())) for n in course.names()])
def test_a_notebook_runs_alone_computes_what_the_metrics_do_and_passes_its_checks(
    name, tmp_path, monkeypatch
):
    solved = partial(course.students, solved=True)
    for ours, reference in CHECKS[name](run_alone(name, tmp_path, monkeypatch, solved)):
        np.testing.assert_allclose(ours, reference, rtol=1e-9, atol=1e-12)


BLANKS = [
    (name, place)
    for name in course.names()
    for place in range(len(course.BLANK.findall((TEACH / f"{name}.py").read_text())))
]


@pytest.mark.parametrize(("name", "place"), BLANKS)
def test_a_blank_that_is_left_fails_a_check_that_says_why(name, place, tmp_path, monkeypatch):
    def all_but_one(source):
        blanks = iter(range(9))
        kept = course.BLANK.sub(
            lambda m: f"{m[1]} np.nan" if next(blanks) == place else m[0], source
        )
        return course.students(kept, solved=True)

    with pytest.raises(AssertionError, match=r"\.$"), np.errstate(all="ignore"):
        run_alone(name, tmp_path, monkeypatch, all_but_one)


@pytest.mark.parametrize("name", course.names())
def test_it_is_short_needs_nothing_of_ours_and_has_no_marks_and_no_solutions(name):
    source = (TEACH / f"{name}.py").read_text()
    code = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= LONGEST
    nodes = [*ast.walk(ast.parse(source))]
    imported = {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
    imported |= {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    assert imported <= {"os", "numpy", "matplotlib.pyplot", "itertools"}
    (threads,) = (n for n, line in enumerate(code) if '"OPENBLAS_NUM_THREADS", "1"' in line)
    assert threads < code.index("import numpy as np")
    teachers, students = course.teachers(source), course.students(source)
    assert "#:" not in teachers + students and "np.nan" not in teachers
    assert teachers.count("assert ") == 0 and students.count("# your turn: ") >= 2
    for body in course.BODY.finditer(source):
        assert body[3] in teachers and body[3].splitlines()[-1] not in students.splitlines()
    for line in course.BLANK.finditer(source):
        code = line[0].split("  #: ")[0]
        assert code in teachers and f"{code}\n" not in students


@pytest.mark.parametrize("name", course.names())
def test_a_notebook_names_its_axes_ends_with_a_question_and_is_the_same_but_smaller_in_the_page(
    name,
):
    source = (TEACH / f"{name}.py").read_text()
    for cell in source.split("\n# %%"):
        if re.search(r"plt\.(plot|semilogy|loglog|scatter)\(", cell):
            assert "plt.xlabel(" in cell and "plt.ylabel(" in cell
    *_, last = source.split("# %% [markdown]\n")
    assert re.match(r"# \*\*In one sentence:\*\* .*\?\n#\n# \*Write here\.\*\n$", last, re.S)
    page, alone = course.in_the_page(source), course.elsewhere(source)
    assert "#:@" not in page + alone and ast.parse(page) and ast.parse(alone)
    assert (page != alone) == (name == "grow_an_outlier")


@pytest.mark.parametrize("name", course.names())
def test_exercises_and_cells_name_each_other(name):
    source = (TEACH / f"{name}.py").read_text()
    page = (ROOT / "book" / f"{course.chapter_of(name)}.md").read_text()
    named = {}
    for exercise in answered.exercises(page):
        if cell := re.search(r"notebook: \*(.*?)\*", exercise.task):
            named[exercise.label] = cell[1]
    cells = re.split(r"^# %% \[markdown\]\n", source, flags=re.M)
    asked = {
        label: re.search(r"\*\*(.*?)\*\*", cell, re.S)[1].replace("\n# ", " ")
        for cell in cells
        for label in re.findall(r"\b([a-z]+-\d)\b(?=[ .])", cell.split("# %%")[0])
    }
    assert named == asked and asked


def test_an_archive_has_all_that_a_venv_with_numpy_and_matplotlib_needs(tmp_path):
    for name, content in course.files("pruning").items():
        (tmp_path / name).write_bytes(content)
    files = "LICENCE.txt README.md check.json check.py check_blanks.py embeddings.npz "
    files += "pruning_blanks.ipynb pruning_solved.ipynb requirements.txt"
    assert " ".join(sorted(path.name for path in tmp_path.iterdir())) == files
    assert "exam-" not in (tmp_path / "check.json").read_text()
    assert "pruning_solved.ipynb" not in course.files("pruning", solved=False)
    cells = json.loads((tmp_path / "pruning_solved.ipynb").read_text())["cells"]
    code = "".join("".join(c["source"]) + "\n" for c in cells if c["cell_type"] == "code")
    hidden = dict.fromkeys(["analysis", "companion", "pandas", "scipy", "yaml", "pydantic"])
    (tmp_path / "run.py").write_text(f"import sys\nsys.modules |= {hidden}\n{code}")
    done = python_in(tmp_path, "run.py", MPLBACKEND="agg", PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert "37 images fewer" in done.stdout and "pruning-2: put your value in" in done.stdout


def test_on_github_a_notebook_fetches_its_files_and_its_exercises_are_links():
    text = course.files("pruning", "someone/the-book")["pruning_blanks.ipynb"].decode()
    assert "https://raw.githubusercontent.com/someone/the-book/teach/" in text
    assert "[pruning-3](https://someone.github.io/the-book/pruning.html#pruning-3)" in text
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
    (fetching,) = [cell for cell in cells if "urlretrieve" in cell]
    assert "'check.json', 'check.py', 'check_blanks.py', 'embeddings.npz'" in fetching
    assert compile(fetching, "c", "exec")


def test_all_files_can_be_laid_out_and_notebooks_that_are_there_stay(tmp_path):
    (tmp_path / "pruning_solved.ipynb").write_text("mine")
    course.main(tmp_path)
    assert (tmp_path / "pruning_solved.ipynb").read_text() == "mine"
    assert (tmp_path / "words.csv").is_file() and len([*tmp_path.glob("*_blanks.ipynb")]) == 8


@pytest.mark.slow
def test_the_optimisers_of_an_exercise_do_what_its_solution_says(monkeypatch):
    page = (ROOT / "book/where_outlier_features_come_from.md").read_text()
    programs = {exercise.label: exercise.program for exercise in answered.exercises(page)}
    defined = (TEACH / "grow_an_outlier.py").read_text().split("# **Predict both")[0]
    namespace = {}
    monkeypatch.chdir(TEACH)
    exec(defined.removesuffix("# %% [markdown]\n"), namespace)
    namespace["train"] = partial(namespace["train"], steps=2000)  # the same, sooner
    kappas = []
    namespace["show"] = lambda name, h, t: kappas.append(namespace["kurtosis"](h))
    namespace["print"] = lambda *values: kappas.extend(values)
    exec(programs["origin-5"] + programs["origin-6"], namespace)
    sgd, sign, adafactor, z, h = kappas
    assert max(sgd, h) < 3.3 < 5 < min(z, sign, adafactor)


def test_the_slides_of_the_book_are_next_to_its_pages(built_book):
    decks = sorted((built_book / "slides").glob("*.html"))
    assert {path.stem for path in decks} == {"afternoon", *(f"meeting_{i}" for i in range(1, 12))}
    for path in decks:
        page = path.read_text()
        assert 8 <= page.count("<section") <= (22 if path.stem == "afternoon" else 14)
        text = re.sub(r"<(style|script|svg)\b.*?</\1>", "", page, flags=re.S)
        assert "{" not in text
        # Without PyTorch the lab's models are not measured.
        assert not all(map(importlib.util.find_spec, NEEDED)) or "Not measured in" not in text
        parts = ["prove", "Exercise", 'class="vote"', "<figure>", 'class="clock"']
        labs = ("afternoon", "meeting_3", "meeting_8", "meeting_10", "meeting_11")
        for part in [*parts, *["language-formula"] * (path.stem not in labs)]:
            assert part in page, (path.stem, part)
    teach = (built_book / "guide/teach.html").read_text()
    assert all(f'href="../slides/{path.name}"' in teach for path in decks)
    assert all(f'href="../slides/{path.name}?notes"' in teach for path in decks)
    assert teach.count(" = ") >= 12 and "; the slides plan " in teach
    source = (built_book / "_sources/guide/teach.md").read_text()
    assert "Question 6" in source and "exam-1" not in teach + source
    assert "Answer key" not in teach + source


def test_slides_say_of_a_verdict_what_the_ledger_says(built_book):
    """On the screen a sentence that opens with the verdict; the notes have the ledger's word."""
    said = 0
    for path in (built_book / "slides").glob("*.html"):
        for section in path.read_text().split("<section")[1:]:
            shown, _, notes = section.partition("<blockquote>")
            words = {word.casefold() for word in re.findall(r"<em>([A-Z][a-z ]+):</em>", shown)}
            ledger = {*re.findall(r"is <em>([a-z ]+)</em>[ .,;]", notes)}
            assert words == ledger, path.name
            said += len(words)
    assert said >= 10


def test_code_on_a_chapter_has_no_marks_of_blanks(built_book):
    chapters = "".join(path.read_text() for path in built_book.glob("*.html"))
    codes = re.findall(r'<div class="highlight"><pre>(.*?)</pre>', chapters, re.DOTALL)
    assert sum('<span class="k">def</span>' in code for code in codes) >= 5
    assert not [code for code in codes if ">#:" in code]


def test_the_code_of_the_lab_sheet_gives_what_was_recorded(clone):
    text = (ROOT / "book/guide/lab_sheet.md").read_text()
    blocks = re.findall(r"(dropdown instructor\n)?^```python\n(.*?)^```$", text, re.M | re.S)
    first, photographs, second = [code for instructors, code in blocks if instructors]
    sheets = [code for instructors, code in blocks if not instructors]
    assert len(sheets) == 3 and all("..." in code and ast.parse(code) for code in sheets)
    output = python_in(clone, "-c", first).stdout
    assert re.search(r"pocket-cnn-web-large +0 .* 4\.014\n", output) and "r=0.686" in output
    output = python_in(clone, "-c", photographs).stdout
    assert "CLIP: κ 87.2" in output and "in 100.0%" in output and "rotated: κ 3.02" in output
    assert "random: κ 2.94" in output and "supervised: κ 29.67" in output
    if not all(map(importlib.util.find_spec, NEEDED)):
        pytest.skip("without PyTorch there are no features")
    output = python_in(clone, "-c", second).stdout
    assert "supervised, as it is: κ 2.81, in 8 %, importance 2.2 × mean" in output
    assert "random weights, rotated: κ 2.58, in 100 %, importance 7.3 × mean" in output


def test_the_lab_without_a_clone_needs_numpy_alone_and_finds_what_the_programs_find(tmp_path):
    contents = course.lab(solved=True)
    assert "lab_solved.ipynb" not in course.lab() and "lab.npz" in course.lab()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name, stops in (("lab_solved", False), ("lab_blanks", True)):
        cells = json.loads(contents[f"{name}.ipynb"])["cells"]
        code = "".join("".join(c["source"]) + "\n" for c in cells if c["cell_type"] == "code")
        hidden = dict.fromkeys(["analysis", "pandas", "scipy", "matplotlib"])
        (tmp_path / "run.py").write_text(f"import sys\nsys.modules |= {hidden}\n{code}")
        done = python_in(tmp_path, "run.py", PYTHONPATH="")
        assert (done.returncode != 0) == stops, done.stderr
        assert not stops or "fill in the blank" in done.stderr
        if not stops:
            output = done.stdout
    assert "pocket-cnn-web-large, seed 0: 4.0 points" in output
    assert "CLIP: κ 87.24, the same coordinate in 100.0%" in output
    assert "supervised: κ 29.67" in output and "supervised: κ 2.81" in output
    assert "importance 2.2 times the mean" in output and "rotated: κ 3.02" in output
    source = course.LAB.read_text()
    with np.load(course.lab_data()["lab.npz"]) as file:
        for name in ("captions", "web-large"):
            h, head = (file[f"{name} {part}"].astype(float) for part in ("features", "head"))
            found = directions.importance(h, head)
            said = f"{name}: κ {outliers.kurtosis(h).mean():.2f}, the same coordinate in"
            assert said in output
            assert f"importance {found.max() / found.mean():.1f} times the mean" in output
    assert ast.parse(source) and course.students(source).count("# your turn: ") == 4
