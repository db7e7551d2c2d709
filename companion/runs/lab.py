"""Keep the pocket lab's features current: extracted anew when anything that decides them changed.

The pocket lab's notebooks read features from the store, as those of the paper's models do. Its
checkpoints and images are small and part of the repository, so what others must ask for by
`companion extract` is done here before a build. Without PyTorch nothing is extracted; the pages
then say so. Only descriptions are read here: no torch.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from analysis import code
from analysis.common import ROOT
from analysis.families.registry import Family, load_families
from analysis.features import store
from companion.runs import keys
from companion.runs.experiments import RunError
from companion.runs.keys import Parts

#: The data set: the test images of all ten styles.
DATA = "pocket"
NEEDED = ("torch", "torchvision", "open_clip", "timm", "tqdm")
_FILES = (
    "data/emoji/emoji.zip",
    "data/pocket/tokenizer.json",
    "data/pocket/architectures/*.json",
    "data/pocket/checkpoints/*.safetensors",
)
_SOURCE = "import analysis.features.extract"


def can_extract() -> bool:
    """Whether the libraries that extraction needs are installed."""
    return all(importlib.util.find_spec(name) for name in NEEDED)


def refresh() -> int:
    """Extract the features of every pocket family that are missing or outdated; how many were.

    Does nothing where PyTorch is not installed. Raises RunError when an extraction fails.
    """
    outdated = [f for f in load_families("pocket").values() if not is_current(f)]
    if not outdated or not can_extract():
        return 0
    for family in outdated:
        print(f"features: {family.name}", file=sys.stderr, flush=True)
        _extract(family)
    return len(outdated)


def is_current(family: Family) -> bool:
    """Whether the family's features were made from what is on disk now, and are all there."""
    try:
        made_from = dict(json.loads(_note(family).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    kept = [store.default_folder() / name for name in made_from.pop("files", [])]
    return bool(made_from == _parts(family) and kept and all(map(_sound, kept)))


def _extract(family: Family) -> None:
    """Extract in another process, so that this one stays free of torch."""
    names = [model.name for model in family.models if model.loadable]
    for name in names:
        for sidecar in (store.default_folder() / name).glob(f"{DATA}-*.json"):
            sidecar.unlink()  # what was made otherwise is not taken for done
    command = [sys.executable, "-m", "companion.cli", "extract", family.name, "--data", DATA]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RunError(f"the features of {family.name} could not be extracted: {lines[-1]}")
    made = [p for n in names for p in (store.default_folder() / n).glob(f"{DATA}-*.json")]
    kept = sorted(
        path.with_suffix(".safetensors").relative_to(store.default_folder()).as_posix()
        for path in made
    )
    _note(family).parent.mkdir(parents=True, exist_ok=True)
    beside = _note(family).with_suffix(".part")
    beside.write_text(json.dumps({**_parts(family), "files": kept}, indent=1), encoding="utf-8")
    beside.replace(_note(family))


def _sound(path: Path) -> bool:
    try:
        store.read(path)
    except store.StoreError:
        return False
    return True


def _note(family: Family) -> Path:
    """Where it is noted what the family's features were made from: beside the features."""
    return store.default_folder() / f".{family.name}.made-from.json"


def _parts(family: Family) -> Parts:
    """All that decides the features, by content: code, weights, images, libraries."""
    modules = code.import_closure(_SOURCE)
    files = [path for pattern in _FILES for path in sorted(ROOT.glob(pattern))]
    files.append(ROOT / "families" / f"{family.name}.yaml")
    libraries = code.libraries_of(path.read_text(encoding="utf-8") for path in modules)
    parts = {p.relative_to(ROOT).as_posix(): keys.file_hash(p) for p in [*modules, *files]}
    return parts | {name: code.version_of(name) for name in libraries}
