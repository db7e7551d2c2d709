"""Training at full size: finetuning and supervised training of CLIP's image towers on ImageNet.

One process for each GPU, started by torchrun (`companion train` does that)::

    torchrun --nproc-per-node 8 -m training.full_size finetuned --model rn50-openai --out DIR

The losses are those of `train`; what is different is size: images are read and augmented while the
GPUs compute, and a batch is shared out. Each update is cut into parts of the same number of images
(`recipes.Plan`), and every random draw follows from the seed, the update and the image, so that the
parts are the same whatever computes them: one process with more parts in turn differs from several
by rounding alone. Normalisation over a batch (CLIP's ResNets) uses each part by itself, and its
running averages are the mean over the processes, so there the number of processes does matter.

The state is kept every so many updates; a training that was killed goes on from there, in the same
folder with the same number of processes, and on CPUs (with as many threads) ends with the same
bits.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode, v2
from tqdm import tqdm

from analysis.common import ROOT
from analysis.families.registry import Model, Preprocessing, RegistryError
from analysis.features import checkpoints, encoders, store
from analysis.features.encoders import ModelError
from analysis.features.preprocess import to_pixels
from analysis.features.store import StoreError
from analysis.images import find, sets
from analysis.images.imagelist import DamagedImageError, DatasetError, ImageList
from training import captions, objectives, recipes
from training.pocket import PocketError
from training.recipes import ClassifierSettings, Plan, Recipe, TrainingError

TRAIN_SET, VAL_SET = "imagenet-train", "imagenet"
LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")
#: Grey, where an augmentation moves an image aside.
FILL = 128
EXPECTED = (TrainingError, DatasetError, ModelError, RegistryError, StoreError, PocketError)


class ImageError(TrainingError):
    """An image cannot be read; the other processes do not know of it."""


# Processes


@dataclass(frozen=True)
class Group:
    """This process among those that train together."""

    rank: int
    processes: int
    device: torch.device

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes."""
        if self.processes > 1:
            dist.all_reduce(value)
            value /= self.processes
        return value

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.processes > 1:
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.processes > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started; without torchrun be the only one."""
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device here: use --device cpu, or auto.")
    own = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    )
    if cuda:
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if (own.index or 0) >= torch.cuda.device_count():
            raise TrainingError(
                f"there are {torch.cuda.device_count()} GPUs here, and more processes: start one "
                "for each."
            )
        torch.cuda.set_device(own)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes == 1:
        yield Group(0, 1, own)
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Group(dist.get_rank(), processes, own)
    finally:
        dist.destroy_process_group()


# What is trained


class Net(objectives.Classifier):
    """The image tower with its head, as `train` has it; calling it gives the class scores."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised images (n, 3, size, size) to scores (n, classes)."""
        return self.logits(pixels)


@dataclass
class Task:
    """A training that is ready to begin.

    ``identity`` decides the weights: a state with another one is not gone on from. ``about`` is
    noted with the result besides.
    """

    recipe: Recipe
    model: Model
    name: str
    images: ImageList
    val: ImageList | None
    plan: Plan
    seed: int
    identity: dict[str, Any]
    about: dict[str, Any]

    @property
    def settings(self) -> ClassifierSettings:
        """The recipe's hyper-parameters."""
        return self.recipe.classifier()


def prepare(options: argparse.Namespace, processes: int) -> Task:
    """Check all that can be checked before anything is computed.

    Raises one of `EXPECTED` in a sentence. The identity lacks what `identify` adds.
    """
    recipes.check_options(options)
    recipe = recipes.load(options.recipe)
    settings = recipe.classifier()
    model = _model(options)
    name = options.name or default_name(recipe, model)
    images, val = read_data(options)
    made = recipes.plan(settings, len(images), processes, options.micro_batch)
    identity = {
        "recipe": recipe.model_dump(mode="json"), "seed": options.seed, "name": name,
        "architecture": model.architecture, "processes": processes,
        "micro_batch": made.micro_batch, "data": images.what or images.name,
    }  # fmt: skip
    if processes > 1:  # running averages are brought together when the state is kept
        identity["save_every"] = options.save_every
    about: dict[str, Any] = {"start": None}
    if recipe.level == "finetuned":
        about = {"start": model.name, "pretraining": model.pretraining}
    return Task(recipe, model, name, images, val, made, options.seed, identity, about)


