"""CLIP on ImageNet-Captions: what open_clip's trainer is given, and what becomes of its result."""

import json
import re
import subprocess
from pathlib import Path

import open_clip
import pandas as pd
import pytest
import torch
from conftest import cases, refused
from PIL import Image
from tiny import recipe

from analysis.features import checkpoints, encoders, networks
from analysis.features.weights import read_weights
from analysis.images import find
from training import captions, recipes
from training.recipes import TrainingError, TrainOptions

CLIP = "pocket-cnn-web-large"


CASES = cases("captions")
ENTRIES = CASES["entries"]
PARTS = ("title", "description", "tags")


@pytest.fixture
def train_set(own_store):
    """Four images in ImageNet's layout, found as imagenet-train."""
    folder = own_store.parent / "data"
    for i, entry in enumerate(ENTRIES):
        path = folder / "imagenet" / "train" / entry["wnid"] / entry["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * i, 90, 200 - 60 * i)).save(path)
    return folder


def captions_file(folder, entries=ENTRIES):
    path = folder / "imagenet_captions.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_the_table_is_what_open_clip_will_read(train_set):
    texts = captions.read(captions_file(train_set), PARTS, accept_counts=True)
    (images,) = find.find("imagenet-train", accept_counts=True)
    path = train_set / "out" / "captions.tsv"
    counts = captions.write_table(texts, images, path)
    assert counts == {"captions": 4, "trained_on": 2, "without_text": 2, "without_image": 0}
    frame = pd.read_csv(path, sep="\t")  # as open_clip_train.data does it
    assert frame["title"].tolist() == ['A "fish" here caught by me lake süd', "gold 2 < 3"]
    assert [Path(p).name for p in frame["filepath"]] == ["n01440764_1.JPEG", "n01443537_8.JPEG"]
    assert all(Path(p).is_file() for p in frame["filepath"])
    only = captions.read(captions_file(train_set), ("tags", "title"), accept_counts=True)
    assert only["title"][0] == 'lake süd A "fish" here'
    (train_set / "imagenet" / "train" / "n01443537" / "n01443537_8.JPEG").unlink()
    (images,) = find.find("imagenet-train", accept_counts=True)
    with pytest.raises(TrainingError, match="1 of 4 captioned images are not among the training"):
        captions.write_table(texts, images, path)
    less = captions.write_table(texts, images, path, accept_counts=True)
    assert (less["trained_on"], less["without_image"]) == (1, 1)


@pytest.mark.parametrize(("content", "said"), CASES["refused"])
def test_another_file_of_captions_is_refused(tmp_path, content, said):
    path = captions_file(tmp_path, content)
    refused(re.escape(said), captions.read, path, ("title",), accept_counts="two captions" in said)
    refused("cannot be read", captions.read, tmp_path / "absent.json", ("title",))


def test_captions_from_one_command(train_set, monkeypatch, answer):
    """All but open_clip's trainer itself, which a slow test runs."""
    out, text = train_set / "out", recipe(train_set, "captions", batch=2, epochs=3, warmup_steps=0)
    given = ["train", text, "--model", CLIP, "--out", str(out), "--accept-counts"]
    assert "--captions is missing" in answer(*given, fails=True)
    given += ["--captions", str(captions_file(train_set))]
    lines = []
    clip = open_clip.CLIP(**networks.architecture("pocket-cnn"))

    def trained(line, **_):
        lines.append(line)
        if len(lines) > 1:
            place = out / "open_clip" / "checkpoints"
            place.mkdir(parents=True, exist_ok=True)
            state = {f"module.{name}": value for name, value in clip.state_dict().items()}
            torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, place / "epoch_3.pt")

    monkeypatch.setattr(captions.subprocess, "run", trained)
    assert "left no epoch_3.pt" in answer(*given, fails=True)
    said = "belongs to another training (changed: seed)"
    assert said in answer(*given, "--seed", 1, fails=True)
    clip.text_projection.data[0, 0] = float("nan")  # which no image sees
    said = "numbers in text_projection that are not finite"
    assert said in answer(*given, fails=True)
    clip.text_projection.data[0, 0] = 0
    told = answer(*given)
    assert lines[0] == lines[1] == lines[2]
    assert lines[0][lines[0].index("--resume") :][:2] == ["--resume", "latest"]
    path = out / "pocket-cnn-captions.safetensors"
    assert f"next: companion add pocket-cnn-captions {path}" in told
    said = json.loads(path.with_suffix(".json").read_text())
    assert (said["captions"], said["trained_on"], said["without_text"]) == (4, 2, 2)
    loaded = encoders.load(checkpoints.find(str(path), level="captions"))
    assert loaded.model.level == "captions" and loaded.weights_sha256 == said["sha256"]
    torch.testing.assert_close(loaded.encoder.conv1.weight, clip.visual.conv1.weight)
    assert "exists already" in answer(*given, fails=True)


def test_open_clips_trainer_understands_the_command(tmp_path):
    from open_clip_train.params import parse_args

    options = {"seed": 4, "workers": 2, "processes": 8, "micro_batch": 64, "device": "cpu"}
    asked = TrainOptions(recipe="captions", model=CLIP, **options)
    described = recipes.load("captions")
    table = tmp_path / "c.tsv"
    made, line = captions.command(
        described, "RN50-quickgelu", table, recipes.CAPTIONS_PUBLISHED, asked
    )
    end = line.index("open_clip_train.main")
    assert line[end - 5 : end] == ["--standalone", "--nproc-per-node", "8", "-m", "--"]
    said = parse_args(line[end + 1 :])
    assert said.batch_size * said.accum_freq * made.processes == described.settings.batch == 1024
    assert (said.model, said.lr, said.wd) == ("RN50-quickgelu", 1e-3, 0.1)
    assert (said.epochs, said.warmup, said.seed, said.workers) == (32, 2000, 4, 2)
    assert (said.train_data, said.csv_separator) == (str(table), "\t")
    assert (said.resume, said.save_most_recent, said.precision) == ("latest", True, "amp_bf16")
    assert said.local_loss and said.gather_with_grad


@pytest.mark.slow
def test_open_clips_trainer_takes_the_table_and_the_command(train_set):
    """Three epochs of a small CLIP in one process: several of this trainer need GPUs."""
    pytest.importorskip("webdataset", reason="open_clip's trainer needs the extra `train`")
    place = train_set / "architecture"
    place.mkdir()
    (place / "open_clip_config.json").write_text(json.dumps(CASES["clip"]))
    texts = captions.read(captions_file(train_set), ("title",), accept_counts=True)
    (images,) = find.find("imagenet-train", accept_counts=True)
    table = train_set / "captions.tsv"
    rows = captions.write_table(texts, images, table)["trained_on"]
    small = {"batch": 2, "epochs": 3, "warmup_steps": 1, "precision": "fp32"}
    described = recipes.load(recipe(train_set, "captions", **small))
    asked = TrainOptions(recipe="captions", model=CLIP, workers=0, device="cpu")
    _, line = captions.command(described, f"local-dir:{place}", table, rows, asked)
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    last = train_set / "open_clip" / "checkpoints" / "epoch_3.pt"
    clip = open_clip.CLIP(**CASES["clip"]["model_cfg"])
    clip.load_state_dict(read_weights(last)[0])
