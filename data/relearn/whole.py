"""Train all weights of a pocket model with and without the penalty, and write `whole.csv`.

    python data/relearn/whole.py   # the trainings of `whole` in plan.yaml that are not in the table

Both towers go on from a shipped model, by the recipe of data/pocket/origin.yaml in which its towers
grow outliers. With the penalty each tower feels what the other's projection leaves out, as in
`answers`: size · (1 − ratio) · step · |∂loss/∂column|², by Adam's steps and the row's.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import open_clip
import pandas as pd
import torch
import yaml
from torch import Tensor
from torch.nn.functional import normalize

from analysis.base.files import write_text
from analysis.metrics import basis, modalities, outliers
from companion.checkpoints import networks
from companion.checkpoints.weights import read_weights
from companion.pocket import objectives, pocket, pocket_lab
from companion.pocket.answers import Side
from companion.pocket.objectives import Contrastive, Examples, contrastive_loss
from companion.pocket.pocket import PocketRecipe
from companion.sources import emoji

HERE = Path(__file__).resolve().parent
PLAN = yaml.safe_load((HERE / "plan.yaml").read_text(encoding="utf-8"))["answers"]["whole"]
TABLE = HERE / "whole.csv"


class Answered(Contrastive):
    """CLIP whose towers each feel the answer that the other's projection lacks."""

    size: float
    recipe: PocketRecipe

    def __init__(self, architecture: Any, prompts: Tensor) -> None:
        super().__init__(architecture, prompts)
        self.weights = (self.clip.visual.proj, self.clip.text_projection)
        self.sides = tuple(Side(weight.detach(), "element") for weight in self.weights)
        self.step = 0
        for side, weight in zip(self.sides, self.weights, strict=True):
            weight.register_post_accumulate_grad_hook(lambda w, s=side: self._noted(s, w.grad))

    @torch.no_grad()
    def _noted(self, side: Side, gradient: Tensor) -> None:
        change, row = side.step(gradient.clone())
        side.compare(change, row)
        self.step += side is self.sides[0]

    def loss(self, pixels: Tensor, batch: Examples) -> Tensor:
        """CLIP's loss and both penalties."""
        variant = torch.randint(batch.captions.shape[1], (len(pixels),))
        tokens = batch.captions[batch.concepts, variant]
        x, y = self._before(pixels, tokens)
        scale = self.clip.logit_scale.exp()
        both = x @ self.weights[0], y @ self.weights[1]
        total = _loss(*both, scale, batch.concepts)
        if self.size:
            for me, inputs in ((0, y), (1, x)):
                total = total + self._penalty(me, both[me], inputs.detach(), scale, batch.concepts)
        return total

    def _before(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What the towers give before their projections."""
        clip: Any = self.clip
        clip.visual.proj = clip.text_projection = None
        x, y = clip.encode_image(pixels), clip.encode_text(tokens)
        clip.visual.proj, clip.text_projection = self.weights
        return x, y

    def _penalty(
        self, me: int, own: Tensor, inputs: Tensor, scale: Tensor, groups: Tensor
    ) -> Tensor:
        other = self.sides[1 - me]
        weight = self.weights[1 - me].detach().requires_grad_()
        both = (own, inputs @ weight) if me == 0 else (inputs @ weight, own)
        (slope,) = torch.autograd.grad(
            _loss(*both, scale.detach(), groups), weight, create_graph=True
        )
        step = objectives.rate(self.recipe, self.step) * other.pace()
        penalty: Tensor = self.size * ((1 - other.ratio) * step * slope.square()).sum()
        return penalty


def _loss(images: Tensor, texts: Tensor, scale: Tensor, groups: Tensor) -> Tensor:
    return contrastive_loss(normalize(images, dim=-1), normalize(texts, dim=-1), scale, groups)


def trained(recipe: PocketRecipe, seed: int, size: float) -> dict[str, Any]:
    """Train once, and describe the test images of all styles."""
    world, architecture = pocket_lab.world(), networks.architecture(recipe.architecture)
    kind = type("Answered", (Answered,), {"size": size, "recipe": recipe})
    found = objectives.train(
        recipe,
        architecture,
        world.examples(emoji.CAPTIONS[recipe.styles], ("train", "val")),
        world.prompts,
        seed=seed,
        start=read_weights(pocket.CHECKPOINTS / f"{PLAN['start']}.safetensors").state,
        watched=world.examples([emoji.IMAGENET], ["test"]),
        contrastive=kind,
    )
    clip = open_clip.CLIP(**architecture)
    clip.load_state_dict(found.weights)
    tested = world.examples(emoji.STYLES, ("test",)).images
    with torch.no_grad():
        images = clip.eval().encode_image(objectives.normalise(tested)).double().numpy()
        texts = clip.encode_text(world.prompts.flatten(0, 1)).double().numpy()
    leader = modalities.dominant_coordinate(images)
    return {
        "seed": seed, "penalty": size, "loss": found.curve[-1].loss,
        "accuracy": found.curve[-1].accuracy,
        "kurtosis": outliers.kurtosis(images).mean(),
        "kurtosis_texts": outliers.kurtosis(texts).mean(),
        "kurtosis_less_mean": outliers.kurtosis(basis.less_mean(images)).mean(),
        "mean_share": basis.mean_share(images),
        "leader": leader.coordinate, "leader_share": leader.share,
    }  # fmt: skip


def main() -> int:
    """Train what is missing, a row at a time."""
    torch.set_num_threads(1)
    recipes = runpy.run_path(str(HERE.parent / "pocket" / "origin.py"))["model_recipes"]()
    recipe = recipes.recipe(PLAN["recipe"])
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []
    for seed in PLAN["seeds"]:
        for size in PLAN["penalties"]:
            if (seed, size) not in {(row["seed"], row["penalty"]) for row in rows}:
                rows.append(trained(recipe, seed, size))
                write_text(TABLE, pd.DataFrame(rows).to_csv(index=False, float_format="%.5g"))
                print(rows[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