def _model(options: argparse.Namespace) -> Model:
    """Describe the model that is named; TrainingError if it is none of open_clip's."""
    model = checkpoints.find(options.model, assumed_level="zero_shot")
    if model.library != "open_clip":
        raise TrainingError(
            f"{options.model} is not a model of open_clip's: name a CLIP model, as rn50-openai."
        )
    return model


def default_name(recipe: Recipe, model: Model) -> str:
    """Return ``rn50-openai-finetuned``, or ``rn50-quickgelu-supervised`` without its weights."""
    of = model.name if recipe.level == "finetuned" else (model.architecture or "").lower()
    return f"{of}-{recipe.level}"


def read_data(options: argparse.Namespace) -> tuple[ImageList, ImageList | None]:
    """List the images to train on, and those to measure on, which must have the same classes."""
    if options.data in sets.descriptions() and options.data != TRAIN_SET:
        raise TrainingError(
            f"{options.data} is a set to measure on, and must not be trained on: use {TRAIN_SET}, "
            "or a folder of your own."
        )
    images = _listed(options.data, options.accept_counts)
    if (images.labels < 0).any():
        raise TrainingError(f"{options.data} has no subfolders: one per class is expected.")
    val = options.val
    if val is None and options.data == TRAIN_SET:
        with suppress(DatasetError):  # an absent one is no error, an incomplete one is
            sets.locate(sets.descriptions()[VAL_SET])
            val = VAL_SET
    if val is None:
        return images, None
    return images, _listed(val, options.accept_counts).expect(classes=images.classes)


def _listed(text: str, accept_counts: bool) -> ImageList:
    found = find.find(text, accept_counts=accept_counts)
    if len(found) != 1:
        raise TrainingError(f"{text} is {len(found)} sets: name one.")
    return found[0]


def build(task: Task, *, fresh: bool) -> Net:
    """Make the network; with ``fresh`` as it is before the first update, else only its shape.

    Notes the start weights' checksum in the task's identity.
    """
    settings, model = task.settings, task.model
    torch.manual_seed(task.seed)
    if task.recipe.level == "supervised":
        visual = open_clip.CLIP(**encoders.architecture(model.architecture or "")).visual
        head = nn.Linear(model.width, len(task.images.classes))
        task.identity["start_sha256"] = None
        normalised = False
    else:
        visual, head = _from_zero_shot(task, fresh)
        normalised = True
    _check_towers(task.recipe, visual)
    return Net(visual, head, normalised=normalised, label_smoothing=settings.label_smoothing)


def _from_zero_shot(task: Task, fresh: bool) -> tuple[nn.Module, nn.Linear]:
    """The image tower of a CLIP model, and exp(logit scale) × its zero-shot weights as a head."""
    loaded = encoders.load(task.model)
    task.identity["start_sha256"] = loaded.weights_sha256
    prompts = encoders.head_prompts(task.model, task.images)
    if loaded.text is None or prompts is None:
        raise TrainingError(
            f"{task.model.name} has no text encoder to make its first head with: finetuning starts "
            "from a whole CLIP model."
        )
    head = nn.Linear(task.model.width, len(task.images.classes))
    if fresh:
        state, _ = encoders.read_weights(encoders._open_clip_file(task.model))
        if "logit_scale" not in state:
            raise TrainingError(f"the weights of {task.model.name} have no logit_scale.")
        weight = encoders.zero_shot_head(loaded, prompts).weight
        with torch.no_grad():
            head.weight.copy_(state["logit_scale"].float().exp() * torch.from_numpy(weight))
            head.bias.zero_()
    return loaded.encoder.requires_grad_(True), head


