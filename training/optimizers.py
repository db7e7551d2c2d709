"""AdamW for a CLIP model's two projections, with a choice of which numbers share a second moment.

CLIP's loss does not change if both projections are multiplied by one rotation of their output. Of
the steps here only those of single elements notice such a rotation: ``element`` (Adam) and
``sign``. With ``shared`` Adam's second moment is averaged over the output coordinates, with
``matrix`` over the whole matrix, and ``none`` divides by nothing: momentum alone. A model trained
with one of these three has the same features in whatever axes it starts, written in those axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.pocket import SecondMoment


class ProjectionAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which ``second_moment`` says what is averaged.

    Weights come as (weight, axis of its output coordinates), as `projections` gives them. ``gain``
    scales the step and leaves weight decay alone; gradients without a second moment need a larger
    one.
    """

    def __init__(
        self,
        weights: Iterable[tuple[nn.Parameter, int]],
        second_moment: SecondMoment,
        *,
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.98),
        epsilon: float = 1e-8,
        gain: float = 1.0,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": [weight], "output": output} for weight, output in weights
        ]
        super().__init__(groups, {"lr": learning_rate, "weight_decay": weight_decay})
        self.second_moment, self.betas = second_moment, betas
        self.epsilon, self.gain = epsilon, gain

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Do one step; every weight must have a gradient."""
        for group in self.param_groups:
            (weight,) = group["params"]
            self.state[weight]["steps"] = self.state[weight].get("steps", 0) + 1
            change = self._direction(weight, group["output"])
            weight.mul_(1 - group["lr"] * group["weight_decay"] * (weight.ndim > 1))
            weight.add_(change, alpha=-group["lr"] * self.gain)

    def _direction(self, weight: nn.Parameter, output: int) -> Tensor:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        (rise, memory), steps = self.betas, state["steps"]
        mean = _running(state, "mean", gradient, rise)
        if self.second_moment in ("none", "sign"):
            return mean.sign() if self.second_moment == "sign" else mean / (1 - rise**steps)
        square = gradient.square()
        if self.second_moment == "shared":
            square = square.mean(output, keepdim=True)
        elif self.second_moment == "matrix":
            square = square.mean()
        square = _running(state, "square", square, memory) / (1 - memory**steps)
        change: Tensor = mean / (1 - rise**steps) / square.sqrt().add_(self.epsilon)
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
