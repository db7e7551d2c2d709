"""Training: three objectives on one loop, small enough to read in class.

- *contrastive*: CLIP (Radford et al. 2021) on images and captions. Images of one concept in a
  batch are not negatives of each other: their targets share the probability.
- *supervised*: cross-entropy on class labels, image tower and a linear head from scratch.
- *finetuned*: the same loss, from a CLIP model and its zero-shot head, end to end, as in WiSE-FT
  (Wortsman et al. 2022): features of length one, head = exp(logit scale) × text embeddings.

AdamW, linear warm-up, cosine decay. A contrastive training may get wrong captions, an imposed
logit scale, or another second moment in its two projections (`optimizers`). Every random draw of a
step follows from the seed and the number of the step. The same machine gives the same weights
again; another one nearly the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from analysis.base.files import replaced
from analysis.features.preprocess import POCKET_INPUT
from companion.pocket.optimizers import ProjectionAdamW, projections
from companion.pocket.pocket import PocketRecipe, warmed_cosine

#: How often a training is measured.
MEASUREMENTS = 10


@dataclass(frozen=True)
class Examples:
    """Images with what is known about them, in memory.

    ``images`` uint8 (N, 3, size, size); ``labels`` int64 (N,), −1 where the image is in no class;
    ``concepts`` int64 (N,), rows of ``captions``; ``captions`` int64 (concepts, variants, context
    length), the tokens of every caption of every concept.
    """

    images: Tensor
    labels: Tensor
    concepts: Tensor
    captions: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def where(self, keep: Tensor) -> Examples:
        """Return the examples that ``keep`` selects: a boolean mask (N,), or rows."""
        return replace(
            self, images=self.images[keep], labels=self.labels[keep], concepts=self.concepts[keep]
        )


class Point(NamedTuple):
    """One measurement of a training: mean loss since the last one, accuracy as a fraction."""

    step: int
    loss: float
    accuracy: float | None


class Trained(NamedTuple):
    """The weights that a training ended with, by their names in a checkpoint, and its curve."""

    weights: dict[str, Tensor]
    curve: list[Point]


# Images


def normalise(images: Tensor) -> Tensor:
    """Turn bytes (N, 3, size, size) into the encoder's input, as `POCKET` says."""
    return _standardise(images.float() / 255)


def augment(images: Tensor, recipe: PocketRecipe) -> Tensor:
    """Resize, move and mirror every image at random on its white ground, then normalise it."""
    n = len(images)
    scale = 1 + recipe.shrink * (2 * torch.rand(n) - 1)
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if recipe.flip else torch.ones(n)
    shift = 2 * recipe.shift * (2 * torch.rand(n, 2) - 1)
    zero = torch.zeros(n)
    rows = [scale * mirror, zero, shift[:, 0], zero, scale, shift[:, 1]]
    transform = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = affine_grid(transform, list(images.shape), align_corners=False)
    ink = 1 - images.float() / 255  # what is outside becomes 0: white
    return _standardise(1 - grid_sample(ink, grid, align_corners=False))


def _standardise(values: Tensor) -> Tensor:
    mean = values.new_tensor(POCKET_INPUT.mean).view(1, 3, 1, 1)
    std = values.new_tensor(POCKET_INPUT.std).view(1, 3, 1, 1)
    return ((values - mean) / std).contiguous(memory_format=torch.channels_last)


# Objectives


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, groups: Tensor) -> Tensor:
    """CLIP's loss for unit features (N, d), where examples of one group are all right answers.

    ``groups`` (N,) holds a number for each concept. With N different groups this is
    ``open_clip.ClipLoss``; otherwise every target row is spread evenly over its group.
    """
    per_image, per_text = open_clip.ClipLoss().get_logits(images, texts, scale)
    same = (groups[:, None] == groups[None, :]).to(per_image.dtype)
    targets = same / same.sum(dim=1, keepdim=True)
    both: Tensor = cross_entropy(per_image, targets) + cross_entropy(per_text, targets)
    return both / 2


def zero_shot_head(clip: nn.Module, prompts: Tensor) -> Tensor:
    """Return exp(logit scale) × the mean text embedding of every class, (classes, d).

    ``prompts`` holds tokens (classes, templates, context length).
    """
    texts = clip.encode_text(prompts.flatten(0, 1), normalize=True)  # type: ignore[operator]
    mean = normalize(texts.unflatten(0, prompts.shape[:2]).mean(dim=1), dim=-1)
    head: Tensor = clip.logit_scale.exp() * mean  # type: ignore[operator]
    return head


