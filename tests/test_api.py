"""The pages of functions: what they list is there, and each function has an example that runs."""

import doctest
import importlib
import inspect
import re

import numpy as np
import pytest
from conftest import ROOT, python_in

PAGES = sorted((ROOT / "book/appendix").glob("api_*.md"))
LISTED = re.compile(r"automodule:: (\S+)\n   :members: (.*)")
#: What no example can show: it needs data or weights that everybody has to obtain, or a network.
ELSEWHERE = {
    "analysis.images.broden": {"find_root", "image_list", "concepts"},
    "analysis.images.emoji": {"concepts", "appearance"},
    "analysis.images.find": {"packaged", "availability", "pocket"},
    "analysis.images.imagelist": {"is_image"},
    "analysis.images.copies": {"image_list"},
    "analysis.images.imagenet": {"objectnet_prompts"},
    "analysis.images.public": {"fetch", "fetch_all", "in_package", "cache_folder",
                               "load_catalogue"},
    "analysis.images.sets": {"packaged", "locate", "root"},
    "analysis.features.encoders": {"normalize"},
    "analysis.features.extract": {"device_for"},
    "analysis.features.plan": {"head_is_current", "head_prompts"},
    "analysis.features.store": {"default_folder", "features_path", "features", "problem",
                                "write_features", "write_head", "locked"},
    "analysis.features.weights": {"read_weights", "weights_file", "checked"},
    "analysis.features.layouts": {"of_transformers"},
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_and_show_every_function(page):
    if page.stem == "api_features":
        pytest.importorskip("open_clip", reason="extraction is not installed")
    with np.printoptions():  # which the page sets
        result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 4 and result.failed == 0
    text = page.read_text(encoding="utf-8")
    examples = "\n".join(line for line in text.splitlines() if line.startswith((">>>", "...")))
    for name, members in LISTED.findall(text):
        module = importlib.import_module(name)
        listed = {member: getattr(module, member) for member in members.split(", ")}
        assert all(one.__module__ == name and inspect.getdoc(one) for one in listed.values()), name
        functions = [member for member, one in listed.items() if not inspect.isclass(one)]
        without = {one for one in functions if not re.search(rf"\b{one}\(", examples)}
        assert without == ELSEWHERE.get(name, set()), f"{name}: those without an example"


@pytest.mark.parametrize(
    "path",
    [
        path
        for room in ("analysis", "companion", "training")
        for path in sorted((ROOT / room).rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ],
    ids=lambda path: path.stem,
)
def test_examples_in_docstrings_run(path):
    if "features" in path.parts:
        pytest.importorskip("open_clip", reason="extraction is not installed")
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed


#: Builds one page of functions, in a process that has read families before, or has not.
BUILD = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from conftest import sphinx_build
if {used!r} == "used":
    from analysis.families.registry import load_families
    load_families()
page = Path({root!r}, "book/appendix/api_families.md").read_text("utf-8")
sphinx_build(Path("."), {{"index": page}}, "companion_api")
"""


def test_a_page_does_not_depend_on_what_was_read_before(tmp_path):
    """The classes are built by pydantic when they are used first, and have no fields until then."""
    for used in ("fresh", "used"):
        (tmp_path / used).mkdir()
        script = BUILD.format(tests=str(ROOT / "tests"), root=str(ROOT), used=used)
        done = python_in(tmp_path / used, "-c", script)
        assert done.returncode == 0, done.stderr[-2000:]
    fresh = (tmp_path / "fresh/html/index.html").read_text("utf-8")
    assert fresh == (tmp_path / "used/html/index.html").read_text("utf-8")
    assert "**data" not in fresh and fresh.count("interpolation") > 1


#: Functions of the package's own: blocks of rows, checks, and what draws with intervals.
HELPERS = """
compiled decomposed unit_blocks matching_blocks standardised finite_blocks checked_features
settings_for average_precision along_most_important tally permuted_units half_of_clusters
sweeps curves resampled sampled
"""


def test_each_metric_is_listed():
    listed = dict(LISTED.findall((ROOT / "book/appendix/api_metrics.md").read_text("utf-8")))
    modules = {f"analysis.metrics.{p.stem}" for p in (ROOT / "analysis/metrics").glob("[a-z]*.py")}
    assert listed.keys() == modules
    for name in sorted(modules):
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        own = {n for n in re.findall(r"^def ([a-z]\w*)", source, re.M)} - {
            *listed[name].split(", ")
        }
        assert own <= {*HELPERS.split()}, name
