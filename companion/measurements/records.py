"""Measurements: what one experiment found for one model on one data set, as a small JSON file.

``data/measurements/<experiment>/<model>--<data>.json`` keeps numbers with their units and their
provenance: enough to judge them, to take them again and to review them as text. A file with an
unknown field, number or unit is refused. `from_store` takes measurements.

A live one is the same, next to the features in the store that it was taken from, see `live_path`;
it carries a digest of itself, because no git protects it. Pages read both, see `available`.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from analysis.base import reach
from analysis.base.files import is_intact, sealed, write_text
from analysis.base.roots import ROOT
from analysis.base.strict import checked, first_reason
from analysis.base.texts import CompanionError
from analysis.families.registry import Family, Model
from analysis.features import store
from companion.measurements.measurement import Measurement, MeasurementError, Value, misfits
from companion.measurements.quantities import FILE as QUANTITIES
from companion.measurements.quantities import Measurable, Measured, declared, units
from companion.sources import sets

FOLDER = ROOT / "data" / "measurements"
#: Test emoji by what their style is for. No model trains on the unseen ones.
STYLES_BY_ROLE: dict[str, tuple[str, ...]] = {
    name: tuple(f"pocket-{art.name}-test" for art in sets.styles().values() if art.role == role)
    for name, role in (("training", "imagenet"), ("seen", "seen"), ("unseen", "unseen"))
}
TRAINING = STYLES_BY_ROLE["training"][0]
#: The significant digits that are kept: more than any page shows, so that none rounds twice.
DIGITS = 7
#: The part of a number by which the arithmetic of another machine may change it.
ROUNDING = 1e-4
#: What a measurement's provenance calls the version of its experiment.
VERSION = "version of the experiment"
#: The table of the functions that measure, one for each experiment.
MEASURES = "companion.measurements.from_store.TAKE"
#: Models and images count by their content, not by how they are read and described.
COUNTED_OTHERWISE = (
    "analysis.families",
    "analysis.base.files",
    "companion.checkpoints",
    "companion.sources.sets",
    "analysis.base.quoting",
    "analysis.base.roots",
    "analysis.base.strict",
    "analysis.base.texts",
    "companion.measurements.provenance",
    "companion.sources.emoji",
)
#: A list without others in it, as `json` writes it on lines of its own, behind its key if any.
LIST = re.compile(r'^( *)("(?:[^"\\]|\\.)*": )?\[((?:[^][{}"]|"(?:[^"\\]|\\.)*")*)\]', re.MULTILINE)


def build(experiment: Measured, numbers: Mapping[str, Any], **about: Any) -> Measurement:
    """A checked measurement of numbers and arrays, which get their units.

    They are rounded to the digits that are kept. ``about`` has the other fields of a `Measurement`.
    """
    kinds = declared()[experiment].quantities
    values = {
        name: Value(unit=kinds[name].unit, value=_rounded(np.asarray(value)))
        for name, value in numbers.items()
    }
    return Measurement(format=2, experiment=experiment, values=values, **about)


def recorded_path(model: str, data: str, experiment: Measurable) -> Path:
    """Where the recorded measurement lies, or would lie."""
    return FOLDER / experiment / f"{model}--{data}.json"


def live_path(model: str, data: str, experiment: Measured) -> Path:
    """Where the live measurement lies, or would lie, next to the features in the store."""
    return store.default_folder() / model / "measurements" / f"{experiment}--{data}.json"


def write(measurement: Measurement, folder: Path | None = None) -> Path:
    """Record a measurement: write it whole to its place, or below `folder`; return the path.

    Of the code only the experiment's version is kept.
    """
    path = (folder or FOLDER) / measurement.experiment / measurement.file_name
    kept = {"made_from": _without_code(measurement.provenance.made_from)}
    provenance = measurement.provenance.model_copy(update=kept)
    write_text(path, to_text(measurement.model_copy(update={"provenance": provenance})))
    return path


def write_live(measurement: Measurement) -> Path:
    """Write a measurement whole next to the features in the store; return the path."""
    path = live_path(measurement.model, measurement.data.name, measurement.experiment)
    write_text(path, to_text(measurement, seal=True))
    return path


def read(path: Path) -> Measurement:
    """Read one measurement.

    Raises MeasurementError, in one sentence, for anything that is not as expected: no JSON, unknown
    or missing fields, unknown quantities, wrong units, numbers that are impossible, a live one
    whose digest differs, or a name that does not fit the content.
    """
    m = parse(path)
    if not path.as_posix().endswith(f"/{m.place}"):
        raise MeasurementError(
            f"{path.name} holds {m.experiment} of {m.model} on {m.data.name}, so it must be "
            f"{m.place}."
        )
    return m


@cache
def _check_declarations() -> None:
    """Raise CompanionError, which spares no measurement, if the file that declares them is wrong.

    As an error of each single file it would leave all of them out, as if nothing were measured.
    """
    try:
        declared(), units()
    except ValidationError as error:
        raise CompanionError(f"data/{QUANTITIES.name}: {first_reason(error)}.") from None


def parse(path: Path) -> Measurement:
    """Read one measurement whatever its file is called; raises as `read` does."""
    _check_declarations()
    if not path.is_file():  # nor a pipe, which would be waited for
        what = "is no file" if path.exists() else "is not there: check the path"
        raise MeasurementError(f"{path} {what}.")
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_unique_keys)
        live = path.parent.name == "measurements"
        if live and not is_intact(content):
            raise MeasurementError(
                f"{path.name}: it is not what was written (its digest differs): take it again."
            )
        if live:
            del content["digest"]
        measurement = checked(Measurement, content, path.name, MeasurementError)
        for problem in misfits(measurement):
            raise MeasurementError(f"{path.name}: {problem}.")
    except MeasurementError:  # a ValueError, too, which means no JSON below
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MeasurementError(f"{path.name} cannot be read as JSON: {reason}.") from None
    except Exception as error:  # whatever such a file is, the pages of the others are to be built
        raise MeasurementError(
            f"{path.name} cannot be read as a measurement ({type(error).__name__})."
        ) from None
    return measurement.model_copy(update={"live": live})


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError if it has a key twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.50} occurs twice")
    return content


def available(
    experiment: Measurable, family: Family, data: Collection[str] | None = None
) -> list[Measurement]:
    """All measurements of a family: for each model and data set the live file, else the recorded.

    ``data``: these data sets only. In the order of the family's models, then of the data sets'
    names. Those that are `broken` are left out, and those of other weights than the family file
    notes.
    """
    sound = [m for m, _ in _tried(files(experiment, family)) if m and _is_of(m, family)]
    kept = {(m.model, m.data.name): m for m in sound}
    order = [model.name for model in family.models]
    wanted = [m for m in kept.values() if data is None or m.data.name in data]
    return sorted(wanted, key=lambda m: (order.index(m.model), m.data.name))


def broken(experiment: Measurable, family: Family) -> list[str]:
    """A sentence on what is wrong with each measurement that `available` leaves out."""
    return [problem for _, problem in _tried(files(experiment, family)) if problem]


def unsound(experiments: Iterable[Measurable]) -> list[str]:
    """A sentence on what is wrong with each unsound recorded measurement of some experiments.

    Those that git knows and that are gone count, where others of the experiment are there.
    """
    places = [FOLDER / name for name in experiments if any((FOLDER / name).glob("*.json"))]
    paths = (path for place in places for path in sorted(place.glob("*.json")))
    return [problem for _, problem in _tried(paths) if problem] + _deleted(places)


def _deleted(places: Sequence[Path]) -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--deleted", "--", *map(str, places)]
    try:  # without git, or a checkout of it, nothing is missed
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return []
    names = done.stdout.split() if places else []
    return [f"{name} was deleted: git restore {name} brings it back." for name in names]


def _tried(paths: Iterable[Path]) -> Iterator[tuple[Measurement | None, str]]:
    for path in paths:
        try:
            yield read(path), ""
        except MeasurementError as error:
            yield None, str(error)


def _is_of(measurement: Measurement, family: Family) -> bool:
    """Whether it measures the family's model of that name, with its weights if both are known."""
    taken = measurement.provenance.weights_sha256
    noted = {model.name: model.weights_sha256 for model in family.models}
    if measurement.family != family.name or measurement.model not in noted:
        return False
    return taken is None or noted[measurement.model] in (None, taken)