def _check_towers(recipe: Recipe, visual: nn.Module) -> None:
    kinds = {"ModifiedResNet": "resnet", "VisionTransformer": "vit"}
    kind = kinds.get(type(visual).__name__)
    if recipe.towers not in ("any", kind):
        raise TrainingError(
            f"{recipe.name} is a recipe for the kind of tower {recipe.towers}, and this one is a "
            f"{type(visual).__name__}: use another of {', '.join(recipes.names())}."
        )


def optimizer_of(net: nn.Module, settings: ClassifierSettings) -> torch.optim.Optimizer:
    """Make the recipe's optimizer."""
    parameters = list(net.parameters())
    undecayed = [p for p in parameters if settings.decayed == "matrices" and p.ndim < 2]
    skipped = {id(p) for p in undecayed}
    groups = [
        {"params": [p for p in parameters if id(p) not in skipped],
         "weight_decay": settings.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]  # fmt: skip
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        assert settings.momentum is not None
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    assert settings.betas is not None and settings.epsilon is not None
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon
    )


# Images


def draw(*place: int) -> int:
    """Return the seed of what is drawn at one place: (seed, update, image), say."""
    text = " ".join(map(str, place)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")


@lru_cache(maxsize=2)
def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch goes through ``count`` images, (count,)."""
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclass(frozen=True)
class Parts:
    """The parts of one process, from the update ``first`` on, each a list of (image, update)."""

    plan: Plan
    seed: int
    rank: int = 0
    first: int = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        plan = self.plan
        for step in range(self.first, plan.steps):
            epoch, place = divmod(step, plan.epoch_steps)
            rows = order(plan.images, self.seed, epoch)
            cut = rows[place * plan.batch : (place + 1) * plan.batch]
            for part in cut.reshape(plan.micro_batches, -1)[self.rank :: plan.processes]:
                yield [(int(row), step) for row in part]

    def __len__(self) -> int:
        return (self.plan.steps - self.first) * self.plan.accumulation


def augmentation(settings: ClassifierSettings, size: int) -> v2.Compose:
    """Return the recipe's random change of a picture, to ``size`` × ``size`` pixels."""
    mode = InterpolationMode(settings.crop_interpolation)
    steps: list[nn.Module] = [v2.RandomResizedCrop(size, settings.crop_scale, interpolation=mode)]
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip())
    if settings.randaugment:
        number, magnitude = settings.randaugment
        steps.append(v2.RandAugment(number, magnitude, fill=[FILL] * 3))
    return v2.Compose(steps)


@dataclass
class Augmented(Dataset[tuple[Tensor, int]]):
    """The images to train on; an item is asked for by (image, update)."""

    images: ImageList
    settings: ClassifierSettings
    size: int
    seed: int

    @cached_property
    def change(self) -> v2.Compose:
        """The random change."""
        return augmentation(self.settings, self.size)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, int]:
        """Return the bytes (3, size, size) and the label."""
        row, step = item
        picture = _decoded(self.images, row)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw(self.seed, step, row))
            changed = np.array(self.change(picture))
        return torch.from_numpy(changed).permute(2, 0, 1), int(self.images.labels[row])


@dataclass
class Plain(Dataset[tuple[Tensor, int]]):
    """The images to measure on, resized and cropped as the encoder expects it."""

    images: ImageList
    spec: Preprocessing
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        """Return the bytes (3, size, size) and the label."""
        row = self.rows[item]
        pixels = to_pixels(_decoded(self.images, row), self.spec)
        return torch.from_numpy(pixels.copy()), int(self.images.labels[row])


def _decoded(images: ImageList, row: int) -> Any:
    try:
        return images.image(row)
    except DamagedImageError as error:  # one that can be passed on by the processes that decode
        raise ImageError(
            f"{images.name}: an image cannot be read, {error}: get it again."
        ) from None


# The loop


@dataclass
class Progress:
    """How far a training is: updates done, the loss summed since the last point, the curve."""

    step: int = 0
    loss: float = 0.0
    since: int = 0
    curve: list[dict[str, float | int | None]] = field(default_factory=list)


