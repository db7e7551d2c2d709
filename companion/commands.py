"""What each command of `companion` does; what annotates a function's parameters are its options."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Literal

from analysis.common import (
    ROOT,
    SHIPPED,
    WORKSPACE,
    aligned,
    check_writable,
    is_stream,
    write_output,
)
from analysis.families import registry
from companion.measurements.quantities import Experiment as Measured
from companion.runs import experiments
from companion.runs.experiments import Run, RunError
from companion.runs.options import VERBS as VERBS
from companion.runs.options import (
    Chapter,
    Choice,
    Description,
    Experiment,
    Extraction,
    FamilyName,
    Json,
    Parameters,
    Probing,
    Quiet,
    ReaderFamily,
    Wish,
    option,
    verb,
)
from training.recipes import TrainOptions

# Runs


@verb("effective_robustness vit_b_32",
      "effective_robustness vit_b_32 -p resamples 500 --output trial.ipynb",
      checkout=True)  # fmt: skip
def run(
    experiment: Experiment, family: FamilyName, parameters: Parameters, quiet: Quiet = False
) -> int:
    """Execute one experiment for one family, or for an edition (paper) where it looks at all."""
    from companion.runs import engine

    registry.load_families()  # no two may have models of one name
    given = dict(parameters.parameter)
    print(engine.run(experiments.find_run(experiment, family), given, parameters.output))
    return 0


@verb("", "--runs --jobs 4", checkout=True)
def build(
    jobs: Annotated[int, option("runs at a time (2)", short="-j", least=1)] = 2,
    runs: Annotated[bool, option("the runs alone, without the pages")] = False,
    quiet: Quiet = False,
) -> int:
    """Bring all runs of the book up to date, and build its pages."""
    from companion.runs.engine import bring_up_to_date

    executed = bring_up_to_date(jobs)
    print(f"{executed} runs executed, {len(experiments.all_runs())} up to date.", flush=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
    return 0 if runs else subprocess.run(command, cwd=ROOT, check=False).returncode


@verb("", "--json", "--data", checkout=True)
def status(
    as_json: Json = False,
    data: Annotated[bool, option("instead: data sets to obtain yourself, here or not")] = False,
) -> int:
    """Experiment × family: up to date or not, and why."""
    if data:
        from analysis.images import find

        found = find.availability()
        fields = [one.fields for one in found]
        print(json.dumps(fields, indent=1, default=str) if as_json else "\n".join(map(str, found)))
        return 0
    from companion.runs import fingerprints, status

    known = [*fingerprints.statuses(experiments.all_runs()), *status.without_evidence()]
    rows = [
        {"experiment": s.run.experiment.name, "family": s.run.subject, "state": s.state,
         "why": s.why} for s in known
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    names = ["experiment", "family", "state", "why"]
    shown = ([*(row | {"why": shorten(row["why"], 80, placeholder=" …")}).values()] for row in rows)
    print(*aligned([names, *shown]), sep="\n")
    return 0


# A reader's checkpoint


@verb("mine ViT-B-32/datacomp_xl_s13b_b90k",
      "mine ViT-B-16/datacomp_l_s1b_b8k --model mine-large",
      "ours weights.safetensors --architecture ViT-B-32 --classes birds.txt",
      needs="adding a checkpoint")  # fmt: skip
def add(wish: Wish, quiet: Quiet = False) -> int:
    """Describe a checkpoint as a family of the reader's edition."""
    from companion import readers

    family, model, path = readers.add(wish)
    digest = model.weights_sha256
    print(path.relative_to(WORKSPACE))
    print(f"{model.name}: {model.architecture} ({model.library}), {model.level}, {model.width} "
          f"components, {model.preprocessing.size} pixels, head {model.head}, weights "
          f"{f'sha256 {digest[:12]}…' if digest else 'drawn at random'}")  # fmt: skip
    if model.note:
        print(f"note: {model.note}")
    print(f"next: companion extract {family.name} --data FOLDER")
    return 0


