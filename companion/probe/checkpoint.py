"""From a checkpoint and a folder of unlabelled images to a `Probe`: the command `companion probe`.

Features are taken from the store if it has them, else extracted into a temporary folder: nothing
stays behind but what was asked for. torch is imported when something is to be extracted. The page
is the book's notebook ``checkpoint_report``, of this probe alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from analysis.base.files import temporary_folder, write_output, write_text
from analysis.base.roots import ROOT
from analysis.families.registry import Model
from analysis.features import store
from analysis.images import imagelist
from analysis.images.imagelist import ImageList
from companion.checkpoints import names
from companion.engine import downloads, execute
from companion.engine.single_page import page
from companion.measurements import records
from companion.probe import measure
from companion.probe.facts import title_of
from companion.probe.judge import Probe
from companion.probe.report import COMMAND, FOLDER_TYPED, of_store
from companion.runs.options import Probing
from companion.sources import find

if TYPE_CHECKING:
    from analysis.features.plan import ExtractionSettings

#: Who makes a report is its author; this project is the software.
SOFTWARE = "Interpreting CLIP: the companion"
NOTEBOOK = ROOT / "notebooks" / "checkpoint_report.py"


def of_checkpoint(options: Probing, first: Callable[[Probe], None] = lambda judged: None) -> Probe:
    """Probe a checkpoint on a folder of images, both as typed.

    ``first`` gets the verdict before the head is decomposed, which takes longest. Raises
    ProbeError, and what finding, loading and extracting raise.
    """
    names.check_named(options.checkpoint, options.architecture)
    from companion.checkpoints import lookup

    listed, file = find_images(options.images), Path(options.checkpoint).expanduser()
    text, name = (str(file), file.name) if file.is_file() else (options.checkpoint,) * 2
    given = options.model_dump(include={"architecture", "layer", "level", "renamed"})
    model = lookup.find(text, **given)
    if model.drawn:
        name = f"{model.architecture} with random weights"
    if options.layer:
        name += ", before the projection"
    name = options.title or name
    given = options.model_dump(exclude_defaults=True, exclude={"html", "json_file", "rotation"})
    words = ["companion", "probe", given.pop("checkpoint")]
    for option, value in given.items():
        words += [f"--{option.replace('_', '-')}", *([] if value is True else [str(value)])]
    typed = {measure.CHECKPOINT: name, FOLDER_TYPED: options.images, COMMAND: shlex.join(words)}
    return of_images(model, listed, options.settings(), typed, first)


def of_images(
    model: Model,
    images: ImageList,
    settings: ExtractionSettings,
    typed: Mapping[str, str] | None = None,
    first: Callable[[Probe], None] = lambda judged: None,
) -> Probe:
    """Probe what a model makes of images; errors as above. ``typed``: what a report names."""
    measure.check_number(len(images))
    kept = store.features_path(model.name, images.name)
    sound = not store.problem(kept, model)
    if sound and store.read_sidecar(kept)["data"].get("manifest") == images.manifest:
        return of_store(model, images.name, None, typed, first)
    from analysis.features.extract import extract
    from companion.checkpoints import loading

    with temporary_folder() as made:
        extract([model], images, settings, load=loading.load, folder=made)
        return of_store(model, images.name, made, typed, first)


def find_images(text: str) -> ImageList:
    """The images of a folder and the folders below it; also `pocket-STYLE-SPLIT`. DatasetError."""
    path = Path(text).expanduser()
    if not path.exists() and text.startswith("pocket-"):
        return find.find(text)[0]
    return imagelist.unlabelled(path)


def write_page(judged: Probe, path: Path) -> None:
    """Write the report as one page that loads nothing."""
    with temporary_folder() as folder:
        numbers = folder / "probe.json"
        write_text(numbers, records.to_text(judged.measurement))
        parameters = {"numbers": str(numbers)}
        executed = execute.in_this_process(NOTEBOOK, parameters, SimpleNamespace(on=False))
    m = judged.measurement
    year = (m.provenance.taken or date.today().isoformat())[:4]
    book = downloads.Book(downloads.BLANK, f"Probe of {title_of(m)}", year, SOFTWARE)

    def cite(note: Mapping[str, Any]) -> str:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", title_of(m)).strip("-")  # a key has no blanks
        reference = f"probe-{name}#{note['label']}"
        return downloads.bibtex(reference, note, m.provenance.version, book)

    write_output(path, page(executed, f"Probe of {title_of(m)}", cite))
