"""The command `companion`: families, features, runs, and the public artefacts they rest on."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from analysis.common import ROOT, CompanionError, suggestion
from analysis.families import registry
from analysis.families.registry import LEVELS, Family, HeadKind, Model
from companion.runs import experiments as runs
from companion.runs.experiments import Experiment, Run, RunError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

    from analysis.features.extract import Settings
    from analysis.images.imagelist import ImageList
    from companion.readers import Added, Wish

EXAMPLES = """examples:
  companion status
  companion status --data
  companion run effective_robustness vit_b_32
  companion run effective_robustness vit_b_32 -p pool_v2 threshold --output trial.ipynb
  companion fetch
  companion measure outlier_features vit_b_16
  companion extract pocket_cnn --data pocket
  companion extract vit_b_32 --model vit_b_32-openai --data pictures/ --precision bf16
  companion extract vit_b_16 --data imagenet imagenet-r --precision bf16
  companion probe vit_b_32-openai --images pictures/ --html report.html
  companion train finetuned --model rn50-openai --dry-run
  companion add mine ViT-B-32/datacomp_xl_s13b_b90k
  companion rerun outlier_features --checkpoint weights.safetensors --architecture ViT-B-32 \\
      --data pictures/

exit status: 0 done, 1 could not be done (one sentence on the error output says why),
2 the command line is wrong, 130 interrupted (the next call continues)
"""
PIPE_CLOSED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with _quietly(getattr(options, "quiet", False)):
            status = int(options.do(options))
            sys.stdout.flush()
        return status
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough: `| head`, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        print(f"companion: {_about_disk(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("companion: interrupted; the next call continues.", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _quietly(quiet: bool) -> Iterator[None]:
    """Keep progress to ourselves; errors are printed after this."""
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        yield


def _about_disk(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"{what}{where}: make room and call again; what was finished is kept."
    return f"{what}{where}: allow reading and writing there, and call again."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="companion", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_update(commands)
    _add_status(commands)
    _add_fetch(commands)
    _add_add(commands)
    _add_remove(commands)
    _add_rerun(commands)
    _add_extract(commands)
    _add_grid(commands)
    _add_train(commands)
    _add_probe(commands)
    _add_measure(commands)
    _add_claims(commands)
    _add_check_measurements(commands)
    _add_completion(commands)
    _add_hidden(commands)
    return parser


def _command(commands: Commands, name: str, what: str, *examples: str) -> argparse.ArgumentParser:
    """Add a subcommand whose help ends in examples."""
    lines = "".join(f"\n  companion {name} {example}".rstrip() for example in examples)
    return commands.add_parser(
        name, help=what, description=what[:1].upper() + what[1:] + ".",
        epilog=f"example{'s'[: len(examples) > 1]}:{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def _add_run(commands: Commands) -> None:
    run = _command(
        commands, "run", "execute one experiment for one family",
        "effective_robustness vit_b_32",
        "effective_robustness vit_b_32 -p resamples 500 --output trial.ipynb",
    )  # fmt: skip
    run.add_argument("experiment")
    run.add_argument("family", help="a family, or an edition (paper) for notebooks over all")
    _add_parameters(run)
    _add_quiet(run)
    run.set_defaults(do=_run)


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[],
                        metavar=("NAME", "VALUE"),
                        help="set a parameter of the notebook")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, help="write the executed notebook there")


def _add_update(commands: Commands) -> None:
    update = _command(commands, "update", "bring all runs of the book up to date", "--jobs 4")
    update.add_argument("-j", "--jobs", type=_positive, default=2, help="runs at a time (2)")
    _add_quiet(update)
    update.set_defaults(do=_update)


def _add_status(commands: Commands) -> None:
    status = _command(
        commands, "status", "experiment × family: up to date or not, and why",
        "", "--json", "--data",
    )  # fmt: skip
    status.add_argument("--json", action="store_true", help="machine-readable")
    status.add_argument("--data", action="store_true",
                        help="instead: data sets to obtain yourself, here or not")  # fmt: skip
    status.set_defaults(do=_status)


def _add_fetch(commands: Commands) -> None:
    fetch = _command(
        commands, "fetch", "download the public artefacts, checked by sha256", "", "--list"
    )
    fetch.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    fetch.add_argument("--list", action="store_true", help="list them and where they come from")
    _add_quiet(fetch)
    fetch.set_defaults(do=_fetch)


def _add_add(commands: Commands) -> None:
    add = _command(
        commands, "add", "describe a checkpoint as a family of the reader's edition",
        "mine ViT-B-32/datacomp_xl_s13b_b90k",
        "mine ViT-B-16/datacomp_l_s1b_b8k --model mine-large",
        "lite vit_base_patch16_clip_224.openai_ft_in1k --title 'ViT-B/16, finetuned'",
        "ours weights.safetensors --architecture ViT-B-32 --classes birds.txt",
    )  # fmt: skip
    add.add_argument("name", metavar="NAME", help="of the family")
    add.add_argument("checkpoint", metavar="CHECKPOINT",
                     help="open_clip's ARCHITECTURE/TAG, hf-hub:ORGANISATION/NAME, a timm model, a "
                     "file of weights, a model of the book, or random")  # fmt: skip
    _add_description(add)
    add.add_argument("--title", help="the family's name on the pages (default: the checkpoint's)")
    add.add_argument("--model", metavar="MODELNAME",
                     help="the model's name; needed to add to a family of yours")  # fmt: skip
    add.add_argument("--replace", action="store_true",
                     help="write a family of yours anew (with --model: that model)")  # fmt: skip
    _add_quiet(add)
    add.set_defaults(do=_add)


def _add_description(parser: argparse.ArgumentParser) -> None:
    """What may be said about a checkpoint so that it need not be guessed."""
    parser.add_argument("--architecture", metavar="ARCH",
                        help="of a file of weights, as open_clip or timm calls it")  # fmt: skip
    parser.add_argument("--level", choices=LEVELS[:-1], help="how it was trained")
    parser.add_argument("--pretraining", metavar="TEXT", help="what it was trained on, in words")
    parser.add_argument("--head", choices=get_args(HeadKind),
                        help="where the classifier comes from: class names (zero_shot), the "
                        "checkpoint (own), nowhere (none)")  # fmt: skip
    parser.add_argument("--classes", metavar="FILE",
                        help="class names of the head, one a line, or imagenet (default: the names "
                        "of the data set's subfolders)")  # fmt: skip
    parser.add_argument("--templates", metavar="FILE",
                        help="texts with {} for the name, one a line, or imagenet for "
                        "OpenAI's 80")  # fmt: skip


def _add_remove(commands: Commands) -> None:
    remove = _command(
        commands, "remove", "take a family of the reader's edition out again", "mine",
        "mine --features",
    )  # fmt: skip
    remove.add_argument("name", metavar="NAME", help="of the family")
    remove.add_argument("--features", action="store_true", help="its features in the store, too")
    remove.add_argument("-y", "--yes", action="store_true", help="do not ask about features")
    remove.set_defaults(do=_remove)


def _add_rerun(commands: Commands) -> None:
    rerun = _command(
        commands, "rerun", "run a chapter for a checkpoint: add, extract and run in one go",
        "outlier_features --checkpoint ViT-B-32/datacomp_xl_s13b_b90k --data pictures/",
        "pruning --checkpoint weights.pt --architecture ViT-B-32 --data birds/ --name birds",
    )  # fmt: skip
    rerun.add_argument("chapter", metavar="CHAPTER", help="an experiment that runs for a family")
    rerun.add_argument("--checkpoint", required=True, metavar="CHECKPOINT",
                       help="as companion add takes it")  # fmt: skip
    rerun.add_argument("--name", help="of the family (default: after the checkpoint)")
    _add_description(rerun)
    _add_parameters(rerun)
    _add_extraction(rerun, required=False)
    rerun.set_defaults(do=_rerun, title=None, model=None, replace=False)


def _add_train(commands: Commands) -> None:
    from training import recipes

    train = _command(
        commands, "train", "train the paper's comparison models on ImageNet, on the GPUs here",
        "finetuned --model rn50-openai --dry-run",
        "finetuned --model rn50-openai --out training/rn50",
        "supervised_vit --model vit_b_32-openai --out training/vit --processes 8",
        "captions --model rn50-openai --captions imagenet_captions.json --out training/captions",
    )  # fmt: skip
    train.description = (
        "Finetune a zero-shot CLIP, train its image tower with labels, or train CLIP on "
        "ImageNet-Captions, by a recipe whose numbers name their sources. One process is started "
        "for each GPU. Stopped at any time, the same command goes on."
    )
    recipes.add_arguments(train)
    train.add_argument("--captions", type=Path, metavar="FILE",
                       help="ImageNet-Captions' JSON file, for the recipe captions")  # fmt: skip
    train.add_argument("--processes", type=_positive, metavar="N",
                       help="(one for each GPU here, else 1)")  # fmt: skip
    train.add_argument("--dry-run", action="store_true",
                       help="say what would be done, with an estimate of its cost")  # fmt: skip
    train.set_defaults(do=_train)


def _add_measure(commands: Commands) -> None:
    measure = _command(
        commands, "measure", "take a family's measurements of an experiment",
        "outlier_features vit_b_16", "outlier_features vit_b_16 --record",
    )  # fmt: skip
    measure.add_argument("experiment")
    measure.add_argument("family")
    measure.add_argument("--record", action="store_true",
                         help="write them to data/measurements, not just compare")  # fmt: skip
    _add_quiet(measure)
    measure.set_defaults(do=_measure)


def _add_claims(commands: Commands) -> None:
    claims = _command(
        commands, "claims", "judge the paper's claims, with the numbers that carry each verdict",
        "", "--json", "--measurements FOLDER",
    )  # fmt: skip
    claims.add_argument("--json", action="store_true", help="machine-readable")
    claims.add_argument("--measurements", type=Path, metavar="FOLDER",
                        help="judge those recorded there, and no others")  # fmt: skip
    claims.set_defaults(do=_claims)


def _add_check_measurements(commands: Commands) -> None:
    check = _command(
        commands, "check-measurements", "validate recorded measurements",
        "data/measurements/pruning/rn50-openai--imagenet.json",
    )  # fmt: skip
    check.description = _check_measurements.__doc__
    check.add_argument("paths", nargs="*", type=Path, metavar="PATH",
                       help="files, or folders of them (default: data/measurements)")  # fmt: skip
    check.set_defaults(do=_check_measurements)


def _add_extract(commands: Commands) -> None:
    extract = _command(
        commands, "extract", "compute a family's features of some images",
        "pocket_cnn --data pocket",
        "vit_b_32 --model vit_b_32-openai --data pictures/ --precision bf16",
        "vit_b_32 --data imagenet --part 1/4", "vit_b_32 --data imagenet --assemble",
    )  # fmt: skip
    extract.add_argument("family")
    extract.add_argument("--model", nargs="+", default=[], help="some models only (default: all)")
    extract.add_argument("--checkpoint", type=Path, metavar="FILE",
                         help="file of weights to use for the one model named")  # fmt: skip
    share = extract.add_mutually_exclusive_group()
    share.add_argument("--part", type=_part, metavar="I/K",
                       help="only the I-th of K parts, for K jobs that share a set")  # fmt: skip
    share.add_argument("--assemble", action="store_true",
                       help="put the parts together once all are there")  # fmt: skip
    _add_extraction(extract, required=True)
    extract.set_defaults(do=_extract)


def _add_extraction(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--data", nargs="+", required=required, default=[], metavar="DATA",
                        help="pocket (the test images of all styles), pocket-STYLE-SPLIT, "
                        "imagenet, its shifts, broden or grid (all of these; `companion status "
                        "--data` lists them), or a folder of images, in subfolders by class or "
                        "not")  # fmt: skip
    parser.add_argument("--accept-counts", action="store_true",
                        help="take an incomplete or altered copy of a published set as it is; what "
                        "is measured on it says so")  # fmt: skip
    parser.add_argument("--without-labels", action="store_true",
                        help="take all images of a folder, its subfolders for no "
                        "classes")  # fmt: skip
    _add_machine(parser, 128)
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32")
    parser.add_argument("--workers", type=_positive, default=os.cpu_count() or 4,
                        help="threads that decode images (one per core)")  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="compile the encoders first")
    parser.add_argument("--leave-out-damaged", action="store_true",
                        help="list images that cannot be decoded and go on")  # fmt: skip
    _add_quiet(parser)


def _add_grid(commands: Commands) -> None:
    grid = _command(
        commands, "grid", "extract, measure and record all models of an edition on all its data",
        "--edition paper --dry-run",
        "--edition paper --precision bf16",
        "--edition paper --families rn50 vit_b_32 --data imagenet imagenet-r",
        "--edition paper --models rn50-openai rn50-random --data imagenet",
        "--edition paper --profile slurm --shards 4 --jobs 16",
    )  # fmt: skip
    grid.description = (
        "Extract, measure and record all models of an edition's families on all its data sets. "
        "Stopped at any time, the same command goes on: only what is missing is done. Afterwards "
        "the book's runs are brought up to date. Data sets that are not here are named, and the "
        "others go on; the exit status is then 1 if --data asked for them. A model whose weights "
        "cannot be had is named with the reason, the others of its family go on, and the exit "
        "status is 1."
    )
    grid.add_argument("--edition", choices=get_args(registry.Edition), default="paper",
                      help="(paper)")  # fmt: skip
    grid.add_argument("--families", nargs="+", default=[], metavar="FAMILY",
                      help="some only (default: all of the edition)")  # fmt: skip
    grid.add_argument("--models", nargs="+", default=[], metavar="MODEL",
                      help="some of their models only (default: all)")  # fmt: skip
    grid.add_argument("--data", nargs="+", default=[], metavar="DATA",
                      help="as companion extract takes it (default: what the edition computes on: "
                      "grid or pocket)")  # fmt: skip
    grid.add_argument("--dry-run", action="store_true",
                      help="say what would be done, and estimate time and disk")  # fmt: skip
    grid.add_argument("--json", action="store_true",
                      help="with --dry-run: as JSON, for programs")  # fmt: skip
    grid.add_argument(
        "-j",
        "--jobs",
        type=_positive,
        help="cores to use, on a cluster jobs at a time (default: the profile's)",
    )
    grid.add_argument(
        "--profile",
        default="local",
        metavar="PROFILE",
        help="local, slurm, or a folder with a config.yaml of Snakemake (local)",
    )
    grid.add_argument("--shards", type=_positive, default=1, metavar="K",
                      help="jobs that share a data set (1)")  # fmt: skip
    grid.add_argument("--shard-size", type=_positive, default=4096, metavar="N",
                      help="images after which features are kept (4096)")  # fmt: skip
    _add_machine(grid, 128)
    grid.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32")
    grid.add_argument("--workers", type=_positive, default=8,
                      help="threads of a job that decode images (8)")  # fmt: skip
    grid.add_argument("--accept-counts", action="store_true",
                      help="take incomplete or altered copies of published sets as they are; what "
                      "is measured on them says so")  # fmt: skip
    grid.add_argument("--no-measure", action="store_true",
                      help="extract only; measure and update the book later")  # fmt: skip
    grid.add_argument("--record", action=argparse.BooleanOptionalAction,
                      help="write measurements to data/measurements/, or leave them to the build "
                      "of the book, which takes them from the features (--record for the "
                      "edition paper, else --no-record)")  # fmt: skip
    _add_quiet(grid)
    grid.set_defaults(do=_grid)


def _add_machine(parser: argparse.ArgumentParser, batch_size: int) -> None:
    """Where encoders run, and on how many images at a time."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    parser.add_argument("--batch-size", type=_positive, default=batch_size,
                        help=f"({batch_size})")  # fmt: skip


