"""From a checkpoint and a folder of unlabelled images to a `Probe`: the command `companion probe`.

Features are taken from the store if it has them, else extracted into a temporary folder: nothing
stays behind but what was asked for. torch is imported when something is to be extracted.
"""

from __future__ import annotations

import errno
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from analysis.families.registry import Model
from analysis.features import store
from analysis.images import find, imagelist
from analysis.images.imagelist import DamagedImageError, DatasetError, ImageList
from companion.probe import FEWEST_IMAGES, Probe, ProbeError
from companion.probe_store import from_store, recorded_models

if TYPE_CHECKING:
    from analysis.features.extract import Settings


def probe_checkpoint(
    model: Model,
    images: ImageList,
    settings: Settings,
    *,
    name: str = "",
    folder: Path | None = None,
    checkpoint: Path | None = None,
) -> Probe:
    """Extract the features of `images`, which need no labels, by a model, and probe them.

    `name` is what the model is called in the result (default: its own name); `folder` another
    store than the default one; `checkpoint` a weights file as in `models.load`. A head is looked
    at if the checkpoint has one, or if the images bring the prompts for one. Raises ProbeError
    for too few images and a full disk, and what extraction raises: DatasetError, ModelError,
    ExtractionError, StoreError.
    """
    unsound = _check_images(images, settings)
    kept = store.features_path(model.name, images.name, folder)
    if checkpoint is None and _usable(kept, model, images):
        return from_store(
            model, images.name, recorded_models(), name=name, folder=folder, left_out=unsound
        )
    from analysis.features.extract import extract

    with tempfile.TemporaryDirectory(prefix="companion-probe-", ignore_cleanup_errors=True) as made:
        try:
            settings = replace(settings, leave_out_damaged=True)  # they were looked at above
            extract([model], images, settings, folder=Path(made), checkpoint=checkpoint)
        except OSError as error:
            raise _no_room(error, Path(made)) from error
        return from_store(
            model, images.name, recorded_models(), name=name, folder=Path(made), left_out=unsound
        )


def from_options(options: Any, quiet: bool = False) -> Probe:
    """What the command line asks for: see `companion probe --help`."""
    from analysis.features import checkpoints
    from analysis.features.extract import Settings

    images = find_images(options.images)
    file = find_path(options.checkpoint)
    text = str(file) if file.is_file() else options.checkpoint
    model = checkpoints.find(
        text,
        architecture=options.architecture,
        assumed_level="supervised",  # no number needs it
    )
    settings = Settings(
        device=options.device, batch_size=options.batch_size, workers=options.workers,
        leave_out_damaged=options.leave_out_damaged, progress=not quiet,
    )  # fmt: skip
    name = file.name if file.is_file() else options.checkpoint
    if model.level == "random" and name == "random":
        name = f"{model.architecture} with random weights"
    found = probe_checkpoint(model, images, settings, name=name)
    typed = {"checkpoint": options.checkpoint, "folder": options.images,
             "command": _command(options)}  # fmt: skip
    return replace(found, about=found.about | typed)


def _command(options: Any) -> str:
    """The command that repeats the probe."""
    words = ["companion", "probe", options.checkpoint, "--images", options.images]
    for name, field in (("architecture",) * 2, ("html",) * 2, ("json", "json_file")):
        if getattr(options, field):
            words += [f"--{name}", str(getattr(options, field))]
    words += ["--device", options.device, "--batch-size", str(options.batch_size)]
    words += ["--leave-out-damaged"] * options.leave_out_damaged
    return shlex.join(words)


def find_images(text: str) -> ImageList:
    """The images of a folder and the folders below it; also `pocket-STYLE-SPLIT`. DatasetError."""
    path = find_path(text)
    if not path.exists() and text.startswith("pocket-"):
        return find.find(text)[0]
    return imagelist.unlabelled(path)


def find_path(text: str) -> Path:
    r"""The path that a text names: `~`, and `\` between folders wherever it comes from."""
    path = Path(text).expanduser()
    other = Path(PureWindowsPath(text).as_posix()).expanduser()
    return other if not path.exists() and other.exists() else path


def _check_images(images: ImageList, settings: Settings) -> dict[str, str]:
    """Decode all images before the minutes of encoding; name → reason of those left out."""
    unsound = imagelist.damaged(images, settings.workers)
    if unsound and not settings.leave_out_damaged:
        raise DatasetError(
            f"{len(unsound)} of {len(images)} images cannot be used: {_listed(unsound)}. Replace "
            "or remove them, or leave such images out with --leave-out-damaged."
        )
    count = len(images) - len(unsound)
    if count < FEWEST_IMAGES:
        raise ProbeError(
            f"{count} images that can be used are too few for a meaningful estimate: at least "
            f"{FEWEST_IMAGES} are expected, better 100 and more; add images to the folder."
        )
    return {error.key: error.reason for error in unsound}


def _listed(unsound: list[DamagedImageError], limit: int = 10) -> str:
    names = ", ".join(f"{error.key} ({error.reason})" for error in unsound[:limit])
    more = len(unsound) - limit
    return f"{names} and {more} more" if more > 0 else names


def _usable(path: Path, model: Model, images: ImageList) -> bool:
    """Whether the store has the features of all these images by the model as it is now."""
    try:
        sidecar = store.read_features(path, model).sidecar
    except store.StoreError:
        return False
    return bool(sidecar["data"].get("manifest") == images.manifest)


def _no_room(error: OSError, folder: Path) -> ProbeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "there is no space left"
    else:
        reason = error.strerror or str(error)
    return ProbeError(
        f"features cannot be written to {folder.parent} ({reason}): make room there, or name "
        "another folder for temporary files in the environment variable TMPDIR."
    )
