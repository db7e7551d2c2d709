"""Two projections trained again over fixed towers: where outlier features come from, in seconds.

A CLIP model's output is h = xW for images and t = yV for texts, where x and y are what its towers
give before the projections W and V. The towers of a pocket model stay as they are, x and y are
computed once (`locked`), and W and V learn from random numbers with CLIP's loss (`grow`). Only
what the loss and the optimiser do is left, so each can be changed alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from analysis.base.strict import Strict
from companion.checkpoints import networks
from companion.checkpoints.weights import read_weights
from companion.pocket import objectives, pocket_lab
from companion.pocket.objectives import batch_rows, contrastive_loss, draw_seed, wrong_captions
from companion.pocket.optimizers import ProjectionAdamW, Turn, projections
from companion.pocket.pocket import Count, Positive, SecondMoment, Share, Styles, warmed_cosine
from companion.sources import emoji

#: Computes the loss of a batch of images and texts, at a scale, with groups; and the gradients.
Backward = Callable[["Projections", Tensor, Tensor, float | None, Tensor], float]
#: CLIP's logit scale at the start, and the largest that it may learn.
FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0


class OriginSettings(Strict):
    """How the projections are trained; with towers and a seed it decides them.

    ``scale``: the logit scale, or None for one that is learned as CLIP's is. ``gain``: how much
    larger than Adam's a step without its second moment is, see `ProjectionAdamW`. ``rotated``: in
    which axes the optimiser works instead of the projections' own, see `turns`. ``layer_norm``:
    whether the output is normalised over its coordinates, and each has a gain that is learned. The
    rest as in `companion.pocket.pocket.PocketRecipe`.
    """

    second_moment: SecondMoment = "element"
    caption_noise: Share = 0.3
    scale: Positive | None = 100.0
    width: Count = 512
    steps: Count = 4000
    batch: Count = 64
    learning_rate: Positive = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    memory: Share = 0.98
    warmup: Share = 0.05
    gain: Positive = 1.0
    rotated: Literal["none", "outputs", "half", "inputs"] = "none"
    layer_norm: bool = False


def rate(settings: OriginSettings, step: int) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine down to 0."""
    rising = round(settings.warmup * settings.steps)
    return warmed_cosine(settings.learning_rate, step, rising, settings.steps)


@dataclass(frozen=True)
class Locked:
    """What fixed towers give before the projections.

    ``images`` (N, p) with their ``concepts`` (N,), rows of ``texts`` (concepts, variants, q), are
    learned from; ``tested`` (M, p) and ``prompts`` (classes, templates, q) are for measuring.
    """

    images: Tensor
    concepts: Tensor
    texts: Tensor
    tested: Tensor
    prompts: Tensor


class Projections(nn.Module):
    """W (p, d), V (q, d) and the logarithm of the logit scale; with ``layer_norm`` gains (d,)."""

    def __init__(self, image: Tensor, text: Tensor, layer_norm: bool = False) -> None:
        super().__init__()
        self.image, self.text = nn.Parameter(image.clone()), nn.Parameter(text.clone())
        self.log_scale = nn.Parameter(image.new_tensor(math.log(FIRST_SCALE)))
        self.gains = nn.ParameterList(
            nn.Parameter(torch.ones_like(weight[0])) for weight in (image, text) if layer_norm
        )

    def of_images(self, images: Tensor) -> Tensor:
        """The output for x (…, p): (…, d), not scaled to length 1."""
        return self._output(images @ self.image, 0)

    def of_texts(self, texts: Tensor) -> Tensor:
        """The output for y (…, q): (…, d), not scaled to length 1."""
        return self._output(texts @ self.text, 1)

    def _output(self, projected: Tensor, side: int) -> Tensor:
        if not len(self.gains):
            return projected
        normalised: Tensor = layer_norm(projected, projected.shape[-1:], self.gains[side])
        return normalised

    def features(self, images: Tensor) -> NDArray[np.float64]:
        """What the images' projection makes of x (N, p): (N, d), not scaled to length 1."""
        projected: NDArray[np.float64] = self.of_images(images).detach().double().numpy()
        return projected

    def head(self, prompts: Tensor) -> NDArray[np.float64]:
        """The zero-shot head of texts (classes, templates, q): (classes, d), rows of length 1."""
        mean = normalize(self.of_texts(prompts), dim=-1).mean(dim=1)
        rows: NDArray[np.float64] = normalize(mean, dim=-1).detach().double().numpy()
        return rows


def drawn(locked: Locked, settings: OriginSettings, seed: int) -> Projections:
    """Projections to start from: Gaussian numbers over the root of the input's width."""
    generator, width = torch.Generator().manual_seed(seed), settings.width
    sizes = locked.images.shape[1], locked.texts.shape[-1]
    image, text = (torch.randn(n, width, generator=generator) / math.sqrt(n) for n in sizes)
    return Projections(image, text, settings.layer_norm)


