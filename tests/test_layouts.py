"""Weights as training programs and other libraries write them: features equal the bare model's."""

import argparse
import json
import re

import open_clip
import pytest
import timm
import tiny
import torch
from safetensors.torch import save_file
from tiny import WIDTH, architectures, in_parts, save_clip  # noqa: F401 - a fixture
from torch.nn import DataParallel
from torch.optim.swa_utils import AveragedModel

from analysis.common import sha256_of
from analysis.features import layouts, store, weights
from analysis.features.checkpoints import find
from analysis.features.encoders import load
from analysis.features.weights import ModelError

torch.set_num_threads(1)
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
    state = DataParallel(clip).state_dict()
    made = {"epoch": 1, "name": "a run", "state_dict": state,
            "optimizer": {"state": {}, "param_groups": []},
            "scaler": {"scale": 65536.0, "_growth_tracker": 7}}  # fmt: skip
    torch.save(made, path)


def of_lightning(clip, path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1, "betas": [0.9, 0.98]})
            self.model = torch.compile(clip)

    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False,
                                enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(path)


def turned(state, to):
    return {key: to(value).contiguous() for key, value in state.items()}


#: How a network is written, its file's name, and what is noted of it.
WRITTEN = [
    (of_open_clip_train, "epoch_1.pt", "Taken off the names of all tensors: module."),
    (of_lightning, "last.ckpt", r"Taken off the names of all tensors: model\._orig_mod\."),
    (lambda net, path: torch.save(AveragedModel(net).state_dict(), path), "swa.pth.tar",
     r"names of all tensors: module\. .* average over training"),
    (lambda net, path: torch.save(torch.compile(DataParallel(net)).state_dict(), path), "weights",
     r"Taken off the names of all tensors: _orig_mod\.module\."),
    (lambda net, path: torch.save(net.visual.state_dict(), path), "tower.pt",
     "holds an image tower alone"),
    (lambda net, path: save_file(as_transformers(net.state_dict()), path), "model.safetensors",
     "laid out as transformers does it"),
    (lambda net, path: torch.save(turned(net.state_dict(), torch.Tensor.half), path), "half.pth",
     ""),
    (lambda net, path: save_file(turned(net.state_dict(), torch.Tensor.bfloat16), path),
     "bf16.safetensors", ""),
    (lambda net, path: torch.save({"epoch": 3, "model": net.state_dict()}, path), "wéights (1).pt",
     ""),
    (lambda net, path: torch.save({"model_state_dict": net.state_dict()}, path,
                                  _use_new_zipfile_serialization=False), "old.bin", ""),
]  # fmt: skip


@pytest.mark.parametrize("write, name, note", WRITTEN, ids=[name for _, name, _ in WRITTEN])
def test_a_clip_by_each_program(clip, tmp_path, write, name, note):
    write(clip, tmp_path / name)
    found, picture, said = features(str(tmp_path / name))
    with torch.inference_mode():
        expected = clip.encode_image(picture)
    near = {"rtol": 0, "atol": 0} if note else {"rtol": 0.1, "atol": 0.1}  # or of half precision
    torch.testing.assert_close(found, expected, **near)
    assert re.search(note, said) and (note or not said), said


def test_timms_own_checkpoints(tmp_path):
    """Its trainer's: with an average beside the network, and the options as a Namespace."""
    net = timm.create_model(LITTLE, num_classes=5).eval()
    average = timm.utils.ModelEmaV3(net, decay=0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9)
    saver = timm.utils.CheckpointSaver(
        net, optimizer, argparse.Namespace(model=LITTLE, lr=1.0), average,
        checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path),
    )  # fmt: skip
    with torch.no_grad():
        net.fc_norm = torch.nn.Identity()
        next(iter(net.parameters())).add_(1)
    saver.save_checkpoint(0, metric=0.5)
    found, picture, note = features(str(tmp_path / "last.pth.tar"), LITTLE)
    with torch.inference_mode():
        torch.testing.assert_close(found, net.forward_head(net.forward_features(picture), True))
    assert "the entry state_dict was taken, state_dict_ema left aside" in note


