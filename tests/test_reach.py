"""What code reaches: small packages whose answer is plain, and copies of ours that are changed."""

import ast
import os
import shutil
from typing import get_args

import pytest
from conftest import ROOT, refused

from analysis.base import reach
from analysis.base.reach import Code
from companion.measurements import records
from companion.measurements.quantities import Measurable

TAKES = {name: f"{records.MEASURES}[{name}]" for name in get_args(Measurable)}

#: What a module analysis/start.py holds besides a function f, and what f reaches of the others.
WAYS = {
    "from analysis.a import one\ndef f(): return one()": "a.one a.deep",
    "from analysis.a import one as two\ndef f(): return two": "a.one a.deep",
    "from analysis import a\ndef f(): return a.one": "a.one a.deep",
    "import analysis.a\ndef f(): return analysis.a.one": "a.one a.deep",
    "import analysis.a as b\ndef f(): return b.other": "a.other",
    "from . import a\ndef f(): return a.other": "a.other",
    "from .a import other\ndef f(): return other": "a.other",
    "from analysis.again import one\ndef f(): return one": "a.one a.deep",
    "from analysis import again\ndef f(): return again.a.other": "a.other",
    "from analysis.again import kin\ndef f(): return kin.other": "a.other",
    "from analysis import shelf\ndef f(): return shelf.kept": "shelf.kept",
    "from analysis.shelf import book\ndef f(): return book.page": "shelf.book.page",
    "def f():\n    from analysis.a import other\n    return other": "a.other",
    "from analysis.a import other\ndef f(x=other): return x": "a.other",
    "from analysis.a import other\ndef f(*, x=other): return x": "a.other",
    "from analysis.a import other\n@other\ndef f(): pass": "a.other",
    "from analysis.a import other\nX = {'x': other}\ndef f(): return X": "a.other",
    "from analysis.a import other\ndef g(): return other\nf = lambda: g()": "a.other",
    "from analysis.a import Kind\ndef f(): return Kind().run()": "a.Kind a.other a.Base a.number",
    "from analysis.a import Kind\nclass f(Kind): pass": "a.Kind a.other a.Base a.number",
    "from analysis.a import number\nclass f:\n    def g(self): return number": "a.number",
    "from analysis.a import other\ndef f(): return [other(x) for x in ()]": "a.other",
    "from analysis.a import other\nasync def f():\n    async with other: pass": "a.other",
    "from analysis.a import made\ndef f(): return made": "a.made a.number",
    "from analysis.a import more\ndef f(): return more": "a.more a.number",
    # A local value of the same name is another thing.
    "from analysis.a import one\ndef f(one): return one": "",
    "from analysis.a import one\ndef f():\n    one = 1\n    return lambda: one": "",
    "from analysis.a import one\ndef f(): return [one for one in ()]": "",
    "from analysis.a import one\ndef f(): return [one for one in one()]": "a.one a.deep",
    "from analysis.a import other\ndef f(): return [other for other in ()], other": "a.other",
    "from analysis.a import number\ndef f():\n    global number\n    number = 2": "a.number",
    # Not what a type checker or a program uses alone, nor the hints of arguments.
    "from analysis.a import Kind\ndef f(x: Kind) -> Kind: return x": "",
    "from analysis.a import one\ndef f(): pass\nif __name__ == '__main__': one()": "",
    "if TYPE_CHECKING:\n    from analysis.a import one\ndef f(): return 1": "",
    # Where nobody can tell, the whole module counts; what importing one does always counts.
    "from analysis import shelf\ndef f(): return vars(shelf)": "shelf.kept shelf.other",
    "from analysis import shelf\ndef f(): return shelf.unheard_of": "shelf.kept shelf.other",
    "from analysis import lazy\ndef f(): return lazy.unheard_of": "lazy.__getattr__ a.other",
    "from analysis.a import number\ndef f(): return globals()": "a.number",
    "import analysis.registers\ndef f(): pass": "registers. registry.add registry.RULES",
}
PACKAGE = {
    "a": "number = 1\nmore = 1\nmore += number\nmade = Base = 0\n"
    "def deep(): pass\ndef other(): pass\ndef one(): return deep()\n"
    "class Base:\n    def go(self): return number\n"
    "class Kind(Base):\n    def run(self): return other()\n",
    "again": "from analysis import a\nimport analysis.a as kin\nfrom analysis.a import one\n",
    "shelf/__init__": "kept = 1\nother = 2\n",
    "shelf/book": "page = 1\n",
    "lazy": "from analysis import a\ndef __getattr__(name): return getattr(a.other, name)\nx = 1\n",
    "registry": "RULES = []\ndef add(rule): RULES.append(rule)\n",
    "registers": "from analysis.registry import add\n@add\ndef rule(): pass\ndef not_one(): pass\n",
}
PACKAGE["a"] = PACKAGE["a"].replace("made = Base = 0", "made = [number]")


def written(folder, **texts):
    for name, text in texts.items():
        path = folder / "analysis" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(("source", "expected"), WAYS.items())
def test_what_a_definition_reaches(tmp_path, source, expected):
    written(tmp_path, **PACKAGE, start=source)
    reached = Code(tmp_path).from_name("analysis.start.f").definitions
    assert reached.pop("analysis.start")
    names = {f"{module}.{name}" for module, names in reached.items() for name in names}
    assert names == {f"analysis.{name}" for name in expected.split()}


