"""Networks by the names that open_clip and timm have for them, without their weights.

The pocket lab's own architectures count as open_clip's. Of a repository of the hub, the network is
built from the configuration that lies there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import open_clip
import timm
import torch
from open_clip.pretrained import get_pretrained_cfg
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.common import ROOT, suggestion
from analysis.families.registry import HUB, LOCAL_DIR, Model
from analysis.features.store import local_weights
from analysis.features.weights import HUB_FILES, ModelError, from_hub

ARCHITECTURES = ROOT / "data" / "pocket" / "architectures"
RANDOM_SEED = 0


def architecture(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of an architecture, the pocket lab's own included."""
    known = open_clip_architectures()
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise ModelError(
            f"open_clip knows no architecture {name!r}, and data/pocket/architectures has no "
            f"{name}.json: {suggestion(name, known)}."
        )
    return config


def open_clip_architectures() -> list[str]:
    """Names of the architectures that open_clip can build, the pocket lab's own included."""
    known = set(open_clip.list_models())
    if any(path.stem not in known for path in ARCHITECTURES.glob("*.json")):
        open_clip.add_model_config(ARCHITECTURES)
    names: list[str] = open_clip.list_models()
    return names


def source(model: Model) -> str:
    """Return what the libraries know a model's architecture by.

    That is its name; of weights in a repository of the hub, or in a folder laid out as one, the
    folder with its configuration.
    """
    weights, name = model.weights or "", model.architecture or ""
    local = local_weights(model)
    if weights.startswith(LOCAL_DIR) and local:
        return f"{LOCAL_DIR}{local.parent}"
    if not weights.startswith(HUB) or (model.library == "open_clip" and "/" not in name):
        return name  # known, as of transformers' CLIP is what open_clip has of the same sizes
    config = HUB_FILES[model.library or ""][:1]
    return f"{LOCAL_DIR}{from_hub(model.name, weights.removeprefix(HUB), config).parent}"


def build(who: str, library: str, name: str, *, drawn: bool = False, outline: bool = False,
          **options: Any) -> Any:  # fmt: skip
    """Build a network by the name of its architecture; ModelError, about ``who``, if that fails.

    Its weights are those that seed 0 draws if they are to be ``drawn``. For any other, drawing
    would be wasted time: each tensor is loaded, or it is an error. An ``outline`` has no storage
    for weights at all. The random state is left as it was.
    """
    device = torch.device("meta") if outline else contextlib.nullcontext()
    undrawn = contextlib.nullcontext() if drawn else _Undrawn()
    open_clip_architectures()  # the pocket lab's are known from here on
    with torch.random.fork_rng(devices=[]), _quiet(), device, undrawn:
        torch.manual_seed(RANDOM_SEED)
        try:
            if library == "timm":
                return timm.create_model(name, **options)
            return open_clip.create_model(
                name, load_weights=False, pretrained_image=False, pretrained_text=False,
                device="meta" if outline else "cpu", **options,
            )  # fmt: skip
        except Exception as error:  # of many kinds, as the configuration is wrong
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            what = "what it configures" if name.startswith(LOCAL_DIR) else repr(name)
            raise ModelError(f"{who}: {library} cannot build {what} ({reason}).") from None


def classifier_names(net: Any) -> tuple[str, ...]:
    """Return what timm calls the classifier of a network, several where there are such."""
    names = net.pretrained_cfg.get("classifier")
    return (names,) if isinstance(names, str) else tuple(names or ())


def without_projection(who: str, encoder: Any) -> int:
    """Take CLIP's projection out of an image encoder; return how many components it then gives.

    These are the pooled and normalised ones that the projection would read. ModelError, about
    ``who``, if the network is none of open_clip's vision transformers.
    """
    projection = getattr(encoder, "proj", None)
    if not isinstance(projection, nn.Parameter):
        raise ModelError(
            f"{who}: its image encoder is a {type(encoder).__name__}, which has no projection of "
            "its own at the end as open_clip's vision transformers have: leave layer out."
        )
    encoder.proj = None
    return len(projection)


def check_activation(model: Model, quick_gelu: bool) -> None:
    """Raise ModelError if the network has another activation than its weights were trained with."""
    tag = get_pretrained_cfg(model.architecture, model.weights) if model.weights else {}
    if tag and bool(tag.get("quick_gelu", False)) != quick_gelu:
        activations = {True: "QuickGELU", False: "GELU"}
        raise ModelError(
            f"{model.name}: the weights {model.weights} were trained with "
            f"{activations[not quick_gelu]}, but {model.architecture} uses "
            f"{activations[quick_gelu]}: use the architecture "
            f"{'without' if quick_gelu else 'with'} -quickgelu in its name."
        )


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are where they would be filled with random numbers."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warning that no weights are loaded: they are, or the model is the control."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