def turns(
    settings: OriginSettings, sizes: tuple[int, int], seed: int, dtype: torch.dtype = torch.float64
) -> list[Turn]:
    """The rotations of the axes in which the optimiser works, for W (p, d) and V (q, d).

    Random ones of all ``outputs``, or of the first ``half`` of them, the same for both; or of the
    ``inputs``, p and q numbers. ``sizes``: p and q.
    """
    generator = torch.Generator().manual_seed(1_000_000 + seed)

    def rotation(size: int) -> Tensor:
        drawn = torch.randn(size, size, generator=generator).double()
        turned: Tensor = torch.linalg.qr(drawn)[0].to(dtype)
        return turned

    width = settings.width
    if settings.rotated == "outputs":
        return [(None, rotation(width))] * 2
    if settings.rotated == "half":
        some = torch.eye(width, dtype=dtype)
        some[: width // 2, : width // 2] = rotation(width // 2)
        return [(None, some)] * 2
    if settings.rotated == "inputs":
        return [(rotation(size), None) for size in sizes]
    return [(None, None)] * 2


def differentiated(
    own: Projections, images: Tensor, texts: Tensor, scale: float | None, groups: Tensor
) -> float:
    """CLIP's loss for x (n, p), y (n, q) at a logit scale, or the learned one, and its gradient.

    Items of one group are right answers for each other.
    """
    learned = own.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()
    loss = contrastive_loss(
        normalize(own.of_images(images), dim=-1),
        normalize(own.of_texts(texts), dim=-1),
        learned if scale is None else learned.new_tensor(scale),
        groups,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def grow(
    locked: Locked,
    settings: OriginSettings,
    seed: int,
    begun: Projections | None = None,
    watch: Callable[[int, float, Projections, ProjectionAdamW], None] | None = None,
    backward: Backward | None = None,
) -> Projections:
    """Train two projections, from ``begun`` or from random numbers.

    ``watch`` sees after every step its number, loss, the projections and the optimiser. What does
    not fill a batch is left out of an epoch, and no gradient is clipped. ``backward`` computes the
    loss of a batch and its gradients: `differentiated`, or another.
    """
    backward = backward or differentiated
    s, own = settings, begun or drawn(locked, settings, seed)
    sizes = locked.images.shape[1], locked.texts.shape[-1]
    optimizer = ProjectionAdamW(
        [(own.image, 1), (own.text, 1), *((gain, 0) for gain in own.gains)],
        s.second_moment,
        learning_rate=s.learning_rate,
        weight_decay=s.weight_decay,
        betas=(0.9, s.memory),
        gain=s.gain,
        turns=[*turns(s, sizes, seed, own.image.dtype), *[(None, None)] * len(own.gains)],
    )
    of_scale = torch.optim.Adam([own.log_scale], s.learning_rate, betas=(0.9, s.memory))
    for step in range(s.steps):
        rows = batch_rows(len(locked.images), s.batch, seed, step)
        torch.manual_seed(draw_seed(seed, step))
        concepts = wrong_captions(locked.concepts[rows], locked.concepts, s.caption_noise)
        texts = locked.texts[concepts, torch.randint(locked.texts.shape[1], (s.batch,))]
        own.zero_grad(set_to_none=True)
        loss = backward(own, locked.images[rows], texts, s.scale, concepts)
        for group in (*optimizer.param_groups, *of_scale.param_groups):
            group["lr"] = rate(s, step)
        optimizer.step()
        of_scale.step()
        if watch is not None:
            watch(step + 1, loss, own, optimizer)
    return own


def locked(path: Path, styles: Styles) -> Locked:
    """Compute what the towers of a pocket CLIP checkpoint give before its projections.

    Learned from are the training images of these styles, as they are, with all their captions;
    tested are all test images, in the table's order.
    """
    loaded = read_weights(path)
    clip = open_clip.CLIP(**networks.architecture(loaded.metadata["architecture"]))
    clip.load_state_dict(loaded.state)
    clip.eval()
    for weight, output in projections(clip):  # the identity in their place
        rows = weight.shape[1 - output] if weight.ndim > 1 else 0
        weight.data = torch.eye(rows) if rows else torch.zeros(())
    world = pocket_lab.world()
    examples = world.examples(emoji.CAPTIONS[styles], ("train", "val"))
    tested = world.examples(emoji.STYLES, ("test",)).images
    captions, prompts = world.everything.captions, world.prompts
    with torch.no_grad():
        texts, classes = (
            _through(clip.encode_text, tokens.flatten(0, 1)).view(*tokens.shape[:2], -1)
            for tokens in (captions, prompts)
        )
        images, test_images = (
            _through(lambda some: clip.encode_image(objectives.normalise(some)), pictures)
            for pictures in (examples.images, tested)
        )
    return Locked(images, examples.concepts, texts, test_images, classes)


def _through(tower: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return torch.cat([tower(some) for some in torch.split(rows, 500)])