def files(experiment: Measurable, family: Family) -> list[Path]:
    """The files that `available` reads: the recorded ones, then the live ones."""
    names = [model.name for model in family.models]
    recorded = [p for n in names for p in recorded_path(n, "*", experiment).parent.glob(f"{n}--*")]
    live = [live_path(name, "any", experiment).parent for name in names]
    return sorted(recorded) + [p for at in live for p in sorted(at.glob(f"{experiment}--*.json"))]


def read_all(
    experiment: Measured, family: str | None = None, folder: Path | None = None
) -> list[Measurement]:
    """All sound recorded measurements of an experiment, of one family if given, by file name."""
    paths = sorted(((folder or FOLDER) / experiment).glob("*.json"))
    return [m for m, _ in _tried(paths) if m and family in (None, m.family)]


def differences(recorded: Measurement, fresh: Measurement) -> list[str]:
    """Where a fresh measurement differs from a recorded one by more than rounding; empty if not.

    Code, libraries and device may differ; everything else must agree.
    """
    about = ("experiment", "family", "model", "level", "data", "counts")
    pairs = [(field, getattr(recorded, field), getattr(fresh, field)) for field in about]
    differing = [f"{field}: {old} → {new}" for field, old, new in pairs if old != new]
    for name in recorded.values:
        if name in fresh.lacks:
            differing.append(f"{name}: is no longer measured")
            continue
        old, new = np.asarray(recorded.value(name)), np.asarray(fresh.value(name))
        if old.shape != new.shape:
            differing.append(f"{name}: shape {old.shape} → {new.shape}")
            continue
        # A number near 0 is as exact as the list that it stands in.
        scale = np.sqrt(np.mean(np.square(old, dtype=np.float64))) if old.size else 0
        apart = ~np.isclose(old, new, rtol=ROUNDING, atol=max(1e-6, ROUNDING / 10 * scale))
        if apart.any():
            differing.append(
                f"{name}: {old[apart].flat[0]:g} → {new[apart].flat[0]:g}"
                + (f" ({int(apart.sum())} of {old.size} numbers)" if old.size > 1 else "")
            )
    return differing


