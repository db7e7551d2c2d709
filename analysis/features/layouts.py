"""How programs write the same weights: what they put around the tensors and before their names.

Training programs save more than a network, wrap it for several devices, for compiling or for an
average over training, and the library transformers has names of its own for CLIP. Here all of that
becomes the tensors that open_clip or timm expect, with a note for each choice that was made.
Nothing is opened here, and nothing is left out without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any, NamedTuple, TypeGuard

import open_clip
import torch
from torch import Tensor, nn

State = dict[str, Tensor]

#: Under which names programs save the network itself, in the order in which one is taken.
ENTRIES = ("state_dict", "model_state_dict", "model")
#: What `torch.optim.swa_utils.AveragedModel` counts with, beside the network.
AVERAGED = "n_averaged"
COMPILED = "_orig_mod."
#: What transformers calls the parts of a tensor's name, and what open_clip does.
TRANSFORMERS = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "vision_model.encoder.layers": "visual.transformer.resblocks",
    "visual_projection.weight": "visual.proj",
    "text_model.embeddings.token_embedding": "token_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "text_model.encoder.layers": "transformer.resblocks",
    "text_projection.weight": "text_projection",
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}  # fmt: skip
#: Any of them, between dots.
KNOWN = re.compile(rf"(?<![^.])({'|'.join(map(re.escape, TRANSFORMERS))})(?![^.])")
TURNED = ("visual.proj", "text_projection")
PART = re.compile(r"(.*\.attn\.)([qkv])_proj\.(weight|bias)")


class Weights(NamedTuple):
    """Tensors by name, what a safetensors file says besides, and what a reader should know."""

    state: State
    metadata: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


def taken(content: Any) -> Weights:
    """Take the network's tensors out of what a file holds, with a note on what is left aside.

    Raises ValueError if there are none, or if which are meant is open.
    """
    content = content if isinstance(content, Mapping) else {}
    if _is_state(content):
        return Weights(dict(content))
    sets = {str(name): state for name, entry in content.items() if (state := _inner(entry))}
    known = [name for name in ENTRIES if name in sets]
    if not known and len(sets) != 1:
        entries = ", ".join(map(shown, sets or content)) or "nothing"
        raise ValueError(
            f"it holds {entries[:60]} where a dictionary of tensors is expected, or one with such "
            "a dictionary under state_dict or model: save the network's as a file of its own"
        )
    name = next(iter(known or sets))
    others = ", ".join(shown(other) for other in sets if other != name)
    note = f"Of the file's tensors the entry {shown(name)} was taken, {others} left aside."
    return Weights(sets[name], {}, (note,) if others else ())


def arranged(weights: Weights, wanted: Collection[str]) -> Weights:
    """Give tensors the names that a network ``wanted`` them to have, as far as they are known.

    Taken off are what wrappers put before all names. transformers' CLIP becomes open_clip's, and an
    image tower alone gets the name that it has within CLIP. Raises ValueError for two tensors of
    one name.
    """
    state, notes = _unwrapped(weights.state, wanted)
    if any(name.startswith("vision_model.") for name in state):
        state = of_transformers(state)
        notes.append("The tensors are named and laid out as transformers does it: turned into "
                     "open_clip's.")  # fmt: skip
    tower = {name.removeprefix("visual.") for name in wanted if name.startswith("visual.")}
    if tower and state.keys() == tower:
        state = {f"visual.{name}": value for name, value in state.items()}
        notes.append("The file holds an image tower alone.")
    return Weights(state, weights.metadata, (*weights.notes, *notes))


def of_transformers(state: Mapping[str, Tensor]) -> State:
    """Turn the tensors of transformers' ``CLIPModel`` into open_clip's.

    Queries, keys and values are stacked, projections transposed, and the numbers of positions,
    which older versions kept, are left out. What has another name keeps it, so that it is missed.
    """
    renamed: State = {}
    parts: dict[str, State] = {}
    for theirs, value in state.items():
        name = KNOWN.sub(lambda found: TRANSFORMERS[found[0]], theirs)
        part = PART.fullmatch(name)
        if part:
            parts.setdefault(f"{part[1]}in_proj_{part[3]}", {})[part[2]] = value
        elif not name.endswith(".position_ids"):
            renamed[name] = value.T.contiguous() if name in TURNED else value
    for whole, three in parts.items():
        if three.keys() == {*"qkv"}:
            renamed[whole] = torch.cat([three[one] for one in "qkv"])
    return renamed


def load_older_layout(clip: nn.Module, state: State) -> None:
    """Load tensors that are named as other programs, or earlier versions of open_clip, do it."""
    state = open_clip.convert.convert_state_dict(clip, dict(state))
    if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(clip, name, None)
        if name in state and own is not None:
            state[name] = state[name].reshape(own.shape)
    if "logit_bias" not in state and getattr(clip, "logit_bias", None) is not None:
        state["logit_bias"] = torch.zeros_like(state["logit_scale"])
    positions = "text.transformer.embeddings.position_ids"  # of transformers before 4.31
    if positions not in clip.state_dict():
        state.pop(positions, None)
    clip.load_state_dict(state, strict=True)


def architecture_of(config: Mapping[str, Any]) -> str:
    """Find the architecture of open_clip that a ``config.json`` of transformers' CLIP describes.

    What the file does not say is as transformers has it then. Raises ValueError if there is none.
    """
    vision, text = (config.get(f"{tower}_config") or {} for tower in ("vision", "text"))
    width = vision.get("hidden_size", 768)
    towers = (
        open_clip.CLIPVisionCfg(
            layers=vision.get("num_hidden_layers", 12), width=width,
            head_width=width // vision.get("num_attention_heads", 12),
            mlp_ratio=vision.get("intermediate_size", 3072),
            image_size=vision.get("image_size", 224), patch_size=vision.get("patch_size", 32),
        ),
        open_clip.CLIPTextCfg(
            layers=text.get("num_hidden_layers", 12), width=text.get("hidden_size", 512),
            heads=text.get("num_attention_heads", 8),
            mlp_ratio=text.get("intermediate_size", 2048),
            context_length=text.get("max_position_embeddings", 77),
            vocab_size=text.get("vocab_size", 49408),
        ),
    )  # fmt: skip
    activations = {tower.get("hidden_act", "quick_gelu") for tower in (vision, text)}
    for name in open_clip.list_models():
        known = open_clip.get_model_config(name)
        activation = "quick_gelu" if known.get("quick_gelu") else "gelu"
        same = known["embed_dim"] == config.get("projection_dim", 512)
        plain = known.keys() <= {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
        if plain and same and activations == {activation} and towers == _towers(known):
            return str(name)
    raise ValueError("open_clip has no architecture of these sizes")


def _towers(known: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both towers of an architecture of open_clip's, with the MLP's width in place of its share."""
    vision = open_clip.CLIPVisionCfg(**known["vision_cfg"])
    text = open_clip.CLIPTextCfg(**known["text_cfg"])
    return tuple(replace(one, mlp_ratio=int(one.width * one.mlp_ratio)) for one in (vision, text))


