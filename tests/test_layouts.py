"""Weights as training programs and other libraries write them: features equal the bare model's."""

import argparse
import json
import os
import re
import time
from unittest import mock

import open_clip
import pytest
import timm
import tiny
import torch
from conftest import cases, refused
from safetensors.torch import save_file
from tiny import WIDTH, architectures, in_parts, save_clip  # noqa: F401 - a fixture
from torch.nn import DataParallel
from torch.optim.swa_utils import AveragedModel

from analysis.base.files import sha256_of
from analysis.features import store
from analysis.features.encoders import ModelError
from companion.checkpoints import layouts, weights
from companion.checkpoints.loading import load
from companion.checkpoints.lookup import find

torch.set_num_threads(1)
TRANSFORMERS = cases("transformers")
CONFIG = TRANSFORMERS["config"]
LITTLE = "test_vit"  # of timm: real, with 370,000 parameters


@pytest.fixture(scope="module")
def clip(tmp_path_factory, architectures):  # noqa: F811
    path = tmp_path_factory.mktemp("clip") / "tiny.safetensors"
    save_clip(path)
    return open_clip.create_model("tiny-vit", pretrained=str(path)).eval()


def features(text, architecture="tiny-vit", **more):
    """What a checkpoint makes of one picture, with the note that its description has."""
    described = find(text, architecture=architecture, name="x", **more)
    loaded = load(described)
    picture = loaded.preprocess(tiny.pictures(1)[0])[None]
    return loaded.encoder(picture), picture, described.note


def of_open_clip_train(clip, path):
    """As `open_clip_train.main` writes it after an epoch on several devices."""
    beside = {"optimizer": {"state": {}, "param_groups": []}, "scaler": {"scale": 65536.0}}
    state = {"epoch": 1, "name": "a run", "state_dict": DataParallel(clip).state_dict()}
    torch.save(state | beside, path)


def of_lightning(clip, path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1, "betas": [0.9, 0.98]})
            self.model = torch.compile(clip)

    without = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(accelerator="cpu", **dict.fromkeys(without, False))
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(path)


#: How a network is written, its file's name, and what is noted of it.
WRITTEN = [
    (of_open_clip_train, "epoch_1.pt", "Removed from the names of all tensors: module."),
    (of_lightning, "last.ckpt", r"Removed from the names of all tensors: model\._orig_mod\."),
    (lambda net, path: torch.save(AveragedModel(net).state_dict(), path), "swa.pth.tar",
     r"average over training .* names of all tensors: module\."),
    (lambda net, path: torch.save(torch.compile(DataParallel(net)).state_dict(), path), "weights",
     r"Removed from the names of all tensors: _orig_mod\.module\."),
    (lambda net, path: torch.save(net.visual.state_dict(), path), "tower.pt",
     "holds an image tower alone"),
    (lambda net, path: save_file(as_transformers(net.state_dict()), path), "model.safetensors",
     "have transformers' layout"),
    (lambda net, path: save_file({k: v.bfloat16() for k, v in net.state_dict().items()}, path),
     "bf16.safetensors", "are kept as bfloat16"),
    (lambda net, path: torch.save({"epoch": 3, "model": net.state_dict()}, path), "wéights (1).pt",
     ""),
    (lambda net, path: torch.save({"model_state_dict": net.state_dict()}, path,
                                  _use_new_zipfile_serialization=False), "old.bin", ""),
]  # fmt: skip


@pytest.mark.parametrize("write, name, note", WRITTEN, ids=[name for _, name, _ in WRITTEN])
def test_a_clip_by_each_program(clip, tmp_path, write, name, note):
    write(clip, tmp_path / name)
    computed, picture, said = features(str(tmp_path / name))
    with torch.inference_mode():
        expected = clip.encode_image(picture)
    near = 0.1 if "bfloat16" in note else 0
    torch.testing.assert_close(computed, expected, rtol=near, atol=near)
    assert re.search(note, said) and (note or not said), said


def test_timms_own_checkpoints(tmp_path):
    """Its trainer's: with an average beside the network, and the options as a Namespace."""
    net, average = (timm.create_model(LITTLE, num_classes=5).eval() for _ in range(2))
    states = {"state_dict": net.state_dict(), "state_dict_ema": average.state_dict()}
    about = {"arch": LITTLE, "args": argparse.Namespace(lr=1.0)}
    torch.save(about | states, tmp_path / "last.pth.tar")
    computed, picture, note = features(str(tmp_path / "last.pth.tar"), LITTLE)
    with torch.inference_mode():
        torch.testing.assert_close(computed, net.forward_head(net.forward_features(picture), True))
    assert "the entry state_dict was read, state_dict_ema ignored" in note


