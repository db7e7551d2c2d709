"""The grid: all models of an edition's families × its data sets, extracted, measured, recorded.

A `Choice` says which grid. It is cut into jobs, one per family and data set, or several where a
data set is extracted in parts; the Snakefile has a rule for each kind, so that the same jobs run on
one GPU, on several, or on a cluster.

What is done is noted in the store, ``.grid/``, for each model by itself, with the key of what it
was made from: the model's description, local weights, the list of images, by content. A job is done
if it is done for all its models; it does only what is missing. A model that fails, because its
weights cannot be had, say, is left out and named with the reason, and the others go on. Jobs leave
notes of their own for Snakemake, beside each other for different choices of models.

The command `companion grid` calls Snakemake and watches the notes. No torch, but in the steps
themselves.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
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
from typing import IO, Any, Literal, get_args

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.common import ROOT, fingerprint, first_reason, suggestion
from analysis.families.registry import Edition, Family, Model, load_families, load_family
from analysis.features import store
from analysis.features.plan import Settings
from analysis.features.store import StoreError
from analysis.images import find as finder
from analysis.images.imagelist import DatasetError, ImageList
from analysis.images.sets import GRID, Description, descriptions, locate
from companion.measurements.quantities import Experiment
from companion.options import family_names, option
from companion.runs import keys as runs
from companion.runs.experiments import RunError
from companion.runs.keys import Parts

Kind = Literal["part", "features", "measure"]
FORMAT = "2"
LOGS = ROOT / ".companion" / "logs"
PROFILES = ROOT / "profiles"
#: What is measured on ImageNet.
ON_REFERENCE: tuple[Experiment, ...] = (
    "outlier_features", "privileged_directions", "pruning", "accuracy",
)  # fmt: skip
#: What an edition computes on, where no data set is named.
USUAL: dict[Edition, tuple[str, ...]] = {
    "paper": GRID, "pocket": ("pocket",), "contrast": ("scikit_image_photographs",), "reader": (),
}  # fmt: skip
#: Seconds between two looks at what is done.
PAUSE = 0.5


class Choice(BaseModel):
    """Which grid, and how: what `companion grid` and ``snakemake --config`` can set.

    ``families``, ``models`` and ``data`` empty stand for all of the edition. ``shards`` is the
    number of jobs that share a data set: fewer where it has fewer shards of ``shard_size`` images.
    ``record`` None records measurements of the edition paper alone: those of the other editions are
    taken when the book is built, from the features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edition: Edition = option("(paper)", "paper")
    families: tuple[str, ...] = option(
        "some only (default: all of the edition)", (), names=family_names
    )
    models: tuple[str, ...] = option("some of their models only (default: all)", ())
    data: tuple[str, ...] = option(
        "as companion extract takes it (default: what the edition computes on: grid or pocket)", ()
    )
    shards: int = Field(default=1, ge=1)
    device: str = option("auto, cpu, cuda or mps (auto)", "auto")
    precision: Literal["fp32", "fp16", "bf16"] = option("of the arithmetic (fp32)", "fp32")
    batch_size: int = option("images at a time (128)", 128, least=1)
    shard_size: int = Field(default=4096, ge=1)
    workers: int = option("threads of a job that decode images (8)", 8, least=1)
    accept_counts: bool = option(
        "take incomplete or altered copies of published sets as they are; what is measured on them "
        "says so", False,
    )  # fmt: skip
    measure: bool = option("extract only; measure and update the book later", True)
    record: bool | None = option(
        "write measurements to data/measurements/, or leave them to the build of the book, which "
        "takes them from the features (--record for the edition paper, else --no-record)", None,
    )  # fmt: skip

    @property
    def records(self) -> bool:
        """Whether measurements are taken and written to ``data/measurements/``."""
        wanted = self.edition == "paper" if self.record is None else self.record
        return self.measure and wanted

    @property
    def which(self) -> str:
        """A name for the choice of models; empty for all."""
        names = ",".join(sorted(set(self.models)))
        return hashlib.sha256(names.encode()).hexdigest()[:8] if names else ""


