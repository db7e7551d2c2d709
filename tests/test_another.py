"""The engine builds another paper's companion: no encoder, two notebooks, one claim."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_house import BOTTOM

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
    modules = ", ".join(f"results.{path.stem}" for path in (ROOT / "results").glob("[a-z]*.py"))
    loaded = f"import {modules}; import sys; print(*sys.modules)"
    ours = ("analysis.", "companion", "training")
    names = {name for name in python(ROOT, loaded).split() if name.startswith(ours)}
    assert names == {*BOTTOM}


def test_its_runs_are_built_and_say_what_they_found(another):
    assert python(another, BUILD) == "5\n" and python(another, BUILD) == "0\n"
    runs = {path.relative_to(another / "book/runs") for path in another.rglob("*.ipynb")}
    sets = {Path("one_set", f"{name}.ipynb") for name in ("I", "II", "III", "IV")}
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