def test_what_is_more_than_the_network_is_named(clip, tmp_path):
    path, state = tmp_path / "x.pt", clip.state_dict()
    prefixed = {f"model.{key}": value for key, value in state.items()}
    twice = {f"a.{key}": state[key] for key in [*state][:-1]}
    for content, sentence in (
        (prefixed | {"loss.x": torch.ones(3)}, r"1 tensors are left over \(first loss\.x\); get"),
        (state | {"a": torch.ones(1)} | twice, r"tensors are left over \(first a\)"),
        ({name: value.to(torch.int8) for name, value in state.items()}, "the type torch.int8 for"),
        ({name: value + 0j for name, value in state.items()}, "the type torch.complex64 for"),
        (state | {"a": torch.ones(1).expand(9, 9)}, "a repeats numbers instead of having each"),
    ):
        torch.save({"state_dict": content}, path)
        refused(sentence, features, str(path))


# transformers


def as_transformers(state):
    """As transformers lays CLIP out, by a table of the names of its CLIPModel.

    The numbers of positions are its older versions'.
    """
    made = {"text_model.embeddings.position_ids": torch.arange(8)[None]}
    for ours, theirs in TRANSFORMERS["names"].items():
        parts = state[ours].chunk(3) if isinstance(theirs, list) else [state[ours]]
        for name, part in zip([theirs] if len(parts) == 1 else theirs, parts, strict=True):
            made[name] = part.T if name.endswith("projection.weight") else part
    return {name: value.contiguous() for name, value in made.items()}


def test_a_folder_of_transformers(clip, tmp_path):
    save_file(as_transformers(clip.state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    computed, picture, note = features(str(tmp_path), None)
    assert "There is no preprocessor_config.json: the input of open_clip's tiny-vit" in note
    with torch.inference_mode():
        assert torch.equal(computed, clip.encode_image(picture))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(TRANSFORMERS["input"]))
    described = find(f"local-dir:{tmp_path}")
    assert "activation" not in described.note
    assert described.preprocessing.resize == 40 and described.preprocessing.mean == (0.1, 0.2, 0.3)
    assert (described.architecture, described.library) == ("tiny-vit", "open_clip")
    quick = CONFIG | {k: {**CONFIG[k], "hidden_act": "quick_gelu"} for k in CONFIG if "fig" in k}
    (tmp_path / "config.json").write_text(json.dumps(quick))
    refused("open_clip has no architecture of these sizes", find, str(tmp_path))


def test_configurations_of_the_hub():
    assert layouts.architecture_of({}) == "ViT-B-32-quickgelu"  # openai/clip-vit-base-patch32
    assert layouts.architecture_of(TRANSFORMERS["large"]) == "ViT-H-14"


# Folders


def test_weights_in_parts(clip, tmp_path):
    """An index stands for its parts, named itself or by its folder; a part that changes is seen."""
    index = in_parts(clip.state_dict(), tmp_path)
    for text in (str(index), str(tmp_path)):
        computed, picture, _ = features(text)
        torch.testing.assert_close(computed, clip.encode_image(picture))
    described = find(str(index), architecture="tiny-vit", name="x")
    sha256 = load(described).weights_sha256
    assert sha256 == store.weights_sha256(described, "") != sha256_of(index)
    part = tmp_path / "model-00002-of-00002.safetensors"
    kept = part.read_bytes()
    part.write_bytes(kept[:-4] + b"\0\0\0\0")
    noted = described.model_copy(update={"weights_sha256": sha256})
    refused("is not the file that x was described with", load, noted)
    part.unlink()
    with pytest.raises(ModelError, match=r"No such file .*model-00002-of-00002.safetensors"):
        find(str(index), architecture="tiny-vit", name="x")
    part.write_bytes(kept)
    os.mkfifo(tmp_path / "pipe.safetensors")
    for wrong, said in TRANSFORMERS["indices"]:
        index.write_text(json.dumps({"weight_map": wrong}))
        refused(said, find, str(index), architecture="tiny-vit", name="x")


def test_a_folder_as_open_clip_saves_it(clip, tmp_path):
    from open_clip.push_to_hf_hub import save_for_hf

    config = {"embed_dim": WIDTH, **open_clip.get_model_config("tiny-vit")}
    save_for_hf(clip, mock.Mock(), config, tmp_path / "My CLIP")  # of a tokenizer nothing is saved
    computed, picture, _ = features(f"local-dir:{tmp_path / 'My CLIP'}", None)
    with torch.inference_mode():
        assert torch.equal(computed, clip.encode_image(picture))
    described = find(str(tmp_path / "My CLIP"))
    assert (described.architecture, described.name) == ("my-clip", "my-clip")
    assert described.weights.startswith("local-dir:/")
    assert described.shown_weights[:1] != "/"


def test_links_are_followed_and_a_choice_is_asked_about(clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "a.pt")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path, tmp_path / "folder"):
        (place / "link.pt").symlink_to(tmp_path / "a.pt")
    for text in ("link.pt", "folder"):
        assert find(str(tmp_path / text), architecture="tiny-vit").width == WIDTH
    with pytest.raises(ModelError, match=r"is a folder \(a\.pt, link\.pt\): give the file"):
        find(str(tmp_path), architecture="tiny-vit")


def test_offline_the_hub_is_asked_once(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    weights._online.cache_clear()
    start = time.monotonic()
    refused("could not be fetched from the Hugging Face hub", find, "hf-hub:someone/something")
    assert time.monotonic() - start < 3
    weights._online.cache_clear()