@verb("mine", "mine --features")
def remove(
    name: ReaderFamily,
    features: Annotated[bool, option("its features in the store, too")] = False,
) -> int:
    """Take a family of the reader's edition out again."""
    from companion import readers

    files, folders, measurements = readers.remove(name, features=features)
    print(f"{name} is out: {len(files)} files removed.")
    for folder in folders:
        print(f"kept its features: {folder} (delete the folder if they are no longer wanted)")
    for path in measurements:
        print(f"kept its recorded measurement: {path.relative_to(ROOT)}")
    if ROOT != SHIPPED:
        print("next: jupyter-book build book/")
    return 0


@verb("outlier_features --checkpoint ViT-B-32/datacomp_xl_s13b_b90k --data pictures/",
      "pruning --checkpoint weights.pt --architecture ViT-B-32 --data birds/ --name birds",
      needs="rerunning a chapter", checkout=True)  # fmt: skip
def rerun(
    chapter: Chapter,
    checkpoint: Annotated[str, option("as companion add takes it")],
    about: Description,
    parameters: Parameters,
    extraction: Extraction,
    name: Annotated[str | None, option("of the family (default: after the checkpoint)")] = None,
    quiet: Quiet = False,
) -> int:
    """Run a chapter for a checkpoint: add, extract and run in one go."""
    from companion import readers
    from companion.runs import engine, execute

    known, given = experiments.of_checkpoints(chapter), dict(parameters.parameter)
    execute.check_parameters(Run(known, "any"), given)
    engine.check_output(parameters.output)
    images = extraction.images()  # before anything is loaded
    family, model, path = readers.find_or_add(
        checkpoint, name, about, with_features=known.features and not images
    )
    for line in [*filter(None, [path]), *extraction.extracted([model], images, quiet)]:
        print(line)
    print(engine.run(experiments.find_run(chapter, family.name), given, parameters.output))
    print("next: jupyter-book build book/")
    return 0


@verb("zoo", "zoo --weights /scratch/weights", needs="describing checkpoints", checkout=True)
def families(
    edition: Annotated[Literal["zoo"], option("which", placed=True)],
    weights: Annotated[Path | None, option("folder of ARCHITECTURE--TAG.safetensors")] = None,
) -> int:
    """Describe every open_clip checkpoint that has published accuracies and that the library here
    can load, a file per architecture, for `companion grid --edition zoo`. They go to families/zoo/,
    which git ignores and which is written anew each time; the book has no pages on them.
    """
    from companion import zoo

    print(*zoo.make(weights), sep="\n")
    return 0


# Features and measurements


@verb("pocket_cnn --data pocket",
      "vit_b_32 --model vit_b_32-openai --data pictures/ --precision bf16",
      needs="extraction")  # fmt: skip
def extract(
    family: FamilyName,
    extraction: Extraction,
    model: Annotated[tuple[str, ...], option("some models only (default: all)")] = (),
    checkpoint: Annotated[Path | None, option("weights to use for the one model named")] = None,
    quiet: Quiet = False,
) -> int:
    """Compute a family's features of some images."""
    registry.load_families()  # no two may have models of one name
    whole = registry.load_family(family)
    chosen = [whole.model(name) for name in model] or [m for m in whole.models if m.loadable]
    if not extraction.data:
        raise RunError("--data is missing: name a data set, or a folder of images.")
    for line in extraction.extracted(chosen, extraction.images(), quiet, checkpoint):
        print(line)
    registry.load_family(family)  # or it was removed meanwhile
    return 0


@verb("outlier_features vit_b_16", "outlier_features vit_b_16 --record")
def measure(
    experiment: Annotated[Measured, option("what to measure", placed=True)],
    family: FamilyName,
    record: Annotated[bool, option("write them to data/measurements, not just compare")] = False,
    annotated: Annotated[
        bool, option("concepts of Broden: negatives from images annotated in the same category")
    ] = False,
    least_percent: Annotated[
        int, option("concepts of Broden: of a mask's pixels, to show a concept (0: one pixel)")
    ] = 0,
    quiet: Quiet = False,
) -> int:
    """Take a family's measurements of an experiment, and compare them with the recorded ones.

    Features that others published enter the store by data/embeddings/make.py of a checkout.
    Other readings of Broden than the plain one are kept under names of their own.
    """
    from companion.measurements import from_store, pending, records
    from companion.measurements.concept_probe import Reading
    from companion.publish.words import in_brief

    reading = Reading(annotated, least_percent)
    if reading != Reading() and (experiment != "concepts" or least_percent > 100):
        raise RunError(
            "--annotated and --least-percent (up to 100) say how Broden is read for concepts: use "
            "them with `companion measure concepts FAMILY`."
        )
    if record and ROOT == SHIPPED:
        raise RunError(
            "--record writes into the data/measurements of a checkout, and there is none here: go "
            "there, or set COMPANION_ROOT to it."
        )
    registry.load_families()  # no two may have models of one name
    described = registry.load_family(family)
    taken = from_store.of_family(experiment, described, reading=reading)
    if not taken:
        why = pending.why_nothing(experiment, described)
        raise RunError(f"there is nothing to measure {experiment} of {family} from: {why}.")
    differ = 0
    for measurement in taken:
        found = [] if record else records.compare_with_recorded(measurement)
        differ += found not in ([], ["not recorded"])  # which is no difference
        compared = f"{measurement.file_name}: {'; '.join(found) or 'as recorded'}"
        print(records.write(measurement) if record else compared)
        print(f"  {in_brief(measurement)}")
    return int(differ > 0)


