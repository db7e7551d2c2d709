"""Recipes of the paper's comparison models at full size: what they are, and what they would cost.

``data/recipes/*.yaml`` hold the hyper-parameters, each with where it comes from; `train_imagenet`
and `captions` carry them out. The pocket lab's recipes are another thing, see `pocket`. A cost is
an estimate from counted operations, a vendor's peak and an assumed share of it. No torch.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from analysis.common import ROOT, CompanionError, Name, Strict, Text, first_reason, suggestion

FOLDER = ROOT / "data" / "recipes"
COST = FOLDER / "cost"
#: How a source says that a value is nobody's but ours.
OURS = "ours"
#: Images of ImageNet-Captions, as published (Fang et al. 2022).
CAPTIONS = 463_622
#: Images that a process takes at a time if nothing else is said, where the batch allows it.
MICRO_BATCH = 64

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class TrainingError(CompanionError, RuntimeError):
    """A training at full size cannot start, or go on; the message says what to do."""


class TrainOptions(Strict):
    """What `companion train` takes."""

    recipe: str = Field(description="a recipe's name, or a .yaml file")
    model: str = Field(
        description="a CLIP model, as companion probe takes it: where finetuning starts; of the "
        "others only architecture and input are taken"
    )
    out: Path | None = Field(None, description="for state and result; the same command goes on")
    name: Name | None = Field(None, description="of the result (after model and recipe)")
    data: str = Field("imagenet-train", description="or a folder with a subfolder per class")
    val: str | None = Field(None, description="to measure on (imagenet for imagenet-train)")
    captions: Path | None = Field(None, description="JSON file, for the recipe captions")
    accept_counts: bool = Field(
        False, description="take an altered copy of a published set as it is; the result says so"
    )
    seed: int = Field(0, ge=0, description="of all that is drawn")
    micro_batch: int | None = Field(
        None, ge=1, description=f"images at a time (the most up to {MICRO_BATCH} that fit)"
    )
    workers: int = Field(
        min(8, os.cpu_count() or 1), ge=0, description="processes that decode for one that trains"
    )
    processes: int | None = Field(None, ge=1, description="on each machine (one for each GPU)")
    nodes: int = Field(1, ge=1, description="machines, each with this command (srun, torchrun)")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="what computes")
    dry_run: bool = Field(False, description="say what would be done, and about what it costs")

    def folder(self) -> Path:
        """Return ``out``; TrainingError without it."""
        if self.out is None:
            raise TrainingError("--out is missing: name a folder for the state and the result.")
        return self.out


# Recipes


class Settings(Strict):
    """Hyper-parameters that all recipes have.

    ``batch`` is that of one update, over all processes. ``warmup_steps`` are updates in which the
    learning rate rises in a straight line.
    """

    batch: Count
    epochs: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]


class ClassifierSettings(Settings):
    """Hyper-parameters of finetuning and of supervised training.

    ``decayed``: weight decay for all parameters, or for matrices alone. ``schedule``: half a cosine
    down to 0, or steps of ``step_epochs`` after which the rate is multiplied by ``step_factor``.
    ``crop_scale`` is the range of a random crop's share of the image. ``randaugment`` is (number of
    operations, magnitude), ``mixup`` the parameter of the Beta distribution.
    """

    optimizer: Literal["adamw", "sgd"]
    betas: tuple[Share, Share] | None = None
    epsilon: Positive | None = None
    momentum: Share | None = None
    decayed: Literal["all", "matrices"]
    schedule: Literal["cosine", "step"]
    step_epochs: Count | None = None
    step_factor: Positive | None = None
    clip_norm: Positive | None
    label_smoothing: Share
    crop_scale: tuple[Positive, Annotated[float, Field(gt=0, le=1)]]
    crop_interpolation: Literal["bicubic", "bilinear"]
    flip: bool
    randaugment: tuple[Count, Count] | None
    mixup: Positive | None
    precision: Literal["bf16", "fp32"]

    @model_validator(mode="after")
    def _belong_together(self) -> ClassifierSettings:
        adamw = self.optimizer == "adamw"
        if any((value is not None) != adamw for value in (self.betas, self.epsilon)):
            raise ValueError("betas and epsilon must be given for adamw, and for nothing else")
        if (self.momentum is not None) == adamw:
            raise ValueError("momentum must be given for sgd, and for nothing else")
        step = self.schedule == "step"
        if any((value is not None) != step for value in (self.step_epochs, self.step_factor)):
            raise ValueError("step_epochs and step_factor must be given for the schedule step only")
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError(f"crop_scale must rise, got {self.crop_scale}")
        return self


class CaptionSettings(Settings):
    """Hyper-parameters that are handed to open_clip's trainer; ``parts`` make up a caption."""

    schedule: Literal["cosine"]
    parts: Annotated[tuple[Literal["title", "description", "tags"], ...], Field(min_length=1)]
    precision: Literal["amp_bf16", "amp", "fp32"]