def test_what_is_more_than_the_network_is_named(clip, tmp_path):
    state = {f"model.{key}": value for key, value in clip.state_dict().items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(3)}}, tmp_path / "more.ckpt")
    with pytest.raises(ModelError, match=r"left over \(first loss\.weight\); those whose names "
                       r"begin with model\. are all of it: save them alone\."):  # fmt: skip
        load(find(str(tmp_path / "more.ckpt"), architecture="tiny-vit"))
    torch.save({"a.module.x": torch.ones(1), "a._orig_mod.module.x": torch.ones(1)},
               tmp_path / "twice.pt")  # fmt: skip
    with pytest.raises(ModelError, match="two of its tensors have one name once wrappers'"):
        find(str(tmp_path / "twice.pt"), architecture="tiny-vit")
    damaged = {**clip.state_dict(), "visual.proj": torch.full((16, WIDTH), float("nan"))}
    torch.save(damaged, tmp_path / "nan.pt")
    with pytest.raises(ModelError, match="features are not finite numbers: check the weights"):
        load(find(str(tmp_path / "nan.pt"), architecture="tiny-vit"))


# transformers


def as_transformers(state):
    """As transformers lays CLIP out, by hand from the names of its CLIPModel, block by block.

    The numbers of positions are its older versions'.
    """
    made = {"logit_scale": state["logit_scale"],
            "text_projection.weight": state["text_projection"].T.contiguous(),
            "visual_projection.weight": state["visual.proj"].T.contiguous(),
            "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
            "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
            "vision_model.embeddings.position_embedding.weight":
            state["visual.positional_embedding"],
            "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
            "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
            "text_model.embeddings.position_ids": torch.arange(8)[None]}  # fmt: skip
    for end in ("weight", "bias"):
        made[f"vision_model.pre_layrnorm.{end}"] = state[f"visual.ln_pre.{end}"]
        made[f"vision_model.post_layernorm.{end}"] = state[f"visual.ln_post.{end}"]
        made[f"text_model.final_layer_norm.{end}"] = state[f"ln_final.{end}"]
        for tower, prefix in (("vision_model", "visual."), ("text_model", "")):
            old, new = f"{prefix}transformer.resblocks.0.", f"{tower}.encoder.layers.0."
            query, key, value = state[f"{old}attn.in_proj_{end}"].chunk(3)
            made[f"{new}self_attn.q_proj.{end}"] = query.contiguous()
            made[f"{new}self_attn.k_proj.{end}"] = key.contiguous()
            made[f"{new}self_attn.v_proj.{end}"] = value.contiguous()
            made[f"{new}self_attn.out_proj.{end}"] = state[f"{old}attn.out_proj.{end}"]
            made[f"{new}layer_norm1.{end}"] = state[f"{old}ln_1.{end}"]
            made[f"{new}layer_norm2.{end}"] = state[f"{old}ln_2.{end}"]
            made[f"{new}mlp.fc1.{end}"] = state[f"{old}mlp.c_fc.{end}"]
            made[f"{new}mlp.fc2.{end}"] = state[f"{old}mlp.c_proj.{end}"]
    return made


CONFIG = {
    "model_type": "clip", "projection_dim": WIDTH,
    "text_config": {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1,
                    "num_attention_heads": 2, "max_position_embeddings": 8, "vocab_size": 16,
                    "hidden_act": "gelu"},
    "vision_config": {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1,
                      "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
                      "hidden_act": "gelu"},
}  # fmt: skip
INPUT = {
    "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 40}, "resample": 3,
    "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6],
}  # fmt: skip


def test_a_folder_of_transformers(clip, tmp_path):
    save_file(as_transformers(clip.state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    found, picture, note = features(str(tmp_path), None)
    assert "There is no preprocessor_config.json: the input of open_clip's tiny-vit" in note
    with torch.inference_mode():
        assert torch.equal(found, clip.encode_image(picture))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(INPUT))
    described = find(f"local-dir:{tmp_path}")
    assert "activation" not in described.note
    assert described.preprocessing.resize == 40 and described.preprocessing.mean == (0.1, 0.2, 0.3)
    assert (described.architecture, described.library) == ("tiny-vit", "open_clip")
    quick = CONFIG | {k: {**CONFIG[k], "hidden_act": "quick_gelu"} for k in CONFIG if "fig" in k}
    (tmp_path / "config.json").write_text(json.dumps(quick))
    with pytest.raises(ModelError, match="open_clip has no architecture of these sizes"):
        find(str(tmp_path))


def test_what_transformers_itself_writes(tmp_path):
    """Where transformers is installed: its features, its files, its configuration."""
    transformers = pytest.importorskip("transformers")
    net = transformers.CLIPModel(transformers.CLIPConfig(**CONFIG)).eval()
    net.save_pretrained(tmp_path)
    found, picture, _ = features(str(tmp_path), None)
    with torch.inference_mode():
        theirs = net.visual_projection(net.vision_model(picture).pooler_output)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "own"),
    [("openai/clip-vit-base-patch32", "ViT-B-32-quickgelu"), ("laion/H", "ViT-H-14")],
)
def test_configurations_of_the_hub(name, own):
    towers = {} if own.startswith("ViT-B") else {
        "vision_config": {"hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120,
                          "num_attention_heads": 16, "num_hidden_layers": 32, "patch_size": 14},
        "text_config": {"hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096,
                        "num_attention_heads": 16, "num_hidden_layers": 24},
        "projection_dim": 1024,
    }  # fmt: skip
    assert layouts.architecture_of(towers) == own


