"""Which way imports go between the rooms of the house."""

import ast
import functools
import re
import warnings

import pytest
from conftest import ROOT, python_in

from analysis.base.code import import_closure

OURS = ("analysis", "companion")
#: The entry point, and the modules that only it imports.
COMMANDS = ("commands", "course_commands", "evidence_commands")
COMMAND_LINE = ("companion.cli.main", *(f"companion.cli.{name}" for name in COMMANDS))
#: Package → what it is for and which of ours it imports, as the page on the house says.
ROWS = {
    name: (purpose, tuple(re.findall("`(.+?)`", used)))
    for name, purpose, used in re.findall(
        r"^\| `([\w.]+)` \| (.+) \| (.+) \|$",
        (ROOT / "book/appendix/house.md").read_text(),
        re.M,
    )
}
#: What every package but the metrics may use, each importing those before it alone.
BOTTOM = tuple(
    f"analysis.base.{name}"
    for name in ("quoting", "texts", "strict", "roots", "files", "code", "reach")
)
#: Room → what its modules may import of ours besides each other. The longest name decides.
ROOMS = {name: (*used, "analysis.base") for name, (_, used) in ROWS.items()} | {
    "analysis.metrics": (),
    **{name: BOTTOM[:place] for place, name in enumerate(BOTTOM)},
    "companion": ("analysis", "companion.engine"),
    **dict.fromkeys(("companion.__main__", "companion.cli"), OURS),
}
#: What may use PyTorch besides what trains: what extracts, and the reader of a stored tensor.
OF_TORCH = (
    "analysis.features",
    "companion.checkpoints",
    "companion.pocket",
    "companion.sources.vectors",
)
HEAVY = ("torch", "torchvision", "open_clip", "timm", "lightning")
#: Takes long to import, so that a module which needs it at once may be imported in a function.
SLOW = (*HEAVY, "IPython", "pandas")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in OURS
    for path in sorted((ROOT / package).rglob("*.py"))
}


def inside(name, rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@functools.cache
def imports(path):
    """What a file imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text())
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    hidden = {id(node) for function in functions for node in ast.walk(function)}
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [(alias.name, id(node) in hidden) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in whole]
            imported += [(name, id(node) in hidden) for name in names]
    return imported


@functools.cache
def slow(module):
    """Whether importing one of our modules imports what takes long."""
    top = [name for name, hidden in imports(MODULES[module]) if not hidden]
    ours = [name for name in top if name in MODULES and name != module]
    return any(inside(name, SLOW) for name in top) or any(map(slow, ours))


def breaks_a_rule(module, name, hidden):
    """Torch and its kin in two rooms only; ours one way, and at the top but in the command line."""
    if inside(name, HEAVY):
        return not inside(module, OF_TORCH)
    room = max((room for room in ROOMS if inside(module, [room])), key=len, default="")
    one_way = inside(name, (room, *ROOMS.get(room, ()))) and (
        not inside(name, COMMAND_LINE) or module in ("companion.__main__", COMMAND_LINE[0])
    )
    return inside(name, OURS) and (
        not one_way or (hidden and module not in COMMAND_LINE and not slow(name))
    )


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    wrong = {n for n, hidden in imports(MODULES[module]) if breaks_a_rule(module, n, hidden)}
    assert not wrong, "the direction is in ROOMS"


def test_the_page_lists_all_packages_each_importing_only_those_above_it():
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert {*ROWS} == packages - {"analysis", "companion"}
    for place, (name, (purpose, used)) in enumerate(ROWS.items()):
        assert purpose == ast.get_docstring(ast.parse(MODULES[name].read_text())), name
        assert {*used} <= {"analysis", *[*ROWS][:place]}, name


def test_the_page_lists_every_module_with_a_sentence(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book/_extensions")
    from companion_api import listed_modules

    (named,) = re.findall(
        r"^```\{modules\} (.*)$", (ROOT / "book/appendix/house.md").read_text(), re.M
    )
    listed = re.findall(r"^- `(\w+)`: [A-Z].*[.?]$", listed_modules(named.split()), re.M)
    of_files = [path.stem for path in MODULES.values() if path.name != "__init__.py"]
    assert sorted(listed) == sorted(of_files)


def test_who_edits_a_reader_of_images_runs_no_chapter_again():
    readers = {ROOT / f"companion/sources/{name}.py" for name in ("saved", "copies", "find")}
    using = {
        notebook.stem
        for notebook in (ROOT / "notebooks").glob("*.py")
        if readers & {*import_closure(notebook.read_text())}
    }
    assert not using


def test_common_names_beside_a_script_do_not_hide_ours(tmp_path):
    for name in ("base", "results", "training", "data", "course"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a reader's own')")
    (tmp_path / "base.py").write_text("raise SystemExit('a reader's own')")
    (tmp_path / "script.py").write_text(
        "import sys\nfrom analysis.metrics import kurtosis\n"
        "print(kurtosis([[0, 0, 0, 4]]), {'scipy', 'torch'} & sys.modules.keys())\n"
        "from companion.probe import probe\nprint(probe.__name__)"
    )
    done = python_in(tmp_path, "script.py", PYTHONPATH=str(ROOT))
    assert done.stdout == "[2.33333333] set()\nprobe\n", done.stderr


def test_an_editions_page_loads_readers_families_only_if_its_header_says_so():
    """So that one more family outdates no page that shows none."""
    loading = []
    for path in (ROOT / "notebooks").glob("*.py"):
        source = path.read_text()
        if "\n#     scope: edition\n" in source and "\n#     readers: true\n" not in source:
            calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
            loading += [n for n in calls if ast.unparse(n.func) == "load_families"]
    given = [ast.unparse(argument) for call in loading for argument in call.args]
    hidden = ["reader" in ast.unparse(each.value) for call in loading for each in call.keywords]
    assert loading and len(given) + len(hidden) == len(loading)
    assert all(hidden) and not {"'reader'"} & {*given}


def test_a_function_a_module_and_a_notebook_fit_into_a_head():
    """What grows beyond may hold two ideas; of a module that is long, look whether it does."""
    paths = [path for room in OURS for path in (ROOT / room).rglob("*.py")]
    lines = {path.relative_to(ROOT): path.read_text().count("\n") for path in paths}
    if long := [str(path) for path, count in lines.items() if count > 400]:
        warnings.warn(f"more than 400 lines: {', '.join(long)}", stacklevel=1)
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {"functions of 50 lines": {n.name for n in functions if n.end_lineno - n.lineno >= 50}}
    notebooks = [path for path in (ROOT / "notebooks").glob("*.py")]
    found["notebooks of 150"] = {p.name for p in notebooks if p.read_text().count("\n") > 150}
    for what, names in found.items():
        if names:
            warnings.warn(f"more than {what}: {', '.join(sorted(names))}", stacklevel=1)
    assert len(functions) > 1000 and len(notebooks) > 20  # or nothing was looked at


def test_a_notebook_that_reads_measurements_imports_little():
    """In a process of its own: what another test imported is here already."""
    sources = (path.read_text() for path in (ROOT / "notebooks").glob("*.py"))
    reading = [ast.parse(source) for source in sources if "#     measurements:" in source]
    nodes = [node for tree in reading for node in tree.body]
    code = "\n".join(ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom))
    first = "import sys, scipy.special\nown = {*sys.modules}\n"  # of which SciPy 1.15 makes more
    code = f"{first}{code}\nprint({set(HEAVY)} & (sys.modules.keys() - own))"
    done = python_in(ROOT, "-c", code)
    assert reading and done.stdout == "set()\n", done.stderr
