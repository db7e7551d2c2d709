"""Two projections trained again, each side by a rule of its own: where the other side answers.

A training as in `companion.pocket.relearn`, in which images and texts each have an optimiser, and
the steps of one side's output coordinates (columns of its weight) can be changed one by one: longer
or shorter, late, from another batch, or split into answer and drift. A side can also feel, as a
penalty, the answer that the other side lacks. Every step is held against the row rule's (one second
moment for each input), which turns with the axes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from companion.pocket import origin
from companion.pocket.objectives import batch_rows, draw_seed, wrong_captions
from companion.pocket.optimizers import BETAS, direction, soap
from companion.pocket.origin import LARGEST_SCALE, Locked, Projections
from companion.pocket.pocket import Count, Positive, SecondMoment
from companion.pocket.relearn import RelearnSettings, Slopes, slopes

#: An optimiser, or what is done to each number of the row rule's step: see `Side.by`.
Rule = SecondMoment | Literal["soap", "clipped", "root", "power", "cautious", "between"]
#: Rules whose steps have a length of their own; the others get the row rule's.
OWN_LENGTH = ("shared", "element", "column", "lamb")
#: How many steps' mean is the drift, and the part of a training in which columns are compared.
DRIFT, EARLY = 100, 0.2
#: Images (n, p), their texts (n, q), and which text each one has (n,).
Batch = tuple[Tensor, Tensor, Tensor]
#: Sees a step's number, slopes and batch, the projections, and both sides, before they are changed.
Watch = Callable[[int, Slopes, Batch, Projections, "tuple[Side, Side]"], None]


class AnswerSettings(RelearnSettings):
    """How the two sides are trained; with inputs and a seed it decides them.

    ``images``, ``texts``: the rule of each side; ``image_lengths``, ``text_lengths``: the rule that
    each column has its length from, if not its own; ``image_rate``, ``text_rate``: times the rate.
    ``altered``: the side of which a ``column`` is changed: one on which the other side's mean is
    longest, middling or shortest at the start, or all. Its step is taken times ``factor``; ``late``
    by so many steps; ``gathered`` over so many and taken at once; from ``other_batch``; or only its
    ``answer`` or ``drift`` is kept. ``penalty``: how much of the answer that the other side lacks
    each side feels, in units of step times squared gradient; one quarter in theory. ``fresh``: the
    images of every batch are new. ``one_matrix``: the images' serves both sides. ``shadows``: rules
    of the texts that are compared with the row rule and not followed.
    """

    images: Rule = "shared"
    texts: Rule = "shared"
    image_lengths: Rule | None = None
    text_lengths: Rule | None = None
    image_rate: Positive = 1.0
    text_rate: Positive = 1.0
    altered: Literal["images", "texts"] = "texts"
    column: Literal["longest", "middling", "shortest", "all"] | None = None
    factor: Annotated[float, Field(ge=0)] = 1.0
    late: Annotated[int, Field(ge=0)] = 0
    gathered: Count = 1
    other_batch: bool = False
    keeps: Literal["answer", "drift"] | None = None
    penalty: Annotated[float, Field(ge=0)] = 0.0
    fresh: bool = False
    one_matrix: bool = False
    shadows: tuple[Rule, ...] = ()
    steps: Count = 1500


@dataclass
class Side:
    """One side's weight (p, d), its rules, and what these remember."""

    weight: Tensor
    rule: Rule
    lengths: Rule | None = None
    rate: float = 1.0
    shadows: tuple[Rule, ...] = ()
    states: dict[str, Any] = field(default_factory=dict)
    ratio: Tensor = field(init=False)
    ratios: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ratio = torch.ones(self.weight.shape[1])

    def by(self, rule: Rule, gradient: Tensor, row: Tensor) -> Tensor:
        """A rule's step (p, d) for a gradient, beside the row rule's; once a step for each rule."""
        if rule == "shared":
            return row
        if rule == "clipped":
            most = row.square().mean().sqrt()
            step = row.clamp(-most, most)
        elif rule in ("root", "power"):
            step = row.sign() * row.abs() ** (0.5 if rule == "root" else 1.5)
        elif rule == "cautious":  # as Liang et al. 2024 mask Adam's
            step = row * (row * gradient > 0)
        elif rule == "between":
            step = row.sign() * (row * self.by("element", gradient, row)).abs().sqrt()
        elif rule == "soap":
            step = soap(self.states.setdefault(rule, {}), gradient)
        else:
            kind: Any = "element" if rule == "lamb" else rule
            step = direction(kind, self.states.setdefault(kind, {}), gradient)
        return step if rule in OWN_LENGTH else step * (row.norm() / step.norm())

    def step(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The step for a gradient, and the row rule's (p, d)."""
        row = direction("shared", self.states.setdefault("shared", {}), gradient)
        own = self.by(self.rule, gradient, row)
        if self.lengths:
            own = own * (self.by(self.lengths, gradient, row).norm(dim=0) / own.norm(dim=0))
        return own, row

    def pace(self) -> Tensor:
        """By what the row rule multiplies the gradient of each input: (p, 1), 0 before any step."""
        if not (state := self.states.get("shared")):
            return torch.zeros(1, 1)
        square: Tensor = state["square"] / (1 - BETAS[1] ** state["steps"])
        return 1 / (square.sqrt() + 1e-8)

    def compare(self, change: Tensor, row: Tensor) -> None:
        """Keep how long each column of a step is over the row rule's, each over its whole."""
        self.ratio = shares(change) / shares(row)

    def note(self, columns: dict[str, Tensor], steps: int) -> None:
        """Add the ratios of columns (d,) to their means over so many steps."""
        for name, ratio in columns.items():
            self.ratios[name] = self.ratios.get(name, 0) + ratio / steps


def shares(step: Tensor) -> Tensor:
    """The length of each column of a step (p, d) over that of the whole: (d,)."""
    energy = step.square().sum(0)
    return (energy / energy.sum()).sqrt()


@dataclass(frozen=True)
class Cloud:
    """From where images are drawn anew: each text's mean image, and how images vary around it."""

    concepts: Tensor
    means: Tensor
    root: Tensor

    @classmethod
    def of(cls, locked: Locked) -> Cloud:
        """Class means (n, p) and the root (p, p) of the pooled covariance within classes."""
        concepts, place = torch.unique(locked.concepts, return_inverse=True)
        sums = torch.zeros(len(concepts), locked.images.shape[1], dtype=torch.float64)
        sums.index_add_(0, place, locked.images.double())
        means = sums / place.bincount()[:, None]
        within = locked.images.double() - means[place]
        values, axes = torch.linalg.eigh(within.T @ within / (len(within) - len(concepts)))
        return cls(concepts, means.float(), (axes * values.clamp(min=0).sqrt()).T.float())

    def images(self, rows: Tensor) -> Tensor:
        """One new image (n, p) of each of some classes, as long as inputs are."""
        drawn = self.means[rows] + torch.randn(len(rows), len(self.root)) @ self.root
        return normalize(drawn, dim=1) * math.sqrt(drawn.shape[1])


def batch_of(locked: Locked, s: AnswerSettings, seed: int, step: int, cloud: Cloud | None) -> Batch:
    """The batch of a step, the same whatever the rules are."""
    torch.manual_seed(draw_seed(seed, step))
    rows = batch_rows(len(locked.images if cloud is None else cloud.concepts), s.batch, seed, step)
    own = (locked.concepts if cloud is None else cloud.concepts)[rows]
    images = locked.images[rows] if cloud is None else cloud.images(rows)
    concepts = wrong_captions(own, locked.concepts, s.caption_noise)
    variants = torch.randint(locked.texts.shape[1], (len(rows),))
    return images, locked.texts[concepts, variants], concepts


def means(own: Projections, locked: Locked) -> tuple[Tensor, Tensor]:
    """The mean of the learned images, and that of the texts, each at length 1: (d,) twice."""
    images, texts = own.of_images(locked.images), own.of_texts(locked.texts.flatten(0, 1))
    return normalize(images, dim=1).mean(0), normalize(texts, dim=1).mean(0)


def chosen(own: Projections, locked: Locked, s: AnswerSettings) -> int | slice | None:
    """The column that is changed: its number, all, or None."""
    if s.column is None or s.column == "all":
        return s.column and slice(None)
    order = means(own, locked)[s.altered == "images"].abs().argsort(descending=True)
    return int(order[{"longest": 0, "middling": len(order) // 2, "shortest": -1}[s.column]])


def altered(s: AnswerSettings, past: deque[Tensor], step: int) -> Tensor:
    """The step that a changed column takes; ``past`` are the rule's own, the last of this step."""
    now = past[-1]
    if s.late:
        now = past[-1 - s.late] if len(past) > s.late else torch.zeros_like(now)
    if s.gathered > 1:
        whole = (step + 1) % s.gathered == 0
        now = torch.stack(list(past)[-s.gathered :]).sum(0) if whole else torch.zeros_like(now)
    if s.keeps:
        drift = torch.stack(list(past)[-DRIFT:]).mean(0)
        now = drift if s.keeps == "drift" else now - drift
    return s.factor * now


def felt(
    sides: tuple[Side, Side], me: int, gradient: Tensor, batch: Batch, factor: Tensor, size: float
) -> Tensor:
    """The slope, in one side's weight, of size · Σ_c (1 − ratio_c) · step · |∂loss/∂column c|².

    Columns, ``gradient``, steps (at rate 1) and ratios are the other side's; steps and ratios count
    as constant. Then the slope is a mixed second derivative along one direction.
    """
    other, own = sides[1 - me], sides[me]
    along = 2 * size * (1 - other.ratio) * other.pace() * gradient
    (x, y), groups = batch[:2][:: 1 - 2 * me], batch[2]
    same = (groups[:, None] == groups).float()
    targets, a, b = same / same.sum(dim=1, keepdim=True), x @ own.weight, y @ other.weight

    def own_slope(outputs: Tensor) -> Tensor:
        h, t = normalize(a, dim=1), normalize(outputs, dim=1)
        logits = factor * h @ t.T
        slope = (logits.softmax(0) + logits.softmax(1) - 2 * targets) * (factor / (2 * len(h)))
        pull = slope @ t
        sideways = pull - (pull * h).sum(dim=1, keepdim=True) * h
        moved: Tensor = sideways / a.norm(dim=1, keepdim=True)
        return moved

    slope: Tensor = x.T @ torch.func.jvp(own_slope, (b,), (y @ along,))[1]
    return slope


@torch.no_grad()
def train(
    locked: Locked, s: AnswerSettings, seed: int, begun: Projections, watch: Watch | None = None
) -> tuple[Projections, tuple[Side, Side]]:
    """Train two projections from ``begun``, and return them with what their sides noted."""
    own = deepcopy(begun)
    if s.one_matrix:
        own.text = own.image
    sides = (
        Side(own.image.data, s.images, s.image_lengths, s.image_rate),
        Side(own.text.data, s.texts, s.text_lengths, s.text_rate, s.shadows),
    )
    column, cloud = chosen(own, locked, s), Cloud.of(locked) if s.fresh else None
    past: deque[Tensor] = deque(maxlen=max(s.late + 1, s.gathered, DRIFT if s.keeps else 1))
    of_scale = torch.optim.Adam([own.log_scale], s.learning_rate, betas=BETAS)
    for step in range(s.steps):
        batch, speed = batch_of(locked, s, seed, step, cloud), origin.rate(s, step)
        factor = own.log_scale.exp().clamp(max=LARGEST_SCALE)
        factor = factor if s.scale is None else torch.tensor(s.scale)
        found = _slopes(own, batch, factor)
        if watch is not None:
            watch(step, found, batch, own, sides)
        gradients = list(found.of_weights)
        if s.other_batch:
            other = batch_of(locked, s, seed + 5000, step, cloud)
            which = int(s.altered == "texts")
            gradients[which][:, column] = _slopes(own, other, factor).of_weights[which][:, column]
        for me in (0, 1) if s.penalty else ():
            pushed = found.of_weights[1 - me], batch, factor, s.penalty * speed
            if (sides[1 - me].ratio != 1).any():
                gradients[me] = gradients[me] + felt(sides, me, *pushed)
        if s.one_matrix:
            gradients = [gradients[0] + gradients[1]]
        for number, gradient in enumerate(gradients):
            hit = column if number == (s.altered == "texts") or s.one_matrix else None
            _move(sides[number], gradient, s, step, hit, past)
        if s.scale is None:
            own.log_scale.grad = found.of_log_scale * (own.log_scale <= math.log(LARGEST_SCALE))
            of_scale.param_groups[0]["lr"] = speed
            of_scale.step()
    return own, sides


def _slopes(own: Projections, batch: Batch, factor: Tensor) -> Slopes:
    x, y, groups = batch
    return slopes(own.image.data, own.text.data, x, y, factor, groups)


def _move(
    side: Side, gradient: Tensor, s: AnswerSettings, step: int, column: Any, past: deque[Tensor]
) -> None:
    """Take one side's step, its column changed, and note its columns' lengths."""
    change, row = side.step(gradient)
    if column is not None:
        past.append(change[:, column].clone())
        change = change.clone()
        change[:, column] = altered(s, past, step)
    follows_row = side.rule == "shared" and not side.lengths and column is None
    if not follows_row:
        side.compare(change, row)
    if step < EARLY * s.steps:
        shadows = {rule: side.by(rule, gradient, row) for rule in side.shadows}
        ratios = {} if follows_row else {"own": side.ratio}
        ratios |= {rule: shares(shadow) / shares(row) for rule, shadow in shadows.items()}
        side.note(ratios, math.ceil(EARLY * s.steps))
    speed, decay = side.rate * origin.rate(s, step), s.weight_decay
    if side.rule == "lamb":
        change, decay = change + decay * side.weight, 0
        change = change * (side.weight.norm() / change.norm())
    side.weight.mul_(1 - speed * decay).sub_(speed * change)
