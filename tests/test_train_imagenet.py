"""Training at full size, in miniature: recipes, the loop over processes, captions, and errors.

The miniature is real: the pocket lab's CLIP, and emoji in a folder per class.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from PIL import Image

from analysis.images import find, imagelist
from companion.cli import main
from training import captions, recipes
from training.recipes import Plan, TrainingError

torch = pytest.importorskip("torch", reason="training needs the extra `extract`")
open_clip = pytest.importorskip("open_clip", reason="training needs the extra `extract`")

from analysis.features import checkpoints, encoders  # noqa: E402
from companion.readers import Wish, add  # noqa: E402
from training import full_size  # noqa: E402

CLIP, VIT = "pocket-cnn-web-large", "pocket-vit-web-large"
CLASSES = 8
ALONE = full_size.Group(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """Bits are the same for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Emoji of one style as files, `train/<class>` and `val/<class>`, of other concepts."""
    folder = tmp_path_factory.mktemp("emoji")
    for split, name in (("train", "train"), ("test", "val")):
        listed = find.pocket("noto", split, classified=True)
        sizes = Counter(find.pocket("noto", "train", classified=True).labels.tolist())
        largest = [label for label, _ in sizes.most_common(CLASSES)]
        for i in np.flatnonzero(np.isin(listed.labels, largest)):
            place = folder / name / listed.classes[listed.labels[i]].replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            listed.image(int(i)).save(place / f"{i:05}.png")
    return folder


def recipe(folder: Path, base: str = "finetuned", **changes: Any) -> str:
    """Write a recipe that is one of the project's but for some settings; return its path."""
    content = yaml.safe_load((recipes.FOLDER / f"{base}.yaml").read_text(encoding="utf-8"))
    small = {"batch": 32, "epochs": 2, "warmup_steps": 2}
    if base == "finetuned":
        small |= {"learning_rate": 3e-4, "precision": "fp32", "crop_scale": [0.8, 1.0]}
    for name, value in (small | changes).items():
        content["settings"][name] = {"value": value, "source": "ours"}
    path = folder / f"{base}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def options(emoji: Path, out: Path, text: str, *more: str, model: str = CLIP) -> Any:
    parser = argparse.ArgumentParser()
    recipes.add_arguments(parser)
    given = [text, "--model", model, "--out", str(out), "--data", str(emoji / "train")]
    given += ["--workers", "0", "--device", "cpu"]
    if "--val" not in more:
        given += ["--val", str(emoji / "val")]
    return parser.parse_args([*given, *more])


def weights(path: Path) -> dict[str, Any]:
    return encoders.read_weights(path)[0]


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# Recipes


@pytest.mark.parametrize("name", recipes.names())
def test_every_number_of_a_recipe_has_a_source(name: str) -> None:
    found = recipes.load(name)
    given = found.settings.model_dump(exclude_unset=True)
    assert found.name == name and given.keys() == found.sources.keys()
    assert all(address.startswith("https://") for address in found.references.values())
    used = {source.partition(":")[0] for source in found.sources.values()}
    assert used <= {*found.references, recipes.OURS} and set(found.references) <= used


def edited(folder: Path, old: str, new: str) -> str:
    text = (recipes.FOLDER / "finetuned.yaml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "wrong.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("source: paper", "source: rumour", "the source 'rumour' of weight_decay is none of code"),
        ("value: adamw", "value: sgd", "betas and epsilon must be given for adamw"),
        ("{value: 512, source: code}", "512", "the setting 'batch' must be {value: …, source: …}"),
        ("value: 512", "value: -1", "batch: input should be greater than 0, got -1"),
        ("  flip: {value: false, source: code}\n", "", "flip: field required"),
        ("  flip:", "  flop: {value: 1, source: code}\n  flip:", "flop: extra inputs are not"),
        ("[0.9, 1.0]", "[1.0, 0.9]", "crop_scale must rise"),
        ("name: finetuned", "name: [", "wrong.yaml is not readable as YAML"),
    ],
)
def test_a_wrong_recipe_is_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(TrainingError) as caught:
        recipes.load(edited(tmp_path, old, new))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_known() -> None:
    with pytest.raises(TrainingError, match="did you mean 'finetuned'"):
        recipes.load("finetune")