def _add_completion(commands: Commands) -> None:
    from companion.completion import PLACES

    completion = _command(
        commands, "completion", "print a script that completes commands in a shell",
        *(place.removeprefix("companion completion ") for place in PLACES.values()),
    )  # fmt: skip
    completion.add_argument("shell", choices=PLACES)
    completion.set_defaults(do=_completion)


def _add_hidden(commands: Commands) -> None:
    """Commands that others call and nobody types; they are not in the help."""
    execute = commands.add_parser("execute")  # Snakemake's job
    execute.add_argument("experiment")
    execute.add_argument("family")
    execute.set_defaults(do=_execute)
    step = commands.add_parser("step")  # Snakemake's job, of the grid
    step.add_argument("kind", choices=("part", "features", "measure"))
    step.add_argument("family")
    step.add_argument("data")
    step.add_argument("--part", type=_part, default=(0, 0))
    step.add_argument("--workers", type=_positive)
    step.add_argument("--choice", type=json.loads, default={})
    step.set_defaults(do=_step)
    complete = commands.add_parser("complete")  # what the completion scripts ask
    complete.add_argument("words", nargs="*")
    complete.set_defaults(do=_complete)


def _add_probe(commands: Commands) -> None:
    probe = _command(
        commands, "probe", "look for the paper's sign of robustness in one checkpoint",
        "pocket-cnn-web-large --images pictures/",
        "ViT-B-32/laion2b_s34b_b79k --images pictures/ --html report.html",
        "weights.safetensors --architecture ViT-B-16 --images pictures/ --json probe.json",
    )  # fmt: skip
    probe.description = (
        "Look for outlier features, the sign of robustness that the paper found, in what a "
        "checkpoint makes of a folder of images. No labels and no shifted data are needed; some "
        "hundred images of the kind that matters to you are enough."
    )
    probe.add_argument("checkpoint", metavar="CHECKPOINT",
                       help="a model of the book, open_clip's ARCHITECTURE/TAG, hf-hub:ORG/NAME, a "
                       "timm model, or a file of weights")  # fmt: skip
    probe.add_argument("--images", required=True, metavar="FOLDER",
                       help="images, in folders or not; labels are not looked at")  # fmt: skip
    probe.add_argument("--architecture", metavar="ARCH",
                       help="of a file that does not say it: open_clip's or timm's")  # fmt: skip
    probe.add_argument("--html", type=Path, metavar="FILE", help="write the report there")
    probe.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    _add_machine(probe, 32)
    probe.add_argument("--workers", type=_positive, default=os.cpu_count() or 4,
                       help="threads that decode images (one per core)")  # fmt: skip
    probe.add_argument("--leave-out-damaged", action="store_true",
                       help="list images that cannot be used and go on")  # fmt: skip
    probe.add_argument("-q", "--quiet", action="store_true",
                       help="no progress bar, the verdict alone")  # fmt: skip
    probe.set_defaults(do=_probe)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _part(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"expected I/K with I from 1 to K, as 1/4, got {text!r}")
    return int(number), int(of)


