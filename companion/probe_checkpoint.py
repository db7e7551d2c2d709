"""From a checkpoint and a folder of unlabelled images to a `Probe`: the command `companion probe`.

Features are taken from the store if it has them, else extracted into a temporary folder: nothing
stays behind but what was asked for. torch is imported when something is to be extracted. The page
is the book's notebook ``checkpoint_report``, of this probe alone.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.common import ROOT, temporary_folder, write_output, write_text
from analysis.families.registry import LEVEL_TITLES, Family, Model
from analysis.features import store
from analysis.images import find, imagelist
from analysis.images.imagelist import ImageList
from companion.measurements import due, records
from companion.measurements.records import Measurement
from companion.probe import ProbeError, check_number, in_words, probe
from companion.probe_found import Probe, Recorded, to_json
from companion.publish import report
from companion.publish.style import digits
from companion.publish.words import share
from companion.runs import execute

if TYPE_CHECKING:
    from analysis.features.plan import Settings

NOTEBOOK = ROOT / "notebooks" / "checkpoint_report.py"


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
    found = of_images(model, listed, settings, name)
    options = {"architecture": architecture, "device": settings.device}
    words = ["companion", "probe", checkpoint, "--images", images]
    words += [word for k, v in options.items() if v for word in (f"--{k}", v)]
    words += ["--batch-size", str(settings.batch_size)]
    words += ["--leave-out-damaged"] * settings.leave_out_damaged
    typed = {"checkpoint": checkpoint, "folder": images, "command": shlex.join(words)}
    return replace(found, about=found.about | typed)


def of_images(model: Model, images: ImageList, settings: Settings, name: str = "") -> Probe:
    """Probe what a model makes of images; errors as above."""
    check_number(len(images))
    kept = store.features_path(model.name, images.name)
    if not store.problem(kept, model):
        data = store.read_features(kept, model).sidecar["data"]
        if data.get("manifest") == images.manifest:
            return of_store(model, images.name, name)
    from analysis.features.extract import extract

    with temporary_folder() as made:
        extract([model], images, settings, folder=made)
        return of_store(model, images.name, name, made)


def of_store(model: Model, data: str, name: str = "", folder: Path | None = None) -> Probe:
    """Probe the features of a data set by a model, with the head that lies beside them if any.

    Raises StoreError if the features are not there or not sound, ProbeError as `probe` does.
    """
    found = store.read_features(store.features_path(model.name, data, folder), model)
    path = store.head_path(model.name, data, folder)
    head = store.read_head(path, model).weight if path.is_file() else None
    known, about = known_models(), _about(found.sidecar) | {"note": model.note}
    return probe(found.features, head, name=name or model.name, recorded=known, about=about)


def of_family(family: Family, data: str = "") -> tuple[dict[str, Probe], list[Model], list[str]]:
    """Probe a family's models on one data set, the first that the store has if none is named.

    Returns the probes by the models' titles, the models without features, and what was wrong with
    the features of others.
    """
    probes, missing, failed = {}, [], []
    for model in family.models:
        known = due.data_sets(model)
        wanted = data or next(iter(known), "")
        if wanted not in known:
            missing.append(model)
            continue
        try:
            probes[model.title] = of_store(model, wanted)
        except (ProbeError, store.StoreError) as error:
            failed.append(str(error))
    return probes, missing, failed


def other_sets(family: Family, probes: Mapping[str, Probe]) -> str:
    """Which other features of a family the store has, and the command that probes them."""
    shown = {found.about["data"]["name"] for found in probes.values()}
    kept = dict.fromkeys(name for model in family.models for name in due.data_sets(model))
    others = [name for name in kept if name not in shown]
    if not others or not shown:
        return ""
    listed = ", ".join(f"`{name}`" for name in others)
    return (
        f"Features of other images are in the store, too: {listed}. `companion run "
        f"checkpoint_report {family.name} -p data {others[0]}` reports those."
    )


def known_models() -> list[Recorded]:
    """The models to compare with: those recorded, so that no verdict depends on the store."""
    return recorded_of(records.read_all("outlier_features"))


def recorded_of(measurements: Iterable[Measurement]) -> list[Recorded]:
    """The models of measurements of outlier features, those per image; captions are no images."""
    return [
        Recorded(
            model=m.model,
            level=m.level,
            data=m.data.title,
            kurtosis=float(m.value("kurtosis_mean")),
            persistence=float(m.value("persistence_fraction")),
            images=m.counts["images"],
            signed=m.value("negative_share") > 0,
        )
        for m in measurements
        if "captions" not in m.data.name
    ]


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
        write_text(numbers, to_json(found))
        parameters = {"numbers": str(numbers)}
        executed = execute.in_this_process(NOTEBOOK, parameters, SimpleNamespace(on=False))
    write_output(path, report.page(executed, f"Probe of {found.name}"))


def summary(found: Probe) -> str:
    """The verdict and the main numbers as plain text."""
    words, head, left_out = in_words(found), found.head, found.about.get("left_out", {})
    lines = [
        "κ {kurtosis}, 95 % interval {interval} (a Gaussian gives 3)".format(**words),
        "outlier coordinates: {named}; coordinate {leader} is the largest in {leads} of the "
        "images".format(**words),
        f"last layer: {found.layer.kind}",
        "head: none" if head is None else
        f"head: {head.privileged} of {head.directions} directions privileged, the most important "
        f"{digits(head.top)} times the mean",
        f"images: {found.images}, {found.images_needed} give κ to ± 5 %"
        + (f"; {len(left_out)} left out: {', '.join(left_out)}" if left_out else ""),
        in_place(found),
    ]  # fmt: skip
    numbers = [_bullet("  ", line) for line in lines]
    cautions = [_bullet("", caution) for caution in to_keep_in_mind(found)]
    return "\n".join([textwrap.fill(found.verdict.sentence, 92), "", *numbers, "", *cautions])


def to_keep_in_mind(found: Probe) -> list[str]:
    """The cautions of a verdict, and what there is to know about the checkpoint."""
    note = found.about.get("note")
    return [*found.verdict.cautions, *([f"Of the checkpoint: {note}"] if note else [])]


def in_place(found: Probe) -> str:
    """Where a checkpoint stands among the recorded models, in words."""
    kind = "signed" if found.layer.kind == "signed" else "not signed"
    if found.place.among == 1:
        return f"There is no recorded model whose last layer is {kind}, so no rank is given."
    return (
        f"By κ the model is number {found.place.rank} of {found.place.among} measurements of "
        f"models whose last layer is {kind}, itself included. They are of other images, and κ "
        "depends on the images: small differences mean nothing."
    )


def listed(probes: Mapping[str, Probe], said: Callable[[Probe], Iterable[str]]) -> str:
    """What is said of probes, by title: each sentence with those it is about unless that is all."""
    who: dict[str, list[str]] = {}
    for title, found in probes.items():
        for sentence in said(found):
            if len(probes) > 1:
                each = "Each model" if sentence.startswith(found.name) else "each model"
                sentence = sentence.replace(found.name, each)
            who.setdefault(sentence, []).append(title)
    return "\n".join(
        f"- {sentence}" + ("" if len(titles) == len(probes) else f" *{'; '.join(titles)}*")
        for sentence, titles in who.items()
    )


def among_recorded(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Probes, by title in bold, among the models to compare with, by falling κ."""
    names = {found.name for found in probes.values()}
    others = [o for p in list(probes.values())[:1] for o in p.place.others if o.model not in names]
    own = [
        Recorded(
            f"**{title}**", None, "images", p.kurtosis.mean,  # its level may be assumed
            p.persistence.fraction, p.images, p.layer.kind == "signed",
        )
        for title, p in probes.items()
    ]  # fmt: skip
    return pd.DataFrame(
        {
            "model": one.model,
            "κ": digits(one.kurtosis),
            "persistence": share(one.persistence),
            "last layer": "signed" if one.signed else "not signed",
            "level": LEVEL_TITLES[one.level] if one.level else "",
            "images": one.data if f"{one.images:,}" in one.data else f"{one.images:,} {one.data}",
        }
        for one in sorted([*own, *others], key=lambda one: -one.kurtosis)
    )