class Contrastive(nn.Module):
    """CLIP, learning from captions; its class scores are those of the zero-shot head."""

    def __init__(self, architecture: Mapping[str, Any], prompts: Tensor) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(**architecture)
        self.register_buffer("prompts", prompts, persistent=False)

    def loss(self, pixels: Tensor, batch: Examples) -> Tensor:
        """CLIP's loss, with one caption of its concept drawn for every image."""
        variant = torch.randint(batch.captions.shape[1], (len(pixels),))
        tokens = batch.captions[batch.concepts, variant]
        images = self.clip.encode_image(pixels, normalize=True)
        texts = self.clip.encode_text(tokens, normalize=True)
        scale = self.clip.logit_scale.clamp(max=math.log(100)).exp()
        return contrastive_loss(images, texts, scale, batch.concepts)

    def logits(self, pixels: Tensor) -> Tensor:
        """Cosine similarities with the classes' texts, times exp(logit scale)."""
        images: Tensor = self.clip.encode_image(pixels, normalize=True)
        return images @ zero_shot_head(self.clip, self.get_buffer("prompts")).T


class Classifier(nn.Module):
    """An image tower and a linear head, learning from labels.

    ``normalised`` says whether the head sees features of length one.
    """

    def __init__(
        self, visual: nn.Module, head: nn.Linear, *, normalised: bool, label_smoothing: float
    ) -> None:
        super().__init__()
        self.visual, self.head = visual, head
        self.normalised, self.label_smoothing = normalised, label_smoothing

    def loss(self, pixels: Tensor, batch: Examples) -> Tensor:
        """Cross-entropy with the class labels."""
        return cross_entropy(
            self.logits(pixels), batch.labels, label_smoothing=self.label_smoothing
        )

    def logits(self, pixels: Tensor) -> Tensor:
        """Class scores of the linear head."""
        features = self.visual(pixels)
        scores: Tensor = self.head(normalize(features, dim=-1) if self.normalised else features)
        return scores


def weights_of(model: Contrastive | Classifier) -> dict[str, Tensor]:
    """Return what a checkpoint holds, by name.

    That is both towers of CLIP, or an image tower under ``visual.`` and a head under ``head.``.
    """
    return dict((model.clip if isinstance(model, Contrastive) else model).state_dict())


def build(
    recipe: PocketRecipe,
    architecture: Mapping[str, Any],
    prompts: Tensor,
    start: Mapping[str, Tensor] | None = None,
    contrastive: type[Contrastive] | None = None,
) -> Contrastive | Classifier:
    """Make the untrained model of a recipe; ``prompts`` as for `zero_shot_head`.

    ``start``: the weights of the CLIP model from which the recipe starts, if it names one.
    """
    model = (contrastive or Contrastive)(architecture, prompts)
    if start is not None:
        model.clip.load_state_dict(dict(start))
    if recipe.objective == "contrastive":
        return model
    head = nn.Linear(architecture["embed_dim"], len(prompts))
    finetuned = recipe.objective == "finetuned"
    if finetuned:
        with torch.no_grad():
            head.weight.copy_(zero_shot_head(model.clip.eval(), prompts))
            head.bias.zero_()
    smoothing = recipe.label_smoothing
    return Classifier(model.clip.visual, head, normalised=finetuned, label_smoothing=smoothing)


# The loop