def _run(options: argparse.Namespace) -> int:
    run = runs.find_run(options.experiment, options.family)
    print(_executed(run, dict(options.parameter), options.output))
    return 0


def _executed(run: Run, given: Mapping[str, str], output: Path | None) -> Path:
    """Execute a run into the book; with parameters or an output of its own, elsewhere."""
    from companion.runs import engine, lab
    from companion.runs.execute import check_parameters

    if run.experiment.features and run.subject in ("pocket", *registry.load_families("pocket")):
        lab.refresh()
    values = check_parameters(run, given)
    if given or output:
        output = output or ROOT / "runs" / run.experiment.name / f"{run.subject}.ipynb"
        if output.suffix != ".ipynb":
            raise RunError(f"--output must name an .ipynb file, got {output}.")
        engine.execute(run, values, output)
        return output
    engine.execute_for_book(run.experiment.name, run.subject)
    return run.output


def _execute(options: argparse.Namespace) -> int:
    from companion.runs.engine import execute_for_book

    execute_for_book(options.experiment, options.family)
    return 0


def _update(options: argparse.Namespace) -> int:
    from companion.runs.engine import bring_up_to_date

    executed = bring_up_to_date(options.jobs)
    print(f"{executed} runs executed, {len(runs.all_runs())} up to date.")
    return 0


