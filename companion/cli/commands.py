"""What each command of `companion` does; what annotates a function's parameters are its options."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Annotated

from analysis.base.files import looks
from analysis.base.roots import ROOT, SHIPPED, WORKSPACE
from analysis.base.texts import CompanionError, aligned
from analysis.families import registry
from companion.cli.extraction import extracted
from companion.cli.new import Contribution, begun
from companion.engine import experiments
from companion.engine.run import OUTPUTS, Run
from companion.runs.options import (
    Chapter,
    Choice,
    Extraction,
    FamilyName,
    Json,
    NotebookName,
    Parameters,
    ReaderFamily,
    SaidOfCheckpoint,
    Wish,
    option,
)


def run(experiment: NotebookName, family: FamilyName, parameters: Parameters) -> None:
    """Execute one experiment for one family, or for an edition (such as paper) if it covers all.

    companion run effective_robustness vit_b_32
    companion run effective_robustness vit_b_32 -p resamples 500 --output trial.ipynb
    """
    from companion.engine import engine

    registry.load_families()  # no two may have models of one name
    given = dict(parameters.parameter)
    print(engine.run(experiments.find_run(experiment, family), given, parameters.output))


def build(
    jobs: Annotated[int, option("runs or pages at a time (default: 2)", short="-j", least=1)] = 2,
    runs: Annotated[bool, option("only the runs, without the pages")] = False,
) -> int:
    """Bring all runs of the book up to date, and build its pages.

    companion build
    companion build --runs --jobs 4
    """
    from companion.engine.engine import bring_up_to_date

    executed = bring_up_to_date(jobs)
    print(f"{executed} runs executed, {len(experiments.all_runs())} up to date.", flush=True)
    if runs and (false := experiments.false_sentences()):
        raise CompanionError("\n".join(false))
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
    wanted = os.environ | {"COMPANION_JOBS": str(jobs)}
    return 0 if runs else subprocess.run(command, cwd=ROOT, env=wanted, check=False).returncode


def status(
    as_json: Json = False,
    data: Annotated[bool, option("show instead which data sets are here")] = False,
) -> None:
    """Show which runs are up to date, and why others are not.

    companion status
    companion status --json
    companion status --data
    """
    if data:
        from companion.sources import find

        sets = find.availability()
        fields = [data_set.fields for data_set in sets]
        print(json.dumps(fields, indent=1, default=str) if as_json else "\n".join(map(str, sets)))
        return
    from companion.engine import fingerprints, project
    from companion.engine.jobs import FAILURES, remembered
    from companion.runs import status

    def found() -> list[list[str]]:
        statuses = [*fingerprints.statuses(experiments.all_runs()), *status.without_evidence()]
        return [[s.run.experiment.name, s.run.subject, s.state, s.why] for s in statuses]

    places = OUTPUTS, FAILURES, fingerprints.FOLDERS
    known = project.current().knowledge()
    rows = remembered("status", [known, looks(*places)], found) if known else found()
    names = ["experiment", "family", "state", "why"]
    if as_json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
        return
    shortened = ((*row, shorten(why, 80, placeholder=" …")) for *row, why in rows)
    print(*aligned([names, *shortened]), sep="\n")
    for path in experiments.drafts():
        print(f"{path.relative_to(ROOT)} has blanks, between ‹ and ›, and waits for them")


def add(wish: Wish) -> None:
    """Add a checkpoint to the book as a family of the reader's edition.

    companion add mine ViT-B-32/datacomp_xl_s13b_b90k
    companion add mine ViT-B-16/datacomp_l_s1b_b8k --model mine-large
    companion add ours weights.safetensors --architecture ViT-B-32 --classes birds.txt
    """
    from companion.cli import readers

    family, model, path = readers.add(wish)
    digest = model.weights_sha256
    weights = f"weights sha256 {digest[:12]}…" if digest else "weights drawn at random"
    what = f"{model.architecture} ({model.library}), {model.level}"
    print(path.relative_to(WORKSPACE))
    print(f"{model.name}: {what}, {model.width} components, head {model.head}, {weights}")
    given = model.preprocessing
    shape = "both edges" if given.squash else "the shorter edge"
    print(
        f"input: {shape} resized to {given.resize or given.size} ({given.interpolation}), "
        f"{given.size} pixels cut out, mean {_numbers(given.mean)}, deviation {_numbers(given.std)}"
    )
    if model.note:
        print(f"note: {model.note}")
    print(f"next: companion extract {family.name} --data FOLDER")


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def remove(
    name: ReaderFamily,
    features: Annotated[bool, option("remove its features from the store, too")] = False,
) -> None:
    """Remove a family of the reader's edition.

    companion remove mine
    companion remove mine --features
    """
    from companion.cli import readers

    files, folders, measurements = readers.remove(name, features=features)
    print(f"{name} was removed ({len(files)} files).")
    for folder in folders:
        print(f"kept its features: {folder} (delete the folder if you no longer need them)")
    for path in measurements:
        print(f"kept its recorded measurement: {path.relative_to(ROOT)}")
    if ROOT != SHIPPED:
        print("next: jupyter-book build book/")


def rerun(
    chapter: Chapter,
    checkpoint: Annotated[str, option("named as for `companion add`")],
    about: SaidOfCheckpoint,
    parameters: Parameters,
    extraction: Extraction,
    name: Annotated[str | None, option("family's name (default: from the checkpoint)")] = None,
) -> None:
    """Run a chapter for a checkpoint: add, extract and run in one go.

    companion rerun outlier_features --checkpoint ViT-B-32/datacomp_xl_s13b_b90k --data pictures/
    companion rerun pruning --checkpoint weights.pt --architecture RN50 --data birds/ --name birds
    """
    from companion.cli import readers
    from companion.engine import engine, execute
    from companion.runs.project import of_checkpoints

    experiment, given = of_checkpoints(chapter), dict(parameters.parameter)
    execute.check_parameters(Run(experiment, "any"), given)
    engine.check_output(parameters.output)
    images = extraction.images()  # before anything is loaded
    family, model, path = readers.find_or_add(
        checkpoint, name, about, with_features=experiment.features and not images
    )
    for line in [*filter(None, [path]), *extracted(extraction, [model], images)]:
        print(line)
    print(engine.run(experiments.find_run(chapter, family.name), given, parameters.output))
    print("next: jupyter-book build book/")


def grid(
    choice: Choice,
    dry_run: Annotated[bool, option("print the jobs and the disk space")] = False,
    jobs: Annotated[
        int | None, option("cores to use; on a cluster, jobs at a time", short="-j", least=1)
    ] = None,
    profile: Annotated[str, option("local, slurm, or a folder with a config.yaml")] = "local",
) -> int:
    """Extract, measure and record all models of an edition on all its data. You can stop the
    command at any time: called again, it does only what is missing. Afterwards it brings the book's
    runs up to date. It names data sets that are not here and continues with the others; the exit
    status is then 1 if --data asked for them. It names a model whose weights are not available,
    with the reason, continues with the others of its family, and ends with exit status 1.

    companion grid --edition paper --dry-run
    companion grid --edition paper --families rn50 vit_b_32 --data imagenet imagenet-r
    companion grid --edition paper --profile slurm --jobs 16
    """
    from companion.engine import engine
    from companion.runs import cluster, grid_jobs
    from companion.runs import dry_run as the_dry_run
    from companion.runs import grid as the_grid

    cluster.profile_folder(profile)  # before anything takes long
    plan = the_grid.plan(choice.grid())
    for absence in the_grid.absences(plan.absent):
        print(f"left out: {absence}", file=sys.stderr)
    if dry_run:
        print(the_dry_run.describe(plan))
        return 0
    for library in grid_jobs.NEEDED:  # to load them takes seconds
        if importlib.util.find_spec(library) is None:
            raise ModuleNotFoundError(name=library)
    if choice.measure:
        engine.expect_runs()
    try:
        done = grid_jobs.run(plan, profile, jobs)
    except grid_jobs.IncompleteError:
        if choice.measure:
            engine.bring_up_to_date()  # the book shows what there is
        raise
    but = " but for what is absent" if plan.absent else ""
    what = f"{len(plan.families)} families on {len(plan.data)} data sets"
    print(f"{done} jobs done, the grid is complete{but}: {what}.")
    if choice.measure:
        executed = engine.bring_up_to_date()
        print(f"{executed} runs executed. Next: jupyter-book build book/")
    return int(bool(choice.data and plan.absent))  # what was asked for by name is not all done


def fetch(
    names: Annotated[tuple[str, ...], option("only these (default: all)", placed=True)] = (),
    list: Annotated[bool, option("only list them, with their addresses")] = False,
) -> None:
    """Download the public files behind the book, verified by their checksums.

    companion fetch
    companion fetch --list
    """
    from companion.sources import public

    if list:
        for file in [public.artifact(n) for n in names] or public.load_catalogue().values():
            print(f"{file.name}  {file.bytes:,} bytes  {file.licence}  {file.url}")
        return
    print(*public.fetch_all(names or None, progress=True).values(), sep="\n")


def new(
    kind: Annotated[Contribution, option("what to add", placed=True)],
    name: Annotated[str, option("its name", placed=True)],
) -> None:
    """Write the files of a contribution, with blanks to fill in, as guide/add_your_own shows them.

    companion new metric crest
    companion new claim K-spread
    """
    for path in begun(kind, name):
        print(path.relative_to(ROOT))
    print(
        "fill in what is between ‹ and ›, and take the marks of comments away; "
        "book/guide/add_your_own.md says which tests to run"
    )


#: All, and those that work in a checkout alone.
COMMANDS = (run, build, status, add, remove, rerun, grid, fetch, new)
IN_CHECKOUT = (run, build, status, rerun, grid, new)