class Recipe(Strict):
    """One recipe, with the source of each setting: a key of ``references``, or ``ours``.

    ``towers`` says for which image towers it is made.
    """

    name: Name
    level: Literal["finetuned", "supervised", "captions"]
    towers: Literal["any", "resnet", "vit"]
    title: Text
    references: dict[str, Text]
    settings: ClassifierSettings | CaptionSettings
    sources: dict[str, Text]

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, content: Any) -> Any:
        """Take ``{value, source}`` of every setting apart."""
        if not isinstance(content, dict) or "sources" in content:
            return content
        entries = content.get("settings")
        if not isinstance(entries, dict):
            raise ValueError("settings must map names to {value: …, source: …}")
        for name, entry in entries.items():
            if not isinstance(entry, dict) or entry.keys() != {"value", "source"}:
                raise ValueError(f"the setting {name!r} must be {{value: …, source: …}}")
        kind = CaptionSettings if content.get("level") == "captions" else ClassifierSettings
        settings = kind.model_validate({n: e["value"] for n, e in entries.items()})
        sources = {n: e["source"] for n, e in entries.items()}
        return {**content, "settings": settings, "sources": sources}

    @model_validator(mode="after")
    def _sources_are_known(self) -> Recipe:
        for name, source in self.sources.items():
            if source not in self.references and source.partition(":")[0] != OURS:
                known = ", ".join([*self.references, OURS])
                raise ValueError(f"the source {source!r} of {name} is none of {known}")
        return self

    def classifier(self) -> ClassifierSettings:
        """Return the settings of a recipe that trains on labels; TrainingError for another."""
        if isinstance(self.settings, ClassifierSettings):
            return self.settings
        raise TrainingError(
            f"{self.name} trains on captions, which open_clip's own trainer does: use "
            "`companion train`."
        )

    def captions(self) -> CaptionSettings:
        """Return the settings of a recipe that trains on captions; TrainingError for another."""
        if isinstance(self.settings, CaptionSettings):
            return self.settings
        raise TrainingError(f"{self.name} trains on labels, a recipe for captions is expected.")


