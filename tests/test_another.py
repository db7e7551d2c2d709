"""The engine builds another paper's companion: no encoder, two notebooks, one claim."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, python_in
from test_house import BOTTOM

RESULTS = ROOT / "results"
SETS = ("I", "II", "III", "IV")
PAGES = (
    "import sys; from sphinx.cmd.build import main; "
    "print(main(['-q', 'book', 'book/_build/html'])); print(*sys.modules)"
)
BUILD = "from results.engine import bring_up_to_date as build; print(build(jobs=2))"
WHY = (
    "import json; from results import experiments, fingerprints as f; "
    "print(json.dumps({str(s.run): s.why for s in f.statuses(experiments.all_runs()) if s.why}))"
)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A folder of its own, with nothing of this book in it."""
    return shutil.copytree(ROOT / "tests" / "another", tmp_path_factory.mktemp("another") / "it")


def python(folder, program):
    """What a program prints that has the engine, and this companion as its project."""
    places = {"COMPANION_ROOT": str(folder), "PYTHONPATH": f"{folder}:{ROOT}", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=places, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_engine_knows_no_paper():
    """Not even by way of what it imports: of ours nothing is loaded but the engine's bottom."""
    paths = (path for path in RESULTS.rglob("*.py") if path.stem != "__init__")
    modules = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    loaded = f"import {', '.join(modules)}; import sys; print(*sys.modules)"
    ours = ("analysis", "base.", "companion", "training")
    names = {name for name in python(ROOT, loaded).split() if name.startswith(ours)}
    assert names == {*BOTTOM}


#: What this paper is about, as code and texts would name it.
OF_THIS_PAPER = r"\bCLIP\b|open_clip|openai|pocket|zero.?shot|imagenet|\bfamilies\b|\bκ\b"


def test_no_file_of_the_engine_says_what_this_paper_is_about():
    """But for the program that checks answers, whose hints are about this course's exercises."""
    paths = [path for end in ("py", "md", "js") for path in RESULTS.rglob(f"*.{end}")]
    texts = {p: p.read_text() for p in paths if "vendor" not in p.parts and p.name != "check.py"}
    named = {p.name: re.findall(OF_THIS_PAPER, text, re.I) for p, text in texts.items()}
    assert len(texts) > 30 and not {name: found for name, found in named.items() if found}


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ('[tool.results]\nproject = "yours.project:PROJECT"\n', "it"),  # as the guide prints it
        ('[tool]\nresults = {project = "yours.project:PROJECT"}\n', "it"),
        ('[project]\nname = "a"  # [tool.results]\n', "which is no checkout of a companion: set"),
        ("[tool.results\n", "which is no checkout, since its pyproject.toml is no TOML (Expected"),
        (None, "which is no checkout of a companion: set it to"),
    ],
)
def test_a_root_is_the_folder_that_is_named_or_an_error(tmp_path, text, root):
    """Wherever it is asked for, never this checkout instead."""
    folder = tmp_path / "it"
    folder.mkdir()
    if text is not None:
        (folder / "pyproject.toml").write_text(text)
    places = {"COMPANION_ROOT": str(folder), "PYTHONPATH": str(ROOT)}
    done = python_in(folder, "-c", "import base.roots as c; print(c.ROOT)", **places)
    if root == "it":
        assert done.stdout == f"{folder}\n"
    else:
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"companion: COMPANION_ROOT is '{folder}'") and root in line


def test_a_book_elsewhere_than_the_root_executes_nothing(another):
    """Without COMPANION_ROOT, the engine of a checkout would execute the checkout's notebooks."""
    words = ("-m", "sphinx", "-q", "book", "book/_build/elsewhere")
    done = python_in(another, *words, PYTHONPATH=f"{another}:{ROOT}")
    assert done.returncode == 1
    assert f"does not lie in {ROOT}, whose notebooks would be executed: set" in done.stderr


@pytest.mark.slow
def test_its_runs_are_built_and_say_what_they_found(another):
    assert python(another, BUILD) == "5\n" and python(another, BUILD) == "0\n"
    runs = {path.relative_to(another / "book/runs") for path in another.rglob("*.ipynb")}
    sets = {Path("one_set", f"{name}.ipynb") for name in SETS}
    assert runs == sets | {Path("the_claim/paper.ipynb")}
    notebook = json.loads((another / "book/runs/the_claim/paper.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    of = {output["metadata"]["companion"]["label"]: output["data"] for output in outputs}
    assert "".join(of["verdict"]["text/plain"]) == "holds"
    table = "".join(of["sets"]["text/markdown"]).splitlines()
    assert all("| 0.50 |" in row and "| 0.82" in row for row in table[2:]) and len(table) == 6
    about = notebook["metadata"]["companion"]
    assert about["evidence"] == ["published"] and "anscombe/quartet.py" in about["made_from"]
    first = json.loads((another / "book/runs/one_set/II.ipynb").read_text())
    assert "# Set II: one data set" in "".join(first["cells"][0]["source"])
    drawn = [output for cell in first["cells"] for output in cell.get("outputs", [])]
    assert any("image/svg+xml" in output.get("data", {}) for output in drawn)


def test_its_pages_are_built_by_the_extensions_that_know_no_paper(another):
    """With the sentence, figure and table of its claim, and without a word of this book."""
    status, modules = python(another, PAGES).strip().splitlines()[-2:]
    assert status == "0"
    ours = {
        each
        for each in modules.split()
        if each.startswith(("analysis", "base.", "companion.", "train"))
    }
    assert ours == {*BOTTOM}
    html = another / "book/_build/html"
    claim = BeautifulSoup((html / "claim.html").read_text(), "html.parser")
    sentence = claim.select_one("article section > p").get_text()
    assert sentence.endswith("to two digits. That holds, as Table 1.1 shows.")
    assert [row.get_text() for row in claim.select("tbody tr td:nth-of-type(1)")] == ["0.50"] * 4
    captions = [each.get_text() for each in claim.select("figcaption .caption-text")]
    assert len(captions) == 2 and captions[0].startswith("The points of set I are not what")
    assert claim.select("figure svg") and claim.select(".companion-menu a[href$='points.csv']")
    assert "<title>" in (html / "results/one_set/II/points.svg").read_text()
    contents = [each.get_text() for each in claim.select("nav.bd-links a")]
    assert [*map(str.strip, contents)][1:] == [f"Set {n}: one data set" for n in SETS]
    words = " ".join(
        path.read_text() for path in html.glob("**/*.html") if path.parent.name != "_static"
    )
    assert "CLIP" not in words and "companion run" not in words


def test_an_edit_outdates_what_reaches_it(another):
    code = another / "anscombe/quartet.py"
    before = code.read_text()
    code.write_text(before + "\n\ndef another() -> int:\n    return 1\n")
    assert json.loads(python(another, WHY)) == {}
    code.write_text(before.replace(".round(2)", ".round(1)"))
    assert [*json.loads(python(another, WHY))] == ["the_claim/paper"]
    code.write_text(before.replace("ddof=1", "ddof=0"))
    assert len(json.loads(python(another, WHY))) == 5
    code.write_text(before)
