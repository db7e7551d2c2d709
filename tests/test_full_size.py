"""Training at full size, in miniature: recipes, Lightning's loop, captions, and errors.

The miniature is real: the pocket lab's CLIP, and emoji in a folder per class.
"""

import argparse
import json
import os
import re
import shlex
import signal
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest
import tiny
import torch
from conftest import ROOT, cases, python_in, sentence, start_in

from analysis.features import checkpoints, encoders, heads
from analysis.features.weights import read_weights
from analysis.images import find, imagelist
from companion.readers import Wish, add
from training import full_size, recipe_tables, recipes, results
from training.recipes import TrainOptions

CLIP, VIT = "pocket-cnn-web-large", "pocket-vit-web-large"
CLASSES = 8


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    """Emoji of one style as files, `train/<class>` and `val/<class>`, of other concepts."""
    folder = tmp_path_factory.mktemp("emoji")
    for split, name in (("train", "train"), ("test", "val")):
        listed = find.pocket("noto", split)
        labels = find.pocket("noto", "train").labels
        largest = [label for label, _ in Counter(labels[labels >= 0].tolist()).most_common(CLASSES)]
        for i in np.flatnonzero(np.isin(listed.labels, largest)):
            place = folder / name / listed.classes[listed.labels[i]].replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            listed.image(int(i)).save(place / f"{i:05}.png")
    return folder


def recipe(folder, base="finetuned", **changes):
    """The path of a recipe that is one of the project's, for few images."""
    small = {"batch": 32, "epochs": 2, "warmup_steps": 2}
    if base == "finetuned":
        small |= {"learning_rate": 3e-4, "precision": "fp32", "crop_scale": [0.8, 1.0]}
    return tiny.recipe(folder, base, **(small | changes))


def options(emoji, out, text, **more):
    images = {"data": str(emoji / "train"), "val": str(emoji / "val")}
    how = {"recipe": text, "model": CLIP, "out": out, "workers": 0, "device": "cpu"}
    return TrainOptions(**images | how | more)


def words(asked):
    """Of the command line that asks for it."""
    given = asked.model_dump(exclude_defaults=True)
    line = ["train", given.pop("recipe")]
    return [*line, *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())]


def about(path):
    return json.loads(path.with_suffix(".json").read_text())


refused = partial(sentence, full_size.run)


# Recipes


@pytest.mark.parametrize("name", recipes.names())
def test_every_number_of_a_recipe_has_a_source(name):
    loaded = recipes.load(name)
    given = loaded.settings.model_dump(exclude_unset=True)
    assert loaded.name == name and given.keys() == loaded.sources.keys()
    assert all(address.startswith("https://") for address in loaded.references.values())
    used = {source.partition(":")[0] for source in loaded.sources.values()}
    assert used <= {*loaded.references, recipes.OURS} and set(loaded.references) <= used


@pytest.mark.parametrize("old, new, said", cases("recipes")["wrong"])
def test_a_wrong_recipe_is_a_sentence(tmp_path, old, new, said):
    text = (recipes.FOLDER / "finetuned.yaml").read_text()
    assert old in text
    (tmp_path / "wrong.yaml").write_text(text.replace(old, new, 1))
    assert said in sentence(recipes.load, str(tmp_path / "wrong.yaml") if old else "finetune")


def test_the_learning_rate_is_that_of_others():
    from open_clip_train.scheduler import cosine_lr

    settings = recipes.load("finetuned").settings
    made = recipes.plan(settings, 51_200, 1)
    group = {}
    other = cosine_lr(argparse.Namespace(param_groups=[group]), 3e-5, 500, made.steps)
    for step in (0, 1, 499, 500, 501, 750, 999):
        assert recipes.rate(settings, made, step) == pytest.approx(other(step), rel=1e-12)
    steps = recipes.load("supervised_resnet").settings
    made = recipes.plan(steps, 2_560, 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 30, 0.1)
    for epoch in range(90):
        for step in (10 * epoch, 10 * epoch + 9):
            assert recipes.rate(steps, made, step) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("images, processes, micro, said", cases("recipes")["shared"])