@dataclass(frozen=True)
class Job:
    """One job: part ``number`` of ``of`` of a data set's extraction, the whole, or measuring.

    ``which`` is that of its choice.
    """

    kind: Kind
    family: str
    data: str
    number: int = 0
    of: int = 0
    which: str = ""

    def __str__(self) -> str:
        part = f" {self.number}/{self.of}" if self.kind == "part" else ""
        return f"{self.kind} {self.family} {self.data}{part}"

    @property
    def note(self) -> Path:
        """Where it is noted that the job has run, and without which models; Snakemake's output."""
        name = f"part-{self.number}-of-{self.of}" if self.kind == "part" else self.kind
        return notes(self.which) / self.family / self.data / f"{name}.json"

    @property
    def failure(self) -> Path:
        """Where it is noted why the last attempt failed."""
        return self.note.with_suffix(".failed")

    @property
    def left_out(self) -> dict[str, str]:
        """Models that the job went on without, each with the reason."""
        found = _read(self.note).get("left_out", {})
        return {str(name): str(why) for name, why in found.items()}


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
    several = ("families", "models", "data")
    listed = {k: [v] if k in several and isinstance(v, str) else v for k, v in config.items()}
    try:
        choice = Choice.model_validate(listed)
    except ValidationError as error:
        known = ", ".join(Choice.model_fields)
        raise RunError(
            f"the grid's configuration: {first_reason(error)}; known are {known}."
        ) from None
    if choice.record and not choice.measure:
        raise RunError(
            "the grid is to record measurements and not to take any: leave out one of both."
        )
    return choice


def plan(choice: Choice) -> Plan:
    """Find the families and data sets of a choice and cut the grid into jobs.

    Data sets that are not here are listed as absent, the others go on. Raises RunError if a family,
    model or data set is unknown, or if a copy is not the published set.
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


def notes(which: str = "") -> Path:
    """Return the folder of a choice's notes, in the store, which all machines share."""
    folder = store.default_folder() / ".grid"
    return folder / f".some-{which}" if which else folder


# What Snakemake asks: by wildcards, and with its configuration


def targets(config: Mapping[str, Any]) -> list[str]:
    """Paths of the notes that the whole grid comes to."""
    choice = choice_from(config)
    last = "measure" if choice.records else "features"
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
    choice, wanted = choice_from(config), [data]
    if data == "broden":
        others = [images.name for images in _data(choice)[0] if images.classes]
        wanted += ["imagenet"] if "imagenet" in others else others
    return [str(Job("features", family, name, which=choice.which).note) for name in wanted]


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
    """Whether a job's note is current and what it made is still there, for all its models."""
    if job.kind == "part":
        note = _read(job.note)
        current = note.get("key") == _key(choice, job.kind, job.family, job.data)
        return current and not note.get("left_out")
    return not missing(choice, job)


def missing(choice: Choice, job: Job) -> list[Model]:
    """The models whose features or measurements, as the job's kind is, are not there or outdated.

    Features are looked at, not read: `extract` checks their checksums, and so does whoever uses
    them.
    """
    kind: Kind = "measure" if job.kind == "measure" else "features"
    keys = _keys(choice, kind, job.family, job.data)
    images = find(choice, job.data)

    def there(model: Model) -> bool:
        note = _read(_model_note(model, job.data, kind))
        if note.get("key") != keys[model.name]:
            return False
        if kind == "features":
            return _is_there(model, images, choice)
        return all((ROOT / path).is_file() for path in note.get("files", []))

    return [model for model in models_of(choice, job.family) if not there(model)]


def remove_outdated(plan: Plan) -> None:
    """Make jobs' notes say what is so, since Snakemake looks at them: missing if there is work.

    Parts were used up when their features were made, so those go too if the features are gone; and
    also where putting them together failed: shards may be lost. Jobs that are done because another
    choice of models did them, or the rest of them, get notes that say so.
    """
    for job in plan.waiting():
        if job.kind == "features" and (job.note.exists() or job.failure.exists()):
            for note in job.note.parent.glob("part-*.json"):
                note.unlink(missing_ok=True)
        job.note.unlink(missing_ok=True)
        job.failure.unlink(missing_ok=True)
    for job in set(plan.jobs).difference(plan.waiting()):
        if job.left_out or not job.note.exists():
            _note(plan.choice, job, {})


