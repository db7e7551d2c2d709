import numpy as np
import pytest
from PIL import Image

from analysis.families.registry import Preprocessing
from analysis.features.preprocess import to_pixels
from analysis.features.tokenizer import WordTokenizer

SHAPES = [(300, 451), (224, 224), (100, 37), (224, 300), (301, 225), (500, 333)]


def spec(size, resize, interpolation):
    return Preprocessing(
        size=size, resize=resize, interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("size", "resize", "interpolation"),
    [(224, None, "bicubic"), (224, 248, "bicubic"), (224, 235, "bilinear")],
)
def test_equals_the_transforms_that_open_clip_and_timm_are_made_of(
    shape, size, resize, interpolation
):
    transforms = pytest.importorskip("torchvision.transforms")
    array = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = transforms.Compose(
        [
            transforms.Resize(resize or size, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(size),
            transforms.PILToTensor(),
        ]
    )(Image.fromarray(array))
    np.testing.assert_array_equal(to_pixels(array, spec(size, resize, interpolation)), theirs)


def test_equals_the_libraries_own_transforms():
    open_clip = pytest.importorskip("open_clip")
    timm = pytest.importorskip("timm")
    picture = Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (333, 500, 3), dtype=np.uint8)
    )
    theirs = open_clip.image_transform(224, is_train=False)(picture).numpy()
    clip = Preprocessing(
        size=224,
        interpolation="bicubic",
        mean=open_clip.OPENAI_DATASET_MEAN,
        std=open_clip.OPENAI_DATASET_STD,
    )
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (clip.mean, clip.std))
    np.testing.assert_allclose((to_pixels(picture, clip) / 255 - mean) / std, theirs, atol=1e-5)

    from timm.data import create_transform, resolve_data_config

    cfg = timm.get_pretrained_cfg("vit_base_patch16_224.augreg_in1k").to_dict()
    theirs = create_transform(**resolve_data_config(pretrained_cfg=cfg))(picture).numpy()
    ours = to_pixels(picture, spec(224, 248, "bicubic")) / 255
    np.testing.assert_allclose((ours - 0.5) / 0.5, theirs, atol=1e-5)


def test_box_is_the_mean_of_pixels():
    array = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ours = to_pixels(array, spec(32, None, "box")).transpose(1, 2, 0)
    mean = array.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(ours - mean).max() <= 1  # rounded once per direction


def test_grey_and_palette_pictures_become_rgb():
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        pixels = to_pixels(Image.new(mode, (40, 40)), spec(32, None, "bicubic"))
        assert pixels.shape == (3, 32, 32)


def test_words():
    pytest.importorskip("torch")
    tokenizer = WordTokenizer.from_captions(["Red heart", "cat-face 2"], context_length=5)
    assert tokenizer.words == ("2", "cat", "face", "heart", "red")
    assert tokenizer.vocab_size == 9
    start, end = 7, 8
    tokens = tokenizer(["red HEART!", "a very red cat face"])
    assert tokens.tolist() == [[start, 6, 5, end, 0], [start, 1, 1, 6, end]]


def test_a_saved_tokenizer_is_the_same(tmp_path):
    tokenizer = WordTokenizer.from_captions(["Éclair à la crème"])
    tokenizer.save(tmp_path / "tokenizer.json")
    assert WordTokenizer.load(tmp_path / "tokenizer.json") == tokenizer
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