@verb("data/measurements/pruning/rn50-openai--imagenet.json")
def check(
    paths: Annotated[
        tuple[Path, ...],
        option("files, or folders of them (default: data/measurements)", placed=True),
    ] = (),
) -> int:
    """Check recorded measurements: form, provenance, plausible ranges, agreement with families."""
    from companion.measurements import plausible

    described = registry.load_families() | registry.load_families("zoo")
    lines, wrong = plausible.report(plausible.files(paths), described)
    print(*lines, sep="\n")
    return int(wrong > 0)


@verb("", "--json --measurements my-measurements/")
def claims(
    as_json: Json = False,
    measurements: Annotated[
        Path | None, option("judge by files below it, not by those recorded and live here")
    ] = None,
    edition: Annotated[Literal["paper", "pocket"], option("whose models (paper)")] = "paper",
) -> int:
    """Judge the paper's claims: outcome, how many models were measured and agree, the numbers."""
    from companion.claims import evidence, ledger, rules
    from companion.publish import cards

    found = evidence.gather(edition, measurements)
    verdicts = rules.judge_all(found, ledger.load_claims())
    as_text = json.dumps(cards.rows(verdicts), indent=1, ensure_ascii=False)
    print(as_text if as_json else "\n".join(cards.lines(verdicts)))
    return 0


@verb("measurements.csv")
def export(
    file: Annotated[Path, option("where to write them, as CSV; - is the output", placed=True)],
) -> int:
    """Write every number that is measured, recorded and live, as one table: a row for each, with
    model, images, quantity, unit and kind of evidence.
    """
    from companion.measurements import export as exporting

    check_writable(file, suffix=".csv")
    table = exporting.everything(registry.load_families() | registry.load_families("zoo"))
    write_output(file, table.to_csv(index=False))
    said = sys.stderr if is_stream(file) else sys.stdout
    print(f"{file}: {len(table):,} numbers of {table['model'].nunique()} models", file=said)
    return 0


@verb("pocket-cnn-web-large --images pictures/",
      "ViT-B-32/laion2b_s34b_b79k --images pictures/ --html report.html",
      "weights.safetensors --architecture ViT-B-16 --images pictures/ --json probe.json",
      needs="a probe")  # fmt: skip
def probe(
    options: Probing,
    quiet: Annotated[bool, option("no progress bar, the verdict alone", short="-q")] = False,
) -> int:
    """Look for the paper's sign of robustness in one checkpoint. The sign is outlier features in
    what it makes of a folder of images. No labels and no shifted data are needed; some hundred
    images of the kind that matters to you are enough.
    """
    from companion.measurements.records import to_text
    from companion.probe import checkpoint

    registry.load_families()  # no two may have models of one name
    wanted = [path for path in (options.html, options.json_file) if path]
    check_writable(*wanted)
    settings = options.settings(progress=not quiet)
    found = checkpoint.of_checkpoint(
        options.checkpoint, options.images, settings, options.architecture
    )
    if options.html:
        checkpoint.write_page(found, options.html)
    if options.json_file:
        write_output(options.json_file, to_text(found.measurement))
    said = sys.stderr if any(map(is_stream, wanted)) else sys.stdout
    print(found.sentence if quiet else checkpoint.summary(found), file=said)
    if quiet and (left_out := checkpoint.left_out_of(found)):
        print(f"{found.measurement.data.what}: {left_out}", file=said)
    if not quiet:
        print(*wanted, sep="\n", file=said)
    return 0