def run(options: argparse.Namespace, group: Group, stop_after: int | None = None) -> Path | None:
    """Train, or go on, and return the checkpoint's path.

    ``stop_after`` ends the call after so many updates and returns None, as if it was interrupted.
    Raises one of `EXPECTED`.
    """
    task = prepare(options, group.processes)
    task.identity["device"] = group.device.type
    out: Path = options.out
    result, state = out / f"{task.name}.safetensors", out / "state.safetensors"
    with ExitStack() as held:
        if group.rank == 0:
            held.enter_context(_alone(out))
            task.about["data_manifest"] = task.images.manifest
        if result.exists():
            _check_result(result, task)
            return result
        kept = _read_state(state) if state.exists() else None
        net = build(task, fresh=kept is None)
        net.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = optimizer_of(net, task.settings)
        progress = Progress()
        if kept is not None:
            progress = _go_on(kept, net, optimizer, task, group)
        group.wait()
        if _loop(task, options, group, net, optimizer, progress, state, stop_after):
            return None
        if group.rank == 0:
            _write_result(result, task, net, progress)
            state.unlink(missing_ok=True)
        group.wait()
    return result


def _loop(
    task: Task,
    options: argparse.Namespace,
    group: Group,
    net: Net,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    state: Path,
    stop_after: int | None,
) -> bool:
    """Do the updates that are left; True if it was stopped before the last."""
    plan, settings = task.plan, task.settings
    wrapped: nn.Module = net
    if group.processes > 1:
        ids = [group.device.index] if group.device.type == "cuda" else None
        wrapped = DistributedDataParallel(net, device_ids=ids, **_own_buffers())
    if not progress.curve:
        score = accuracy(net, task, options, group)
        progress.curve.append({"step": 0, "epoch": 0, "loss": None, "accuracy": score})
        _tell(group, progress)
    size = task.model.preprocessing.size
    loader = DataLoader(
        Augmented(task.images, settings, size, task.seed),
        batch_sampler=Parts(plan, task.seed, group.rank, progress.step),
        num_workers=options.workers, pin_memory=group.device.type == "cuda",
    )  # fmt: skip
    batches = iter(loader)
    hidden = group.rank != 0 or not sys.stderr.isatty()
    bar = tqdm(total=plan.steps, initial=progress.step, disable=hidden, unit="update")
    while progress.step < plan.steps:
        progress.loss += _update(wrapped, optimizer, batches, task, group, progress.step)
        progress.step += 1
        bar.update()
        whole_epoch = progress.step % plan.epoch_steps == 0
        if whole_epoch or progress.step % options.save_every == 0:
            _agree(net, group)
        if whole_epoch:
            score = accuracy(net, task, options, group)
            progress.curve.append({
                "step": progress.step, "epoch": progress.step // plan.epoch_steps,
                "loss": progress.loss / (progress.step - progress.since), "accuracy": score,
            })  # fmt: skip
            progress.loss, progress.since = 0.0, progress.step
            _tell(group, progress)
        if group.rank == 0 and (whole_epoch or progress.step % options.save_every == 0):
            _write_state(state, net, optimizer, task, progress)
        if progress.step == stop_after:
            bar.close()
            return True
    bar.close()
    return False


def _own_buffers() -> dict[str, Any]:
    """The option by which PyTorch leaves every process its own running averages."""
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    return {name: False}