def find(choice: Choice, name: str) -> ImageList:
    """Return the data set of a choice that is called ``name``; RunError if there is none."""
    found = {images.name: images for images in _listed(choice, _text_for(choice, name))}
    if name not in found:
        raise RunError(f"the grid has no data set {name!r}: {suggestion(name, found)}.")
    return found[name]


# The steps: what a job does


def step(choice: Choice, job: Job) -> None:
    """Do one job, for the models for which it can be done, and note it.

    Raises RunError, which is noted too, if it can be done for none.
    """
    job.failure.unlink(missing_ok=True)
    try:
        left_out = _measure(choice, job) if job.kind == "measure" else _extract(choice, job)
        if len(left_out) == len(models_of(choice, job.family)):
            raise RunError("no model is left: " + "; ".join(_reasons(left_out)))
    except Exception as error:
        traceback.print_exc()
        why = str(error) if isinstance(error, ValueError | RuntimeError | RunError) else repr(error)
        _write(job.failure, why)
        raise RunError(f"{job}: {why}") from error
    for reason in _reasons(left_out):
        print(f"{job}, left out: {reason}", file=sys.stderr)
    _note(choice, job, left_out)


def _note(choice: Choice, job: Job, left_out: Mapping[str, str]) -> None:
    key = _key(choice, job.kind, job.family, job.data)
    _write(job.note, json.dumps({"key": key, "left_out": left_out}, indent=1) + "\n")


def _reasons(left_out: Mapping[str, str]) -> list[str]:
    return [why if name in why else f"{name}: {why}" for name, why in left_out.items()]


def _extract(choice: Choice, job: Job) -> dict[str, str]:
    """Extract for all models that can be had; returns why for the others."""
    from analysis.features.extract import extract

    images, models = find(choice, job.data), models_of(choice, job.family)
    left_out: dict[str, str] = {}

    def note(model: Model, error: Exception) -> None:
        left_out.setdefault(model.name, str(error))

    with _gpu(choice.device) as device:
        settings = Settings(
            device=device, precision=choice.precision, batch_size=choice.batch_size,
            shard_size=choice.shard_size, workers=choice.workers, progress=False,
        )  # fmt: skip
        if job.kind == "features":
            extract(models, images, settings, onerror=note)
    for part in _parts_of(choice, job):  # why there are no shards to put together
        left_out |= {name: why for name, why in part.left_out.items() if name in left_out}
    for model in models if job.kind == "features" else ():
        if model.name not in left_out:
            _note_model(choice, job, model)
    return left_out


def _parts_of(choice: Choice, job: Job) -> list[Job]:
    """The parts that a job puts together: none where it does all in one go."""
    count = parts(choice, find(choice, job.data)) if job.kind == "features" else 1
    numbers = range(1, count + 1) if count > 1 else ()
    return [replace(job, kind="part", number=number, of=count) for number in numbers]


def _measure(choice: Choice, job: Job) -> dict[str, str]:
    """Measure and record for all models whose features are here; returns why for the others."""
    from companion.measurements import due, take
    from companion.measurements import records as measurements

    family, images = load_family(job.family), find(choice, job.data)
    left_out: dict[str, str] = {}
    for model in missing(choice, job):
        try:
            _check_head(model, job)
            if not _is_there(model, images, choice):
                raise RunError(f"the store has no features of {model.name} on {job.data}.")
            alone = family.model_copy(update={"models": (model,)})
            found = [
                take.measure(one)
                for one in due.jobs(alone)
                if job.data in one.parts and (len(one.parts) == 1 or not due.is_recorded(one))
            ]
        except (RunError, StoreError, measurements.MeasurementError) as error:
            left_out[model.name] = str(error)
            continue
        written = [measurements.write(m).relative_to(ROOT).as_posix() for m in found]
        _note_model(choice, job, model, written)
    return left_out