def test_a_batch_that_cannot_be_shared_is_a_sentence(images, processes, micro, said):
    settings = recipes.load("finetuned").settings
    assert said in sentence(recipes.plan, settings, images, processes, micro)


def test_hours_are_operations_by_the_speed_that_is_assumed():
    best, _ = recipe_tables.gpu_hours(10**18)["A100"]
    assert best * 3600 * 312e12 * recipe_tables.ASSUMED["utilisation"][1] == pytest.approx(1e18)
    assert recipe_tables.operations(recipes.load("finetuned"), "RN50x64") is None


def test_a_dry_run_needs_no_images(answer, monkeypatch):
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    line = ["train", "finetuned", "--model", "rn50-openai", "--dry-run", "--device", "cpu"]
    said = answer(*line, "--processes", 8)
    assert "25,020 updates of 512 images: 8 processes, each 1 × 64 images" in said
    assert "learning_rate 3e-05  (code)" in said and "weight_decay 0.1  (paper)" in said
    assert "; hours, H100 " in said and "not measured" in said and "not here: " in said
    said = answer("train", "captions", "--model", "vit_b_32-openai", "--dry-run")
    assert "-m open_clip_train.main --model ViT-B-32-quickgelu" in said


# Training


def recognised(model, images):
    """Of which images the model names the class, as it is loaded from its description."""
    loaded = encoders.load(model)
    head = loaded.head or heads.zero_shot_head(loaded, images.prompts)
    batch = torch.stack([loaded.preprocess(images.image(i)) for i in range(len(images))])
    with torch.inference_mode():
        return head.logits(loaded.encoder(batch).numpy()).argmax(1) == images.labels


def test_finetuning_raises_accuracy_on_images_it_did_not_see(emoji, tmp_path):
    out = tmp_path / "of mine"
    asked = options(emoji, out, recipe(tmp_path))
    path = full_size.run(asked)
    assert path == out / f"{CLIP}-finetuned.safetensors"
    assert not (out / "state.ckpt").exists()
    said, val = about(path), imagelist.folder(emoji / "val")
    begin, *_, end = said["curve"]
    zero_shot = recognised(checkpoints.find(CLIP), val).mean()
    assert begin["accuracy"] == pytest.approx(zero_shot), "it begins as the zero-shot classifier"
    assert end["accuracy"] > begin["accuracy"] + 0.05 and end["step"] == 16
    assert said["made_from"]["start"] == encoders.load(checkpoints.find(CLIP)).weights_sha256
    (tmp_path / "families").mkdir()
    line = shlex.split(results.next_commands(path).splitlines()[1])
    assert line[:3] == ["next:", "companion", "add"]
    wish = Wish(name=line[3], checkpoint=line[4], model=line[line.index("--model") + 1])
    added = add(wish, tmp_path / "families")[1]
    assert (added.level, added.head, added.weights_sha256) == ("finetuned", "own", said["sha256"])
    assert recognised(added, val).mean() == pytest.approx(end["accuracy"])
    assert full_size.run(asked) == path, "a finished one is not done again"
    other = asked.model_copy(update={"seed": 3})
    assert "another training (changed: seed): use the same" in refused(other)


@pytest.mark.slow
def test_supervised_training_from_scratch(emoji, tmp_path):
    """SGD in steps, and AdamW with RandAugment and mixup in bf16."""
    path = full_size.run(options(emoji, tmp_path, recipe(tmp_path, "supervised_resnet")))
    assert path is not None and path.stem == "pocket-cnn-supervised"
    loaded = encoders.load(checkpoints.find(str(path)))
    assert loaded.head is not None and not loaded.head.normalize
    curve = about(path)["curve"]
    assert curve[-1]["loss"] < curve[1]["loss"]
    text = recipe(tmp_path, "supervised_vit", epochs=1)
    path = full_size.run(options(emoji, tmp_path, text, model=VIT, micro_batch=16))
    assert path is not None and checkpoints.find(str(path)).level == "supervised"


