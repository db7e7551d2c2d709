"""What one part of a network gives, as one vector for each image.

Which axis of a layer's output holds its components is decided by the layer's own width; what stays
open is refused, since rows of a picture taken for components would be measured without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from analysis.base.texts import suggestion
from analysis.images.imagelist import DatasetError

#: How several vectors of an image become one: their mean, the first of them (of a transformer the
#: class token), or all in a row.
KnownPool: TypeAlias = Literal["mean", "first", "all"]
#: One of these, or a function of what the layer gives.
Pooling: TypeAlias = "KnownPool | Callable[[Any], Tensor]"
#: Numbers of modules that say how many components go in or come out.
WIDTHS = (
    *("in_channels", "out_channels", "in_features", "out_features"),
    *("num_features", "num_channels", "embed_dim"),
)
#: Layers whose own output has its components in the second axis; these very types, in the last.
SECOND = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
LAST = (nn.Linear, nn.LayerNorm, nn.MultiheadAttention)
#: Numbers of modules that say how many heads an attention has.
HEADS = ("num_heads", "num_attention_heads", "num_key_value_heads", "num_kv_heads", "n_heads",
         "n_head", "heads")  # fmt: skip
#: What is said where no rule decides.
OWN_POOL = "give a function as pool, from what the layer gives to (images, components)"


class _ReachedError(Exception):
    """What is looked for was computed; the rest of the network need not be."""


def at_layer(
    network: Any, layer: str, pool: Pooling = "mean", run: Callable[[Tensor], Any] | None = None
) -> Callable[[Tensor], Any]:
    """An encoder that gives what one part of a module gives: (n, d), by `pooled`.

    The first batch runs to its end, to see that the part is called once; of other batches nothing
    behind it is computed. ``run`` is how the module is called, if not as it is. Raises DatasetError
    if the encoder is no module, has no part of that name, or calls it several times.
    """
    if not isinstance(network, nn.Module):
        raise DatasetError(
            f"a layer is named of a torch.nn.Module, and the encoder is a {type(network).__name__}."
        )
    parts = dict(network.named_modules())
    if not isinstance(layer, str) or layer not in parts or not layer:
        named = [*filter(None, parts)]
        raise DatasetError(f"the encoder has no layer {layer!r}: {suggestion(str(layer), named)}.")
    counted: list[int] = []

    def encoded(batch: Tensor) -> Tensor:
        made: list[Any] = []

        def keep(part: nn.Module, given: Any, gives: Any) -> None:
            made.append(gives if counted else _copied(gives))
            if counted:
                raise _ReachedError

        handle = parts[layer].register_forward_hook(keep)
        try:
            (run or network)(batch)
        # What comes after the layer need not be computed.
        except _ReachedError:
            pass
        finally:
            handle.remove()
        if not made:
            raise DatasetError(f"the encoder does not use its layer {layer!r}.")
        if len(made) > 1:
            raise DatasetError(
                f"the encoder calls its layer {layer!r} {len(made)} times for each batch, so its "
                "name does not say which output is meant: name the layer around it, or give a "
                "function as the encoder."
            )
        counted.append(1)
        if callable(pool):
            return pool(made[0])
        return pooled(_alone(made[0], layer), pool, lambda some: _axis(some, layer, parts))

    return encoded


def pooled(
    made: Tensor, pool: Pooling = "mean", axis: Callable[[Tensor], int] | None = None
) -> Tensor:
    """One vector for each image: (n, d) as it is, else its mean, first or all vectors in a row.

    ``axis`` says which axis of more than two holds the components: 1, or −1, as without it of (n,
    tokens, d). ``pool`` may be a function from all of it to (n, d).
    """
    if callable(pool):
        return pool(made)
    if made.ndim < 3:
        return made
    last = axis is None or axis(made) == -1
    vectors = made.flatten(1, -2) if last else made.flatten(2).movedim(1, 2)
    return {"mean": vectors.mean(1), "first": vectors[:, 0], "all": vectors.flatten(1)}[pool]


def _alone(made: Any, layer: str) -> Tensor:
    """The one tensor that a layer gives; DatasetError if it gives several, or none."""
    several = [*_tensors(made)]
    if len(several) != 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in several) or type(made).__name__
        raise DatasetError(
            f"the layer {layer!r} gives {len(several)} tensors ({shapes}), where one is expected: "
            f"name a layer within it, or {OWN_POOL}."
        )
    return several[0]


def _tensors(made: Any) -> Iterator[Tensor]:
    """The tensors of two axes or more among what a layer gives, also of lists within lists."""
    if isinstance(made, Tensor):
        yield from [made] if made.ndim > 1 else ()
    elif isinstance(made, Mapping | list | tuple):
        for one in made.values() if isinstance(made, Mapping) else made:
            yield from _tensors(one)


def _copied(made: Any) -> Any:
    """What a layer gives, before what follows works in place."""
    if isinstance(made, Tensor):
        return made.clone()
    return [*map(_copied, made)] if type(made) in (list, tuple) else made


def _axis(made: Tensor, layer: str, parts: Mapping[str, nn.Module]) -> int:
    """Which axis holds the components: 1 or −1. DatasetError where nothing says so.

    The sizes of the layer's own modules decide, or else of the nearest module around it that has
    any of them, if a picture as wide as high does not contradict them. Of convolutions alone it is
    the second. Tokens as many as something in the network is wide leave it open: layers that mix
    tokens have their own width there. What an attention gives for each head is left open, too.
    """
    heads = _has_heads(made, layer, parts)
    if isinstance(parts[layer], SECOND) and not heads:
        return 1
    name = layer
    open_tokens = made.ndim == 3 and {*made.shape[1:]} <= _widths(parts[""])
    said = None if open_tokens or heads else _said_by(parts[name], made)
    while said == 0 and name:
        name = name.rpartition(".")[0]
        said = _said_by(parts[name], made)
    if not said:
        raise DatasetError(
            f"the layer {layer!r} gives {tuple(made.shape)}, and nothing says which axis holds its "
            f"components: {OWN_POOL}."
        )
    return said


def _has_heads(made: Tensor, layer: str, parts: Mapping[str, nn.Module]) -> bool:
    """Whether an axis of four may be the heads of the nearest attention around a layer."""
    around = layer if made.ndim == 4 else ""
    axes = made.shape[1:2] if isinstance(parts[layer], SECOND) else made.shape[1:]
    while around:
        around = around.rpartition(".")[0]
        numbers = [getattr(parts[around], name, None) for name in HEADS]
        if any(isinstance(number, int) for number in numbers):
            return any(number in axes for number in numbers if isinstance(number, int))
    return False


def _said_by(module: nn.Module, made: Tensor) -> int | None:
    """1 or −1 as in `_axis`, by one module; 0 if it says nothing, None if it contradicts itself."""
    widths, square = _widths(module), _as_wide_as_high(made)
    there = (made.shape[1] in widths, made.shape[-1] in widths)
    kinds = {type(one) for one in module.modules()}
    convolves = any(issubclass(kind, nn.modules.conv._ConvNd) for kind in kinds)
    alone = convolves and kinds.isdisjoint(LAST) and square >= 0
    if type(module) in LAST:
        said = -1
    elif alone and (square or len({*made.shape[1:]}) == 1):
        said = 1
    elif all(there):
        return None
    else:
        said = {(True, False): 1, (False, True): -1}.get(there, int(alone))
    return None if said * square < 0 else said


def _as_wide_as_high(made: Tensor) -> int:
    """1 or −1 if that holds only with the components in the second axis, or in the last; else 0."""
    if made.ndim != 4:
        return 0
    first, second, third = made.shape[1:]
    return {(False, True): 1, (True, False): -1}.get((first == second, second == third), 0)


def _widths(module: nn.Module) -> set[int]:
    """The numbers of components that a module and those within it name."""
    widths = set[int]()
    for one in module.modules():
        widths |= {size for n in WIDTHS if isinstance(size := getattr(one, n, None), int)}
        shape = getattr(one, "normalized_shape", None)
        widths |= {*shape} if isinstance(shape, tuple) and len(shape) == 1 else set()
    return widths
