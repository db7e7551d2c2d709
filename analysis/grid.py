"""The grid: all models of an edition's families × its data sets, extracted, measured, recorded.

A `Choice` says which grid. It is cut into jobs, one per family and data set, or several where a
data set is extracted in parts; the Snakefile has a rule for each kind, so that the same jobs run on
one GPU, on several, or on a cluster. A job that is done leaves a note in the store, ``.grid/``,
with the key of what it was made from; only jobs without a current note are run. What decides the
features is in the key by content: the models' descriptions, local weights, the list of images.

The command `companion grid` calls Snakemake and watches the notes. No torch, but in the steps
themselves and in `estimate`.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis import datasets, runs, store
from analysis.datasets import DatasetError, ImageList
from analysis.measure import Experiment
from analysis.paper_sets import GRID, Description, descriptions, locate
from analysis.preprocess import Geometry, geometry
from analysis.registry import (
    ROOT,
    Edition,
    Family,
    Model,
    first_reason,
    load_families,
    load_family,
    suggestion,
)
from analysis.runs import Parts, RunError

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.extract import Encoder

Kind = Literal["part", "features", "measure"]
FORMAT = "1"
LOGS = ROOT / ".companion" / "logs"
PROFILES = ROOT / "profiles"
#: What is measured on ImageNet.
ON_REFERENCE: tuple[Experiment, ...] = (
    "outlier_features", "privileged_directions", "pruning", "accuracy",
)  # fmt: skip
#: What an edition computes on, where no data set is named.
USUAL: dict[Edition, tuple[str, ...]] = {"paper": GRID, "pocket": ("pocket",), "reader": ()}
#: Images that are decoded for an estimate.
SAMPLE = 48
#: Seconds between two looks at what is done.
PAUSE = 0.5


class Choice(BaseModel):
    """Which grid, and how: what `companion grid` and ``snakemake --config`` can set.

    ``families`` and ``data`` empty stand for all of the edition. ``shards`` is the number of jobs
    that share a data set: fewer where it has fewer shards of ``shard_size`` images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edition: Edition = "paper"
    families: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    shards: int = Field(default=1, ge=1)
    device: str = "auto"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    batch_size: int = Field(default=128, ge=1)
    shard_size: int = Field(default=4096, ge=1)
    workers: int = Field(default=8, ge=1)
    accept_counts: bool = False
    measure: bool = True


@dataclass(frozen=True)
class Job:
    """One job: part ``number`` of ``of`` of a data set's extraction, the whole, or measuring."""

    kind: Kind
    family: str
    data: str
    number: int = 0
    of: int = 0

    def __str__(self) -> str:
        part = f" {self.number}/{self.of}" if self.kind == "part" else ""
        return f"{self.kind} {self.family} {self.data}{part}"

    @property
    def note(self) -> Path:
        """Where it is noted that the job is done; Snakemake's output."""
        name = f"part-{self.number}-of-{self.of}" if self.kind == "part" else self.kind
        return notes() / self.family / self.data / f"{name}.json"

    @property
    def failure(self) -> Path:
        """Where it is noted why the last attempt failed."""
        return self.note.with_suffix(".failed")


@dataclass(frozen=True)
class Absent:
    """A data set that is not here, and a sentence about it."""

    name: str
    why: str


@dataclass(frozen=True)
class Plan:
    """A choice with the families, data sets and jobs that it comes to on this machine."""

    choice: Choice
    families: tuple[Family, ...]
    data: tuple[ImageList, ...] = field(repr=False)
    absent: tuple[Absent, ...]
    jobs: tuple[Job, ...] = field(repr=False)

    def waiting(self) -> list[Job]:
        """The jobs that are not done; parts only where their data set has still to be extracted."""
        done = {job: is_done(self.choice, job) for job in self.jobs if job.kind != "part"}
        parts = {
            job: done[replace(job, kind="features", number=0, of=0)] or is_done(self.choice, job)
            for job in self.jobs
            if job.kind == "part"
        }
        return [job for job in self.jobs if not {**done, **parts}[job]]


