"""`companion new`: each template, with its blanks filled in, is a contribution that works."""

import json
import re
import shutil

import pytest
from conftest import companion_in, copy_checkout, python_in, refused, run_in

from companion.cli.new import PAGE, as_comment, begun, blocks

NAMES = {"metric": "crest", "experiment": "spread", "claim": "K-spread", "data-set": "flowers102"}
#: What a person writes into a blank; another blank keeps the words that it shows.
FILLED = {
    "the formula, for h (images, d)": "np.abs(h).max(axis=1)",
    "one image's features, and another's": "[1.0, -3.0, 2.0], [0.5, 0.25, 0.0]",
    "their values, computed by hand": "3.0, 0.5",
    "unit": "length",
    "heading": "crest",
    "kurtosis_mean: mean κ": "persistence_fraction: persistence (%)",
    "m.kurtosis": 'Interval.around(m.value("persistence_fraction"), 0)',
    "6": "0.5",
    "kurtosis_mean=m.kurtosis": 'persistence_fraction=m.value("persistence_fraction")',
    "outlier_features rich kurtosis_mean=40 kurtosis_standard_error=1": (
        "outlier_features rich persistence_fraction=0.9"
    ),
}


def fill(folder):
    """Take the marks of comments away, and fill in the blanks of all files; none may be left."""
    for block in (b for pair in NAMES.items() for b in blocks(*pair, folder) if not b.is_new):
        text, draft = block.path.read_text(), as_comment(block).strip("\n")
        assert draft in text
        block.path.write_text(text.replace(draft, block.text.strip("\n")))
    for path in (p for room in ROOMS for p in (folder / room).rglob("*.*")):
        if path.suffix in (".py", ".yaml", ".md") and path.name != PAGE.name:
            text = path.read_text()
            path.write_text(re.sub("‹(.*?)›", lambda m: FILLED.get(m[1], m[1]), text))


ROOMS = ("analysis", "companion", "course", "data", "tests", "notebooks", "book")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clone with one contribution of each kind."""
    clone = copy_checkout(tmp_path_factory.mktemp("new") / "clone")
    answers = companion_in(clone, *(["new", *pair] for pair in NAMES.items()))
    assert [status for status, *_ in answers] == [0] * 4, answers
    assert [len(said.splitlines()) - 1 for _, said, _ in answers] == [4, 4, 4, 3]
    drafts = companion_in(
        clone, ["status"], ["status", "--data"], ["claims"], ["run", "spread", "paper"]
    )
    assert [status for status, *_ in drafts] == [0, 0, 0, 1], drafts
    assert "notebooks/spread.py has blanks" in drafts[0][1]
    assert "notebooks/spread.py has blanks" in drafts[3][2] and "spread" not in drafts[2][1]
    words = ["-q", "-p", "no:cacheprovider", "tests/test_prose.py", "-k", "datasets"]
    prose = run_in(clone, "pytest", *words)
    assert prose.returncode == 0, prose.stdout[-3000:]  # blanks are on no page
    fill(clone)
    return clone


@pytest.mark.slow
def test_what_is_begun_is_shown_and_judged(folder):
    listed, run, claims, sets = companion_in(
        folder,
        ["check", "data/measurements/outlier_features"],
        ["run", "spread", "paper"],
        ["claims"],
        ["status", "--data"],
    )
    assert "sound, not measured: crest\n" in listed[1]
    assert run[0] == 0, run
    notebook = json.loads((folder / "book/runs/spread/paper.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    of = {output["metadata"]["companion"]["label"]: output for output in outputs}
    table = "".join(of["values"]["data"]["text/markdown"]).splitlines()
    assert "crest" in table[0] and all("not measured" in row for row in table[2:])
    assert of["values"]["metadata"]["companion"]["columns"]["crest"] == "what it is, for a reader"
    assert "by-model" in of and of["models"]["data"]["text/plain"]
    assert re.search(r"^K-spread +\w", claims[1], re.M), claims
    assert "flowers102" in sets[1]


def named(kind):
    """The commands that the page's section on a kind of contribution names."""
    section = (
        PAGE.read_text().partition(f"\n## A {kind}\n")[2]
        or PAGE.read_text().partition(f"\n## An {kind}\n")[2]
    )
    lines = re.findall(r"`((?:pytest|companion|python|make) [^`]+)`", section.partition("\n## ")[0])
    return [line.replace("NAME", NAMES[kind.replace(" ", "-")]) for line in lines]


#: What the page names that is not run here: it needs features, pictures, or the whole book.
NOT_RUN = ("companion measure", "companion extract", "make book")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["metric", "experiment", "claim", "data set"])
def test_what_the_page_names_runs(kind, folder):
    """Every command, in a clone with all contributions; the first call of the tests is green."""
    lines = named(kind)
    assert any(line.startswith("pytest ") for line in lines)
    for line in lines:
        if line.startswith(NOT_RUN):
            continue
        words = line.split()
        if words[0] == "companion":
            done = run_in(folder, "companion.cli.main", *words[1:])
        elif words[0] == "pytest":
            done = run_in(folder, "pytest", "-q", "-p", "no:cacheprovider", *words[1:])
        else:
            done = python_in(folder, *words[1:])
        assert done.returncode == 0, line + done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.slow
def test_a_card_has_the_unit_of_its_quantity_and_no_other_claims_rates_go_stale(folder):
    program = (
        "from companion.chapters.claim_cards import numbers_table\n"
        "from companion.claims import evidence, ledger, rules\n"
        "of, claim = evidence.gather(), ledger.load_claims()['K-spread']\n"
        "table = numbers_table(claim, rules.judge(claim, of), of)\n"
        "print(table['persistence (%)'].astype(float).max())\n"
    )
    done = python_in(folder, "-c", program)
    assert done.returncode == 0 and 10 < float(done.stdout) <= 100, done.stderr
    checked = python_in(folder, "data/rates/make.py", "--check")
    assert checked.returncode == 0, checked.stderr
    assert python_in(folder, "-m", "ruff", "check").returncode == 0


@pytest.mark.slow
def test_a_claim_without_worked_cases_fails_with_where_to_write_them(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    cases = copy / "tests/cases/rules.yaml"
    cases.write_text(cases.read_text().partition("\nK-spread:")[0])
    done = run_in(copy, "pytest", "-q", "tests/test_rules.py", "-k", "worked_by_hand")
    assert "write cases for them into tests/cases/rules.yaml" in done.stdout
    assert "'K-spread'" in done.stdout


def test_a_name_that_is_none_or_is_taken_is_refused_and_nothing_written(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.py")}
    for kind, name, message in (
        ("metric", "crest", "outliers.py names crest already"),
        ("metric", "Crest factor", "'Crest factor' is no name of a metric: it must be like spread"),
        ("claim", "spread", "must be like K-spread"),
        ("experiment", "nul", "'nul' is a device's name on Windows"),
        ("experiment", "spread", "spread.py is there: choose another name"),
    ):
        refused(message, begun, kind, name, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.py")} == before