def _update(
    wrapped: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Any],
    task: Task,
    group: Group,
    step: int,
) -> float:
    """Do one update and return its loss, the mean over the whole batch."""
    settings, plan = task.settings, task.plan
    wrapped.train()
    optimizer.zero_grad(set_to_none=True)
    loss = torch.zeros((), device=group.device)
    for turn in range(plan.accumulation):
        pixels, labels = next(batches)
        last = turn == plan.accumulation - 1
        together = isinstance(wrapped, DistributedDataParallel) and not last
        with wrapped.no_sync() if together else nullcontext():  # type: ignore[operator]
            place = turn * plan.processes + group.rank
            part = _part_loss(wrapped, pixels, labels, task, group, (step, place))
            (part / plan.accumulation).backward()  # type: ignore[no-untyped-call]
        loss += part.detach() / plan.accumulation
    norm = nn.utils.clip_grad_norm_(wrapped.parameters(), settings.clip_norm or math.inf)
    found = float(group.mean(loss))
    if not (math.isfinite(found) and math.isfinite(float(norm))):
        raise TrainingError(
            f"in update {step + 1:,} of {plan.steps:,} the loss was {found:g} and the gradient's "
            f"length {float(norm):g}: use a lower learning rate, or precision fp32, in a recipe of "
            "your own; the state before it is kept."
        )
    for one in optimizer.param_groups:
        one["lr"] = recipes.rate(settings, plan, step)
    optimizer.step()
    return found


def _part_loss(
    wrapped: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    task: Task,
    group: Group,
    place: tuple[int, int],
) -> Tensor:
    """Return the mean loss of one part, which ``place`` (update, part) numbers."""
    settings = task.settings
    inputs = encoders.normalize(pixels.to(group.device, non_blocking=True), task.model)
    targets = labels.to(group.device, non_blocking=True)
    if settings.mixup:
        torch.manual_seed(draw(task.seed, *place))
        mix = v2.MixUp(alpha=settings.mixup, num_classes=len(task.images.classes))
        inputs, targets = mix(inputs, targets)
    reduced = settings.precision == "bf16"
    with torch.autocast(group.device.type, torch.bfloat16) if reduced else nullcontext():
        scores = wrapped(inputs)
    return cross_entropy(scores.float(), targets, label_smoothing=settings.label_smoothing)


def accuracy(
    net: Net, task: Task, options: argparse.Namespace, group: Group, batch: int = 256
) -> float | None:
    """Return the share of the images to measure on that are recognised, None without such."""
    if task.val is None:
        return None
    rows = range(group.rank, len(task.val), group.processes)
    loader = DataLoader(
        Plain(task.val, task.model.preprocessing, rows), batch, num_workers=options.workers
    )
    right = torch.zeros((), dtype=torch.float64, device=group.device)
    net.eval()
    with torch.inference_mode():
        for pixels, labels in loader:
            inputs = encoders.normalize(pixels.to(group.device), task.model)
            right += (net(inputs).argmax(1) == labels.to(group.device)).sum()
    return float(group.total(right)) / len(task.val)


def _agree(net: nn.Module, group: Group) -> None:
    """Set running averages, which every process has of its own parts, to their mean."""
    for buffer in net.buffers():
        if buffer.is_floating_point():
            group.mean(buffer)


def _tell(group: Group, progress: Progress) -> None:
    if group.rank == 0:
        point = progress.curve[-1]
        score = "not measured" if point["accuracy"] is None else f"{point['accuracy']:.4f}"
        loss = "" if point["loss"] is None else f", loss {point['loss']:.4f}"
        print(f"epoch {point['epoch']}, update {point['step']}{loss}, accuracy {score}", flush=True)


# Files


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        if not store.lock_at_once(file):
            raise TrainingError(f"another training works in {folder}: use another folder.")
        yield


def _write_state(
    path: Path, net: Net, optimizer: torch.optim.Optimizer, task: Task, progress: Progress
) -> None:
    notes = {"progress": json.dumps(asdict(progress)), "identity": json.dumps(task.identity),
             "data_manifest": task.about["data_manifest"]}  # fmt: skip
    objectives.write_tensors(objectives.training_state(net, optimizer), path, notes)


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors, notes = objectives.read_tensors(path)
        json.loads(notes["progress"]), json.loads(notes["identity"])
    except (SafetensorError, OSError, KeyError, ValueError):
        raise TrainingError(
            f"{path} is not a sound state of a training: remove it, and the training begins anew."
        ) from None
    return tensors, notes


