"""Recipes of the paper's comparison models at full size: hyper-parameters, batches, learning rates.

``data/recipes/*.yaml`` hold the hyper-parameters, each with where it comes from; `full_size` and
`captions` carry them out, and `recipe_tables` says what they would cost. The pocket lab's recipes
are another thing, see `pocket`. No torch.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from base.roots import ROOT
from base.strict import Name, Strict, Text, checked, read_yaml
from base.texts import CompanionError, suggestion

FOLDER = ROOT / "data" / "recipes"
#: How a source says that a value is nobody's but ours.
OURS = "ours"
#: Images of ImageNet-Captions, as published (Fang et al. 2022).
CAPTIONS_PUBLISHED = 463_622
#: Images that a process takes at a time if nothing else is said, where the batch allows it.
MICRO_BATCH = 64

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class TrainingError(CompanionError, RuntimeError):
    """A training at full size cannot start, or go on; the message says what to do."""


class TrainOptions(Strict):
    """What `companion train` takes."""

    recipe: str = Field(
        description="name of a recipe, or a .yaml file", json_schema_extra={"placed": True}
    )
    model: str = Field(
        description="a CLIP model, named as for `companion probe`: finetuning starts from it, the "
        "other recipes take only its architecture and input"
    )
    out: Path | None = Field(None, description="folder for state and result")
    name: Name | None = Field(None, description="name of the result")
    data: str = Field("imagenet-train", description="imagenet-train or a folder of class folders")
    val: str | None = Field(None, description="images to measure on")
    captions: Path | None = Field(None, description="JSON file of captions")
    accept_counts: bool = Field(
        False, description="accept an altered copy of a published set; the result then says so"
    )
    seed: int = Field(0, ge=0, description="seed of all random numbers")
    micro_batch: int | None = Field(
        None, ge=1, description=f"images at a time (default: what fits, up to {MICRO_BATCH})"
    )
    workers: int = Field(
        min(8, os.cpu_count() or 1), ge=0, description="decoding processes for each that trains"
    )
    processes: int | None = Field(None, ge=1, description="processes per machine (one per GPU)")
    nodes: int = Field(1, ge=1, description="machines that run this command (srun, torchrun)")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute")
    dry_run: bool = Field(False, description="print the plan and an estimate of its cost")

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
        owners = {"betas": "adamw", "epsilon": "adamw", "momentum": "sgd"}
        owners |= {"step_epochs": "step", "step_factor": "step"}
        for name, owner in owners.items():
            if (getattr(self, name) is not None) != (owner in (self.optimizer, self.schedule)):
                raise ValueError(f"{name} must be given for {owner}, and for nothing else")
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError(f"crop_scale must rise, got {self.crop_scale}")
        return self


class CaptionSettings(Settings):
    """Hyper-parameters that are handed to open_clip's trainer; ``parts`` make up a caption."""

    schedule: Literal["cosine"]
    parts: Annotated[tuple[Literal["title", "description", "tags"], ...], Field(min_length=1)]
    precision: Literal["amp_bf16", "amp", "fp32"]


class _Sourced(Strict):
    """A setting as the files have it."""

    value: Any
    source: Text


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
        entries = TypeAdapter(dict[str, _Sourced]).validate_python(content.get("settings"))
        kind = CaptionSettings if content.get("level") == "captions" else ClassifierSettings
        settings = kind.model_validate({name: entry.value for name, entry in entries.items()})
        sources = {name: entry.source for name, entry in entries.items()}
        return {**content, "settings": settings, "sources": sources}

    @model_validator(mode="after")
    def _sources_are_known(self) -> Recipe:
        for name, source in self.sources.items():
            if source not in self.references and source.partition(":")[0] != OURS:
                names = ", ".join([*self.references, OURS])
                raise ValueError(f"the source {source!r} of {name} is none of {names}")
        return self

    def check_tower(self, network: str) -> None:
        """Raise TrainingError if the recipe is for another kind of image tower than that class."""
        kind = {"ModifiedResNet": "resnet", "VisionTransformer": "vit"}.get(network)
        if self.towers not in ("any", kind):
            raise TrainingError(
                f"{self.name} is a recipe for the kind of tower {self.towers}, and this one is a "
                f"{network}: use {' or '.join(names())}."
            )


def load(text: str) -> Recipe:
    """Return the recipe of that name, or in that ``.yaml`` file; TrainingError if it is wrong."""
    path = Path(text) if text.endswith((".yaml", ".yml")) else FOLDER / f"{text}.yaml"
    if not path.is_file():
        near = suggestion(text, names())
        raise TrainingError(f"there is no recipe {text!r}: {near}, or a file that ends in .yaml.")
    return checked(Recipe, read_yaml(path, TrainingError), path.name, TrainingError)


def names() -> list[str]:
    """Names of the project's own recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


# Plan


@dataclass(frozen=True)
class Plan:
    """How many updates a training has, and how its batches are shared out.

    An epoch leaves out what does not fill a batch: of ``steps`` updates it has ``epoch_steps``. An
    update is made of parts of ``micro_batch`` images; a process computes ``accumulation`` of them.
    """

    images: int
    batch: int
    steps: int
    epoch_steps: int
    processes: int
    micro_batch: int
    accumulation: int


def plan(settings: Settings, images: int, processes: int, micro_batch: int | None = None) -> Plan:
    """Share a recipe's batch out among processes; TrainingError where that is not possible."""
    batch = settings.batch
    if images < batch:
        raise TrainingError(
            f"{images:,} images do not fill one batch of {batch}: give more images, or a recipe "
            "(a .yaml file) with a smaller batch."
        )
    share = batch // processes
    micro = micro_batch or max(n for n in range(1, MICRO_BATCH + 1) if share % n == 0)
    if batch % (processes * micro):
        raise TrainingError(
            f"a batch of {batch} cannot be shared by {processes} processes that take {micro} "
            f"images at a time: use --processes and --micro-batch whose product divides {batch}."
        )
    steps = images // batch * settings.epochs
    if settings.warmup_steps >= steps:
        raise TrainingError(
            f"the learning rate rises for {settings.warmup_steps:,} updates, and the training has "
            f"only {steps:,}: give more images, or a recipe with a shorter warm-up."
        )
    return Plan(images, batch, steps, images // batch, processes, micro, share // micro)


def rate(settings: ClassifierSettings, made: Plan, step: int) -> float:
    """Return the learning rate of an update, counted from 0.

    In the warm-up it is (step + 1) / warm-up of the full one; the cosine begins after it, the steps
    count epochs from the very first update.
    """
    full, rising = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "step" and step >= rising:
        assert settings.step_epochs and settings.step_factor
        drops = step // made.epoch_steps // settings.step_epochs
        return float(full * settings.step_factor**drops)
    return warmed_cosine(full, step, rising, made.steps)


def warmed_cosine(full: float, step: int, rising: int, steps: int) -> float:
    """Return the rate of an update: a straight rise to the full one, then half a cosine to 0."""
    if step < rising:
        return full * (step + 1) / rising
    part = (step - rising) / max(1, steps - rising)
    return full * 0.5 * (1 + math.cos(math.pi * part))
