"""How programs write the same weights: what they put around the tensors and before their names.

Training programs save more than a network, wrap it for several devices, for compiling or for an
average over training, and the library transformers has names of its own for CLIP. Here all of that
becomes the tensors that open_clip or timm expect, with a note for each choice that was made.
Nothing is opened here, and nothing is left out without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
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
#: Parts of names that transformers and open_clip have for the same modules of a block.
BLOCK = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
#: Whole names, and beginnings of some.
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
}
#: What transformers calls a tower's sizes, what we call them, and what they are if not said.
_ANY = {"num_hidden_layers": ("layers", 12), "hidden_act": ("hidden_act", "quick_gelu")}
DEFAULTS: dict[str, dict[str, tuple[str, Any]]] = {
    "vision": _ANY | {
        "hidden_size": ("width", 768), "num_attention_heads": ("heads", 12),
        "intermediate_size": ("mlp", 3072), "image_size": ("image_size", 224),
        "patch_size": ("patch_size", 32),
    },
    "text": _ANY | {
        "hidden_size": ("width", 512), "num_attention_heads": ("heads", 8),
        "intermediate_size": ("mlp", 2048), "max_position_embeddings": ("context_length", 77),
        "vocab_size": ("vocab_size", 49408),
    },
}  # fmt: skip
TURNED = ("visual.proj", "text_projection")
PART = re.compile(r"(.*\.self_attn\.)([qkv])_proj\.(weight|bias)")


class Weights(NamedTuple):
    """Tensors by name, what a safetensors file says besides, and what a reader should know."""

    state: State
    metadata: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


def taken(content: Any) -> Weights:
    """Take the network's tensors out of what a file holds, with a note on what is left aside.

    Raises ValueError if there are none, or if which are meant cannot be told.
    """
    content = content if isinstance(content, Mapping) else {}
    if _is_state(content):
        return Weights(dict(content))
    found = {str(name): _inner(entry) for name, entry in content.items()}
    sets = {name: state for name, state in found.items() if state}
    own = [name for name in ENTRIES if name in sets] or list(sets)
    if not own:
        entries = ", ".join(map(shown, content)) or "nothing"
        raise ValueError(
            f"it holds {entries[:60]} where a dictionary of tensors is expected, or one with such "
            "a dictionary under state_dict or model"
        )
    if own[0] not in ENTRIES and len(own) > 1:
        raise ValueError(
            f"it holds the tensors of {' and of '.join(map(shown, own))}, and which are meant "
            "cannot be told: save one of them as a file of its own"
        )
    others = ", ".join(shown(name) for name in sets if name != own[0])
    note = (
        f"Of the file's tensors the entry {shown(own[0])} was taken, {others} left aside: to look "
        "at that, save it as a file of its own."
    )
    notes = [note] if others else []
    if not others and own[0] not in ENTRIES:
        notes = [f"The file's tensors are its entry {shown(own[0])}."]
    return Weights(sets[own[0]], {}, tuple(notes))


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
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        found = PART.fullmatch(name)
        if found:
            whole = _in_open_clip(found[1].replace("self_attn.", "attn.")) + f"in_proj_{found[3]}"
            parts.setdefault(whole, {})[found[2]] = value
        elif not name.endswith(".position_ids"):
            new = _in_open_clip(name)
            renamed[new] = value.T.contiguous() if new in TURNED else value
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

    Raises ValueError if there is none.
    """
    towers = {tower: _sizes(config.get(f"{tower}_config") or {}, tower) for tower in DEFAULTS}
    activations = {tower.pop("hidden_act") for tower in towers.values()}
    for name in open_clip.list_models():
        known = open_clip.get_model_config(name)
        plain = known.keys() <= {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
        activation = "quick_gelu" if known.get("quick_gelu") else "gelu"
        same = known["embed_dim"] == config.get("projection_dim", 512)
        if plain and same and activations == {activation}:
            own = {tower: _own_sizes(known[f"{tower}_cfg"]) for tower in DEFAULTS}
            if own == towers:
                return str(name)
    raise ValueError("open_clip has no architecture of these sizes")


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
    notes: list[str] = []
    off: list[str] = []
    if any(COMPILED in name for name in state):
        state = _named({name: name.replace(COMPILED, "") for name in state}, state)
        off.append(COMPILED)
    while True:
        rest = {name: value for name, value in state.items() if name != AVERAGED}
        first = {name.partition(".")[0] for name in rest}
        if len(first) != 1 or first <= own or not all("." in name for name in rest):
            break
        if len(rest) < len(state):
            notes.append("The tensors are an average over training (n_averaged).")
        prefix = f"{first.pop()}."
        state = _named({name: name.removeprefix(prefix) for name in rest}, rest)
        off.append(prefix)
    if off:
        notes.insert(0, f"Taken off the names of all tensors: {shown(''.join(off))}")
    return state, notes


def _named(names: Mapping[str, str], state: State) -> State:
    if len({*names.values()}) < len(names):
        raise ValueError("two of its tensors have one name once wrappers' prefixes are taken off")
    return {new: state[old] for old, new in names.items()}


def _in_open_clip(name: str) -> str:
    """The name, or its beginning, that open_clip has for one of transformers."""
    start = next((s for s in TRANSFORMERS if name == s or name.startswith(f"{s}.")), None)
    if start is None:
        return name
    rest = name.removeprefix(start)
    for theirs, ours in BLOCK.items():
        rest = rest.replace(f".{theirs}.", f".{ours}.")
    return TRANSFORMERS[start] + rest


def _sizes(config: Mapping[str, Any], tower: str) -> dict[str, Any]:
    """The sizes of one tower of transformers' CLIP, what is not said as transformers has it."""
    return {ours: config.get(name, usual) for name, (ours, usual) in DEFAULTS[tower].items()}


def _own_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of one tower of open_clip's; nothing where it has what transformers' has not."""
    known = {"width", "layers", "heads", "head_width", "mlp_ratio", "image_size", "patch_size",
             "context_length", "vocab_size"}  # fmt: skip
    if not config.keys() <= known or not isinstance(config.get("layers", 0), int):
        return {}
    width = config["width"]
    sizes = {key: value for key, value in config.items() if key not in ("head_width", "mlp_ratio")}
    return sizes | {
        "heads": config.get("heads", width // config.get("head_width", 64)),
        "mlp": int(width * config.get("mlp_ratio", 4)),
    }
