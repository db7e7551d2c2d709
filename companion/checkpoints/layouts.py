"""How programs write the same weights: what they put around the tensors and before their names.

Training programs save more than a network, wrap it for several devices, for compilation or for an
average over training, and the library transformers has its own names for CLIP. This module turns
all of that into the tensors that open_clip or timm expect, with a note for each choice made. It
opens no file, and reports whatever it leaves out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from companion.checkpoints.lazily import open_clip

State = dict[str, Tensor]

#: Under which names programs save the network itself, in the order in which one is taken.
ENTRIES = ("state_dict", "model_state_dict", "model", "module")
#: What `torch.optim.swa_utils.AveragedModel` stores in addition to the network.
AVERAGED = "n_averaged"
#: Numbers that are rounded so far that features tell.
SHORT = {torch.float16, torch.bfloat16}
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
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}
#: Any of them, between dots.
KNOWN = re.compile(rf"(?<![^.])({'|'.join(map(re.escape, TRANSFORMERS))})(?![^.])")
TURNED = ("visual.proj", "text_projection")
PART = re.compile(r"(.*\.attn\.)([qkv])_proj\.(weight|bias)")


class Weights(NamedTuple):
    """Tensors by name, the metadata of a safetensors file, and notes for the reader."""

    state: State
    metadata: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


def taken(content: Any) -> Weights:
    """Take the network's tensors out of a file's content, with a note on what is ignored.

    Raises ValueError if there are none.
    """
    content = content if isinstance(content, Mapping) else {}
    name = next((entry for entry in ENTRIES if entry in content), None)
    state = content if name is None else content[name]
    if not _is_state(state):
        entries = ", ".join(map(shown, content)) or "nothing"
        raise ValueError(
            f"it holds {entries[:60]} where a dictionary of tensors is expected, or one with such "
            "a dictionary under state_dict or model: save the network's alone as a file"
        )
    others = [shown(other) for other in content if other != name and _is_state(content[other])]
    note = f"Of the file's tensors the entry {name} was read, {', '.join(others)} ignored."
    return Weights(dict(state), {}, (note,) if others else ())


def arranged(weights: Weights, wanted: Collection[str]) -> Weights:
    """Rename tensors to the names that a network ``wanted``, as far as they are known.

    Prefixes that wrappers put before all names are removed. transformers' CLIP becomes open_clip's,
    and an image tower alone gets the name that it has within CLIP. Raises ValueError for two
    tensors of one name.
    """
    state, notes = dict(weights.state), [*weights.notes]
    if state.pop(AVERAGED, None) is not None:
        notes.append("The tensors are an average over training (n_averaged).")
    if any("vision_model." in name for name in state):
        state = of_transformers(state)
        notes.append("The tensors have transformers' layout and were converted to open_clip's.")
    if prefix := _prefix(state, wanted):
        notes.append(f"Removed from the names of all tensors: {shown(prefix)}")
        renamed = {name.removeprefix(prefix): value for name, value in state.items()}
        if len(renamed) < len(state):
            raise ValueError(f"two of its tensors share a name once {shown(prefix)} is removed")
        state = renamed
    tower = {name.removeprefix("visual.") for name in wanted if name.startswith("visual.")}
    if tower and state.keys() == tower:
        state = {f"visual.{name}": value for name, value in state.items()}
        notes.append("The file holds an image tower alone.")
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    if kinds & SHORT:
        names = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        notes.append(f"The tensors are kept as {names}: features differ a little from float32's.")
    return Weights(state, weights.metadata, tuple(notes))


def of_transformers(state: Mapping[str, Tensor]) -> State:
    """Turn the tensors of transformers' ``CLIPModel`` into open_clip's.

    Queries, keys and values are stacked, projections transposed, and the position numbers that
    older versions stored are left out. Other tensors keep their names, so that they are reported as
    missing.
    """
    renamed: State = {}
    parts: dict[str, State] = {}
    for theirs, value in state.items():
        name = KNOWN.sub(lambda match: TRANSFORMERS[match[0]], theirs)
        part = PART.fullmatch(name)
        if part:
            parts.setdefault(f"{part[1]}in_proj_{part[3]}", {})[part[2]] = value
        elif not name.endswith(".position_ids"):
            renamed[name] = value.T.contiguous() if name.endswith(TURNED) else value
    for whole, three in parts.items():
        if three.keys() == {*"qkv"}:
            renamed[whole] = torch.cat([three[letter] for letter in "qkv"])
    return renamed


def in_order(wanted: State, state: State) -> State:
    """Give the tensors of a file the names that a network wanted, by their order; if as many."""
    return dict(zip(wanted, state.values(), strict=True)) if len(wanted) == len(state) else state


def only_renamed(wanted: State, state: State) -> bool:
    """Whether tensors differ from those that a network wanted in their names alone.

    A classifier, the weight and the bias of which come last, may have other classes.
    """
    pairs = zip(wanted.values(), state.values(), strict=False)
    other = [
        ours.shape[1:] == theirs.shape[1:] for ours, theirs in pairs if ours.shape != theirs.shape
    ]
    return len(wanted) == len(state) and len(other) <= 2 and all(other)


def load_older_layout(clip: nn.Module, state: State) -> None:
    """Load tensors that are named as other programs, or earlier versions of open_clip, do it."""
    state = open_clip.convert.convert_state_dict(clip, dict(state))
    if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
        state = open_clip.model.convert_to_custom_text_state_dict(state)
    wanted = clip.state_dict()
    if "logit_bias" in wanted:
        state.setdefault("logit_bias", torch.zeros(()))
    for name in {"logit_scale", "logit_bias"} & wanted.keys() & state.keys():
        state[name] = state[name].reshape(wanted[name].shape)
    positions = "text.transformer.embeddings.position_ids"  # of transformers before 4.31
    if positions not in wanted:
        state.pop(positions, None)
    clip.load_state_dict(state, strict=True)


def architecture_of(config: Mapping[str, Any]) -> str:
    """Find the architecture of open_clip that a ``config.json`` of transformers' CLIP describes.

    Settings that the file does not state have transformers' default values. Raises ValueError if no
    architecture fits.
    """
    vision, text = (config.get(f"{tower}_config") or {} for tower in ("vision", "text"))
    width = vision.get("hidden_size", 768)
    towers = (
        open_clip.CLIPVisionCfg(
            layers=vision.get("num_hidden_layers", 12),
            width=width,
            head_width=width // vision.get("num_attention_heads", 12),
            mlp_ratio=vision.get("intermediate_size", 3072),
            image_size=vision.get("image_size", 224),
            patch_size=vision.get("patch_size", 32),
        ),
        open_clip.CLIPTextCfg(
            layers=text.get("num_hidden_layers", 12),
            width=text.get("hidden_size", 512),
            heads=text.get("num_attention_heads", 8),
            mlp_ratio=text.get("intermediate_size", 2048),
            context_length=text.get("max_position_embeddings", 77),
            vocab_size=text.get("vocab_size", 49408),
        ),
    )
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
    return tuple(replace(t, mlp_ratio=int(t.width * t.mlp_ratio)) for t in (vision, text))


def shown(name: object) -> str:
    """A name from a file, in a form that fits into a sentence."""
    return re.sub(r"[^\w.-]", "?", str(name), flags=re.ASCII)[:60]


def _is_state(entry: Any) -> TypeGuard[State]:
    values = [*entry.values()] if isinstance(entry, Mapping) else []
    return bool(values) and all(isinstance(value, Tensor) for value in values)


def _prefix(state: State, wanted: Collection[str]) -> str:
    """The prefix of most tensors' names whose remainder is a name that the network has."""
    splits = ((name, name.split(".", n)[-1]) for name in state for n in range(name.count(".") + 1))
    prefixes = Counter(name.removesuffix(end) for name, end in splits if end in wanted)
    return prefixes.most_common(1)[0][0] if prefixes else ""