def train(
    recipe: PocketRecipe,
    architecture: Mapping[str, Any],
    examples: Examples,
    prompts: Tensor,
    *,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
    watched: Examples | None = None,
    contrastive: type[Contrastive] | None = None,
) -> Trained:
    """Train one model.

    ``watched`` are labelled examples on which the accuracy is measured ten times; ``contrastive``
    is the kind of CLIP, if it is not `Contrastive`.
    """
    if recipe.objective != "contrastive":
        examples = examples.where(examples.labels >= 0)
    torch.manual_seed(seed)
    model = build(recipe, architecture, prompts, start, contrastive)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = make_optimizers(model, recipe)
    first_scale = model.clip.logit_scale.item() if isinstance(model, Contrastive) else 0.0
    curve: list[Point] = []
    losses: list[Tensor] = []
    for step in range(recipe.steps):
        if isinstance(model, Contrastive) and recipe.final_scale is not None:
            model.clip.logit_scale.data.fill_(log_scale(recipe, first_scale, step))
        losses.append(_update(model, optimizers, examples, recipe, seed, step))
        done = step + 1
        if done == recipe.steps or done % max(1, recipe.steps // MEASUREMENTS) == 0:
            score = None if watched is None else accuracy(model, watched)
            curve.append(Point(done, float(sum(losses)) / len(losses), score))
            losses = []
    return Trained(weights_of(model), curve)


def accuracy(model: Contrastive | Classifier, examples: Examples) -> float:
    """Return the share of the labelled examples whose class has the highest score.

    The images are not augmented. The model is then in evaluation mode.
    """
    examples = examples.where(examples.labels >= 0)
    model.eval()
    with torch.no_grad():
        batches = torch.split(examples.images, 500)
        classes = torch.cat([model.logits(normalise(batch)).argmax(dim=1) for batch in batches])
    return float((classes == examples.labels).double().mean())


def make_optimizers(
    model: Contrastive | Classifier, recipe: PocketRecipe
) -> list[torch.optim.Optimizer]:
    """Make AdamW for all that learns; the projections get their own if theirs is another.

    An imposed logit scale does not learn. Weight decay is for matrices only, as usual for CLIP.
    """
    full, decay = recipe.learning_rate, recipe.weight_decay
    apart: list[tuple[nn.Parameter, int]] = []
    if isinstance(model, Contrastive):
        model.clip.logit_scale.requires_grad_(recipe.final_scale is None)
        apart = projections(model.clip) if recipe.second_moment != "element" else []
    own = {id(weight) for weight, _ in apart}
    shared = [w for w in model.parameters() if w.requires_grad and id(w) not in own]
    groups = [
        {"params": [w for w in shared if w.ndim <= 1], "weight_decay": 0.0},
        {"params": [w for w in shared if w.ndim > 1], "weight_decay": decay},
    ]
    rest = torch.optim.AdamW(groups, full, betas=(0.9, 0.98), fused=True)
    if not apart:
        return [rest]
    moment = recipe.second_moment
    return [rest, ProjectionAdamW(apart, moment, learning_rate=full, weight_decay=decay)]


def log_scale(recipe: PocketRecipe, first: float, step: int) -> float:
    """Return the logarithm of the imposed logit scale at a step, from ``first`` on a line."""
    assert recipe.final_scale is not None
    share = min(1.0, step / recipe.scale_steps) if recipe.scale_steps else 1.0
    return (1 - share) * first + share * math.log(recipe.final_scale)


def rate(recipe: PocketRecipe, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to 0."""
    rising = max(1, round(recipe.warmup * recipe.steps))
    return warmed_cosine(recipe.learning_rate, step, rising, recipe.steps)


def _update(
    model: Contrastive | Classifier,
    optimizers: Sequence[torch.optim.Optimizer],
    examples: Examples,
    recipe: PocketRecipe,
    seed: int,
    step: int,
) -> Tensor:
    """Do one step and return its loss."""
    batch = examples.where(batch_rows(len(examples), recipe.batch, seed, step))
    torch.manual_seed(draw_seed(seed, step))
    if recipe.caption_noise:
        wrong = wrong_captions(batch.concepts, examples.concepts, recipe.caption_noise)
        batch = replace(batch, concepts=wrong)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate(recipe, step)
    model.train()
    loss = model.loss(augment(batch.images, recipe), batch)
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    for optimizer in optimizers:
        optimizer.step()
    return loss.detach()


def wrong_captions(concepts: Tensor, every: Tensor, share: float) -> Tensor:
    """Return the concepts whose captions a batch gets: for a share of it that of a random image.

    ``concepts`` (n,) of the batch, ``every`` (N,) of all images that are learned from.
    """
    drawn = every[torch.randint(len(every), (len(concepts),))]
    wrong = torch.rand(len(concepts)) < share
    return torch.where(wrong, drawn, concepts)


def batch_rows(count: int, batch: int, seed: int, step: int) -> Tensor:
    """Return the rows of a step's batch: every epoch goes once through all, in an order of its own.

    What does not fill a batch is left out of that epoch.
    """
    batch = min(batch, count)
    epoch, place = divmod(step, count // batch)
    generator = torch.Generator().manual_seed(draw_seed(seed, -1 - epoch))
    return torch.randperm(count, generator=generator)[place * batch : (place + 1) * batch]


def draw_seed(seed: int, place: int) -> int:
    """Return the seed of the generator for one step or epoch."""
    return (seed * 1_000_003 + place) % 2**63


# Files


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as they are shipped: matrices float16, vectors and counts unchanged."""
    return {
        name: value.half() if value.is_floating_point() and value.ndim >= 2 else value.clone()
        for name, value in weights.items()
    }


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a whole safetensors file, or leave what was there."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replaced(path) as part:
        save_file(plain, part, metadata=dict(metadata))
        part.chmod(0o644)  # it is written for its owner alone