def test_a_notebook_reaches_what_any_of_its_cells_uses_and_libraries_by_use(tmp_path):
    text = "import numpy\nimport pandas as pd\nimport json\ndef one(): return numpy.ones(json)\n"
    written(tmp_path, a=text + "def other(): return pd\n")
    reached = Code(tmp_path).from_source("from analysis.a import one, other\nprint(one())\n")
    assert (*reached.definitions["analysis.a"],) == ("one",)
    assert reached.libraries == {"numpy"}


def test_what_cannot_be_told_is_refused(tmp_path):
    written(tmp_path, a="from json import *\n")
    refused(
        "analysis imports everything from json, so", Code(tmp_path).from_source, "import analysis.a"
    )
    refused("the code has no analysis.x.y: name", Code(tmp_path).from_name, "analysis.x.y")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    for package in ("analysis", "companion"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    return folder


@pytest.fixture
def changed(ours):
    """Edit a module of the copy: the experiments whose numbers other code then decides."""
    restored = {}

    def looked_at():
        code = Code(ours, records.COUNTED_OTHERWISE)
        return {name: code.from_name(start).by_module() for name, start in TAKES.items()}

    def done(module, edit):
        path = ours / module
        before = looked_at()
        restored.setdefault(path, path.read_text())
        edited = edit(path.read_text())
        assert edited != path.read_text()
        path.write_text(edited)
        after = looked_at()
        return {name for name in TAKES if before[name] != after[name]}

    yield done
    for path, text in restored.items():
        path.write_text(text)


def test_a_new_metric_changes_the_one_experiment_that_takes_it(changed):
    metric = "\n\ndef crest(features):\n    return abs(checked_features(features)).max()\n"
    assert changed("analysis/metrics/outliers.py", lambda text: text + metric) == set()

    def taken(text):
        return text.replace('"sample": values', '"sample": values, "c": outliers.crest(features)')

    assert changed("companion/measurements/measures.py", taken) == {"outlier_features"}


#: The experiments whose code was read for the cases below: a module, what is replaced in it by
#: what, and whose numbers that may change.
WORKED = (
    "outlier_features privileged_directions pruning pruning_under_shift concepts accuracy basis "
    "interventions unread textures image_by_image quantisation"
)
HELPERS = (
    ("metrics/outliers.py", "BLOCK_BYTES = ", "BLOCK_BYTES = 2 * ", "all but accuracy"),
    (
        "metrics/pruning.py",
        "def paired_diff",
        "def _paired_diff",
        "pruning interventions unread quantisation",
    ),
    (
        "measurements/tasks.py",
        "owners += [owner]",
        "owners += [1 + owner]",
        "accuracy image_by_image interventions pruning pruning_under_shift unread quantisation",
    ),
    ("chapters/figures.py", "import ", "X = 1\nimport ", ""),
)


@pytest.mark.parametrize(("module", "old", "new", "expected"), HELPERS)
def test_a_helper_changes_exactly_those_who_use_it(changed, module, old, new, expected):
    every = {*WORKED.split()} - {*expected.removeprefix("all but ").split()}
    wanted = every if expected.startswith("all but ") else {*expected.split()}
    package = "analysis" if module.startswith("metrics") else "companion"
    found = changed(f"{package}/{module}", lambda text: text.replace(old, new, 1))
    assert found & {*WORKED.split()} == wanted


def test_comments_docstrings_and_type_hints_change_nothing(changed):
    def said_otherwise(text):
        tree = ast.parse(text)  # which drops comments and layout
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                node.body[0].value.value = "Another text."
                node.returns = ast.Name("object")
        return ast.unparse(tree)

    for module in ("analysis/metrics/outliers.py", "companion/measurements/measures.py"):
        assert changed(module, said_otherwise) == set()


def test_every_experiment_says_what_code_its_numbers_follow_from():
    for name in TAKES:
        parts = records.code_parts(name)
        assert any(part.startswith("analysis.metrics.") for part in parts), name
        assert not {*parts} & {*records.COUNTED_OTHERWISE}


def test_what_is_reached_is_remembered_while_every_file_is_the_same(tmp_path, monkeypatch):
    """Also where a file is replaced by one of its size and date."""
    folder, kept = tmp_path / "code", tmp_path / "kept"
    (folder / "analysis").mkdir(parents=True)
    module = folder / "analysis" / "a.py"
    monkeypatch.setattr(reach, "PLACES", (folder,))
    monkeypatch.setattr(reach, "MEMORY", kept)

    def found():
        return Code().from_source("from analysis.a import one\none()").definitions["analysis.a"]

    module.write_text("def one(): return 1\n")
    first, date = found(), module.stat().st_mtime_ns
    monkeypatch.setattr(Code, "_reached", lambda self, start: pytest.fail("looked for again"))
    assert found() == first
    monkeypatch.undo()
    monkeypatch.setattr(reach, "PLACES", (folder,))
    monkeypatch.setattr(reach, "MEMORY", kept)
    other = folder / "other.py"
    other.write_text("def one(): return 2\n")
    os.utime(other, ns=(date, date))
    other.replace(module)
    second = found()
    assert second != first
    (folder / "analysis" / "b.py").write_text("x = 1\n")
    assert found() == second
