"""Is a contributed measurement plausible? What `companion check` looks at.

`records.read` already refuses a file that is not of the expected form. This module checks its
content against what must be true of such numbers, and against the registry. Passing says that a
file is coherent and traceable, not that its numbers are right: only taking them again can show
that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from analysis.base.quoting import on_a_line
from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.base.texts import suggestion
from analysis.families.registry import ZOO, Family
from companion.checks.agreement import contradictions
from companion.checks.relations import coherence
from companion.measurements import atlas, records
from companion.measurements.measurement import Measurement, MeasurementError
from companion.sources import sets

EMBEDDINGS = ROOT / "data" / "embeddings.yaml"
#: How classes are called of which only the number was published.
OTHER_CLASSES = re.compile(r"(Caltech101|SUN397) class \d+")
#: The day on which CLIP was published: nothing here was measured before.
CLIP_CAME = date(2021, 1, 5)


def files(given: Sequence[Path]) -> list[Path]:
    """The measurement files that are named, or lie in named folders; by default all recorded ones.

    Raises MeasurementError if there is none.
    """
    paths: list[Path] = []
    for place in given or [records.FOLDER]:
        if not place.exists():
            raise MeasurementError(f"{on_a_line(place)} does not exist: check the path.")
        paths += sorted(place.rglob("*.json")) if place.is_dir() else [place]
    if not paths:
        raise MeasurementError(f"there is no measurement file in {', '.join(map(str, given))}.")
    return paths


def report(paths: Sequence[Path], families: Mapping[str, Family]) -> tuple[list[str], int]:
    """A report on measurement files, and how many are not sound."""
    lines: list[str] = []
    wrong = older = 0
    earlier = []
    beside = evidence(paths)
    for path in paths:
        faults = problems(path, families, beside)
        sound = None if faults else records.read(path)
        lacks = sound.lacks if sound else []
        earlier += [path.name] if sound and records.is_older(sound) else []
        but = f", not measured: {', '.join(lacks)}" if lacks else ""
        lines += faults or [f"{path.name}: sound{but}"]
        wrong, older = wrong + bool(faults), older + bool(lacks)
    lines.append(f"{len(paths) - wrong} of {len(paths)} measurement files are sound.")
    if older:
        lines.append(
            f"{older} lack quantities that were introduced after they were recorded: take them "
            "with companion measure EXPERIMENT FAMILY --record."
        )
    if earlier:
        lines.append(
            f"{len(earlier)} were taken with an earlier version of their experiment ({earlier[0]}"
            f"{', …' * bool(earlier[1:])}): companion measure EXPERIMENT FAMILY --record takes "
            "them again."
        )
    return [*map(on_a_line, lines)], wrong


def evidence(paths: Sequence[Path]) -> list[Measurement]:
    """The readable recorded measurements, with those of given files, which go before."""
    found: dict[tuple[str, str], Measurement] = {}
    for path in [*sorted(records.FOLDER.glob("*/*.json")), *paths]:
        try:
            m = records.read(path)
        except MeasurementError:
            continue
        found[m.experiment, m.file_name] = m
    return [*found.values()]


def problems(
    path: Path, families: Mapping[str, Family], beside: Sequence[Measurement] = ()
) -> list[str]:
    """What is wrong with one measurement file, a sentence each; empty if nothing is.

    It must not contradict the other measurements that are given.
    """
    try:
        m = records.read(path)
    except MeasurementError as error:
        return [str(error)]
    checks = [_model(m, families), _published(m), _taken(m), _named(m)]
    checks += [coherence(m), contradictions(m, beside)]
    return [f"{path.name}: {problem}" for check in checks for problem in check]


def _model(m: Measurement, families: Mapping[str, Family]) -> Iterator[str]:
    """Whether the registry knows the model as the measurement describes it."""
    family = families.get(m.family)
    if family is None and m.family.startswith(ZOO):  # its file is of the machine that took it
        if m.model not in {*atlas.facts()["zoo"]}:
            yield f"no published model of open_clip is called {m.model!r} in the edition {ZOO}."
        return
    if family is None:
        yield f"its family {m.family!r} has no file: {suggestion(m.family, families)}."
        return
    models = {model.name: model for model in family.models}
    if m.model not in models:
        yield f"families/{m.family}.yaml has no model {m.model!r}: {suggestion(m.model, models)}."
        return
    model, weights = models[m.model], m.provenance.weights_sha256
    if m.level != model.level:
        yield f"its level is {m.level}, that of {model.name} is {model.level}."
    if (width := m.counts.get("components", model.width)) != model.width:
        yield f"it has {width} components, {model.name} has {model.width}."
    if model.weights_sha256 not in (None, weights):
        yield (
            f"it was taken with weights of sha256 {weights}, the family file names "
            f"{model.weights_sha256}: measure the weights that the file names, or correct it."
        )


def _named(m: Measurement) -> Iterator[str]:
    """Whether the textures, objects and places of public photographs that it names exist."""
    if m.data.name != "textures":
        return
    known = published_classes()
    for names in m.names.values():
        for name in names:
            if name not in known and not OTHER_CLASSES.fullmatch(name):
                near = suggestion(name, known)
                yield f"it names {name!r}, no class of these photographs: {near}."
                return


@cache
def published_classes() -> frozenset[str]:
    """The classes of published features whose names `data/embeddings.yaml` lists."""
    labels = [entry.get("labels", {}) for entry in read_yaml(EMBEDDINGS)["embeddings"]]
    listed = [about["names"] for about in labels if isinstance(about.get("names"), list)]
    return frozenset(name for names in listed for name in names)


def _taken(m: Measurement) -> Iterator[str]:
    """Whether its day is today or earlier, anywhere on Earth, and CLIP was known."""
    day = m.provenance.taken
    if day and date.fromisoformat(day) < CLIP_CAME:
        yield f"it was taken on {day}, before CLIP was published: correct the date."
    if day and date.fromisoformat(day) > datetime.now(UTC).date() + timedelta(days=1):
        yield f"it was taken on {day}, which is to come: correct the date, or this machine's clock."


def _published(m: Measurement) -> Iterator[str]:
    """Whether it saw a published data set in full."""
    name = m.data.name
    if len(m.data.what.split()) < 2 and m.data.what != sets.title(name):
        yield f"data.what is {m.data.what!r}: say how many images there are, and of what."
    if name not in sets.descriptions() or not m.data.is_whole:
        return
    published = {"images": sets.images(name)}
    if m.experiment == "accuracy":  # which all classes of the set take part in
        published["classes"] = sets.classes(name)
    for what, count in published.items():
        if m.counts[what] != count:
            yield (
                f"{name} was published with {count} {what}, this saw {m.counts[what]}, and "
                "`data.what` does not say that the copy differs: measure the published set, or "
                "take the copy with --accept-counts."
            )
