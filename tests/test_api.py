"""The pages of functions: what they list is there, and each function has an example that runs."""

import ast
import doctest
import importlib
import inspect
import re

import numpy as np
import pytest
from conftest import ROOT, cases, python_in
from test_house import MODULES

PAGES = sorted((ROOT / "book/appendix").glob("api_*.md"))
LISTED = re.compile(r"automodule:: (\S+)\n   :members: (.*)")
CASES = cases("api")
#: Our modules, and the packages that hold them.
OWN = {name.rpartition(".")[0] for name in MODULES} | {*MODULES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_and_show_every_function(page):
    if page.stem == "api_features":
        pytest.importorskip("open_clip", reason="extraction is not installed")
    with np.printoptions():  # which the page sets
        result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 4 and result.failed == 0
    text = page.read_text()
    examples = "\n".join(line for line in text.splitlines() if line.startswith((">>>", "...")))
    for name, members in LISTED.findall(text):
        module = importlib.import_module(name)
        listed = {member: getattr(module, member) for member in members.split(", ")}
        assert all(obj.__module__ == name and inspect.getdoc(obj) for obj in listed.values()), name
        functions = [member for member, obj in listed.items() if not inspect.isclass(obj)]
        without = {obj for obj in functions if not re.search(rf"\b{obj}\(", examples)}
        assert without == {*CASES["elsewhere"].get(name, "").split()}, name


OF_PAGES = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def test_what_programs_on_pages_name_is_there():
    """Of our packages; the programs themselves run in slow tests, as renamed parts do not wait."""
    pytest.importorskip("open_clip", reason="extraction is not installed")
    checked = 0
    for page in [*(ROOT / "book").glob("*.md"), *(ROOT / "book/guide").glob("*.md")]:
        for program in OF_PAGES.findall(page.read_text()):
            tree, modules = ast.parse(program), {}
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "") in OWN:
                    module = importlib.import_module(node.module)
                    for name in node.names:
                        inner = f"{node.module}.{name.name}"
                        part = importlib.import_module(inner) if inner in OWN else None
                        found = part or getattr(module, name.name)
                        modules[name.asname or name.name] = found
                        checked += 1
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    of = modules.get(node.value.id)
                    assert not inspect.ismodule(of) or hasattr(of, node.attr), (page, node.attr)
    assert checked > 5


WITH_EXAMPLES = [
    name for name, path in MODULES.items() if re.search(r"^ *>>> ", path.read_text(), re.M)
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name):
    if name.startswith(("analysis.features", "companion.checkpoints.any_encoder")):
        pytest.importorskip("open_clip", reason="extraction is not installed")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed


def test_a_page_does_not_depend_on_what_was_read_before(tmp_path):
    """The classes are built by pydantic when they are used first, and have no fields until then."""
    for used in ("fresh", "used"):
        (tmp_path / used).mkdir()
        script = CASES["build"].format(tests=str(ROOT / "tests"), root=str(ROOT), used=used)
        done = python_in(tmp_path / used, "-c", script)
        assert done.returncode == 0, done.stderr[-2000:]
    fresh = (tmp_path / "fresh/html/index.html").read_text()
    assert fresh == (tmp_path / "used/html/index.html").read_text()
    assert "**data" not in fresh and fresh.count("interpolation") > 1
