"""`make check`: which tests a made-up change selects, in a made-up checkout and in this one."""

import runpy
import subprocess

import pytest
from conftest import ROOT

CHECK = runpy.run_path(str(ROOT / ".ci/check.py"))
FILES = {
    "analysis/__init__.py": "",
    "analysis/base/__init__.py": "",
    "analysis/base/texts.py": "",
    "rooms/__init__.py": "",
    "rooms/metric.py": "",
    "rooms/chapter.py": "from rooms import metric\n",
    "rooms/loaded.py": "from analysis.base import texts\nPATH = 'data/numbers.yaml'\n",
    "data/numbers.yaml": "",
    "book/page.md": "",
    "book/captions/chapter.yaml": "",
    "tests/conftest.py": "from rooms import metric\n",
    "tests/helper.py": "from rooms import chapter\n",
    "tests/cases/suite.yaml": "first: long\n",
    "tests/test_metric.py": "import conftest\nfrom rooms import metric\n",
    "tests/test_chapter.py": "from rooms import chapter\n",
    "tests/test_helped.py": "import helper\n",
    "tests/test_long.py": "from rooms.metric import peak\n",
    "tests/test_loaded.py": "import rooms.loaded\n",
    "tests/test_house.py": "",
    "tests/test_prose.py": "",
    "tests/test_page.py": "from companion.engine.captions import read_captions\n"
    "read_captions('chapter')\n",
    "tests/test_shared.py": "import conftest\n",
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "run", "left"),
    [
        ("rooms/metric.py", "house metric", "chapter helped long"),
        ("rooms/chapter.py", "chapter house", "helped"),
        ("tests/helper.py", "helped house", ""),
        ("tests/test_long.py", "house long", ""),
        ("data/numbers.yaml", "loaded", ""),
        ("book/page.md", "page prose", ""),
        ("book/captions/chapter.yaml", "page prose", ""),
        ("analysis/base/texts.py", "house", "loaded"),
        ("LICENSE", "", ""),
    ],
)
def test_a_change_selects_who_imports_or_names_it_and_leaves_what_is_further(
    changed, run, left, checkout
):
    chosen = CHECK["choose"](checkout, [changed])
    assert {*chosen.run} == {f"tests/test_{name}.py" for name in run.split()}
    assert {*chosen.left} == {f"tests/test_{name}.py" for name in left.split()}
    assert chosen.everything == ([changed] if changed.startswith("analysis/base/") else [])
    assert all(chosen.run.values()) and all(chosen.left.values())


def test_a_module_that_was_deleted_selects_who_still_imports_it(checkout):
    (checkout / "rooms/metric.py").unlink()
    chosen = CHECK["choose"](checkout, ["rooms/metric.py"])
    assert {"tests/test_metric.py", "tests/test_house.py"} == {*chosen.run}


def test_committed_new_and_other_changes_count_and_no_branch_is_one_sentence(checkout):
    def git(*words):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *words], cwd=checkout, check=True, capture_output=True)

    git("init", "-q", "-b", "other")
    git("add", ".")
    git("commit", "-qm", "first")
    with pytest.raises(SystemExit, match="no branch main here to compare with, so nobody"):
        CHECK["changed_files"](checkout)
    git("branch", "main")
    assert CHECK["changed_files"](checkout) == []
    (checkout / "rooms/metric.py").write_text("x = 1\n")
    git("commit", "-qam", "second")
    (checkout / "book/page.md").write_text("words\n")
    (checkout / "a new file.txt").write_text("")
    (checkout / "rooms/chapter.py").unlink()
    changed = ["a new file.txt", "book/page.md", "rooms/chapter.py", "rooms/metric.py"]
    assert CHECK["changed_files"](checkout) == changed
    assert CHECK["changed_files"](checkout, "HEAD") == [c for c in changed if "metric" not in c]


def test_the_table_names_tests_and_files_that_are_here():
    for kind, names in CHECK["READ_ALL"].items():
        assert any(ROOT.glob(kind.replace("*.", "**/*."))), kind
        assert all((ROOT / f"tests/test_{name}.py").is_file() for name in names.split()), kind


def test_a_metric_a_caption_and_a_part_of_the_probe_select_their_tests_here():
    for changed, own, most in (
        ("analysis/metrics/outliers.py", {"outliers", "house"}, 20),
        ("book/captions/pruning.yaml", {"prose", "page"}, 6),
        ("companion/probe/report.py", {"probe", "house"}, 6),
    ):
        chosen = CHECK["choose"](ROOT, [changed])
        assert {f"tests/test_{name}.py" for name in own} <= {*chosen.run}
        assert len(chosen.run) <= most and "tests/test_engine.py" not in chosen.run
