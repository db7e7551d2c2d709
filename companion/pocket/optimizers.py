"""AdamW for a CLIP model's two projections, with a choice of which numbers share a second moment.

CLIP's loss does not change if both projections are multiplied by one rotation of their output. A
step notices such a rotation where its size differs between output coordinates: with a second
moment for each number (``element``, Adam), for each output coordinate (``column``, the mean over
the inputs), with Adafactor's product of rows and columns (``adafactor``), in LAMB (``lamb``, Adam's
direction at the weight's length), and with the ``sign``. It does not with one for each input
(``shared``, the mean over the output coordinates), one for the whole ``matrix`` or ``none``
(momentum alone), nor in Muon (``muon``) and Shampoo (``shampoo``), which multiply whole matrices. A
model trained with one of these five has the same features in whatever axes it starts, written in
those axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from companion.pocket.pocket import SecondMoment

#: Muon's quintic polynomial and how often it is applied (Jordan et al. 2024).
NEWTON_SCHULZ, TIMES = (3.4445, -4.7750, 2.0315), 5
#: Shampoo's roots are taken in every one of the first steps, and then in every so manieth, and so
#: are SOAP's axes.
ROOTS_EVERY = 20
#: How much of the past the running means of gradients and of their squares keep.
BETAS = (0.9, 0.98)
#: What Shampoo adds to eigenvalues, as a share of the largest.
DAMPING = 1e-6

#: Two rotations, of a matrix's inputs and of its outputs; None for none.
Turn = tuple[Tensor | None, Tensor | None]


class ProjectionAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which ``second_moment`` says what is averaged.

    Weights come as (weight, axis of its output coordinates), as `projections` gives them. ``gain``
    scales the step and leaves weight decay alone; gradients without a second moment need a larger
    one. In LAMB (You et al. 2020) weight decay is part of the step. ``turns`` has for each weight
    the rotations of the axes in which the optimiser works: it sees the matrix gradient G as PᵀGQ,
    and takes the step S as PSQᵀ, as OrthoAdam does (Kaul et al. 2025).
    """

    def __init__(
        self,
        weights: Iterable[tuple[nn.Parameter, int]],
        second_moment: SecondMoment,
        *,
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float] = BETAS,
        epsilon: float = 1e-8,
        gain: float = 1.0,
        turns: Iterable[Turn] | None = None,
    ) -> None:
        weights = list(weights)
        groups: list[dict[str, Any]] = [
            {"params": [weight], "output": output, "turn": turn}
            for (weight, output), turn in zip(
                weights, turns or [(None, None)] * len(weights), strict=True
            )
        ]
        super().__init__(groups, {"lr": learning_rate, "weight_decay": weight_decay})
        self.second_moment, self.betas = second_moment, betas
        self.epsilon, self.gain = epsilon, gain

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do one step; every weight must have a gradient."""
        for group in self.param_groups:
            (weight,), turn = group["params"], group["turn"]
            state = self.state[weight]
            gradient, output = _turned(weight.grad, turn), group["output"]
            change = direction(
                self.second_moment, state, gradient, output, self.betas, self.epsilon
            )
            change = _turned(change, turn, back=True)
            decay = group["weight_decay"] * (weight.ndim > 1)
            if self.second_moment == "lamb":
                change, decay = change + decay * weight, 0
                change *= weight.norm() / change.norm()
            weight.mul_(1 - group["lr"] * decay)
            weight.add_(change, alpha=-group["lr"] * self.gain)


def direction(
    kind: SecondMoment,
    state: dict[str, Any],
    gradient: Tensor,
    output: int = 1,
    betas: tuple[float, float] = BETAS,
    epsilon: float = 1e-8,
) -> Tensor:
    """The next step of one weight, of its gradient's shape, before rate and decay.

    ``state`` is the optimiser's memory of this weight, {} before the first step; ``output`` the
    axis of its output coordinates.
    """
    state["steps"] = state.get("steps", 0) + 1
    rise, memory = betas
    mean: Tensor = _running(state, "mean", gradient, rise) / (1 - rise ** state["steps"])
    if kind == "none":
        return mean
    if kind == "sign":
        return mean.sign()
    if kind == "muon":
        return _orthogonalised(mean)
    if kind == "shampoo":
        return _preconditioned(state, mean, gradient, memory)
    inputs = [axis for axis in range(gradient.ndim) if axis != output]
    square = gradient.square()
    if kind == "shared":
        square = square.mean(output, keepdim=True)
    elif kind == "column" and inputs:
        square = square.mean(inputs, keepdim=True)
    elif kind == "matrix":
        square = square.mean()
    square = _running(state, "square", square, memory) / (1 - memory ** state["steps"])
    if kind == "adafactor" and inputs:  # Shazeer and Stern 2018
        rows = square.mean(output, keepdim=True)
        square = rows * square.mean(inputs, keepdim=True) / rows.mean()
    change: Tensor = mean / square.sqrt().add_(epsilon)
    return change


def projections(clip: nn.Module) -> list[tuple[nn.Parameter, int]]:
    """The weights that make a CLIP model's output, each with the axis of its output coordinates."""
    visual: Any = clip.visual
    if hasattr(visual, "attnpool"):  # a ResNet; its last layer is a linear one with a bias
        image = [(visual.attnpool.c_proj.weight, 0), (visual.attnpool.c_proj.bias, 0)]
    else:
        image = [(visual.proj, 1)]
    text: Any = clip.text_projection
    return [*image, (text, 1)]


