"""The package installed from a wheel: what works anywhere, and what needs a checkout."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, companion_in, copy_checkout, python_in
from tiny import save_folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with the wheel, and with the libraries of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    copy_checkout(folder / "checkout")
    pip = [sys.executable, "-m", "pip", "-q"]
    wheel = [*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run(wheel, cwd=folder / "checkout", check=True, capture_output=True)
    shutil.rmtree(folder / "checkout")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    interpreter = folder / "venv" / "bin" / "python"
    (made,) = folder.glob("*.whl")
    assert made.stat().st_size < 3_000_000  # of which MathJax, for other books, is 0.7
    subprocess.run([*pip, "--python", interpreter, "install", "--no-deps", made], check=True)
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    return interpreter


#: What would lead away from the environment and the folder.
UNSET = {"PYTHONPATH": "", "COMPANION_STORE": ""}


def several(python, folder, *lines, fails=0):
    """What command lines print, done one after another in one process; so many fail at the end."""
    answers = companion_in(folder, *map(str.split, lines), python=python, **UNSET)
    statuses = [0] * (len(lines) - fails) + [1] * fails
    assert [status for status, *_ in answers] == statuses, answers
    return "".join(said + errors for _, said, errors in answers)


@pytest.mark.slow
def test_the_four_verbs_work_in_an_empty_folder(python, tmp_path):
    here, weights = tmp_path / "an empty one", tmp_path / "weights.safetensors"
    here.mkdir()
    shutil.copy2(ROOT / "data/pocket/checkpoints/pocket-cnn-web-large.safetensors", weights)
    pictures = save_folder(tmp_path / "pictures", 12)
    given = f"--images {pictures} --html r.html --json r.json -q"
    probe = f"probe {weights} --architecture pocket-cnn {given}"
    extract = f"extract mine --data {pictures} -q"
    add = f"add mine {weights} --architecture pocket-cnn"
    measure = "measure outlier_features mine --csv mine.csv"
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(200, 16)))
    bits = f"bits {tmp_path / 'e.npy'} --html b.html"
    said = several(python, here, probe, add, extract, measure, bits)
    left = {".companion", "families", "r.html", "r.json", "store", "mine.csv", "b.html"}
    assert {path.name for path in here.iterdir()} == left
    table = pd.read_csv(here / "mine.csv")
    assert {*table["model"]} == {"mine-zero_shot"} and "kurtosis_mean" in {*table["quantity"]}
    assert "No rotation is needed" in said and "faiss QT_4bit" in said
    numbers = json.loads((here / "r.json").read_text())
    assert numbers["experiment"] == "probe" and numbers["counts"]["images"] == 12
    assert "vit_b_32-openai" in (here / "r.html").read_text()
    assert "not recorded" in said and "kurtosis mean 3." in said
    assert (here / "families/mine.yaml").is_file() and (here / "store/mine-zero_shot").is_dir()
    (here / "below").mkdir()
    lines = ("measure accuracy mine", "measure accuracy mine --record")
    said = several(python, here / "below", *lines, fails=1)
    assert "top1 0." in said and "--record writes to data/measurements of a checkout" in said
    said = several(python, here, "check", "remove mine --features")
    assert "measurement files are sound" in said
    assert not list((here / "store").iterdir()) and not list((here / "families").iterdir())


def test_what_needs_a_checkout_says_so_and_finds_it(python, tmp_path):
    lines = ("build", "run models paper", "grid --dry-run")
    answers = several(python, tmp_path, *lines, fails=3).splitlines()
    done = python_in(tmp_path, python.with_name("companion"), "status", python=python, **UNSET)
    assert (done.returncode, done.stdout) == (1, "")
    answers += done.stderr.splitlines()
    for line, answer in zip((*lines, "status"), answers, strict=True):
        assert f"companion {line.split()[0]} needs a checkout of the companion, and" in answer
    assert not list(tmp_path.iterdir())


def test_the_engine_brings_its_scripts_and_styles(python, tmp_path):
    code = "from companion.engine.sphinx.offline import SCRIPTS, STATIC, STYLES as s; "
    code += "print(all((STATIC / name).is_file() for name in [*s, *SCRIPTS]), STATIC)"
    said = python_in(tmp_path, "-c", code, python=python, **UNSET).stdout
    assert said.startswith("True") and str(ROOT) not in said


def test_where_the_root_is(python, tmp_path):
    def root(folder, **more):
        program = "import analysis.base.roots as c; print(c.ROOT, c.WORKSPACE, sep='\\n')"
        done = python_in(folder, "-c", program, python=python, **UNSET, **more)
        return done.stdout.splitlines()

    shipped, here = root(tmp_path)
    assert shipped.endswith("analysis/shipped") and here == str(tmp_path.resolve())
    assert root(ROOT / "book" / "guide") == [str(ROOT)] * 2  # a parent of the current folder
    assert root(tmp_path, COMPANION_ROOT=str(ROOT)) == [str(ROOT)] * 2
    (tmp_path / "mine").mkdir()
    assert root(Path("/"), COMPANION_ROOT=str(tmp_path / "mine")) == [
        shipped,
        str(tmp_path / "mine"),
    ]


def test_a_checkout_is_not_another_folder(tmp_path):
    done = python_in(ROOT, "-m", "companion.cli.main", "status", COMPANION_ROOT=str(tmp_path))
    assert done.returncode == 1 and "which is no checkout" in done.stderr


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ('[tool.companion]\nproject = "yours.project:PROJECT"\n', "it"),  # as the guide prints it
        ('[tool]\ncompanion = {project = "yours.project:PROJECT"}\n', "it"),
        ('[project]\nname = "a"  # [tool.companion]\n', "which is no checkout of a companion: set"),
        (
            "[tool.companion\n",
            "which is no checkout, since its pyproject.toml is no TOML (Expected",
        ),
        (None, "which is no checkout of a companion: set it to"),
    ],
)
def test_a_root_is_the_folder_that_is_named_or_an_error(tmp_path, text, root):
    """Never this checkout instead."""
    folder = tmp_path / "it"
    folder.mkdir()
    if text is not None:
        (folder / "pyproject.toml").write_text(text)
    places = {"COMPANION_ROOT": str(folder), "PYTHONPATH": str(ROOT)}
    done = python_in(folder, "-c", "import analysis.base.roots as c; print(c.ROOT)", **places)
    if root == "it":
        assert done.stdout == f"{folder}\n"
    else:
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"companion: COMPANION_ROOT is '{folder}'") and root in line
