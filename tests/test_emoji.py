"""The emoji data: its content, a split that divides nothing that looks alike, its annotations."""

import importlib.util
import io
import re
import sys
import zipfile

import numpy as np
import pytest
from conftest import cases, refused
from PIL import Image

from analysis.base.roots import ROOT
from companion.sources.emoji import ARCHIVE, STYLES, TABLE, concepts, load, sizes
from companion.sources.emoji import appearance as stored_appearance

FOLDER = ROOT / "data" / "emoji"


@pytest.fixture(scope="module")
def emoji():
    return load()


sys.path.append(str(FOLDER))  # the renderer's processes look their function up by name
appearance = importlib.import_module("appearance")


def make():
    """The script of this folder; others of that name may be loaded already."""
    spec = importlib.util.spec_from_file_location("make_emoji", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[spec.name] = module  # where other processes look for its functions
    return module


# --- What is there --------------------------------------------------------------------------------


def test_file_is_small_and_holds_no_more_than_it_should(emoji):
    assert ARCHIVE.stat().st_size < 10e6
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [TABLE, *(f"{style}.webp" for style in STYLES)]
        image = Image.open(io.BytesIO(archive.read("twemoji.webp")))  # any viewer reads the sheets
        assert image.format == "WEBP" and image.size[0] == 2560
        laid_out = make().to_sheet(emoji.select("twemoji").images)
        np.testing.assert_array_equal(laid_out, image.convert("RGB"))


def test_without_the_shipped_data_a_sentence_says_where_it_is(tmp_path):
    refused("does not exist: the emoji come with the rep", load, tmp_path / "none.zip")


# --- Split and classes ----------------------------------------------------------------------------


def test_split_divides_no_concept_and_no_cluster(emoji):
    assert (emoji.table.groupby("concept")["split"].nunique() == 1).all()
    assert (emoji.table.groupby("cluster")["split"].nunique() == 1).all()
    assert (emoji.table.groupby("concept")["cluster"].nunique() == 1).all()


@pytest.mark.parametrize("names", cases("emoji")["alike"])
def test_look_alikes_share_a_cluster(emoji, names):
    table = emoji.table.drop_duplicates("concept").set_index("name")
    assert table.loc[names, "cluster"].nunique() == 1


def test_readme_tells_the_sizes(emoji):
    readme = (FOLDER / "README.md").read_text()
    assert make().with_sizes(readme, sizes(emoji)) == readme


# --- Annotations ----------------------------------------------------------------------------------


def test_concepts_are_what_the_table_says(emoji):
    names, kinds, annotated = concepts()
    assert annotated.shape == (len(emoji), len(names)) and annotated.dtype == bool
    assert len(names) == len(kinds) == len(set(zip(names, kinds, strict=True)))
    assert list(dict.fromkeys(kinds)) == ["tag", "subgroup", "colour", "texture"]
    assert min(annotated.sum(0)) >= 20 and len(concepts(500)[0]) < len(names)
    for row in (0, 5000, len(emoji) - 1):
        tags = {names[c] for c in annotated[[row]].nonzero()[1] if kinds[c] == "tag"}
        assert tags == set(emoji.table["tags"][row].split(";")) & {
            name for name, kind in zip(names, kinds, strict=True) if kind == "tag"
        }


def test_stored_appearance_is_that_of_the_images(emoji):
    stored = stored_appearance()
    some = np.random.default_rng(2).permutation(len(emoji))[:300]
    images = emoji.images[some]
    now = np.concatenate([appearance.colours(images), appearance.textures(images)], 1)
    np.testing.assert_array_equal(stored[some], now)


# --- Rebuilding -----------------------------------------------------------------------------------


def test_licences_name_every_package_with_its_version():
    text = (FOLDER / "LICENSES.md").read_text()
    for style, package in make().PACKAGES.items():
        assert re.search(rf"`{style}` .*\| `{package.name}` {re.escape(package.version)} \|", text)
    assert f"`{make().TEXT.name}` {make().TEXT.version}" in text


@pytest.mark.slow
def test_rebuilt_from_the_packages_the_content_is_the_same():
    pytest.importorskip("resvg_py", reason='the renderer is missing: pip install -e ".[data]"')
    fetch_packages()
    table, images = make().build()
    assert make().compare(table, images) == ""


def fetch_packages():
    for package in (make().TEXT, *make().PACKAGES.values()):
        try:
            make().package(package)
        except OSError as error:
            pytest.skip(f"{package.name} could not be downloaded: {type(error).__name__}")