def _running(state: dict[str, Any], name: str, value: Tensor, memory: float) -> Tensor:
    """The exponential mean of what came so far, from zero."""
    mean: Tensor = state.setdefault(name, torch.zeros_like(value))
    return mean.lerp_(value, 1 - memory)


def _turned(matrix: Tensor | None, turn: Turn, back: bool = False) -> Tensor:
    """PᵀGQ of a matrix G and rotations (P, Q), or PGQᵀ if it is turned back."""
    assert matrix is not None, "a weight without a gradient"
    first, last = turn
    if first is not None:
        matrix = (first if back else first.T) @ matrix
    if last is not None:
        matrix = matrix @ (last.T if back else last)
    return matrix


def _orthogonalised(mean: Tensor) -> Tensor:
    """A matrix whose singular values are all taken near 1, by Muon's Newton–Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    wide = mean.reshape(-1, mean.shape[-1])
    tall = wide.shape[0] > wide.shape[1]
    x: Tensor = wide.T if tall else wide
    x = x / (x.norm() + torch.finfo(x.dtype).tiny)
    for _ in range(TIMES):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).reshape(mean.shape)


def _preconditioned(state: dict[str, Any], mean: Tensor, gradient: Tensor, memory: float) -> Tensor:
    """L^(−1/4) M R^(−1/4), L and R the running means of GGᵀ and GᵀG (Gupta et al. 2018)."""
    step, wide = state["steps"], gradient.reshape(-1, gradient.shape[-1])
    both = {"left": wide @ wide.T, "right": wide.T @ wide}
    for side, product in both.items():
        product = _running(state, side, product, memory) / (1 - memory**step)
        if step <= ROOTS_EVERY or step % ROOTS_EVERY == 0:
            values, vectors = torch.linalg.eigh(product)
            values = values.clamp(min=0) + DAMPING * values.max()
            state[f"{side} root"] = vectors * values**-0.25 @ vectors.T
    changed: Tensor = state["left root"] @ mean.reshape(wide.shape) @ state["right root"]
    return changed.reshape(mean.shape)


def soap(state: dict[str, Any], gradient: Tensor, betas: tuple[float, float] = BETAS) -> Tensor:
    """The next step of SOAP (Vyas et al. 2024): Adam's, in Shampoo's axes, before rate and decay.

    ``state`` is its memory of this weight, {} before the first step.
    """
    step = state["soaps"] = state.get("soaps", 0) + 1
    for side, product in {"left": gradient @ gradient.T, "right": gradient.T @ gradient}.items():
        product = _running(state, side, product, betas[1])
        if step == 1 or step % ROOTS_EVERY == 0:
            state[f"{side} axes"] = torch.linalg.eigh(product)[1]
    left, right = state["left axes"], state["right axes"]
    mean = _running(state, "mean", gradient, betas[0]) / (1 - betas[0] ** step)
    square = _running(state, "square", (left.T @ gradient @ right).square(), betas[1])
    inside = (left.T @ mean @ right) / ((square / (1 - betas[1] ** step)).sqrt() + 1e-8)
    changed: Tensor = left @ inside @ right.T
    return changed