def choice_from(config: Mapping[str, Any]) -> Choice:
    """Read a choice from Snakemake's configuration; RunError, in one sentence, if it is wrong."""
    listed = {k: [v] if k in ("families", "data") and isinstance(v, str) else v
              for k, v in config.items()}  # fmt: skip
    try:
        return Choice.model_validate(listed)
    except ValidationError as error:
        known = ", ".join(Choice.model_fields)
        raise RunError(
            f"the grid's configuration: {first_reason(error)}; known are {known}."
        ) from None


def plan(choice: Choice) -> Plan:
    """Find the families and data sets of a choice and cut the grid into jobs.

    Data sets that are not here are listed as absent, the others go on. Raises RunError if a family
    or data set is unknown, or if a copy is not the published set.
    """
    families = _families(choice)
    data, absent = _data(choice)
    if not data and not absent:
        raise RunError(
            f"the edition {choice.edition} has no usual data sets: name some with --data."
        )
    jobs = [job for family in families for images in data for job in _jobs(choice, family, images)]
    return Plan(choice, families, data, absent, tuple(jobs))


def parts(choice: Choice, images: ImageList) -> int:
    """How many jobs share the extraction of a data set."""
    shard = -(-choice.shard_size // choice.batch_size) * choice.batch_size
    return min(choice.shards, -(-len(images) // shard))


def notes() -> Path:
    """Return the folder of the notes on what is done, in the store, which all machines share."""
    return store.default_folder() / ".grid"


# What Snakemake asks: by wildcards, and with its configuration


def targets(config: Mapping[str, Any]) -> list[str]:
    """Paths of the notes that the whole grid comes to."""
    choice = choice_from(config)
    last = "measure" if choice.measure else "features"
    whole = plan(choice)
    _check_data(whole)
    return [str(job.note) for job in whole.jobs if job.kind == last]


def needed_parts(config: Mapping[str, Any], family: str, data: str) -> list[str]:
    """Paths of the notes of the parts that are put together: none if it is done in one go."""
    choice = choice_from(config)
    jobs = _jobs(choice, load_family(family), find(choice, data))
    return [str(job.note) for job in jobs if job.kind == "part"]


def needed_features(config: Mapping[str, Any], family: str, data: str) -> list[str]:
    """Paths of the notes of the features that a measurement rests on.

    Concepts of Broden are looked for along the directions of a head, which Broden has not: it is
    that of ImageNet, or of the other data sets where ImageNet is not in the grid.
    """
    wanted = [data]
    if data == "broden":
        others = [images.name for images in _data(choice_from(config))[0] if images.classes]
        wanted += ["imagenet"] if "imagenet" in others else others
    return [str(Job("features", family, name).note) for name in wanted]


def key(config: Mapping[str, Any], kind: Kind, family: str, data: str) -> str:
    """Hash of all that a job of this kind depends on."""
    return _key(choice_from(config), kind, family, data)


def gpus(config: Mapping[str, Any]) -> int:
    """How many GPUs an extraction takes: none where it is to run on the CPU."""
    return 0 if choice_from(config).device == "cpu" else 1


def to_json(config: Mapping[str, Any]) -> str:
    """The choice as one argument of a command line."""
    return choice_from(config).model_dump_json(exclude_defaults=True)


# Where jobs stand


def is_done(choice: Choice, job: Job) -> bool:
    """Whether a job's note is current and what it made is still there.

    Features are looked at, not read: `extract` checks their checksums, and so does whoever uses
    them.
    """
    note = _read(job.note)
    if note.get("key") != _key(choice, job.kind, job.family, job.data):
        return False
    if job.kind == "features":
        images = find(choice, job.data)
        return all(_is_there(model, images, choice) for model in _models(job.family))
    return all((ROOT / path).is_file() for path in note.get("files", []))


def remove_outdated(plan: Plan) -> None:
    """Remove the notes of jobs that have to be done again, so that Snakemake sees them so.

    Parts were used up when their features were made, so those go too if the features are gone; and
    also where putting them together failed: shards may be lost.
    """
    for job in plan.waiting():
        if job.kind == "features" and (job.note.exists() or job.failure.exists()):
            for note in job.note.parent.glob("part-*.json"):
                note.unlink(missing_ok=True)
        job.note.unlink(missing_ok=True)
        job.failure.unlink(missing_ok=True)


def find(choice: Choice, name: str) -> ImageList:
    """Return the data set of a choice that is called ``name``; RunError if there is none."""
    found = {images.name: images for images in _listed(choice, _text_for(choice, name))}
    if name not in found:
        raise RunError(f"the grid has no data set {name!r}: {suggestion(name, found)}.")
    return found[name]


# The steps: what a job does


def step(choice: Choice, job: Job) -> None:
    """Do one job and note it; RunError, which is noted too, if it cannot be done."""
    job.failure.unlink(missing_ok=True)
    try:
        files = _measure(choice, job) if job.kind == "measure" else _extract(choice, job)
    except Exception as error:
        traceback.print_exc()
        why = str(error) if isinstance(error, ValueError | RuntimeError | RunError) else repr(error)
        _write(job.failure, why)
        raise RunError(f"{job}: {why}") from error
    content = {"key": _key(choice, job.kind, job.family, job.data), "files": files}
    _write(job.note, json.dumps(content, indent=1) + "\n")


def _extract(choice: Choice, job: Job) -> list[str]:
    from analysis.extract import Part, Settings, assemble, extract, extract_part

    images, models = find(choice, job.data), _models(job.family)
    with _gpu(choice.device) as device:
        settings = Settings(
            device=device, precision=choice.precision, batch_size=choice.batch_size,
            shard_size=choice.shard_size, workers=choice.workers, progress=False,
        )  # fmt: skip
        if job.kind == "part":
            extract_part(models, images, settings, Part(job.number, job.of))
        elif parts(choice, images) > 1:
            assemble(models, images, settings)
        else:
            extract(models, images, settings)
    return []


def _measure(choice: Choice, job: Job) -> list[str]:
    """Measure and record; returns the paths of the files, below the repository."""
    from analysis import evidence, measurements

    family = load_family(job.family)
    _check_heads(job)
    wanted = [m for e in experiments(job.data) for m in evidence.of_data(e, family, job.data)]
    return [measurements.write(m).relative_to(ROOT).as_posix() for m in wanted]


def _check_heads(job: Job) -> None:
    from analysis.probe_data import has_head

    lacking = [model.name for model in _models(job.family) if not has_head(model)]
    if "concepts" in experiments(job.data) and job.data in descriptions() and lacking:
        raise RunError(
            f"the store has no head of {', '.join(lacking)}, along whose directions concepts are "
            "looked for: extract imagenet, too."
        )


def experiments(data: str) -> tuple[Experiment, ...]:
    """What is measured on a data set, where heads, labels and concepts allow it.

    Of the paper's data sets ImageNet is what features are looked at on, its shifts are for
    accuracies, and Broden is for concepts; on any other all is measured that can be.
    """
    if data not in descriptions():
        return get_args(Experiment)
    return {"imagenet": ON_REFERENCE, "broden": ("concepts",)}.get(data, ("accuracy", "pruning"))


@contextlib.contextmanager
def _gpu(device: str) -> Iterator[str]:
    """Give out a GPU that no other job on this machine holds, where there are several."""
    import torch

    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if count < 2:
        yield device
        return
    folder = Path(tempfile.gettempdir()) / f"companion-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    names = [name.replace("/", "_") for name in visible.split(",")]
    for number, name in cycle(enumerate(names)):
        with (folder / name).open("w") as lock:
            if store.lock_at_once(lock):
                yield f"cuda:{number}"
                return
        time.sleep(1 / count)


# The command


def run(plan: Plan, profile: str = "local", jobs: int | None = None) -> int:
    """Do what is missing through Snakemake; returns how many jobs there were.

    ``profile`` is ``local``, ``slurm`` or a folder with a ``config.yaml`` of Snakemake. While
    another grid works on the same store this one waits: Snakemake removes a job's output before it
    makes it, which another one must not see. Raises RunError, after all others have finished, if
    any failed.
    """
    _check_data(plan)
    command = snakemake_command(plan.choice, profile, jobs)
    with _alone():
        remove_outdated(plan)
        waiting = plan.waiting()
        return _done(plan, waiting, command) if waiting else 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the store's grid; say so if another process has it, and wait."""
    path = store.default_folder() / ".grid" / "at-work"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a+") as lock:
        busy = not store.lock_at_once(lock)
    if busy:
        print("grid: another one is at work on this store; waiting for it", file=sys.stderr)
    with store.locked([path]):
        yield


def _done(plan: Plan, waiting: list[Job], command: list[str]) -> int:
    """Have the waiting jobs done; returns how many they were."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"grid-{os.getpid()}.log"
    with log.open("w") as sink:
        _watch(plan.choice, waiting, command, sink)
    left = [job for job in plan.waiting() if job in waiting]
    if left:
        raise RunError(_report(left, len(waiting), log))
    log.unlink()
    return len(waiting)


def _check_data(plan: Plan) -> None:
    if not plan.data:
        whys = " ".join(one.why for one in plan.absent)
        raise RunError(f"none of the grid's data sets is here: {whys}")


def snakemake_command(choice: Choice, profile: str, jobs: int | None) -> list[str]:
    """The command line by which Snakemake does the grid."""
    folder = PROFILES / profile if (PROFILES / profile).is_dir() else Path(profile)
    if not (folder / "config.yaml").is_file():
        names = ", ".join(sorted(p.parent.name for p in PROFILES.glob("*/config.yaml")))
        raise RunError(
            f"there is no profile {profile!r}: known are {names}; else name a folder that holds a "
            "config.yaml of Snakemake."
        )
    # Jobs notice that Snakemake is gone, and it that this command is: nothing works on unseen.
    start = "from analysis.engine import exit_with_parent as e; e(); from snakemake.cli import main"
    settings = json.loads(choice.model_dump_json(exclude_defaults=True))
    given = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    local = folder.name == "local"
    most = ["--cores" if local else "--jobs", str(jobs)] if jobs else []
    if local:
        most += ["--resources", f"gpu={max(1, _gpus_here())}"]
    return [
        sys.executable, "-c", f"{start}; main()", "grid",
        "--profile", str(folder), "--nolock", *most,
        *(["--config", *given] if given else []),
    ]  # fmt: skip


def _watch(choice: Choice, waiting: Sequence[Job], command: list[str], sink: IO[str]) -> None:
    """Run Snakemake and say which jobs are done as their notes appear."""
    # Jobs on other machines call programs of this environment by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    began, open_jobs = time.monotonic(), list(waiting)
    process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink, env=environment)
    try:
        running = True
        while running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PAUSE)
            running = process.poll() is None
            for job in [job for job in open_jobs if job.note.exists() or job.failure.exists()]:
                open_jobs.remove(job)
                how = "finished" if job.note.exists() else "FAILED"
                done = len(waiting) - len(open_jobs)
                took = time.monotonic() - began
                print(f"grid: {done} of {len(waiting)} jobs, {took:.0f} s: {how} {job}",
                      file=sys.stderr, flush=True)  # fmt: skip
    except KeyboardInterrupt:
        process.wait()  # a terminal interrupts it too: it cancels its jobs
        raise
    finally:
        if process.poll() is None:
            process.terminate()


def _report(left: Sequence[Job], wanted: int, log: Path) -> str:
    reasons = [
        f"  {job}: {job.failure.read_text(encoding='utf-8').splitlines()[0]}"
        for job in left
        if job.failure.exists()
    ]
    others = len(left) - len(reasons)
    also = [f"  {others} more wait for others or were not begun"] if others else []
    return "\n".join(
        [f"{len(left)} of {wanted} jobs of the grid are not done (Snakemake's log: {log}); the "
         "same command goes on with them:", *reasons, *also]
    )  # fmt: skip


def _gpus_here() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len(visible.split(",")) if visible else len(listed.stdout.splitlines())


# What the reader sees of a plan


def describe(plan: Plan) -> str:
    """Say which jobs a plan comes to, on how many images, and how long what is left takes."""
    waiting = plan.waiting()
    kinds = {kind: [job for job in waiting if job.kind == kind] for kind in get_args(Kind)}
    counted = ", ".join(f"{len(jobs)} {kind}" for kind, jobs in kinds.items() if jobs)
    images = sum(len(images) for images in plan.data)
    lines = [
        f"{len(plan.jobs)} jobs, {len(plan.jobs) - len(waiting)} done, {len(waiting)} to do"
        + (f" ({counted})" if counted else "")
        + f": {len(plan.families)} families on {len(plan.data)} data sets of {images:,} images"
        + f", {len(plan.absent)} more are not here" * bool(plan.absent),
        *(f"  {job}" for job in waiting),
    ]
    if not [job for job in waiting if job.kind == "features"] and not plan.absent:
        return "\n".join([*lines, "nothing is left to extract"])
    found = estimate(plan)
    table = [("family", "data set", "encoders", "images", "time", "disk")]
    table += [
        (r.family, r.data, str(r.models), f"{r.images:,}", _time(r.seconds), _size(r.size))
        for r in found.rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
              for row in table]  # fmt: skip
    absent = ", ".join(one.name for one in plan.absent)
    lines.append(
        f"extraction takes about {_time(found.seconds)} in all, one job after the other on "
        f"{found.device} in {plan.choice.precision}, and {_size(found.size)} of disk in the end, "
        "twice that of a data set while it is put together"
        + (f"; {absent} counted as published, though not here" if absent else "")
        + ". Reading weights, heads and measuring come on top."
    )
    return "\n".join([*lines, *(f"  {line}" for line in found.how)])


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


# Finding families, data sets and keys


def _families(choice: Choice) -> tuple[Family, ...]:
    of_edition = load_families(choice.edition)
    for name in choice.families:
        if name not in of_edition:
            raise RunError(
                f"the edition {choice.edition} has no family {name!r}: "
                f"{suggestion(name, of_edition)}."
            )
    wanted = choice.families or tuple(of_edition)
    if not wanted:
        raise RunError(f"the edition {choice.edition} has no family: add one first.")
    return tuple(of_edition[name] for name in dict.fromkeys(wanted))


@lru_cache
def _data(choice: Choice) -> tuple[tuple[ImageList, ...], tuple[Absent, ...]]:
    """The data sets of a choice that are here, and those that are not."""
    found: list[ImageList] = []
    absent: list[Absent] = []
    for text in _texts(choice):
        why = _why_absent(text)
        if why:
            absent.append(Absent(text, why))
        else:
            found += _listed(choice, text)
    return tuple(found), tuple(absent)


def _texts(choice: Choice) -> list[str]:
    """The data sets as they are named on a command line, ``grid`` spelt out."""
    named = choice.data or USUAL[choice.edition]
    every = [name for text in named for name in (GRID if text == "grid" else (text,))]
    return list(dict.fromkeys(every))


def _text_for(choice: Choice, name: str) -> str:
    """What names the data set called ``name``: itself, ``pocket``, or a folder."""
    texts = _texts(choice)
    if name in texts:
        return name
    for text in texts:
        if text not in descriptions() and name in {i.name for i in _listed(choice, text)}:
            return text
    raise RunError(f"the grid has no data set {name!r}: {suggestion(name, texts)}.")


@lru_cache
def _listed(choice: Choice, text: str) -> tuple[ImageList, ...]:
    try:
        return tuple(datasets.find(text, accept_counts=choice.accept_counts))
    except DatasetError as error:
        raise RunError(str(error)) from None


def _why_absent(text: str) -> str:
    description = descriptions().get(text)
    try:
        if description is not None:
            _place(description)
    except DatasetError as error:
        return str(error)
    return ""


def _place(description: Description) -> Path:
    from analysis.broden import find_root

    return find_root() if description.layout == "broden" else locate(description)


def _jobs(choice: Choice, family: Family, images: ImageList) -> list[Job]:
    count = parts(choice, images)
    made = [Job("part", family.name, images.name, i + 1, count) for i in range(count)]
    made = made if count > 1 else []
    made.append(Job("features", family.name, images.name))
    if choice.measure:
        made.append(Job("measure", family.name, images.name))
    return made


@lru_cache
def _models(family: str) -> tuple[Model, ...]:
    return tuple(model for model in load_family(family).models if model.loadable)


def _is_there(model: Model, images: ImageList, choice: Choice) -> bool:
    """Whether features lie in the store, of these images, in full size."""
    path = store.features_path(model.name, images.name)
    sidecar = _read(store.sidecar_of(path))
    size = path.stat().st_size if path.is_file() else -1
    same = sidecar.get("data", {}).get("manifest") == images.manifest
    return same and (size, choice.precision) == (sidecar.get("bytes"), sidecar.get("precision"))


@lru_cache
def _key(choice: Choice, kind: Kind, family: str, data: str) -> str:
    return runs.digest(_key_parts(choice, kind, family, data))


def _key_parts(choice: Choice, kind: Kind, family: str, data: str) -> Parts:
    images = find(choice, data)
    found = {
        "format": FORMAT,
        "images": images.manifest,
        "which images": images.what,
        "prompts": images.prompts.sha256 if images.prompts else "",
        "precision": choice.precision,
        **{model.name: _described(model) for model in _models(family)},
    }
    if kind == "measure":
        from analysis.measurements import code_version

        for experiment in experiments(data):
            found |= {k: v for k, v in code_version(experiment).items() if k != "version"}
    return found


def _described(model: Model) -> str:
    """All that decides a model's features and head, and the content of weights that lie here."""
    path = ROOT / (model.weights or "")
    local = runs.file_hash(path) if model.weights and path.is_file() else ""
    content = model.model_dump(mode="json", exclude={"note", "published", "pretraining"})
    return json.dumps([content, local], sort_keys=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# The estimate


@dataclass(frozen=True)
class Speed:
    """Seconds that one image takes, and what was measured: a sentence's part for the reader."""

    seconds: float
    what: str


@dataclass(frozen=True)
class Row:
    """What is left to do for one family on one data set: images, seconds, bytes on disk."""

    family: str
    data: str
    models: int
    images: int
    seconds: float
    size: int


@dataclass(frozen=True)
class Estimate:
    """Time and disk of what is left of a grid, and how they were measured."""

    rows: tuple[Row, ...]
    device: str
    how: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time of all jobs, one after the other."""
        return sum(row.seconds for row in self.rows)

    @property
    def size(self) -> int:
        """Bytes that the features take in the end."""
        return sum(row.size for row in self.rows)


def estimate(plan: Plan, seconds: float = 30) -> Estimate:
    """Estimate what is left, absent data sets included, from a measurement of about ``seconds``.

    Measured are, on this machine, decoding with resizing for each data set and each family's
    encoders, with weights drawn at random, on which speed does not depend. On a GPU the slower of
    both decides; on the CPU they share the cores, so their times are added.
    """
    from analysis.extract import device_for

    device = device_for(plan.choice.device)
    left = [*_left(plan), *_left_of_absent(plan)]
    names = {name for name, _, _ in left}
    families = [family for family in plan.families if family.name in names]
    began = time.monotonic()
    encode = {f.name: _encoding(f, plan.choice, device, seconds / 2 / len(families))
              for f in families}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        generated = _generated(Path(folder))
        here = {images.name: images for images in plan.data}
        decode = {
            (f.name, data): _decoding(f, here.get(data, generated), plan.choice)
            for f in families
            for data in dict.fromkeys(data for _, data, _ in left)
        }
    rows = []
    for name, data, count in left:
        slow, other = encode[name].seconds, decode[name, data].seconds
        each = max(slow, other) if device.startswith("cuda") else slow + other
        rows.append(Row(name, data, len(_models(name)), count, count * each,
                        count * _bytes(name, plan.choice)))  # fmt: skip
    how = [*(s.what for s in encode.values()), *dict.fromkeys(s.what for s in decode.values())]
    took = f"measured in {time.monotonic() - began:.0f} s, setting up models included"
    return Estimate(tuple(rows), _named(device), (*how, took))


def _left(plan: Plan) -> list[tuple[str, str, int]]:
    """Family, data set and images of what is still to be extracted."""
    size = {images.name: len(images) for images in plan.data}
    waiting = [job for job in plan.waiting() if job.kind == "features"]
    return [(job.family, job.data, size[job.data]) for job in waiting]


def _left_of_absent(plan: Plan) -> list[tuple[str, str, int]]:
    """The same for data sets that are not here, with their published counts."""
    published = descriptions()
    sizes = {
        one.name: (published[one.name].used or published[one.name]).images for one in plan.absent
    }
    return [(family.name, name, size) for family in plan.families for name, size in sizes.items()]


def _bytes(family: str, choice: Choice) -> int:
    """Bytes per image in the store: features of every model, a label and a row number."""
    each = 4 if choice.precision == "fp32" else 2
    return sum(model.width * each + 16 for model in _models(family))


def _encoding(family: Family, choice: Choice, device: str, seconds: float) -> Speed:
    """Time the family's encoders, each architecture once, on batches of noise."""
    models = _models(family.name)
    kinds: dict[tuple[str | None, ...], list[Model]] = {}
    for model in models:
        kinds.setdefault((model.library, model.architecture), []).append(model)
    total = 0.0
    for same in kinds.values():
        total += len(same) * _seconds_per_image(same[0], choice, device, seconds / len(kinds))
    return Speed(
        total, f"{family.name}: {len(models)} encoders ({len(kinds)} architectures, weights drawn "
        f"at random) {1 / total:.3g} images/s through all of them",
    )  # fmt: skip


def _seconds_per_image(model: Model, choice: Choice, device: str, seconds: float) -> float:
    import torch

    from analysis.extract import Encoder, Settings, threads_for
    from analysis.models import load

    drawn = model.model_copy(
        update={"weights": None, "weights_sha256": None, "level": "random", "head": None,
                "classes": None, "templates": None},
    )  # fmt: skip
    settings = Settings(precision=choice.precision, batch_size=choice.batch_size)
    encoder = Encoder(replace(load(drawn, None, device), text=None), settings, Path())
    size = model.preprocessing.size
    batch = choice.batch_size if device.startswith("cuda") else min(choice.batch_size, 8)
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    with threads_for([encoder.loaded.encoder]):
        _, one = _timed(encoder, pixels[:1]), _timed(encoder, pixels[:1])  # the first sets up
        if one > seconds / 4 and device == "cpu":
            return one
        encoder(pixels).cpu()
        took, calls = _timed(encoder, pixels), 1
        while took < seconds / 2:
            took, calls = took + _timed(encoder, pixels), calls + 1
    return took / calls / batch


def _timed(encoder: Encoder, pixels: Tensor) -> float:
    """Seconds until the features of some pixels are on the CPU."""
    began = time.monotonic()
    encoder(pixels).cpu()
    return time.monotonic() - began


def _decoding(family: Family, images: ImageList, choice: Choice) -> Speed:
    """Time decoding and resizing of some images, spread over the data set."""
    wanted = tuple(sorted({geometry(model.preprocessing) for model in _models(family.name)}))
    seconds = _seconds_to_decode(images, wanted, choice.workers)
    return Speed(
        seconds, f"{images.name}: decoding, and resizing in {len(wanted)} "
        f"way{'s' * (len(wanted) > 1)}, {1 / seconds:.3g} images/s by {choice.workers} threads "
        f"(sample of {min(SAMPLE, len(images))})",
    )  # fmt: skip


_TIMES: dict[tuple[str, tuple[Geometry, ...]], float] = {}


def _seconds_to_decode(images: ImageList, wanted: tuple[Geometry, ...], workers: int) -> float:
    from analysis.extract import Settings, decoded

    if (images.name, wanted) not in _TIMES:
        rows = np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)
        some = np.zeros(len(images), dtype=bool)
        some[rows] = True
        sample = images.select(some, images.name)
        settings = Settings(batch_size=len(sample), shard_size=len(sample), workers=workers)
        began = time.monotonic()
        for _ in decoded(sample, {0: wanted}, settings):
            pass
        _TIMES[images.name, wanted] = (time.monotonic() - began) / len(sample)
    return _TIMES[images.name, wanted]


def _generated(folder: Path) -> ImageList:
    """Photographs of nothing of ImageNet's usual size, for data sets that are not here."""
    rng = np.random.default_rng(0)
    for number in range(SAMPLE):
        coarse = Image.fromarray(rng.integers(0, 256, (40, 53, 3), dtype=np.uint8))
        coarse.resize((500, 375)).save(folder / f"{number}.jpg", quality=95)
    return datasets.folder(folder, name="generated images")


def _named(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
