"""Pictures and captions as networks take them, against the libraries' own transforms."""

import numpy as np
import pytest
from PIL import Image

from analysis.families.registry import Preprocessing
from analysis.features import preprocess
from analysis.features.preprocess import to_pixels
from companion.checkpoints.tokenizer import WordTokenizer


def spec(size, resize, interpolation):
    return Preprocessing(
        size=size, resize=resize, interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1)
    )


@pytest.mark.parametrize("shape", [(300, 451), (224, 224), (100, 37), (301, 225), (500, 333)])
def test_equals_the_libraries_own_transforms(shape):
    open_clip, timm = pytest.importorskip("open_clip"), pytest.importorskip("timm.data")
    plain = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    array = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for theirs, resize, interpolation in (
        (open_clip.image_transform(224, is_train=False, **plain), None, "bicubic"),
        (timm.create_transform(224, crop_pct=0.9, interpolation="bicubic", **plain),
         248, "bicubic"),
        (timm.create_transform(224, crop_pct=0.95, interpolation="bilinear", **plain),
         235, "bilinear"),
    ):  # fmt: skip
        ours = to_pixels(array, spec(224, resize, interpolation)) / 255
        np.testing.assert_allclose(ours, theirs(Image.fromarray(array)), atol=1e-6)


def test_box_is_the_mean_of_pixels():
    array = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ours = to_pixels(array, spec(32, None, "box")).transpose(1, 2, 0)
    mean = array.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(ours - mean).max() <= 1  # rounded once per direction


def test_grey_and_palette_pictures_become_rgb():
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        pixels = to_pixels(Image.new(mode, (40, 40)), spec(32, None, "bicubic"))
        assert pixels.shape == (3, 32, 32)


def test_captions_become_words_that_are_known_or_not():
    pytest.importorskip("torch")
    tokenizer = WordTokenizer.from_captions(["Red heart", "cat-face 2"], context_length=5)
    assert tokenizer.words == ("2", "cat", "face", "heart", "red")
    assert tokenizer.vocab_size == 9
    start, end = 7, 8
    tokens = tokenizer(["red HEART!", "a very red cat face"])
    assert tokens.tolist() == [[start, 6, 5, end, 0], [start, 1, 1, 6, end]]


@pytest.mark.parametrize("shape", [(40, 1000), (1000, 40), (8, 400)])
def test_of_an_elongated_picture_only_the_middle_is_resized(shape, monkeypatch):
    smooth = np.cumsum(np.random.default_rng(0).normal(size=(*shape, 3)), axis=np.argmax(shape))
    picture = np.clip(128 + 4 * smooth, 0, 255).astype(np.uint8)
    for geometry in ((224, 224, "bicubic", False), (36, 32, "bilinear", False)):
        middle = preprocess.to_pixels(picture, geometry).astype(int)
        with monkeypatch.context() as whole:
            whole.setattr(preprocess, "ELONGATED", 10**9)
            assert np.abs(preprocess.to_pixels(picture, geometry) - middle).max() <= 4
    wide = np.zeros((2, 3_000_000, 3), np.uint8)  # all of it would be 224 × 336,000,000 pixels
    assert preprocess.to_pixels(wide, (224, 224, "bicubic", False)).shape == (3, 224, 224)
    monkeypatch.setattr(preprocess, "_middle", None)  # up to 16 times the libraries' own pixels
    assert preprocess.to_pixels(wide[:, :32], (224, 224, "bicubic", False)).shape == (3, 224, 224)