def _check_head(model: Model, job: Job) -> None:
    from companion.measurements.concept_probe import has_head

    wanted = "concepts" in experiments(job.data) and job.data in descriptions()
    if wanted and not has_head(model):
        raise RunError(
            f"the store has no head of {model.name}, along whose directions concepts are looked "
            "for: extract imagenet, too."
        )


def _note_model(choice: Choice, job: Job, model: Model, files: Sequence[str] = ()) -> None:
    """Note that a job is done for one model; ``files`` are paths below the repository."""
    key = _keys(choice, job.kind, job.family, job.data)[model.name]
    content = json.dumps({"key": key, "files": files}, indent=1)
    _write(_model_note(model, job.data, job.kind), content + "\n")


def _model_note(model: Model, data: str, kind: Kind) -> Path:
    return notes() / ".models" / model.name / data / f"{kind}.json"


def experiments(data: str) -> tuple[Experiment, ...]:
    """What is measured on a data set, where heads, labels and concepts allow it.

    Of the paper's data sets ImageNet is what features are looked at on, its shifts are for
    accuracies, and Broden is for concepts; on any other all is measured that can be.
    """
    if data not in descriptions():
        return get_args(Experiment)
    return {"imagenet": ON_REFERENCE, "broden": ("concepts",)}.get(
        data, ("accuracy", "pruning_under_shift")
    )


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
        try:
            held = FileLock(folder / name).acquire(blocking=False)
        except Timeout:
            time.sleep(1 / count)
            continue
        with held:
            yield f"cuda:{number}"
        return


# The command


def run(plan: Plan, profile: str = "local", jobs: int | None = None) -> int:
    """Do what is missing through Snakemake; returns how many jobs there were.

    ``profile`` is ``local``, ``slurm`` or a folder with a ``config.yaml`` of Snakemake. While
    another grid works on the same store this one waits: Snakemake removes a job's output before it
    makes it, which another one must not see. Raises IncompleteError, after all others have
    finished, if any failed or went on without some of its models.
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
    lock = FileLock(path.with_suffix(".lock"))
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        print("grid: another one is at work on this store; waiting for it", file=sys.stderr)
        held = lock.acquire()
    with held:
        yield


class IncompleteError(RunError):
    """Some of a grid's jobs are not done, or not for all models; the others are."""