@verb("--edition paper --dry-run",
      "--edition paper --precision bf16",
      "--edition paper --families rn50 vit_b_32 --data imagenet imagenet-r",
      "--edition paper --models rn50-openai rn50-random --data imagenet",
      "--edition paper --profile slurm --jobs 16", needs="the grid", checkout=True)  # fmt: skip
def grid(
    choice: Choice,
    dry_run: Annotated[bool, option("say what would be done, and how much that is")] = False,
    as_json: Annotated[bool, option("with --dry-run: as JSON", flag="--json")] = False,
    jobs: Annotated[
        int | None, option("cores to use, on a cluster jobs at a time", short="-j", least=1)
    ] = None,
    profile: Annotated[str, option("local, slurm, or a folder with a config.yaml")] = "local",
    quiet: Quiet = False,
) -> int:
    """Extract, measure and record all models of an edition on all its data. Stopped at any time,
    the same command goes on: only what is missing is done. Afterwards the book's runs are brought
    up to date. Data sets that are not here are named, and the others go on; the exit status is then
    1 if --data asked for them. A model whose weights cannot be had is named with the reason, the
    others of its family go on, and the exit status is 1.
    """
    from companion.runs import dry_run as the_dry_run
    from companion.runs import engine
    from companion.runs import grid as the_grid

    if as_json and not dry_run:
        raise RunError("--json is for --dry-run: give both, or leave it out.")
    the_grid.profile_folder(profile)  # before anything takes long
    plan = the_grid.plan(choice)
    for name, why in plan.absent.items():
        print(f"left out: {name}. {why}", file=sys.stderr)
    if dry_run:
        print(the_dry_run.to_json(plan) if as_json else the_dry_run.describe(plan))
        return 0
    for library in the_grid.NEEDED:  # to load them takes seconds
        if importlib.util.find_spec(library) is None:
            raise ModuleNotFoundError(name=library)
    try:
        done = the_grid.run(plan, profile, jobs)
    except the_grid.IncompleteError:
        if choice.measure:
            engine.bring_up_to_date()  # the book shows what there is
        raise
    print(f"{done} jobs done, the grid is complete{' but for what is absent' * bool(plan.absent)}: "
          f"{len(plan.families)} families on {len(plan.data)} data sets.")  # fmt: skip
    if choice.measure:
        executed = engine.bring_up_to_date()
        print(f"{executed} runs executed. Next: jupyter-book build book/")
    return int(bool(choice.data and plan.absent))  # what was asked for by name is not all done


@verb("finetuned --model rn50-openai --dry-run",
      "finetuned --model rn50-openai --out trained/rn50",
      "supervised_vit --model vit_b_32-openai --out trained/vit --processes 8",
      "captions --model rn50-openai --captions imagenet_captions.json --out trained/captions",
      needs="training", extras="extract,train", checkout=True)  # fmt: skip
def train(options: TrainOptions) -> int:
    """Train the paper's comparison models on ImageNet, on the GPUs here. Finetune a zero-shot CLIP,
    train its image tower with labels, or train CLIP on ImageNet-Captions, by a recipe whose numbers
    name their sources. Stopped at any time, the same command goes on.
    """
    from training import captions, full_size, recipes, results

    room = captions if recipes.load(options.recipe).level == "captions" else full_size
    if options.dry_run:
        print(room.describe(options))
    elif path := room.run(options):
        print(results.next_commands(path))
    return 0


@verb("", "--list")
def fetch(
    names: Annotated[tuple[str, ...], option("which (default: all)", placed=True)] = (),
    list: Annotated[bool, option("list them and where they come from")] = False,
    quiet: Quiet = False,
) -> int:
    """Download the public artefacts, checked by sha256."""
    from analysis.images import public

    if list:
        for one in [public.artifact(n) for n in names] or public.load_catalogue().values():
            print(f"{one.name}  {one.bytes:,} bytes  {one.licence}  {one.url}")
        return 0
    print(*public.fetch_all(names or None, progress=True).values(), sep="\n")
    return 0
