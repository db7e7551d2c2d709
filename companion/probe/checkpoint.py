"""From a checkpoint and a folder of unlabelled images to a `Probe`: the command `companion probe`.

Features are taken from the store if it has them, else extracted into a temporary folder: nothing
stays behind but what was asked for. torch is imported when something is to be extracted. The page
is the book's notebook ``checkpoint_report``, of this probe alone.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PureWindowsPath
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
from companion.measurements import pending, provenance, records
from companion.measurements.records import Data, Measurement
from companion.probe import judge, measure
from companion.probe.judge import Probe, in_words, known_models, layer, title
from companion.probe.measure import ProbeError
from companion.publish import report
from companion.publish.style import digits
from companion.publish.words import share
from companion.runs import execute

if TYPE_CHECKING:
    from analysis.features.plan import Settings

NOTEBOOK = ROOT / "notebooks" / "checkpoint_report.py"
#: Names in `Provenance.made_from` of what a report lists besides.
LEFT_OUT, FOLDER, COMMAND = "images left out", "folder", "command"


def of_checkpoint(
    checkpoint: str, images: str, settings: Settings, architecture: str | None = None
) -> Probe:
    """Probe a checkpoint on a folder of images, both as typed.

    Raises ProbeError, and what finding, loading and extracting raise.
    """
    from analysis.features import checkpoints

    listed, file = find_images(images), find_path(checkpoint)
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
    found = store.read_features(store.features_path(model.name, data, folder), model)
    path = store.head_path(model.name, data, folder)
    head = store.read_head(path, model).weight if path.is_file() else None
    what = Data(name=data, what=provenance.about_data(found.sidecar))
    source = _source(found.sidecar, model, typed or {})
    try:
        measured = measure.measured(
            found.features, head, "probe", model.name, model.level, what, source
        )
    except ProbeError:
        raise
    except ValueError as error:
        raise ProbeError(f"{model.name} cannot be probed: {error}") from None
    return judge.judge(measured, known_models())


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
        known = pending.data_sets(model)
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
            f"{path} holds {m.experiment}, no probe: companion probe --json writes one."
        )
    return judge.judge(m, known_models())


def other_sets(family: Family, probes: Mapping[str, Probe]) -> str:
    """Which other features of a family the store has, and the command that probes them."""
    shown = {found.measurement.data.name for found in probes.values()}
    kept = dict.fromkeys(name for model in family.models for name in pending.data_sets(model))
    others = [name for name in kept if name not in shown]
    if not others or not shown:
        return ""
    listed = ", ".join(f"`{name}`" for name in others)
    return (
        f"Features of other images are in the store, too: {listed}. `companion run "
        f"checkpoint_report {family.name} -p data {others[0]}` reports those."
    )


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
    m, words = found.measurement, in_words(found.measurement)
    has_head = "importance" in m.values
    lines = [
        "κ {kurtosis}, 95 % interval {interval} (a Gaussian gives 3)",
        "outlier coordinates: {named}; coordinate {leader} is the largest in {leads} of the images",
        f"last layer: {layer(m)}",
        "head: {privileged} directions privileged, the largest importance {importance} times the "
        "mean, in brackets with the head centred"
        if has_head
        else "head: none",
        "images: {images}, {needed} give κ to ± 5 %",
    ]
    lines = [*(line.format(**words) for line in lines), in_place(found)]
    lines += [f"{m.data.what}: {named}"] if (named := left_out_of(found)) else []
    numbers = [_bullet("  ", line) for line in lines]
    cautions = [_bullet("", caution) for caution in to_keep_in_mind(found)]
    return "\n".join([textwrap.fill(found.sentence, 92), "", *numbers, "", *cautions])


def left_out_of(found: Probe) -> str:
    """Which images were left out, and why; "" if none was."""
    return found.measurement.provenance.made_from.get(LEFT_OUT, "")


def to_keep_in_mind(found: Probe) -> list[str]:
    """The cautions of a verdict, and what there is to know about the checkpoint."""
    note = found.measurement.provenance.weights_note
    return [*found.cautions, *([f"Of the checkpoint: {note}"] if note else [])]


def in_place(found: Probe) -> str:
    """Where a checkpoint ranks among the recorded models, in words."""
    kind = "signed" if layer(found.measurement) == "signed" else "not signed"
    if found.among == 1:
        return f"There is no recorded model whose last layer is {kind}, so no rank is given."
    return (
        f"By κ the model is number {found.rank} of {found.among} measurements of models whose last "
        f"layer is {kind}, itself included. They are of other images, and κ depends on the images: "
        "small differences mean nothing."
    )


def listed(probes: Mapping[str, Probe], said: Callable[[Probe], Iterable[str]]) -> str:
    """What is said of probes, by title: each sentence with those it is about unless that is all."""
    who: dict[str, list[str]] = {}
    for key, found in probes.items():
        name = title(found.measurement)
        for sentence in said(found):
            if len(probes) > 1:
                each = "Each model" if sentence.startswith(name) else "each model"
                sentence = sentence.replace(name, each)
            who.setdefault(sentence, []).append(key)
    return "\n".join(
        f"- {sentence}" + ("" if len(titles) == len(probes) else f" *{'; '.join(titles)}*")
        for sentence, titles in who.items()
    )


def among_recorded(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Probes, by title in bold, among the models to compare with, by falling κ."""
    rows = {f"**{key}**": found.measurement for key, found in probes.items()}
    names = {m.model for m in rows.values()}
    # the level of a checkpoint may be assumed
    shown = [*rows.items(), *((m.model, m) for m in known_models() if m.model not in names)]
    shown.sort(key=lambda row: row[1].value("kurtosis_mean"), reverse=True)
    return pd.DataFrame(
        {
            "model": name,
            "κ": digits(m.value("kurtosis_mean")),
            "persistence": share(m.value("persistence_fraction")),
            "last layer": "signed" if m.value("negative_share") > 0 else "not signed",
            "level": "" if name in rows else LEVEL_TITLES[m.level],
            "images": "images" if name in rows else m.data.title,
        }
        for name, m in shown
    )


def origins(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Where the models and the images of probes come from: a row for each fact."""
    facts = {key: _facts(found.measurement) for key, found in probes.items()}
    return pd.DataFrame(facts).rename_axis("of").reset_index()


def _facts(m: Measurement) -> dict[str, str]:
    source, typed = m.provenance, m.provenance.made_from
    facts = {
        "checkpoint": title(m),
        "weights": source.weights,
        "sha256 of the weights": source.weights_sha256 or "not known",
        "images": f"{m.counts['images']} of {typed.get(FOLDER, m.data.name)}",
        "left out": typed.get(LEFT_OUT, ""),
        "arithmetic": f"{source.precision}; on {source.device}",
        "versions": ", ".join(f"{k} {v}" for k, v in source.libraries.items()),
        "again": typed.get(COMMAND, ""),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _bullet(indent: str, text: str) -> str:
    return textwrap.fill(text, 92, initial_indent=f"{indent}- ", subsequent_indent=f"{indent}  ")
