"""From a checkpoint and a folder of unlabelled images to a `Probe`: the command `companion probe`.

Features are taken from the store if it has them, else extracted into a temporary folder: nothing
stays behind but what was asked for. torch is imported when something is to be extracted. The page
is the book's notebook ``checkpoint_report``, of this probe alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.common import (
    ROOT,
    CompanionError,
    as_words,
    temporary_folder,
    write_output,
    write_text,
)
from analysis.families.registry import LEVEL_TITLES, Family, Model
from analysis.features import store
from analysis.images import find, imagelist
from analysis.images.imagelist import ImageList
from companion.measurements import provenance, records
from companion.measurements.records import Data
from companion.probe import judge, measure
from companion.probe.judge import Probe, in_words, known_models, title
from companion.probe.measure import ProbeError
from companion.publish import report
from companion.publish.style import digits, share
from companion.runs import execute

if TYPE_CHECKING:
    from analysis.features.plan import Settings

NOTEBOOK = ROOT / "notebooks" / "checkpoint_report.py"
#: Names in `Provenance.made_from` of what a report lists besides.
LEFT_OUT, FOLDER, COMMAND = "images left out", "folder", "command"
#: What the notes of a report are about.
REASON, CAUTION, NOTE, PLACE = "why", "to keep in mind", "checkpoint", "place"


def of_checkpoint(
    checkpoint: str, images: str, settings: Settings, architecture: str | None = None
) -> Probe:
    """Probe a checkpoint on a folder of images, both as typed.

    Raises ProbeError, and what finding, loading and extracting raise.
    """
    from analysis.features import checkpoints

    listed, file = find_images(images), Path(checkpoint).expanduser()
    text = str(file) if file.is_file() else checkpoint
    # No number needs the level that is assumed.
    model = checkpoints.find(text, architecture=architecture, assumed_level="supervised")
    name = file.name if file.is_file() else checkpoint
    if model.level == "random" and name == "random":
        name = f"{model.architecture} with random weights"
    words = ["companion", "probe", checkpoint, "--images", images, "--device", settings.device]
    words += ["--architecture", architecture] if architecture else []
    words += ["--batch-size", str(settings.batch_size)]
    words += ["--leave-out-damaged"] * settings.leave_out_damaged
    typed = {measure.CHECKPOINT: name, FOLDER: images, COMMAND: shlex.join(words)}
    return of_images(model, listed, settings, typed)


def of_images(
    model: Model, images: ImageList, settings: Settings, typed: Mapping[str, str] | None = None
) -> Probe:
    """Probe what a model makes of images; errors as above. ``typed``: what a report names."""
    measure.check_number(len(images))
    kept = store.features_path(model.name, images.name)
    sound = not store.problem(kept, model)
    if sound and store.read_sidecar(kept)["data"].get("manifest") == images.manifest:
        return of_store(model, images.name, typed=typed)
    from analysis.features.extract import extract

    with temporary_folder() as made:
        extract([model], images, settings, folder=made)
        return of_store(model, images.name, made, typed)


def of_store(
    model: Model,
    data: str,
    folder: Path | None = None,
    typed: Mapping[str, str] | None = None,
) -> Probe:
    """Probe the features of a data set by a model, with the head that lies beside them if any.

    Raises StoreError if the features are not there or not sound, ProbeError if there are too few.
    """
    kept = store.read_features(store.features_path(model.name, data, folder), model)
    path = store.head_path(model.name, data, folder)
    head = store.read_head(path, model).weight if path.is_file() else None
    what = Data(name=data, what=provenance.about_data(kept.sidecar))
    source = _source(kept.sidecar, model, typed or {})
    try:
        m = measure.measured(kept.features, head, model.name, model.level, what, source)
    except ValueError as error:
        raise ProbeError(f"{model.name} cannot be probed: {error}") from None
    return judge.judge(m, known_models())


def _source(
    sidecar: Mapping[str, Any], model: Model, typed: Mapping[str, str]
) -> records.Provenance:
    """Where numbers come from, as features, settings and the command line say it."""
    left_out = sidecar["data"].get("left_out") or {}
    known = {
        LEFT_OUT: "; ".join(f"{name}: {why}" for name, why in left_out.items()),
        **typed,
        "features": sidecar["sha256"],
    }
    made_from = {name: as_words(text) for name, text in known.items() if text}
    whole = provenance.of_sidecars([sidecar], {**made_from, **records.code_parts("probe")})
    notes = " ".join(filter(None, [whole.weights_note, model.note]))
    libraries = whole.libraries | sidecar.get("versions", {})
    return whole.model_copy(update={"weights_note": notes, "libraries": libraries})


def of_family(family: Family, data: str = "") -> tuple[dict[str, Probe], list[Model], list[str]]:
    """Probe a family's models on one data set, the first that the store has if none is named.

    Returns the probes by the models' titles, the models without features, and what was wrong with
    the features of others.
    """
    probes, missing, failed = {}, [], []
    for model in family.models:
        known = records.data_sets(model)
        wanted = data or next(iter(known), "")
        if wanted not in known:
            missing.append(model)
            continue
        try:
            probes[model.title] = of_store(model, wanted)
        except (ProbeError, store.StoreError) as error:
            failed.append(str(error))
    return probes, missing, failed


def of_file(path: Path) -> Probe:
    """Judge again what `companion probe --json` wrote; CompanionError if it is something else."""
    m = records.parse(path)
    if m.experiment != "probe":
        raise CompanionError(
            f"{path} holds {m.experiment}, not a probe: make one with companion probe --json."
        )
    return judge.judge(m, known_models())


def find_images(text: str) -> ImageList:
    """The images of a folder and the folders below it; also `pocket-STYLE-SPLIT`. DatasetError."""
    path = Path(text).expanduser()
    if not path.exists() and text.startswith("pocket-"):
        return find.find(text)[0]
    return imagelist.unlabelled(path)


def write_page(found: Probe, path: Path) -> None:
    """Write the report as one page that loads nothing."""
    with temporary_folder() as folder:
        numbers = folder / "probe.json"
        write_text(numbers, records.to_text(found.measurement))
        parameters = {"numbers": str(numbers)}
        executed = execute.in_this_process(NOTEBOOK, parameters, SimpleNamespace(on=False))
    write_output(path, report.page(executed, f"Probe of {title(found.measurement)}"))


# What a report says of probes


def summary(found: Probe) -> str:
    """The verdict and the main numbers as plain text."""
    words = in_words(found.measurement)
    numbers = [line.format(**words) for line in judge.SENTENCES["summary"]] + [found.place]
    left_out = left_out_of(found)
    numbers += [f"{found.measurement.data.what}: {left_out}"] if left_out else []
    cautions = [text for about, text in notes(found) if about in (CAUTION, NOTE)]
    parts = [[found.sentence], [f"  - {line}" for line in numbers], [f"- {c}" for c in cautions]]
    return "\n\n".join("\n".join(part) for part in parts)


def left_out_of(found: Probe) -> str:
    """Which images were left out, and why; "" if none was."""
    return found.measurement.provenance.made_from.get(LEFT_OUT, "")


def notes(found: Probe) -> list[tuple[str, str]]:
    """What a verdict rests on, what must be kept in mind, and what is known of the checkpoint."""
    note = found.measurement.provenance.weights_note
    return [
        *((REASON, reason) for reason in found.reasons),
        *((CAUTION, caution) for caution in found.cautions),
        *([(NOTE, f"Note on the checkpoint: {note}")] if note else []),
        (PLACE, found.place),
    ]


def facts(found: Probe) -> list[tuple[str, str]]:
    """Where the model and the images of a probe come from, and the command that repeats it."""
    m = found.measurement
    source, typed = m.provenance, m.provenance.made_from
    named = {
        "checkpoint": title(m),
        "weights": source.weights,
        "sha256 of the weights": source.weights_sha256 or "not known",
        "images": f"{m.counts['images']} of {typed.get(FOLDER, m.data.name)}",
        "left out": left_out_of(found),
        "arithmetic": f"{source.precision}; on {source.device}",
        "versions": ", ".join(f"{k} {v}" for k, v in source.libraries.items()),
        "again": typed.get(COMMAND, ""),
    }
    return [(name, fact) for name, fact in named.items() if fact]


def listed(
    probes: Mapping[str, Probe], said: Callable[[Probe], Iterable[tuple[str, str]]]
) -> pd.DataFrame:
    """What is said of probes, by title: each text once, with those it is about if not of all."""
    rows = [(*row, key) for key, found in probes.items() for row in said(found)]
    frame = pd.DataFrame(rows, columns=["about", "what", "model"])
    frame = frame.groupby(["about", "what"], sort=False)["model"].agg("; ".join).reset_index()
    frame["model"] = frame["model"].replace("; ".join(probes), "all")
    frame = frame.sort_values("about", kind="stable", key=lambda about: pd.factorize(about)[0])
    return frame if len(probes) > 1 else frame.drop(columns="model")


def among_recorded(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Probes, by title in bold, among the models to compare with, by falling κ."""
    measured = {f"**{key}**": found.measurement for key, found in probes.items()}
    names = {m.model for m in measured.values()}
    # the level of a checkpoint may be assumed
    rows = [*measured.items(), *((m.model, m) for m in known_models() if m.model not in names)]
    rows.sort(key=lambda row: row[1].value("kurtosis_mean"), reverse=True)
    return pd.DataFrame(
        {
            "model": name,
            "κ": digits(m.value("kurtosis_mean")),
            "persistence": share(m.value("persistence_fraction")),
            "last layer": "signed" if m.value("negative_share") > 0 else "not signed",
            "level": "" if name in measured else LEVEL_TITLES[m.level],
            "images": "images" if name in measured else m.data.title,
        }
        for name, m in rows
    )
