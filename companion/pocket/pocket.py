"""What the pocket models are: recipes, captions and texts of the classes. No torch.

``data/pocket/recipes.yaml`` says how each model is trained; `objectives` does it. The
captions are what a page on the web might write next to an emoji: its name, some of its tags.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from analysis.base.roots import ROOT
from analysis.base.strict import Name, Strict, Text, checked, read_yaml
from analysis.families.registry import Level
from companion.sources.emoji import TEMPLATES

POCKET = ROOT / "data" / "pocket"
RECIPES = POCKET / "recipes.yaml"
CHECKPOINTS = POCKET / "checkpoints"

#: How many captions are written for each concept; every image draws one of them in every step.
CAPTIONS_PER_CONCEPT = 32

#: How often a caption also says of what kind the thing is ("mammal"), as tags seldom do.
CATEGORY_SHARE = 0.25

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Objective = Literal["contrastive", "supervised", "finetuned"]
Styles = Literal["captions", "web_small", "web_large"]
#: Over what AdamW averages the second moment of the two projections, or what does its part, see
#: `companion.pocket.optimizers`.
SecondMoment = Literal[
    "element", "column", "adafactor", "lamb", "sign",
    "shared", "matrix", "none", "muon", "shampoo",
]  # fmt: skip

#: Settings that the first recipes did not have: unused, they change no training's identity.
ADDED_LATER = {"caption_noise", "final_scale", "scale_steps", "second_moment"}


class PocketRecipe(Strict):
    """How one model is trained; with a seed it decides the weights.

    ``steps`` is the number of updates (none for the random control), ``warmup`` the share of them
    in which the learning rate rises, ``shrink`` and ``shift`` the largest random change of size
    and place (shares of the image), ``start`` the model from which training starts.

    For contrastive training ``caption_noise`` is the share of images whose caption is that of a
    random one, drawn again in every step; with ``final_scale`` the logit scale is not learned: its
    logarithm goes in a line to this one's within ``scale_steps`` and stays there.
    """

    name: Name
    family: Literal["pocket_cnn", "pocket_vit", "pool"]
    level: Level
    objective: Objective
    architecture: Text
    styles: Styles
    start: Name | None = None
    steps: Annotated[int, Field(ge=0)]
    batch: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Share
    clip_norm: Positive
    label_smoothing: Share
    shrink: Share
    shift: Share
    flip: bool
    caption_noise: Share = 0.0
    final_scale: Annotated[float, Field(gt=0, le=100)] | None = None
    scale_steps: Annotated[int, Field(ge=0)] = 0
    second_moment: SecondMoment = "element"

    @model_validator(mode="after")
    def _fits_the_objective(self) -> PocketRecipe:
        if self.objective == "finetuned" and self.start is None:
            raise ValueError("start must be given for the objective finetuned")
        return self

    def decisive(self) -> dict[str, Any]:
        """Return what decides the weights; without the settings that came later, where unused."""
        unused = ADDED_LATER - self.model_dump(exclude_defaults=True).keys()
        return self.model_dump(mode="json", exclude=set(unused))


class Recipes(Strict):
    """The whole of ``recipes.yaml``, with the defaults filled in."""

    seeds: tuple[int, ...]
    models: tuple[PocketRecipe, ...]

    def tasks(self) -> list[tuple[PocketRecipe, int]]:
        """Return every training, a recipe and a seed: all seeds, for the pool the first only."""
        return [
            (recipe, seed)
            for recipe in self.models
            for seed in (self.seeds[:1] if recipe.family == "pool" else self.seeds)
        ]

    def recipe(self, name: str) -> PocketRecipe:
        """Return the recipe called ``name``; KeyError if there is none."""
        return {recipe.name: recipe for recipe in self.models}[name]

    def starts(self, recipe: PocketRecipe) -> int:
        """Return how many trainings come one after another before that of ``recipe`` begins."""
        return 0 if recipe.start is None else 1 + self.starts(self.recipe(recipe.start))


def load_recipes() -> Recipes:
    """Read ``recipes.yaml``: every model is the defaults of its objective, and what it changes."""
    content = read_yaml(RECIPES)
    models = [
        {**content["defaults"], **content["objectives"][model["objective"]], **model}
        for model in content["models"]
    ]
    return checked(Recipes, {"seeds": content["seeds"], "models": models}, RECIPES.name)


def captions(name: str, tags: Sequence[str], category: str, seed: int) -> list[str]:
    """Return ``CAPTIONS_PER_CONCEPT`` captions of one concept, the same for the same ``seed``.

    A caption has the name (in three of four cases, else tags alone, where there are any), up to
    four tags in any order, in `CATEGORY_SHARE` of the cases the ``category`` (if it is not empty),
    and one of ``TEMPLATES`` around it.
    """
    draw = random.Random(f"{seed} {name}")
    texts = []
    for _ in range(CAPTIONS_PER_CONCEPT):
        some = draw.sample(list(tags), draw.randint(0, min(4, len(tags))))
        named = draw.random() < 0.75 or not some
        told = draw.random() < CATEGORY_SHARE and bool(category)
        parts = ([category] if told else []) + ([name] if named else []) + some
        texts.append(draw.choice(TEMPLATES).format(", ".join(parts)))
    return texts


def prompts(classes: Iterable[str]) -> list[list[str]]:
    """Return the texts of every class, one for each template."""
    return [[template.format(name) for template in TEMPLATES] for name in classes]


def warmed_cosine(full: float, step: int, rising: int, steps: int) -> float:
    """Return the rate of an update: a straight rise to the full one, then half a cosine to 0."""
    if step < rising:
        return full * (step + 1) / rising
    part = (step - rising) / max(1, steps - rising)
    return full * 0.5 * (1 + math.cos(math.pi * part))
