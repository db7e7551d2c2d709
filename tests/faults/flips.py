"""Single bits flipped in every kind of file that decides a number; run inside the project.

    python flips.py TRIES SEED    a line of JSON per kind: its name, the tries, which were used

A flip is survived when the file is refused in a sentence, or when what is read is what was written.
The sentence must be one of ours, not a library's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.common import ROOT, CompanionError
from analysis.families.registry import load_family
from analysis.features import encoders, store
from analysis.images import emoji
from companion.measurements import records
from companion.runs.experiments import RunError, find_run, made

MINE = "mine"


def kinds() -> dict[str, tuple[Iterable[Path], Callable[[Path], Any]]]:
    """The files of each kind, and what reads them."""
    model = load_family(MINE).models[0]
    shipped = load_family("pocket_cnn").model("pocket-cnn-web-large")
    checkpoint = store.local_weights(shipped)
    assert checkpoint is not None
    folder = store.default_folder() / model.name
    heads = sorted(folder.glob("*.head.safetensors"))
    features = [path for path in sorted(folder.glob("*.safetensors")) if path not in heads]
    recorded = sorted((ROOT / "data/measurements").rglob("*.json"))  # these are in git
    kept = [records.write_live(records.read(path)) for path in recorded]
    return {
        "features": (features, lambda path: store.read_features(path).features.tobytes()),
        "heads": (heads, lambda path: store.read_head(path).weight.tobytes()),
        "notes beside them": (
            [store.sidecar_of(path) for path in features + heads],
            lambda path: json.dumps(store.read_sidecar(path.with_suffix(".safetensors"))),
        ),
        "live measurements": (kept, lambda path: records.read(path).model_dump_json()),
        "checkpoints": ([checkpoint], lambda _: encoders.load(shipped).weights_sha256),
        "emoji archive": ([emoji.ARCHIVE], _emoji),
        "appearance of emoji": ([emoji.APPEARANCE], lambda path: emoji.appearance(path).tobytes()),
        "executed runs": (sorted((ROOT / "book/runs/per_family").glob("*.ipynb")), _executed),
    }


def _emoji(path: Path) -> Any:
    emoji.load.cache_clear()
    loaded = emoji.load(path)
    return loaded.table.to_json(), loaded.images.tobytes()


def _executed(path: Path) -> Any:
    if not made(find_run("per_family", path.stem)):
        raise RunError(f"{path.name} is not as it was written")
    return json.loads(path.read_text(encoding="utf-8"))


def used(path: Path, read: Callable[[Path], Any], expected: Any, place: int) -> str:
    """Flip one bit and read; "" where that is noticed or does not matter."""
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[place // 8] ^= 1 << place % 8
    path.write_bytes(flipped)
    try:
        return "" if read(path) == expected else f"{path.name}, bit {place}: used"
    except CompanionError:
        return ""
    except Exception as error:
        return f"{path.name}, bit {place}: {type(error).__name__}: {error}"
    finally:
        path.write_bytes(sound)


def main(tries: int, seed: int) -> None:
    for name, (paths, read) in kinds().items():
        rng = np.random.default_rng([seed, *name.encode()])
        wrong = []
        for path in rng.choice(np.array(list(paths), dtype=object), tries):
            place = int(rng.integers(0, 8 * path.stat().st_size))
            wrong.append(used(path, read, read(path), place))
        print(json.dumps([name, tries, [one for one in wrong if one]]), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