def load(text: str) -> Recipe:
    """Return the recipe of that name, or in that ``.yaml`` file; TrainingError if it is wrong."""
    path = Path(text) if text.endswith((".yaml", ".yml")) else FOLDER / f"{text}.yaml"
    if not path.is_file():
        known = suggestion(text, names())
        raise TrainingError(f"there is no recipe {text!r}: {known}, or a file that ends in .yaml.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"{path.name} is not readable as YAML ({reason}).") from None
    except ValidationError as error:
        raise TrainingError(f"{path.name}: {first_reason(error)}.") from None


def names() -> list[str]:
    """Names of the project's own recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@dataclass(frozen=True)
class Plan:
    """How many updates a training has, and how its batches are shared out.

    An epoch leaves out what does not fill a batch. Every update is made of ``micro_batches`` parts
    of ``micro_batch`` images; process r of ``processes`` takes part r, r + processes, and so on.
    """

    images: int
    batch: int
    epochs: int
    processes: int
    micro_batch: int

    @property
    def epoch_steps(self) -> int:
        """Updates in an epoch."""
        return self.images // self.batch

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.epoch_steps * self.epochs

    @property
    def micro_batches(self) -> int:
        """Parts of an update, over all processes."""
        return self.batch // self.micro_batch

    @property
    def accumulation(self) -> int:
        """Parts of an update that one process computes, one after the other."""
        return self.micro_batches // self.processes


def plan(settings: Settings, images: int, processes: int, micro_batch: int | None = None) -> Plan:
    """Share a recipe's batch out among processes; TrainingError where that is not possible."""
    batch = settings.batch
    if images < batch:
        raise TrainingError(
            f"{images:,} images do not fill one batch of {batch}: give more images, or a recipe "
            "(a .yaml file) with a smaller batch."
        )
    if batch % processes:
        raise TrainingError(
            f"a batch of {batch} cannot be shared by {processes} processes: use a number of "
            f"processes that divides {batch}."
        )
    share = batch // processes
    fits = [n for n in range(1, min(share, MICRO_BATCH) + 1) if share % n == 0]
    micro = micro_batch or fits[-1]
    if share % micro:
        raise TrainingError(
            f"each of {processes} processes has {share} images of a batch of {batch}, which cannot "
            f"be taken {micro} at a time: use --micro-batch with a divisor of {share}."
        )
    made = Plan(images, batch, settings.epochs, processes, micro)
    if settings.warmup_steps >= made.steps:
        raise TrainingError(
            f"the learning rate rises for {settings.warmup_steps:,} updates, and the training has "
            f"only {made.steps:,}: give more images, or a recipe with a shorter warm-up."
        )
    return made


def rate(settings: ClassifierSettings, made: Plan, step: int) -> float:
    """Return the learning rate of an update, counted from 0.

    In the warm-up it is (step + 1) / warm-up of the full one; the cosine begins after it, the steps
    count epochs from the very first update.
    """
    full, rising = settings.learning_rate, settings.warmup_steps
    if step < rising:
        return full * (step + 1) / rising
    if settings.schedule == "step":
        assert settings.step_epochs and settings.step_factor
        drops = step // made.epoch_steps // settings.step_epochs
        return float(full * settings.step_factor**drops)
    return full * 0.5 * (1 + math.cos(math.pi * (step - rising) / (made.steps - rising)))


# Cost


class Gpu(Strict):
    """A kind of GPU; ``peak`` in bf16 operations a second, as its maker gives it."""

    name: Text
    peak: Positive
    source: Text


class Assumptions(Strict):
    """What estimates rest on: GPUs, and the least and largest share of their peak in use."""

    gpus: tuple[Gpu, ...]
    utilisation: tuple[Share, Share]
    utilisation_source: Text


class Operations(Strict):
    """Counted operations of an architecture, for one image and for one text."""

    architecture: Text
    image_forward: Count
    image_training: Count
    text_training: Count


@dataclass(frozen=True)
class Cost:
    """An estimate. ``operations`` in all, ``images`` seen; both without the measuring between."""

    images: int
    operations: int

    def gpu_hours(self, gpu: Gpu) -> tuple[float, float]:
        """Return the hours on one GPU, from the best to the worst utilisation assumed."""
        low, high = assumptions().utilisation
        return tuple(self.operations / (gpu.peak * share) / 3600 for share in (high, low))  # type: ignore[return-value]

    def images_per_second(self, gpu: Gpu) -> tuple[float, float]:
        """Return how many images one GPU takes in a second, from the worst to the best."""
        best, worst = self.gpu_hours(gpu)
        return self.images / worst / 3600, self.images / best / 3600


@lru_cache
def assumptions() -> Assumptions:
    """What is assumed of GPUs."""
    content = yaml.safe_load((COST / "assumptions.yaml").read_text(encoding="utf-8"))
    return Assumptions.model_validate(content)


@lru_cache
def operations() -> dict[str, Operations]:
    """Counted operations by architecture."""
    with (COST / "flops.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return {row["architecture"]: Operations.model_validate(row) for row in rows}


def cost(recipe: Recipe, architecture: str, images: int) -> Cost | None:
    """Estimate a training on ``images``; None for an architecture that was not counted."""
    counted = operations().get(architecture)
    if counted is None:
        return None
    settings = recipe.settings
    seen = images // settings.batch * settings.batch * settings.epochs
    texts = counted.text_training if recipe.level == "captions" else 0
    return Cost(seen, seen * (counted.image_training + texts))


def cost_sentence(estimate: Cost | None) -> str:
    """Say an estimate, with what it rests on."""
    if estimate is None:
        return "cost: not known, the architecture's operations were not counted"
    low, high = assumptions().utilisation
    hours = ", ".join(
        "{} to {} hours on one {}".format(*map(_shown, estimate.gpu_hours(gpu)), gpu.name)
        for gpu in assumptions().gpus
    )
    return (
        f"cost: {estimate.images:,} images seen, {estimate.operations:.1e} operations; about "
        f"{hours}, at {high:.0%} down to {low:.0%} of the peak (an estimate: not measured)"
    )


def _shown(hours: float) -> str:
    return f"{hours:.1f}" if hours < 10 else f"{hours:,.0f}"


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command `companion train` and the module that torchrun starts both take."""
    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(names())}, or a .yaml file")
    parser.add_argument("--model", required=True, metavar="MODEL",
                        help="a CLIP model, as companion probe takes it: where finetuning starts; "
                        "of the others only architecture and input are taken")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER",
                        help="for state and result; the same command goes on there")  # fmt: skip
    parser.add_argument("--name", help="of the result (default: after model and recipe)")
    parser.add_argument("--data", default="imagenet-train", metavar="DATA",
                        help="imagenet-train, or a folder with a subfolder per class "
                        "(imagenet-train)")  # fmt: skip
    parser.add_argument("--val", metavar="DATA",
                        help="images to measure on (imagenet, if it is here, for "
                        "imagenet-train)")  # fmt: skip
    parser.add_argument("--accept-counts", action="store_true",
                        help="take an incomplete or altered copy of a published set as it is; the "
                        "result says so")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--micro-batch", type=int, metavar="N",
                        help=f"images that a process takes at a time (the most up to {MICRO_BATCH} "
                        "that fit the batch)")  # fmt: skip
    parser.add_argument("--save-every", type=int, default=500, metavar="N",
                        help="updates after which the state is kept, besides every epoch "
                        "(500)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), metavar="N",
                        help="processes that decode images, for each that trains")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                        help="(auto)")  # fmt: skip


def check_options(options: argparse.Namespace) -> None:
    """Raise TrainingError for a number that makes no sense."""
    for name, least in (("micro_batch", 1), ("save_every", 1), ("workers", 0), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            shown = name.replace("_", "-")
            raise TrainingError(f"--{shown} must be at least {least}, got {value}.")


def arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line that says the same as parsed options."""
    given = [options.recipe, "--model", options.model, "--out", str(options.out)]
    given += ["--data", options.data, "--seed", str(options.seed)]
    for name in ("name", "val", "micro_batch"):
        value = getattr(options, name)
        given += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    given += ["--accept-counts"] if options.accept_counts else []
    given += ["--save-every", str(options.save_every), "--workers", str(options.workers)]
    return [*given, "--device", options.device]


def torchrun(processes: int, module: str, given: Sequence[str]) -> list[str]:
    """Return the command that starts a module in several processes on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # Without the two dashes torchrun takes what follows the module for abbreviations of its own.
    return [*launcher, "--nproc-per-node", str(processes), "-m", "--", module, *given]