def _done(plan: Plan, waiting: list[Job], command: list[str]) -> int:
    """Have the waiting jobs done; returns how many they were."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"grid-{os.getpid()}.log"
    with log.open("w") as sink:
        _watch(plan.choice, waiting, command, sink)
    left = [job for job in plan.waiting() if job in waiting]
    if left:
        raise IncompleteError(_report(left, len(waiting), log))
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
    start = "from companion.runs.engine import exit_with_parent as e; e(); from snakemake.cli import main"
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
                how += f" {job}" + "".join(f", WITHOUT {name}" for name in job.left_out)
                done = len(waiting) - len(open_jobs)
                took = time.monotonic() - began
                print(f"grid: {done} of {len(waiting)} jobs, {took:.0f} s: {how}",
                      file=sys.stderr, flush=True)  # fmt: skip
    except KeyboardInterrupt:
        process.wait()  # a terminal interrupts it too: it cancels its jobs
        raise
    finally:
        if process.poll() is None:
            process.terminate()


def _report(left: Sequence[Job], wanted: int, log: Path) -> str:
    reasons, silent = [], 0
    for job in left:
        before = {} if job.kind == "features" else replace(job, kind="features").left_out
        own = {name: why for name, why in job.left_out.items() if name not in before}
        if job.failure.exists():
            reasons.append(f"  {job}: {job.failure.read_text(encoding='utf-8').splitlines()[0]}")
        elif own and job.kind != "part":  # the whole says it of all parts
            reasons += [f"  {job}, left out: {reason}" for reason in _reasons(own)]
        else:
            silent += 1
    also = [f"  {silent} more wait for others or were not begun"] if silent else []
    return "\n".join(
        [f"{len(left)} of {wanted} jobs of the grid are not done, or not for all models "
         f"(Snakemake's log: {log}); the same command goes on with them:", *reasons, *also]
    )  # fmt: skip


def _gpus_here() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len(visible.split(",")) if visible else len(listed.stdout.splitlines())


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
    families = [of_edition[name] for name in dict.fromkeys(wanted)]
    _check_models(choice, families)
    return tuple(family for family in families if models_of(choice, family.name))


def _check_models(choice: Choice, families: Sequence[Family]) -> None:
    """Every model that is named must be in one of the families and have weights or be random."""
    known = {model.name: model for family in families for model in family.models}
    of = ", ".join(choice.families) or f"of the edition {choice.edition}"
    for name in choice.models:
        if name not in known:
            near = suggestion(name, known)
            raise RunError(f"the families {of} have no model {name!r}: {near}.")
        if not known[name].loadable:
            raise RunError(
                f"{name} has no public weights, so it cannot be extracted: leave it out."
            )
    for name in choice.families:
        if not models_of(choice, name):
            raise RunError(
                f"the family {name} has none of the models {', '.join(choice.models)}: leave it "
                "out, or name one of its models, too."
            )


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
        return tuple(finder.find(text, accept_counts=choice.accept_counts))
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
    from analysis.images.broden import find_root

    return find_root() if description.layout == "broden" else locate(description)


def _jobs(choice: Choice, family: Family, images: ImageList) -> list[Job]:
    whole = Job("features", family.name, images.name, which=choice.which)
    made = [*_parts_of(choice, whole), whole]
    return [*made, replace(whole, kind="measure")] if choice.records else made


@lru_cache
def models_of(choice: Choice, family: str) -> tuple[Model, ...]:
    """Return the models of a family that are chosen and can be loaded: random, or with weights."""
    chosen = choice.models
    return tuple(
        model
        for model in load_family(family).models
        if model.loadable and (not chosen or model.name in chosen)
    )


def _is_there(model: Model, images: ImageList, choice: Choice) -> bool:
    """Whether features lie in the store, of these images, in full size."""
    path = store.features_path(model.name, images.name)
    sidecar = _read(store.sidecar_of(path))
    size = path.stat().st_size if path.is_file() else -1
    same = sidecar.get("data", {}).get("manifest") == images.manifest
    return same and (size, choice.precision) == (sidecar.get("bytes"), sidecar.get("precision"))


def _key(choice: Choice, kind: Kind, family: str, data: str) -> str:
    return fingerprint(_keys(choice, kind, family, data))


@lru_cache
def _keys(choice: Choice, kind: Kind, family: str, data: str) -> Parts:
    """For each model a hash of all that its features, or its measurements, depend on."""
    images = find(choice, data)
    common = {
        "format": FORMAT,
        "images": images.manifest,
        "which images": images.what,
        "prompts": images.prompts.sha256 if images.prompts else "",
        "precision": choice.precision,
    }
    if kind == "measure":
        from companion.measurements.records import code_parts

        for experiment in experiments(data):
            common |= dict(code_parts(experiment))
    return {
        model.name: fingerprint({**common, "model": _described(model)})
        for model in models_of(choice, family)
    }


def _described(model: Model) -> str:
    """All that decides a model's features and head, and the content of weights that lie here."""
    path = ROOT / (model.weights or "")
    local = runs.file_hash(path) if model.weights and path.is_file() else ""
    content = model.model_dump(
        mode="json", exclude={"own_title", "note", "published", "pretraining"}
    )
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


if __name__ == "__main__":  # a job of Snakemake's
    from companion.runs.engine import exit_with_parent

    exit_with_parent()
    kind, family, data, number, of, workers, given = sys.argv[1:]
    settings = choice_from(json.loads(given) | ({"workers": int(workers)} if workers else {}))
    try:
        step(settings, Job(kind, family, data, int(number), int(of), settings.which))  # type: ignore
    except RunError as error:
        sys.exit(f"companion: {error}")