@pytest.mark.slow
def test_two_processes_killed_in_the_middle_go_on(emoji, tmp_path):
    """From the last epoch, and with one thread to the same bits."""
    text = recipe(tmp_path, epochs=3)
    lines = [
        words(options(emoji, tmp_path / name, text, processes=2, micro_batch=8))
        for name in ("whole", "killed")
    ]
    whole = python_in(ROOT, "-m", "companion.cli", *lines[0], OMP_NUM_THREADS="1")
    assert len(re.findall(r"^epoch \d,", whole.stdout, re.M)) == 4, whole.stdout + whole.stderr
    process = start_in(ROOT, *lines[1], OMP_NUM_THREADS="1")
    state, until = tmp_path / "killed" / "state.ckpt", time.monotonic() + 200
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = torch.load(state, weights_only=True)
    assert kept["global_step"] == 8 and len(kept["curve"]) == 2
    resumed = python_in(ROOT, "-m", "companion.cli", *lines[1], OMP_NUM_THREADS="1")
    assert re.findall(r"^epoch (\d),", resumed.stdout, re.M) == ["2", "3"]
    paths = [tmp_path / name / f"{CLIP}-finetuned.safetensors" for name in ("whole", "killed")]
    assert about(paths[0])["curve"] == about(paths[1])["curve"]
    first, second = (read_weights(path).state for path in paths)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


# What goes wrong


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_state(emoji, tmp_path):
    asked = options(emoji, tmp_path, recipe(tmp_path, warmup_steps=0), val=None)
    state = tmp_path / "state.ckpt"
    kept = full_size.Training(asked)
    kept.build()
    torch.save({"made_from": kept.made_from | {"seed": 1}}, state)
    assert "state.ckpt belongs to another training (changed: seed)" in refused(asked)
    cut = state.read_bytes()[:-200]
    torch.save({"made_from": print}, state)  # what could run code is not opened
    assert "is not a sound state or result of a training: remove it" in refused(asked)
    state.write_bytes(cut)
    assert "is not a sound state or result of a training: remove it" in refused(asked)
    state.unlink()
    text = recipe(tmp_path, learning_rate=1e30)
    said = refused(options(emoji, tmp_path, text, val=None))
    assert re.match(r"in update [23] of 16 the loss was (nan|inf)", said)
    assert not list(tmp_path.glob("*finetuned.safetensors"))


def test_images_that_will_not_do(emoji, tmp_path):
    asked = options(emoji, tmp_path, recipe(tmp_path))

    def other(**changes):
        return refused(asked.model_copy(update=changes))

    folder = next((emoji / "val").iterdir())
    said = "objectnet is a set to measure on, and must not be trained on"
    assert said in other(data="objectnet")
    assert "has no subfolders: one per class is expected" in other(data=str(folder))
    (tmp_path / "val" / "cat").mkdir(parents=True)
    (tmp_path / "val" / "cat" / "a.png").symlink_to(next(folder.iterdir()))
    assert "does not have the 8 classes that are expected" in other(val=str(tmp_path / "val"))
    for number, place in enumerate(sorted((emoji / "train").iterdir())):
        (tmp_path / "cut" / place.name).mkdir(parents=True)
        for path in sorted(place.iterdir())[:8]:
            cut = path.read_bytes()[: 60 if number else None]
            (tmp_path / "cut" / place.name / path.name).write_bytes(cut)
    unreadable = r"cut-\w+: an image cannot be read, \w+/\d+\.png: .*: get it again\."
    for workers in (0, 1):
        assert re.fullmatch(unreadable, other(data=str(tmp_path / "cut"), workers=workers))


def test_start_weights_that_do_not_fit(emoji, tmp_path):
    text = recipe(tmp_path)
    for model, said in cases("recipes")["starts"].items():
        assert said in refused(options(emoji, tmp_path / "out", text, model=model))
    vit = options(emoji, tmp_path / "x", recipe(tmp_path, "supervised_resnet"), model=VIT)
    assert "a recipe for the kind of tower resnet, and this one" in refused(vit)
    missing = options(emoji, tmp_path, text, device="cuda")
    if not torch.cuda.is_available():
        assert "0 GPUs are here for 1 processes" in refused(missing)