def part_that_fits(state: Mapping[str, Any], wanted: Collection[str]) -> str:
    """What stands before the names of a whole network, if there is more beside it; else ""."""
    for prefix in dict.fromkeys(name.partition(".")[0] + "." for name in state):
        if {*wanted} <= {name.removeprefix(prefix) for name in state if name.startswith(prefix)}:
            return prefix
    return ""


def shown(name: object) -> str:
    """A name out of a file, as it can stand in a sentence."""
    return re.sub(r"[^\w.-]", "?", str(name), flags=re.ASCII)[:60]


def _is_state(entry: Any) -> TypeGuard[State]:
    return (
        isinstance(entry, Mapping)
        and bool(entry)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in entry.items())
    )


def _inner(entry: Any) -> State:
    """The tensors of an entry, or of what it holds as a module or a state; nothing if there are
    none."""
    inner = [entry.get(k) for k in ("module", "state_dict")] if isinstance(entry, Mapping) else []
    for place in (entry, *inner):
        if _is_state(place):
            return dict(place)
    return {}


def _unwrapped(state: State, wanted: Collection[str]) -> tuple[State, list[str]]:
    """Take off what stands before all names, and is not the network's own."""
    own = {name.partition(".")[0] for name in wanted} | {"visual", "vision_model", "head"}
    names = {name: name.replace(COMPILED, "") for name in state}
    outer = (name.split(".")[:-1] for name in names.values() if name != AVERAGED)
    shared = takewhile(
        lambda one: len({*one}) == 1 and one[0] not in own, zip(*outer, strict=False)
    )
    prefix = "".join(f"{one[0]}." for one in shared)
    averaged = bool(prefix and names.pop(AVERAGED, ""))
    names = {old: name.removeprefix(prefix) for old, name in names.items()}
    off = {
        old.removesuffix(name) if old.endswith(name) else COMPILED for old, name in names.items()
    }
    notes = [f"Taken off the names of all tensors: {shown(one)}" for one in sorted(off - {""})]
    if averaged:
        notes.append("The tensors are an average over training (n_averaged).")
    if len({*names.values()}) < len(names):
        raise ValueError("two of its tensors have one name once wrappers' prefixes are taken off")
    return {name: state[old] for old, name in names.items()}, notes