def provenance(probes: Mapping[str, Probe]) -> pd.DataFrame:
    """Where the models and the images of probes come from: a row for each fact."""
    facts = {title: _facts(found.about) for title, found in probes.items()}
    return pd.DataFrame(facts).rename_axis("of").reset_index()


def _facts(about: Mapping[str, Any]) -> dict[str, str]:
    model, data = about.get("model", {}), about.get("data", {})
    spec = model.get("preprocessing")
    facts = {
        "checkpoint": about.get("checkpoint") or model.get("name"),
        "architecture": " ".join(str(model.get(k) or "") for k in ("library", "architecture")),
        "weights": model.get("weights") or "none",
        "sha256 of the weights": model.get("weights_sha256") or "not known",
        "input": "{size} pixels, {interpolation}".format(**spec) if spec else "not known",
        "images": f"{data.get('images', '')} of {about.get('folder') or data.get('name', '')}",
        "left out": "; ".join(f"{k}: {why}" for k, why in about.get("left_out", {}).items()),
        "arithmetic": f"{about.get('precision', '')} on {about.get('device', '')}",
        "versions": ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items()),
        "again": about.get("command", ""),
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def _about(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Where features come from, for `Probe.about`: model, images, settings, library versions."""
    data = sidecar["data"]
    return {
        "model": dict(sidecar["model"]),
        "data": {key: data[key] for key in ("name", "what", "manifest", "images") if key in data},
        "left_out": dict(data.get("left_out", {})),
        "precision": sidecar["precision"],
        "device": sidecar["device"],
        "versions": dict(sidecar.get("versions", {})),
    }


def _bullet(indent: str, text: str) -> str:
    return textwrap.fill(text, 92, initial_indent=f"{indent}- ", subsequent_indent=f"{indent}  ")
