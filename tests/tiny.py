"""Models of a few kilobytes and pictures to feed them, for the tests of extraction."""

import json

import numpy as np
import pytest
from conftest import cases
from PIL import Image

from analysis.families.registry import Model, load_families
from analysis.features import store
from analysis.images.imagelist import ImageList, Prompts
from companion.checkpoints.tokenizer import WordTokenizer
from companion.measurements import measures, records
from companion.measurements.measurement import Data
from companion.sources import sets

CLASSES = ("red", "green", "blue")
PROMPTS = Prompts(CLASSES, CLASSES, ("a {} picture", "{}"))
TINY = cases("tiny")
WIDTH, PREPROCESSING = TINY["width"], TINY["preprocessing"]
TEXT, ARCHITECTURES = TINY["text"], TINY["architectures"]


def model(name="tiny", **fields):
    built = {"library": "open_clip", "architecture": "tiny-vit", "weights": "tiny.safetensors"}
    about = {"level": "zero_shot", "pretraining": "none", "preprocessing": PREPROCESSING}
    return Model.model_validate({"name": name, "width": WIDTH} | built | about | fields)


def use_architectures(folder, patch):
    """Let `companion.checkpoints` find the tiny architectures, and a tokenizer beside them."""
    from companion.checkpoints import networks

    architectures = folder / "architectures"
    architectures.mkdir()
    for name, vision in ARCHITECTURES.items():
        config = {"embed_dim": WIDTH, "vision_cfg": vision, "text_cfg": TEXT}
        (architectures / f"{name}.json").write_text(json.dumps(config))
    texts = ["a picture", *CLASSES, "tench goldfish great white shark"]
    WordTokenizer.from_captions(texts, 8).save(folder / "tokenizer.json")
    patch.setattr(networks, "ARCHITECTURES", architectures)


def save_clip(path, name="tiny-vit", seed=1, **metadata):
    """Write a checkpoint of random weights, as training would."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from companion.checkpoints import networks

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        clip = open_clip.CLIP(**networks.architecture(name))
        for tensor in clip.state_dict().values():  # running statistics and norms too
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5)
    state = {key: value.contiguous() for key, value in clip.state_dict().items()}
    save_file(state, path, metadata={"architecture": name, **metadata})


def pictures(count, seed=0):
    """Return photographs of nothing: smooth noise, uint8 (count, 40, 48, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((48, 40))) for c in coarse])


def image_list(count=50, name="noise"):
    labels = np.arange(count, dtype=np.int64) % 4 - 1
    keys = tuple(f"{i:03}" for i in range(count))
    return ImageList(name, pictures(count), keys, labels, CLASSES, PROMPTS)


def save_folder(folder, count=9, suffix="png"):
    """Write pictures into a subfolder per class."""
    for i, picture in enumerate(pictures(count)):
        place = folder / CLASSES[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{i:03}.{suffix}")
    return folder


def keep(model, data, features, labels=None, head=None, *, keys=(), folder=None, **about):
    """Put features of a model into the store, and a head if one is given; ``about`` the data."""
    sha256 = model.weights_sha256 or "f" * 64
    described = {"model": store.describe(model, sha256), "precision": "fp32"}
    count = len(features)
    store.write_features(
        store.features_path(model.name, data, folder),
        features,
        np.full(count, -1) if labels is None else labels,
        store.row_numbers(keys or [str(i) for i in range(count)]),
        sidecar=described | {"data": {"name": data, "manifest": "m", "classes": (), **about}},
    )
    if head is not None:
        store.write_head(store.head_path(model.name, data, folder), head, described)


def unit(rows):
    """Rows at length one."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def accuracy(name, data, images=None, top1=1 / 3, what=None):
    """An accuracy as it would be recorded on a published set, or on fewer of its images."""
    described = sets.descriptions()[data]
    used = described.used or described
    count = images or used.images
    right, labels = np.arange(count) < round(top1 * count), np.arange(count) % used.classes
    family = next(f for f in load_families().values() if name in {m.name for m in f.models})
    source, its_model = records.read_all("outlier_features", "rn50")[0], family.model(name)
    return records.build(
        "accuracy",
        measures.accuracy(right, labels, used.classes),
        **{"family": family.name, "model": name, "level": its_model.level},
        counts={"images": count, "components": its_model.width, "classes": used.classes},
        data=Data(name=data, what=what or described.title),
        provenance=source.provenance.model_copy(update={"weights_sha256": None}),
    )


@pytest.fixture(autouse=True, scope="module")
def architectures(tmp_path_factory):
    """Tiny architectures in place of the pocket lab's; a module that imports this uses them."""
    with pytest.MonkeyPatch.context() as patch:
        use_architectures(tmp_path_factory.mktemp("pocket"), patch)
        yield


def in_parts(state, folder, name="model"):
    """What `huggingface_hub` makes of weights that are too large for one file: two; the index."""
    import huggingface_hub

    most = int(0.75 * sum(tensor.nbytes for tensor in state.values()))
    how = {"filename_pattern": f"{name}{{suffix}}.safetensors", "max_shard_size": most}
    huggingface_hub.save_torch_state_dict(state, folder, **how)
    return folder / f"{name}.safetensors.index.json"