def record(fresh: Measurement) -> Path:
    """Record a measurement; a recorded one of equal numbers is kept. Return the path.

    It keeps its numbers, their day and their machine: only the experiment's version is that of now,
    and quantities that it lacked are added. Raises MeasurementError if a number differs by more
    than rounding.
    """
    path = FOLDER / fresh.experiment / fresh.file_name
    try:
        known = read(path)
    except MeasurementError:  # there is none, or none that could be kept
        return write(fresh)
    if differing := differences(known, fresh):
        raise MeasurementError(
            f"recorded are other numbers ({'; '.join(differing)}), which stay; if these are right, "
            f"remove data/measurements/{path.parent.name}/{path.name} and record them again."
        )
    taken = known.provenance.made_from | version_parts(fresh.experiment)
    by = {"made_from": taken, "version": fresh.provenance.version}
    provenance = known.provenance.model_copy(update=by)
    # In the order of the file; its own numbers last, which are those that stay.
    values = known.values | {**fresh.values, **known.values}
    return write(known.model_copy(update={"values": values, "provenance": provenance}))


def compare_with_recorded(fresh: Measurement) -> list[str]:
    """The `differences` from the recorded measurement of the same name, or that there is none."""
    path = FOLDER / fresh.experiment / fresh.file_name
    return differences(read(path), fresh) if path.exists() else ["not recorded"]


def version_parts(experiment: Measured) -> dict[str, str]:
    """The version of an experiment, as what a measurement was made from names it.

    It is raised when the experiment gives other numbers, which `tests/golden.py` notices.
    """
    return {VERSION: str(declared()[experiment].version)}


@cache
def code_parts(experiment: Measurable) -> Mapping[str, str]:
    """A hash of the definitions that decide the experiment's numbers, by module.

    For live measurements alone: who edits a metric and builds again is to see other numbers.
    """
    return _code().from_name(f"{MEASURES}[{experiment}]").by_module()


@cache
def _code() -> reach.Code:
    return reach.Code(beyond=COUNTED_OTHERWISE)


def is_older(measurement: Measurement) -> bool:
    """Whether an earlier version of its experiment took a measurement."""
    now = version_parts(measurement.experiment)
    return not now.items() <= measurement.provenance.made_from.items()


def _without_code(made_from: Mapping[str, str]) -> dict[str, str]:
    ours = ("analysis.", "base.", "companion.")
    return {name: of for name, of in made_from.items() if not name.startswith(ours)}


def to_text(measurement: Measurement, *, seal: bool = False) -> str:
    """The measurement as JSON, lists of numbers wrapped so that diffs stay readable.

    ``seal`` adds a digest of all of it, for files that no git protects.
    """
    fields = measurement.model_dump(mode="json")
    kept = {name: value for name, value in fields.items() if name != "names" or value}
    content = sealed(kept) if seal else kept
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return LIST.sub(_wrapped, text) + "\n"


def _wrapped(match: re.Match[str]) -> str:
    """A list on one line, or on full lines; none ends within one of its texts."""
    indent, key, content = match.groups()
    items = ", ".join(json.dumps(item).replace(" ", "\0") for item in json.loads(f"[{content}]"))
    if len(items) + len(indent) >= 80:
        wrap = textwrap.TextWrapper(98, initial_indent=f"{indent} ", subsequent_indent=f"{indent} ")
        wrap.break_long_words = wrap.break_on_hyphens = False
        items = f"\n{wrap.fill(items)}\n{indent}"
    return f"{indent}{key or ''}[{items}]".replace("\0", " ")


def _rounded(array: np.ndarray[Any, Any]) -> Any:
    """Plain numbers with `DIGITS` significant digits, nested as the array is."""
    if array.dtype.kind in "iu":
        return array.tolist()
    texts = np.vectorize(lambda v: float(f"{v:.{DIGITS}g}"), otypes=[float])
    return texts(array).tolist() if array.size else array.tolist()


def data_sets(model: Model) -> list[str]:
    """Names of the data sets of which the store has finished features by the model."""
    sidecars = sorted(store.features_path(model.name, "any").parent.glob("*.json"))
    return [path.stem for path in sidecars if not path.stem.endswith(".head")]


def unusable_features(family: Family) -> list[str]:
    """Why features and heads of the family in the store cannot be used: a sentence for each."""
    problems = [
        store.problem(path, model) for model in family.models for path in store.kept(model.name)
    ]
    return [problem for problem in problems if problem]