# Folders


def test_weights_in_parts(clip, tmp_path):
    """An index stands for its parts, named itself or by its folder; a part that changes is seen."""
    index = in_parts(clip.state_dict(), tmp_path)
    for text in (str(index), str(tmp_path)):
        found, picture, note = features(text)
        torch.testing.assert_close(found, clip.encode_image(picture))
        assert "left aside" not in note
    described = find(str(index), architecture="tiny-vit", name="x")
    sha256 = load(described).weights_sha256
    assert sha256 == store.weights_sha256(described, "") != sha256_of(index)
    part = tmp_path / "model-00002-of-00002.safetensors"
    kept = part.read_bytes()
    part.write_bytes(kept[:-4] + b"\0\0\0\0")
    assert load(described).weights_sha256 != sha256
    noted = described.model_copy(update={"weights_sha256": sha256})
    with pytest.raises(ModelError, match="is not the file that x was described with"):
        load(noted)
    part.unlink()
    with pytest.raises(ModelError, match=r"its part model-00002-of-00002.safetensors is not there"):
        find(str(index), architecture="tiny-vit", name="x")
    part.write_bytes(kept)
    where = json.loads(index.read_text())["weight_map"]
    for wrong, said in (
        ({**where, "more": part.name}, "1 tensors are not in their parts, first more"),
        ({**where, "visual.proj": "../../x.safetensors"}, "its parts are not all called NAME"),
        ([1], "does not say under weight_map"), ({}, "its parts are not all called NAME"),
    ):  # fmt: skip
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(ModelError, match=said):
            find(str(index), architecture="tiny-vit", name="x")


def test_folders_as_open_clip_and_timm_save_them(clip, tmp_path):
    from open_clip.push_to_hf_hub import save_for_hf

    config = open_clip.get_model_config("tiny-vit")
    save_for_hf(clip, _NoTokenizer(), {"embed_dim": WIDTH, **config}, tmp_path / "My CLIP")
    found, picture, note = features(f"local-dir:{tmp_path / 'My CLIP'}", None)
    with torch.inference_mode():
        assert torch.equal(found, clip.encode_image(picture))
    described = find(str(tmp_path / "My CLIP"))
    assert (described.architecture, described.name) == ("my-clip", "my-clip")
    assert "open_clip_pytorch_model.bin left aside" in note
    assert described.weights.startswith("local-dir:/")
    assert described.shown_weights[:1] != "/"

    net = timm.create_model(LITTLE, num_classes=3, act_layer="gelu").eval()
    timm.models.save_for_hf(net, tmp_path / "net", model_config={"num_classes": 3},
                            safe_serialization=True)  # fmt: skip
    config = json.loads((tmp_path / "net/config.json").read_text())
    config["model_args"]["act_layer"] = "gelu"
    (tmp_path / "net/config.json").write_text(json.dumps(config))
    found, picture, _ = features(str(tmp_path / "net"), None, level="supervised")
    with torch.inference_mode():
        torch.testing.assert_close(found, net.forward_head(net.forward_features(picture), True))


class _NoTokenizer:
    def __init__(self):
        self.tokenizer = self

    def save_pretrained(self, folder):
        """There is nothing to save."""


def test_links_are_followed_and_a_choice_is_asked_about(clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / "a.pt")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path, tmp_path / "folder"):
        (place / "link.pt").symlink_to(tmp_path / "a.pt")
    for text in ("link.pt", "folder"):
        assert find(str(tmp_path / text), architecture="tiny-vit").width == WIDTH
    sentence = r"is a folder of a\.pt, link\.pt: give the file of weights"
    with pytest.raises(ModelError, match=sentence):
        find(str(tmp_path), architecture="tiny-vit")


# The hub


def test_offline_the_hub_is_asked_once(monkeypatch, tmp_path, capfd):
    import time

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    weights._reachable.cache_clear()
    start = time.monotonic()
    with pytest.raises(ModelError, match="could not be fetched from the Hugging Face hub"):
        find("hf-hub:someone/something")
    assert time.monotonic() - start < 3
    assert capfd.readouterr() == ("", "")
    weights._reachable.cache_clear()