def _status(options: argparse.Namespace) -> int:
    if options.data:
        return _status_of_data(options.json)
    from companion.runs import keys

    rows = keys.statuses(runs.all_runs())
    if options.json:
        fields = [
            {"experiment": s.run.experiment.name, "family": s.run.subject, "state": s.state,
             "why": s.why} for s in rows
        ]  # fmt: skip
        print(json.dumps(fields, indent=1))
        return 0
    table = [("experiment", "family", "state", "why")]
    table += [
        (s.run.experiment.name, s.run.subject, s.state, s.why.splitlines()[0] if s.why else "")
        for s in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    return 0


def _status_of_data(as_json: bool) -> int:
    from analysis.images import find, imagelist, sets

    try:
        found = find.availability()
    except imagelist.DatasetError as error:
        raise RunError(str(error)) from error
    published = {
        name: {"published": one.model_dump(include={"images", "classes", "origin", "terms"})}
        for name, one in sets.descriptions().items()
    }
    if as_json:
        fields = [
            {"data": a.name, "state": a.state, "why": a.why,
             "folder": None if a.folder is None else str(a.folder), "images": a.images,
             "classes": a.classes, "list_sha256": a.list_sha256, **published[a.name]} for a in found
        ]  # fmt: skip
        print(json.dumps(fields, indent=1))
        return 0
    for a in found:
        where = "" if a.folder is None else f"  {a.folder}"
        listed = "" if a.list_sha256 is None else f"  list {a.list_sha256[:16]}"
        print(f"{a.name}  {a.state}{where}  {a.why}{listed}")
    return 0


def _extract(options: argparse.Namespace) -> int:
    family = registry.load_family(options.family)
    models = [family.model(name) for name in options.model] or [
        model for model in family.models if model.loadable
    ]
    if options.checkpoint and (options.part or options.assemble):
        raise RunError("--checkpoint extracts in one go: leave out --part and --assemble.")
    if options.part:
        return _extract_part(models, options)
    for path in _extracted(models, options, options.checkpoint):
        print(path)
    return 0


def _extract_part(models: Sequence[Model], options: argparse.Namespace) -> int:
    with _extraction_errors() as settings_of:
        from analysis.features.extract import Part, extract_part

        part = Part(*options.part)
        for images in _images(options):
            extract_part(models, images, settings_of(options), part)
            print(f"{images.name}: part {part} is there")
    return 0


def _extracted(
    models: Sequence[Model], options: argparse.Namespace, checkpoint: Path | None = None
) -> Iterator[str]:
    """Extract the features of all data sets named; yields their paths, with what was left out."""
    from analysis.features.store import read_features

    with _extraction_errors() as settings_of:
        from analysis.features.extract import assemble, extract

        settings = settings_of(options)
        for images in _images(options):
            made = (
                assemble(models, images, settings) if getattr(options, "assemble", False)
                else extract(models, images, settings, checkpoint=checkpoint)
            )  # fmt: skip
            for path in made:
                left_out = read_features(path).sidecar["data"]["left_out"]
                about = f" ({len(left_out)} left out: {', '.join(left_out)})" if left_out else ""
                yield f"{path}{about}"


@contextlib.contextmanager
def _extraction_errors() -> Iterator[Callable[[argparse.Namespace], Settings]]:
    """Give out what reads settings from the command line; errors become sentences."""
    from analysis.features.store import StoreError
    from analysis.images import imagelist

    with _needs_torch("extraction"):
        from analysis.features.encoders import ModelError
        from analysis.features.extract import ExtractionError, Settings

    def settings(options: argparse.Namespace) -> Settings:
        return Settings(
            device=options.device, precision=options.precision, batch_size=options.batch_size,
            workers=options.workers, compile=options.compile,
            leave_out_damaged=options.leave_out_damaged, progress=not options.quiet,
        )  # fmt: skip

    try:
        yield settings
    except (imagelist.DatasetError, ExtractionError, ModelError, StoreError) as error:
        raise RunError(str(error)) from error


def _images(options: argparse.Namespace) -> list[ImageList]:
    from analysis.images import find, imagelist

    if options.without_labels:
        return [imagelist.unlabelled(Path(text), smallest_side=1) for text in options.data]
    found = [find.find(text, accept_counts=options.accept_counts) for text in options.data]
    return [images for several in found for images in several]


@contextlib.contextmanager
def _needs_torch(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise RunError(
            f"{what} needs {error.name}, which is not installed: pip install -e '.[extract]'."
        ) from None


def _add(options: argparse.Namespace) -> int:
    added = _added(_wish(options, options.name))
    model = added.model
    print(added.path.relative_to(ROOT))
    weights = f"sha256 {model.weights_sha256[:12]}…" if model.weights_sha256 else "drawn at random"
    print(
        f"{model.name}: {model.architecture} ({model.library}), {model.level}, {model.width} "
        f"components, {model.preprocessing.size} pixels, head {model.head}, weights {weights}"
    )
    for note in added.notes:
        print(f"note: {note}")
    print(f"next: companion extract {added.family.name} --data FOLDER")
    return 0


def _wish(options: argparse.Namespace, name: str) -> Wish:
    from companion.readers import Wish

    return Wish(
        name, options.checkpoint, architecture=options.architecture, level=options.level,
        title=options.title, model=options.model, head=options.head, classes=options.classes,
        templates=options.templates, pretraining=options.pretraining, replace=options.replace,
    )  # fmt: skip


def _added(wish: Wish) -> Added:
    with _needs_torch("adding a checkpoint"):
        from analysis.features.encoders import ModelError
        from analysis.features.store import StoreError
    try:
        from companion import readers

        return readers.add(wish)
    except (ModelError, StoreError) as error:
        raise RunError(str(error)) from error


def _remove(options: argparse.Namespace) -> int:

    from companion import readers

    family = readers.removable(options.name)
    features = readers.features_of(family)
    drop = options.features
    if features and not drop and not options.yes and sys.stdin.isatty():
        places = ", ".join(map(str, features))
        drop = input(f"Remove its features ({places}), too? [y/N] ").strip().lower() in ("y", "yes")
    removed = readers.remove(options.name, features=drop)
    print(f"{options.name} is out: {len(removed.files)} files removed.")
    for folder in removed.features:
        print(f"kept its features: {folder} (delete the folder if they are no longer wanted)")
    for path in removed.measurements:
        print(f"kept its recorded measurement: {path.relative_to(ROOT)}")
    print("next: jupyter-book build book/")
    return 0


def _rerun(options: argparse.Namespace) -> int:
    experiment = _checked_chapter(options)
    family, model = _family_of_checkpoint(options, needs_images=experiment.features)
    run = runs.find_run(options.chapter, family.name)
    for path in _extracted([model], options) if options.data else ():
        print(path)
    print(_executed(run, dict(options.parameter), options.output))
    print("next: jupyter-book build book/")
    return 0


def _checked_chapter(options: argparse.Namespace) -> Experiment:
    """The chapter's experiment; RunError, before anything is loaded, if it cannot be run so."""
    from companion.runs.execute import check_parameters

    experiments = runs.load_experiments()
    usable = [
        e.name for e in experiments.values() if e.scope == "family" and "reader" in e.editions
    ]
    if options.chapter not in usable:
        what = "runs for no checkpoint alone" if options.chapter in experiments else "is unknown"
        near = suggestion(options.chapter, usable)
        raise RunError(f"the chapter {options.chapter!r} {what}: {near}.")
    experiment = experiments[options.chapter]
    check_parameters(Run(experiment, "any"), dict(options.parameter))
    if options.data:
        from analysis.images.imagelist import DatasetError

        try:
            _images(options)
        except DatasetError as error:
            raise RunError(str(error)) from None
    return experiment


def _family_of_checkpoint(
    options: argparse.Namespace, *, needs_images: bool
) -> tuple[Family, Model]:
    """The family and model of a checkpoint: one that is there, or a new one of the reader's.

    Raises RunError, before anything is written, if it has no features, which the chapter needs.
    """
    with _needs_torch("rerunning a chapter"):
        from analysis.features import checkpoints
        from analysis.features.encoders import ModelError

    def checked(model: Model | None) -> None:
        from companion.measurements.take import data_sets

        if needs_images and not options.data and not (model and data_sets(model)):
            raise RunError(
                f"{options.chapter} looks at features of images, of which there are none by "
                f"{options.checkpoint}: say which images with --data, a folder or pocket."
            )

    from companion import readers

    holder = readers.holder(options.checkpoint) if options.name is None else None
    if holder is not None:
        checked(holder.model(options.checkpoint))
        return holder, holder.model(options.checkpoint)
    wish = _wish(options, options.name or checkpoints.default_name(options.checkpoint))
    readers.check_name(wish.name)
    try:
        found = readers.find_added(wish)
    except ModelError as error:
        raise RunError(str(error)) from error
    checked(found)
    if found is not None:
        return registry.load_family(wish.name), found
    added = _added(wish)
    print(added.path)
    return added.family, added.model


def _completion(options: argparse.Namespace) -> int:
    from companion.completion import SCRIPTS

    print(SCRIPTS[options.shell], end="")
    return 0


def _complete(options: argparse.Namespace) -> int:
    from companion.completion import candidates

    print("\n".join(candidates(_parser(), options.words)))
    return 0


def _probe(options: argparse.Namespace) -> int:
    from analysis.features.store import StoreError
    from analysis.images import imagelist
    from companion.probe import ProbeError, to_json
    from companion.publish import probe_report

    errors: tuple[type[Exception], ...] = (imagelist.DatasetError, ProbeError, StoreError)
    try:
        for path in filter(None, (options.html, options.json)):
            probe_report.check_writable(path)
        from analysis.features.encoders import ModelError
        from analysis.features.extract import ExtractionError
        from companion.probe_checkpoint import from_options

        errors += (ExtractionError, ModelError)
        found = from_options(options)
        if options.html:
            probe_report.write(options.html, probe_report.page(found))
        if options.json:
            probe_report.write(options.json, to_json(found))
    except ModuleNotFoundError as error:
        raise RunError(
            f"a probe needs {error.name}, which is not installed: pip install -e '.[extract]'."
        ) from None
    except KeyboardInterrupt:
        print("companion: interrupted; nothing was written.", file=sys.stderr)
        return 130
    except errors as error:
        raise RunError(str(error)) from error
    print(found.verdict.sentence if options.quiet else probe_report.summary(found))
    if not options.quiet:
        print(*filter(None, (options.html, options.json)), sep="\n")
    return 0


def _grid(options: argparse.Namespace) -> int:
    from companion.runs import estimate, grid
    from companion.runs.engine import bring_up_to_date

    names = [name for name in grid.Choice.model_fields if hasattr(options, name)]
    choice = grid.choice_from(
        {name: getattr(options, name) for name in names} | {"measure": not options.no_measure}
    )
    if options.json and not options.dry_run:
        raise RunError("--json is for --dry-run: give both, or leave it out.")
    plan = grid.plan(choice)
    for one in plan.absent:
        print(f"left out: {one.name}. {one.why}", file=sys.stderr)
    if options.dry_run:
        with _needs_torch("an estimate"):
            print(estimate.to_json(plan) if options.json else estimate.describe(plan))
        return 0
    with _needs_torch("the grid"):
        import open_clip  # noqa: F401
        import timm  # noqa: F401
    try:
        done = grid.run(plan, options.profile, options.jobs)
    except grid.IncompleteError:
        if choice.measure:
            bring_up_to_date()  # the book shows what there is
        raise
    print(f"{done} jobs done, the grid is complete{' but for what is absent' * bool(plan.absent)}: "
          f"{len(plan.families)} families on {len(plan.data)} data sets.")  # fmt: skip
    if choice.measure:
        executed = bring_up_to_date()
        print(f"{executed} runs executed. Next: jupyter-book build book/")
    return int(bool(choice.data and plan.absent))  # what was asked for by name is not all done


def _step(options: argparse.Namespace) -> int:
    from companion.runs import grid
    from companion.runs.engine import exit_with_parent

    exit_with_parent()
    given = options.choice | ({"workers": options.workers} if options.workers else {})
    choice = grid.choice_from(given)
    number, of = options.part
    job = grid.Job(options.kind, options.family, options.data, number, of, choice.which)
    grid.step(choice, job)
    return 0


def _train(options: argparse.Namespace) -> int:
    with _needs_torch("training"):
        from training import full_size
    if not options.dry_run and options.out is None:
        raise RunError("--out is missing: name a folder for the training's state and result.")
    try:
        if options.dry_run:
            print(full_size.describe(options))
            return 0
        return full_size.launch(options)
    except full_size.EXPECTED as error:
        raise RunError(str(error)) from error


def _measure(options: argparse.Namespace) -> int:
    from analysis.features.store import StoreError
    from analysis.images.public import ArtifactError
    from companion.measurements import records, taking

    try:
        taken = taking.take(options.experiment, options.family)
        if not taken:
            print(f"There is nothing to measure {options.experiment} of {options.family} from.")
        differ = 0
        for measurement in taken:
            if options.record:
                print(records.write(measurement))
                continue
            found = records.compare_with_recorded(measurement)
            differ += bool(found)
            print(f"{measurement.file_name}: {'; '.join(found) or 'as recorded'}")
        return int(differ > 0)
    except (ArtifactError, StoreError, records.MeasurementError) as error:
        raise RunError(str(error)) from error


def _claims(options: argparse.Namespace) -> int:
    from companion.claims import evidence, ledger, rules

    known = evidence.gather("paper", options.measurements)
    verdicts = rules.judge_all(known, ledger.load_claims())
    as_json = json.dumps(rules.rows(verdicts), ensure_ascii=False, indent=1)
    print(as_json if options.json else "\n".join(rules.lines(verdicts)))
    return 0


def _check_measurements(options: argparse.Namespace) -> int:
    """Check form, provenance, plausible ranges, and agreement with the family files."""
    from analysis.families.registry import load_families
    from companion.measurements import review
    from companion.measurements.records import FOLDER

    paths = [
        path
        for given in options.paths or [FOLDER]
        for path in (sorted(given.rglob("*.json")) if given.is_dir() else [given])
    ]
    if not paths:
        raise RunError(f"there is no measurement file in {', '.join(map(str, options.paths))}.")
    families, wrong = load_families(), 0
    for path in paths:
        found = review.problems(path, families)
        wrong += bool(found)
        print("\n".join(found) if found else f"{path.name}: sound")
    print(f"{len(paths) - wrong} of {len(paths)} measurement files are sound.")
    return int(wrong > 0)


def _fetch(options: argparse.Namespace) -> int:
    from analysis.images import public

    try:
        if options.list:
            for artifact in public.load_catalogue().values():
                print(
                    f"{artifact.name}  {artifact.bytes:,} bytes  {artifact.licence}  {artifact.url}"
                )
            return 0
        for path in public.fetch_all(options.names or None, progress=True).values():
            print(path)
    except public.ArtifactError as error:
        raise RunError(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