def _go_on(
    kept: tuple[dict[str, Tensor], dict[str, str]],
    net: Net,
    optimizer: torch.optim.Optimizer,
    task: Task,
    group: Group,
) -> Progress:
    """Take up a state; TrainingError if it is another training's."""
    tensors, notes = kept
    _check_same(json.loads(notes["identity"]), task.identity, "the state in this folder")
    if group.rank == 0 and notes["data_manifest"] != task.about["data_manifest"]:
        raise TrainingError(
            f"the images of {task.images.name} are others than when this training began: put those "
            "back, or begin anew in another folder."
        )
    objectives.put_training_state(net, optimizer, tensors)
    return Progress(**json.loads(notes["progress"]))


def _check_same(was: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """Raise TrainingError, naming the first thing that differs."""
    now = json.loads(json.dumps(now))
    for name in now:
        if was.get(name) != now[name]:
            shown = "" if name == "recipe" else f" ({was.get(name)}, now {now[name]})"
            raise TrainingError(
                f"{what} is of a training with another {name.replace('_', ' ')}{shown}: give the "
                "same, or another folder with --out."
            )


def _check_result(path: Path, task: Task) -> None:
    """Raise TrainingError unless a finished result is that of this very training."""
    try:
        was = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        raise TrainingError(
            f"{path} is there without a sound {path.stem}.json: use another folder."
        ) from None
    now = {name: value for name, value in task.identity.items() if name != "start_sha256"}
    _check_same(was, now, str(path))


def _write_result(path: Path, task: Task, net: Net, progress: Progress) -> None:
    """Write the checkpoint and what it is, in the reverse order: with the first all is there."""
    notes = {
        "architecture": task.model.architecture or "", "level": task.recipe.level,
        "classes": json.dumps(task.images.classes), "normalize": json.dumps(net.normalised),
    }  # fmt: skip
    part = path.with_name(path.name + ".whole")
    objectives.write_tensors(net.weights(), part, notes)
    part.chmod(0o644)  # safetensors are written for their owner alone
    with part.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    content = {
        "name": task.name, "level": task.recipe.level, "sha256": sha256,
        "identity": task.identity, **task.about, "images": len(task.images),
        "accuracy": progress.curve[-1]["accuracy"],
        "measured_on": None if task.val is None else task.val.what or task.val.name,
        "curve": progress.curve, "precision_of_the_file": "float32",
        "libraries": {name: version(name) for name in LIBRARIES},
        "entry": family_entry(task, path, sha256),
    }  # fmt: skip
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    beside = path.with_suffix(".json.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path.with_suffix(".json"))
    part.replace(path)


def family_entry(task: Task, path: Path, sha256: str) -> dict[str, Any]:
    """Return what a family file says of the result, for a family that is edited by hand."""
    level = task.recipe.level
    of = "ImageNet-1k" if task.images.name == TRAIN_SET else task.images.name
    return {
        "name": task.name, "level": level, "library": "open_clip",
        "architecture": task.model.architecture, "weights": str(path.resolve()),
        "weights_sha256": sha256,
        "pretraining": task.model.pretraining if level == "finetuned" else f"{of} labels",
        "preprocessing": task.model.preprocessing.model_dump(mode="json", exclude_defaults=True),
        "width": task.model.width, "head": "own",
    }  # fmt: skip


def next_commands(path: Path) -> str:
    """Say how to make a finished checkpoint part of a family."""
    entry = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["entry"]
    name = entry["name"].replace(".", "-")
    return (
        f"{path}\nnext: companion add {name} {path} --model {name}-trained "
        f"--level {entry['level']} --pretraining {json.dumps(entry['pretraining'])}\n"
        f"or put `entry` of {path.with_suffix('.json').name} into a family file"
    )


# Starting


def launch(options: argparse.Namespace) -> int:
    """Check all that can be checked, then train in processes of their own; their exit status.

    Raises one of `EXPECTED`.
    """
    recipe, processes = recipes.load(options.recipe), processes_here(options)
    if recipe.level == "captions":
        if options.captions is None:
            raise TrainingError(
                f"--captions is missing: name the JSON file of ImageNet-Captions "
                f"({captions.ORIGIN})."
            )
        architecture = _model(options).architecture or ""
        path = captions.run(recipe, architecture, options, processes)
        print(next_commands(path))
        return 0
    prepare(options, processes)
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command(options, processes), env={**os.environ, "PYTHONPATH": search})
    if done.returncode and processes > 1:  # torchrun says much: the sentence is above
        raise TrainingError(
            "the training stopped for the reason above; once that is mended the same command goes "
            "on from the state that was kept last."
        )
    return done.returncode


def processes_here(options: argparse.Namespace) -> int:
    """Return how many processes are asked for, or one for each GPU here, or one."""
    if options.processes:
        return int(options.processes)
    return 1 if options.device == "cpu" else max(1, torch.cuda.device_count())


def command(options: argparse.Namespace, processes: int) -> list[str]:
    """Return the command that trains on labels."""
    module, given = "training.full_size", recipes.arguments(options)
    if processes == 1:
        return [sys.executable, "-m", module, *given]
    return recipes.torchrun(processes, module, given)


def describe(options: argparse.Namespace) -> str:
    """Say what would be done and about what it would cost, also where there are no images."""
    recipes.check_options(options)
    recipe, model, processes = (
        recipes.load(options.recipe),
        _model(options),
        processes_here(options),
    )
    settings, here = recipe.settings, ""
    if options.out is None:
        options.out = Path("FOLDER")
    if recipe.level == "captions":
        images = captions.PUBLISHED
        made = captions.plan_of(recipe.captions(), images, processes, options.micro_batch)
        line = captions.command(recipe.captions(), model.architecture or "",
                                options.out / "captions.tsv", options.out, made,
                                seed=options.seed, workers=options.workers)  # fmt: skip
    else:
        try:
            images = len(read_data(options)[0])
        except DatasetError as error:
            if options.data != TRAIN_SET:
                raise
            images, here = sets.descriptions()[TRAIN_SET].images, f"not here: {error}"
        made = recipes.plan(settings, images, processes, options.micro_batch)
        line = command(options, processes)
    values = settings.model_dump(exclude_none=True)
    shown = [f"  {name} {value}  ({recipe.sources[name]})" for name, value in values.items()]
    shown += [f"  ({name}: {address})" for name, address in recipe.references.items()]
    return "\n".join([
        f"{recipe.title}: {model.architecture}, from {model.name}", *shown,
        f"images: {images:,}", *filter(None, [here]),
        f"{made.steps:,} updates of {made.batch:,} images: {processes} process"
            f"{'es' * (processes > 1)}, each {made.accumulation} × {made.micro_batch} images",
            recipes.cost_sentence(recipes.cost(recipe, model.architecture or "", images)),
        f"command: {shlex.join(line)}",
    ])  # fmt: skip


def main(given: Sequence[str] | None = None) -> int:
    """Run as one of the processes that torchrun starts; returns the exit status."""
    parser = argparse.ArgumentParser(prog="training.full_size", description=__doc__)
    recipes.add_arguments(parser)
    options = parser.parse_args(given)
    if options.out is None:
        parser.error("the following arguments are required: --out")
    rank = int(os.environ.get("RANK", 0))
    try:
        with joined(options.device) as group:
            result = run(options, group)
    except EXPECTED as error:
        if rank == 0 or isinstance(error, ImageError):
            last = str(error).strip().splitlines()[-1]  # a decoding process sends its traceback too
            sentence = re.sub(r"^[\w.]+Error: ", "", last)
            print(f"companion: {sentence}", file=sys.stderr)
        return 1
    except (OSError, SafetensorError) as error:
        print(f"companion: {error}: make room, or allow writing there, and call again; the state "
              "that was kept last is there.", file=sys.stderr)  # fmt: skip
        return 1
    except KeyboardInterrupt:
        return 130
    if rank == 0 and result is not None:
        print(next_commands(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
