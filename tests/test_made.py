"""What the scripts `make.py` make is what is committed: `python data/…/make.py --check`."""

import runpy
import sys

import pytest
from conftest import ROOT

from analysis.base.roots import ArtifactError

MADE = ["data/imagenet", "data/moments", "data/published", "course/data"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("course/data/lab",)]
EXTRACTED = {
    "course/data": ("efficientnet_lite0", "scikit_image_photographs"),  # one of its controls
    "course/data/lab": ("pocket_cnn", "pocket-twemoji-test"),
}


@pytest.mark.parametrize("folder", MADE + SLOW)
def test_what_is_committed_is_what_its_script_makes(folder, extracted, monkeypatch, capsys):
    if folder in EXTRACTED:
        extracted(*EXTRACTED[folder])
    monkeypatch.setattr(sys, "argv", ["make.py", "--check"])
    try:
        runpy.run_path(str(ROOT / folder / "make.py"), run_name="__main__")
    except ArtifactError as error:
        pytest.skip(f"what it is made from is not here: {error}")
    except SystemExit as done:
        assert not done.code, (done.code, *capsys.readouterr())