def test_the_learning_rate_is_that_of_others() -> None:
    from open_clip_train.scheduler import cosine_lr

    found = recipes.load("finetuned").classifier()
    made = Plan(5_120, 512, 100, 1, 64)
    group: dict[str, float] = {}
    other = cosine_lr(argparse.Namespace(param_groups=[group]), 3e-5, 500, made.steps)
    for step in (0, 1, 499, 500, 501, 750, 999):
        assert recipes.rate(found, made, step) == pytest.approx(other(step), rel=1e-12)
    steps = recipes.load("supervised_resnet").classifier()
    made = Plan(2_560, 256, 90, 1, 64)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 30, 0.1)
    for epoch in range(90):
        for step in (10 * epoch, 10 * epoch + 9):
            assert recipes.rate(steps, made, step) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    "images, processes, micro, sentence",
    [
        (500, 1, None, "500 images do not fill one batch of 512"),
        (90_000, 7, None, "a batch of 512 cannot be shared by 7 processes"),
        (90_000, 2, 100, "each of 2 processes has 256 images of a batch of 512, which cannot be"),
        (20_000, 1, None, "the learning rate rises for 500 updates, and the training has only 390"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_a_sentence(
    images: int, processes: int, micro: int | None, sentence: str
) -> None:
    with pytest.raises(TrainingError, match=re.escape(sentence)):
        recipes.plan(recipes.load("finetuned").settings, images, processes, micro)


def test_the_parts_of_several_processes_are_those_of_one() -> None:
    alone, shared = Plan(100, 12, 3, 1, 3), Plan(100, 12, 3, 2, 3)
    assert (alone.steps, alone.accumulation, shared.accumulation) == (24, 4, 2)
    one = list(full_size.Parts(alone, seed=5))
    two = [list(full_size.Parts(shared, seed=5, rank=rank)) for rank in (0, 1)]
    assert one[0::2] == two[0] and one[1::2] == two[1]
    assert len(full_size.Parts(shared, seed=5)) == len(two[0])
    for epoch in range(3):
        rows = [row for part in one[32 * epoch : 32 * (epoch + 1)] for row, _ in part]
        assert len(set(rows)) == 96
    assert list(full_size.Parts(alone, seed=5, first=10)) == one[40:]
    assert list(full_size.Parts(alone, seed=6)) != one


# Cost


def test_the_counted_operations_are_the_architectures() -> None:
    counted = recipes.operations()["ViT-B-32"]
    tokens, width, patches = 50, 768, 49
    layer = 2 * tokens * (4 * width**2 + 2 * width * 4 * width) + 2 * 2 * tokens**2 * width
    by_hand = 12 * layer + 2 * patches * width * 3 * 32**2 + 2 * width * 512
    assert counted.image_forward == by_hand


@pytest.mark.slow
def test_the_table_of_operations_is_what_the_counter_says() -> None:
    subprocess.run(
        [sys.executable, recipes.COST / "make.py", "--check"], check=True, timeout=600
    )  # fmt: skip


def test_a_cost_is_operations_over_what_a_gpu_does() -> None:
    found = recipes.cost(recipes.load("finetuned"), "ViT-B-32", 1_281_167)
    assert found is not None and found.images == 10 * 2502 * 512
    assert found.operations == found.images * recipes.operations()["ViT-B-32"].image_training
    a100 = next(gpu for gpu in recipes.assumptions().gpus if gpu.name == "A100")
    low, high = recipes.assumptions().utilisation
    best, worst = found.gpu_hours(a100)
    assert best * 3600 * 312e12 * high == pytest.approx(found.operations)
    assert worst / best == pytest.approx(high / low)
    assert found.images_per_second(a100)[1] == pytest.approx(found.images / best / 3600)
    assert recipes.cost(recipes.load("finetuned"), "RN50x64", 1_281_167) is None
    with_text = recipes.cost(recipes.load("captions"), "ViT-B-32", 463_622)
    assert with_text is not None
    assert with_text.operations / with_text.images == pytest.approx(26_221_658_112 + 17_878_622_208)


def test_a_dry_run_needs_no_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    command = ["train", "finetuned", "--model", "rn50-openai", "--dry-run", "--processes", "8"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "25,020 updates of 512 images: 8 processes, each 1 × 64 images" in said
    assert "learning_rate 3e-05  (code)" in said and "weight_decay 0.1  (paper)" in said
    assert "hours on one H100" in said and "not measured" in said and "not here: " in said
    assert "--nproc-per-node 8 -m -- training.full_size finetuned --model rn50-openai" in said
    assert main(["train", "captions", "--model", "vit_b_32-openai", "--dry-run"]) == 0
    assert "-m open_clip_train.main --model ViT-B-32-quickgelu" in capsys.readouterr().out


# Training


@pytest.fixture(scope="module")
def finetuned(emoji: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A whole training that nothing interrupted; not to be changed."""
    out = tmp_path_factory.mktemp("finetuned")
    asked = options(emoji, out, recipe(out), "--save-every", "3")
    path = full_size.run(asked, ALONE)
    assert path is not None
    return path, asked


def test_finetuning_raises_accuracy_on_images_it_did_not_see(
    emoji: Path, finetuned: tuple[Path, Any], tmp_path: Path
) -> None:
    path, _ = finetuned
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    begin, *_, end = about["curve"]
    val = imagelist.folder(emoji / "val")
    zero_shot = encoders.recognised(checkpoints.find(CLIP), val).mean()
    assert begin["accuracy"] == pytest.approx(zero_shot), "it begins as the zero-shot classifier"
    assert end["accuracy"] > begin["accuracy"] + 0.05
    assert about["identity"]["start_sha256"] == checkpoints_sha256(CLIP)
    assert about["data_manifest"] == imagelist.folder(emoji / "train").manifest
    (tmp_path / "families").mkdir()
    command = full_size.next_commands(path).splitlines()[1].split()
    assert command[:3] == ["next:", "companion", "add"]
    wish = Wish(name=command[3], checkpoint=command[4], model=command[command.index("--model") + 1])
    added = add(wish, tmp_path / "families").model
    assert (added.level, added.head, added.weights_sha256) == ("finetuned", "own", about["sha256"])
    assert encoders.recognised(added, val).mean() == pytest.approx(end["accuracy"])
    entry = encoders.Model.model_validate(about["entry"])
    assert encoders.recognised(entry, val).mean() == pytest.approx(end["accuracy"])


def checkpoints_sha256(name: str) -> str:
    return encoders.load(checkpoints.find(name)).weights_sha256


def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    emoji: Path, finetuned: tuple[Path, Any], tmp_path: Path
) -> None:
    """Stopped in an epoch, two updates after its state was kept."""
    whole, _ = finetuned
    asked = options(emoji, tmp_path, recipe(tmp_path), "--save-every", "3")
    assert full_size.run(asked, ALONE, stop_after=5) is None
    assert not list(tmp_path.glob("*finetuned.safetensors"))
    path = full_size.run(asked, ALONE)
    assert path is not None and same(path, whole)
    curves = [json.loads(p.with_suffix(".json").read_text("utf-8"))["curve"] for p in (path, whole)]
    assert curves[0] == curves[1]
    assert not (tmp_path / "state.safetensors").exists()
    assert full_size.run(asked, ALONE) == path, "a finished one is not done again"


def test_supervised_training_from_scratch(emoji: Path, tmp_path: Path) -> None:
    """SGD in steps, and AdamW with RandAugment and mixup in bf16."""
    asked = options(emoji, tmp_path, recipe(tmp_path, "supervised_resnet"))
    path = full_size.run(asked, ALONE)
    assert path is not None and path.stem == "pocket-cnn-supervised"
    model = checkpoints.find(str(path))
    loaded = encoders.load(model)
    assert model.level == "supervised" and loaded.head is not None and not loaded.head.normalize
    curve = json.loads(path.with_suffix(".json").read_text("utf-8"))["curve"]
    assert curve[-1]["loss"] < curve[1]["loss"]
    text = recipe(tmp_path, "supervised_vit", epochs=1)
    asked = options(emoji, tmp_path, text, "--micro-batch", "16", model=VIT)
    path = full_size.run(asked, ALONE)
    assert path is not None and checkpoints.find(str(path)).level == "supervised"
    with pytest.raises(TrainingError, match="a recipe for the kind of tower resnet, and this one"):
        other = recipe(tmp_path, "supervised_resnet")
        full_size.run(options(emoji, tmp_path / "x", other, model=VIT), ALONE)


def torchrun(asked: list[str]) -> list[str]:
    return recipes.torchrun(2, "training.full_size", asked)


SEARCH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
ENVIRONMENT = {**os.environ, "PYTHONPATH": SEARCH, "OMP_NUM_THREADS": "1"}


def test_two_processes_train_as_one_does(emoji: Path, tmp_path: Path) -> None:
    """Sums in another order: float32 differs in the last digits, which AdamW magnifies a little."""
    text = recipe(tmp_path, epochs=1)
    asked = options(emoji, tmp_path / "two", text, "--micro-batch", "16", model=VIT)
    done = subprocess.run(
        torchrun(recipes.arguments(asked)), env=ENVIRONMENT, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked.out = tmp_path / "one"
    one = full_size.run(asked, ALONE)
    assert one is not None
    two = tmp_path / "two" / one.name
    first, second = weights(one), weights(two)
    start = encoders.load(checkpoints.find(VIT)).encoder.state_dict()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-5, rtol=1e-4)
    moved = [(first[f"visual.{k}"] - v).abs().max() for k, v in start.items()]
    assert max(moved) > 1e-3, "the tolerance would hide a training that did nothing"
    points = [json.loads(p.with_suffix(".json").read_text("utf-8"))["curve"] for p in (one, two)]
    assert points[0][0]["accuracy"] == points[1][0]["accuracy"]
    assert points[0][1]["loss"] == pytest.approx(points[1][1]["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", [CLIP, VIT])
def test_two_processes_killed_in_the_middle_end_with_the_same_bits(
    emoji: Path, tmp_path: Path, model: str
) -> None:
    text = recipe(tmp_path, epochs=8)
    outs = [tmp_path / "whole", tmp_path / "killed"]
    lines = [
        torchrun(recipes.arguments(
            options(emoji, out, text, "--save-every", "4", "--micro-batch", "16", model=model)
        ))
        for out in outs
    ]  # fmt: skip
    subprocess.run(lines[0], env=ENVIRONMENT, check=True, timeout=300)
    state = outs[1] / "state.safetensors"
    process = subprocess.Popen(lines[1], env=ENVIRONMENT, start_new_session=True)
    until = time.monotonic() + 120
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert state.exists() and not list(outs[1].glob("*-finetuned.safetensors"))
    subprocess.run(lines[1], env=ENVIRONMENT, check=True, timeout=300)
    assert same(*(out / f"{model}-finetuned.safetensors" for out in outs))


def children(session: int) -> list[int]:
    """Processes that are left of a session: torchrun puts its own into groups of their own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


# What goes wrong


def refused(asked: Any) -> str:
    with pytest.raises(full_size.EXPECTED) as caught:
        full_size.run(asked, ALONE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_state(emoji: Path, tmp_path: Path) -> None:
    text = recipe(tmp_path, learning_rate=1e30)
    said = refused(options(emoji, tmp_path, text, "--save-every", "1"))
    assert re.match(r"in update [23] of \d+ the loss was (nan|inf)", said)
    _, notes = full_size._read_state(tmp_path / "state.safetensors")
    assert json.loads(notes["progress"])["step"] == int(said.split()[2]) - 1
    assert not list(tmp_path.glob("*finetuned.safetensors"))


def test_the_state_of_another_training_is_not_gone_on_from(
    emoji: Path, finetuned: tuple[Path, Any], tmp_path: Path
) -> None:
    text = recipe(tmp_path)
    asked = options(emoji, tmp_path, text, "--save-every", "3", "--micro-batch", "16")
    assert full_size.run(asked, ALONE, stop_after=3) is None
    state = tmp_path / "state.safetensors"
    before = state.read_bytes()
    asked.seed = 1
    assert "is of a training with another seed (0, now 1)" in refused(asked)
    asked.seed, asked.micro_batch = 0, 8
    assert "another micro batch (16, now 8)" in refused(asked)
    asked.micro_batch = 16
    asked.recipe = recipe(tmp_path, learning_rate=1e-4)
    assert "another recipe: give the same, or another folder" in refused(asked)
    asked.recipe = recipe(tmp_path)
    with pytest.raises(TrainingError, match=r"another processes \(1, now 2\)"):
        task = full_size.prepare(asked, 2)
        full_size._check_same(
            json.loads(full_size._read_state(state)[1]["identity"]), task.identity, "it"
        )
    asked.data = str(emoji / "val")
    assert "another data" in refused(asked)
    asked.data = str(emoji / "train")
    assert state.read_bytes() == before
    state.write_bytes(before[: len(before) // 2])
    assert "is not a sound state of a training: remove it" in refused(asked)
    whole, of = finetuned
    other = argparse.Namespace(**{**vars(of), "seed": 3})
    assert f"{whole} is of a training with another seed" in refused(other)


def test_two_trainings_in_one_folder(emoji: Path, tmp_path: Path) -> None:
    asked = options(emoji, tmp_path, recipe(tmp_path))
    with full_size._alone(tmp_path):
        assert f"another training works in {tmp_path}" in refused(asked)


def test_images_that_will_not_do(
    emoji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipe(tmp_path)
    asked = options(emoji, tmp_path, text)
    asked.data = "objectnet"
    assert "objectnet is a set to measure on, and must not be trained on" in refused(asked)
    asked.data = str(next((emoji / "train").iterdir()))
    assert "has no subfolders: one per class is expected" in refused(asked)
    asked.data = str(emoji / "train")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "cat").symlink_to(next((emoji / "val").iterdir()))
    asked.val = str(tmp_path / "val")
    assert "does not have the 8 classes that are expected" in refused(asked)


def damaged(emoji: Path, folder: Path) -> str:
    """Eight images of each class, of which all but the first class's are cut short."""
    for number, place in enumerate(sorted((emoji / "train").iterdir())):
        (folder / place.name).mkdir(parents=True)
        for path in sorted(place.iterdir())[:8]:
            cut = path.read_bytes()[: 60 if number else None]
            (folder / place.name / path.name).write_bytes(cut)
    return str(folder)


def test_an_image_that_cannot_be_read_stops_it(emoji: Path, tmp_path: Path) -> None:
    asked = options(emoji, tmp_path / "out", recipe(tmp_path))
    asked.data = damaged(emoji, tmp_path / "damaged")
    assert re.match(r"damaged-\w+: an image cannot be read, \w+/\d+\.png: ", refused(asked))


@pytest.mark.slow
def test_also_when_another_process_decodes_it(emoji: Path, tmp_path: Path) -> None:
    asked = options(emoji, tmp_path / "out", recipe(tmp_path), "--workers", "2")
    asked.data, asked.processes = damaged(emoji, tmp_path / "damaged"), 1
    done = subprocess.run(
        full_size.command(asked, 1), env=ENVIRONMENT, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"companion: damaged-\w+: an image cannot be read, .*\n", done.stderr)


def test_an_incomplete_imagenet_is_refused(
    emoji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    monkeypatch.delenv("COMPANION_DATA_CONFIG", raising=False)
    place = tmp_path / "imagenet" / "train"
    for name in ("n01440764", "n01443537", "n99999999"):
        (place / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / name / f"{name}_1.JPEG")
    asked = options(emoji, tmp_path / "out", "finetuned")
    asked.data, asked.val = "imagenet-train", None
    said = refused(asked)
    assert "2 of 1,281,167 images: this copy of ImageNet (training) is incomplete" in said
    assert "1 folders are of none of its classes and are not read, the first is n99999999" in said
    asked.accept_counts = True
    assert "2 images do not fill one batch of 512" in refused(asked)
    images, val = full_size.read_data(asked)
    assert len(images.classes) == 1000 and images.prompts is not None and val is None
    assert len(images.prompts.templates) == 80 and "NOT the published set" in images.what


def test_start_weights_that_do_not_fit(emoji: Path, tmp_path: Path) -> None:
    source = ROOT / "data" / "pocket" / "checkpoints" / f"{CLIP}.safetensors"
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(source.read_bytes()[:-100])
    asked = options(emoji, tmp_path / "out", recipe(tmp_path), model=str(cut))
    assert "cut.safetensors is named safetensors but is not a sound one" in refused(asked)
    state, other = weights(source), tmp_path / "other.safetensors"
    del state["visual.conv1.weight"]
    full_size.train.write_tensors(state, other, {"architecture": "pocket-cnn"})
    asked = options(emoji, tmp_path / "out", recipe(tmp_path), model=str(other))
    assert "1 tensors are missing (first visual.conv1.weight)" in refused(asked)
    asked = options(emoji, tmp_path / "out", recipe(tmp_path), model="pocket-cnn-supervised")
    assert "has no text encoder to make its first head with" in refused(asked)


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--seed", "-1", "--out", "x"], "--seed must be at least 0, got -1"),
        (["--micro-batch", "0", "--out", "x"], "--micro-batch must be at least 1, got 0"),
        ([], "--out is missing"),
        (["--data", "nowhere", "--out", "x"], "nowhere is not a folder of images"),
    ],
)
def test_the_command_answers_in_a_sentence(
    capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    assert main(["train", "finetuned", "--model", CLIP, *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith("companion: ") and said.count("\n") == 1 and sentence in said


def test_recipes_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "--", "train", "sup"]) == 0
    assert capsys.readouterr().out.split() == ["supervised_resnet", "supervised_vit"]


# Captions


ENTRIES = [
    {"filename": "n01440764_1.JPEG", "wnid": "n01440764", "title": 'A  "fish"\there',
     "description": "caught\nby me", "tags": ["lake", "süd"]},
    {"filename": "n01440764_2.JPEG", "wnid": "n01440764", "title": "", "description": "",
     "tags": []},
    {"filename": "n01443537_7.JPEG", "wnid": "n01443537", "title": "NA", "description": "",
     "tags": []},
    {"filename": "n01443537_8.JPEG", "wnid": "n01443537", "title": "gold", "description": "2 < 3",
     "tags": []},
]  # fmt: skip


@pytest.fixture
def train_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images in ImageNet's layout, found as imagenet-train."""
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    monkeypatch.delenv("COMPANION_DATA_CONFIG", raising=False)
    for i, entry in enumerate(ENTRIES):
        path = tmp_path / "imagenet" / "train" / entry["wnid"] / entry["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * i, 90, 200 - 60 * i)).save(path)
    return tmp_path


def captions_file(folder: Path, entries: Any = ENTRIES) -> Path:
    path = folder / "imagenet_captions.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_the_table_is_what_open_clip_will_read(train_set: Path) -> None:
    found, _ = captions.read(
        captions_file(train_set), ("title", "description", "tags"), accept_counts=True
    )
    (images,) = find.find("imagenet-train", accept_counts=True)
    table = captions.write_table(found, images, train_set / "out" / "captions.tsv")
    assert (table.rows, table.without_text, table.without_image) == (2, 2, 0)
    frame = pd.read_csv(table.path, sep="\t")  # as open_clip_train.data does it
    assert frame["title"].tolist() == ['A "fish" here caught by me lake süd', "gold 2 < 3"]
    assert [Path(p).name for p in frame["filepath"]] == ["n01440764_1.JPEG", "n01443537_8.JPEG"]
    assert all(Path(p).is_file() for p in frame["filepath"])
    only, _ = captions.read(captions_file(train_set), ("tags", "title"), accept_counts=True)
    assert only[0].text == 'lake süd A "fish" here'
    (train_set / "imagenet" / "train" / "n01443537" / "n01443537_8.JPEG").unlink()
    (images,) = find.find("imagenet-train", accept_counts=True)
    with pytest.raises(TrainingError, match="1 of 4 captioned images are not among the training"):
        captions.write_table(found, images, table.path)
    less = captions.write_table(found, images, table.path, accept_counts=True)
    assert (less.rows, less.without_image) == (1, 1)


def test_pandas_takes_the_listed_texts_for_nothing() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert captions.MISSING >= STR_NA_VALUES


@pytest.mark.parametrize(
    "content, sentence",
    [
        (ENTRIES, "4 captions where 463,622 were published"),
        ({}, "must hold a list of captions, not dict"),
        ([{**ENTRIES[0], "tags": "lake"}], "entry 0 has no sound tags"),
        ([ENTRIES[0], 3], "entry 1 has no sound filename"),
    ],
)
def test_another_file_of_captions_is_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(sentence)):
        captions.read(captions_file(tmp_path, content), ("title",))


def test_a_file_of_captions_that_cannot_be_read(tmp_path: Path) -> None:
    path = captions_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingError, match="is not readable as JSON"):
        captions.read(path, ("title",))
    with pytest.raises(TrainingError, match="cannot be read"):
        captions.read(tmp_path / "absent.json", ("title",))
    with pytest.raises(TrainingError, match="two captions of one image"):
        captions.read(captions_file(tmp_path, ENTRIES[:1] * 2), ("title",), accept_counts=True)


def test_what_open_clips_trainer_leaves_becomes_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = open_clip.CLIP(**encoders.architecture("pocket-cnn"))
    state = {f"module.{name}": value for name, value in clip.state_dict().items()}
    path = tmp_path / "open_clip" / "checkpoints" / "epoch_2.pt"
    with pytest.raises(TrainingError, match=r"left no epoch_2\.pt"):
        captions.last_checkpoint(tmp_path, 2)
    path.parent.mkdir(parents=True)
    torch.save({"epoch": 2, "name": "open_clip", "state_dict": state, "optimizer": {}}, path)
    result = tmp_path / "pocket-cnn-captions.safetensors"
    found = captions.last_checkpoint(tmp_path, 2)
    assert captions.convert(found, "pocket-cnn", result, {"seed": 0}) == result
    model = checkpoints.find(str(result))
    assert (model.level, model.architecture) == ("captions", "pocket-cnn")
    loaded = encoders.load(model)
    assert loaded.text is not None
    torch.testing.assert_close(
        loaded.encoder.state_dict()["conv1.weight"], clip.visual.conv1.weight.detach()
    )
    about = json.loads(result.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["sha256"] == loaded.weights_sha256 and about["seed"] == 0
    clip.visual.conv1.weight.data[0] = float("nan")
    torch.save({"state_dict": clip.state_dict()}, path)
    with pytest.raises(
        TrainingError, match=r"numbers in visual\.conv1\.weight that are not finite"
    ):
        captions.convert(path, "pocket-cnn", tmp_path / "other.safetensors", {})
    assert not (tmp_path / "other.safetensors").exists()


def test_captions_from_one_command(
    train_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but open_clip's trainer itself, which a slow test runs."""
    out, text = train_set / "out", recipe(train_set, "captions", batch=2, epochs=3, warmup_steps=0)
    given = ["train", text, "--model", CLIP, "--out", str(out), "--accept-counts"]
    assert main(given) == 1 and "--captions is missing" in capsys.readouterr().err
    given += ["--captions", str(captions_file(train_set))]
    monkeypatch.setattr(captions, "NEEDED", ("no_such_module",))
    assert main(given) == 1
    assert "needs no_such_module: pip install -e '.[extract,train]'" in capsys.readouterr().err
    monkeypatch.setattr(captions, "NEEDED", ())
    lines: list[list[str]] = []

    def trained(line: list[str], **_: Any) -> None:
        lines.append(line)
        if len(lines) > 1:
            place = out / "open_clip" / "checkpoints"
            place.mkdir(parents=True)
            clip = open_clip.CLIP(**encoders.architecture("pocket-cnn"))
            torch.save({"epoch": 3, "state_dict": clip.state_dict()}, place / "epoch_3.pt")

    monkeypatch.setattr(captions.subprocess, "run", trained)
    assert main(given) == 1 and "left no epoch_3.pt" in capsys.readouterr().err
    assert main([*given, "--seed", "1"]) == 1
    assert "holds a training with another recipe, seed, data" in capsys.readouterr().err
    assert main(given) == 0 and len(lines) == 2 and lines[0] == lines[1]
    assert lines[0][lines[0].index("--resume") :][:2] == ["--resume", "latest"]
    path = out / "pocket-cnn-captions.safetensors"
    assert f"next: companion add pocket-cnn-captions {path}" in capsys.readouterr().out
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (about["captions"], about["trained_on"], about["without_text"]) == (4, 2, 2)
    assert encoders.load(encoders.Model.model_validate(about["entry"])).model.level == "captions"
    assert main(given) == 1 and "is there already" in capsys.readouterr().err


def test_open_clips_trainer_understands_the_command(tmp_path: Path) -> None:
    from open_clip_train.params import parse_args

    settings = recipes.load("captions").captions()
    plan = captions.plan_of(settings, captions.PUBLISHED, 8, 64)
    line = captions.command(settings, "RN50-quickgelu", tmp_path / "c.tsv", tmp_path, plan,
                            seed=4, workers=2)  # fmt: skip
    said = parse_args(line[line.index(captions.MODULE) + 1 :])
    assert said.batch_size * said.accum_freq * 8 == settings.batch == 1024
    assert (said.model, said.lr, said.wd) == ("RN50-quickgelu", 1e-3, 0.1)
    assert (said.epochs, said.warmup, said.seed, said.workers) == (32, 2000, 4, 2)
    assert (said.train_data, said.csv_separator) == (str(tmp_path / "c.tsv"), "\t")
    assert (said.resume, said.save_most_recent, said.precision) == ("latest", True, "amp_bf16")
    assert said.local_loss and said.gather_with_grad


@pytest.mark.slow
def test_torchrun_hands_the_command_on(tmp_path: Path) -> None:
    """It would take `--logs` for an option of its own."""
    (tmp_path / "echo_arguments.py").write_text("import sys; print(sys.argv[1:])")
    given = ["--logs", "x", "--name", "a b"]
    done = subprocess.run(
        recipes.torchrun(2, "echo_arguments", given), capture_output=True, text=True, check=True,
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [str(given)] * 2


@pytest.mark.slow
def test_open_clips_trainer_takes_the_table_and_the_command(train_set: Path) -> None:
    """Three epochs of a small CLIP in one process: several of this trainer need GPUs."""
    pytest.importorskip("webdataset", reason="open_clip's trainer needs the extra `train`")
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2,
                         "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }  # fmt: skip
    place = train_set / "architecture"
    place.mkdir()
    (place / "open_clip_config.json").write_text(json.dumps(config))
    found, _ = captions.read(captions_file(train_set), ("title",), accept_counts=True)
    (images,) = find.find("imagenet-train", accept_counts=True)
    table = captions.write_table(found, images, train_set / "captions.tsv")
    settings = recipes.load("captions").captions().model_copy(
        update={"batch": 2, "epochs": 3, "warmup_steps": 1, "precision": "fp32"}
    )  # fmt: skip
    plan = captions.plan_of(settings, table.rows, 1, None)
    line = captions.command(settings, f"local-dir:{place}", table.path, train_set, plan,
                            seed=0, workers=0)  # fmt: skip
    done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    last = captions.last_checkpoint(train_set, 3)
    clip = open_clip.CLIP(**config["model_cfg"])
    clip.load_state_dict(encoders.read_weights(last)[0])
