"""The command `companion`: runs, their status, and the public artefacts they rest on."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import runs
from analysis.registry import ROOT, RegistryError
from analysis.runs import RunError

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
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options))
    except (RunError, RegistryError) as error:
        print(f"companion: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("companion: interrupted; the next call continues.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="companion", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute one experiment for one family")
    run.add_argument("experiment")
    run.add_argument("family", help="a family, or an edition (paper) for notebooks over all")
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[],
                     metavar=("NAME", "VALUE"), help="set a parameter of the notebook")  # fmt: skip
    run.add_argument("-o", "--output", type=Path, help="write the executed notebook there")
    run.set_defaults(do=_run)

    update = commands.add_parser("update", help="bring all runs of the book up to date")
    update.add_argument("-j", "--jobs", type=_positive, default=2, help="runs at a time (2)")
    update.set_defaults(do=_update)

    status = commands.add_parser("status", help="experiment × family: up to date or not, and why")
    status.add_argument("--json", action="store_true", help="machine-readable")
    status.add_argument("--data", action="store_true",
                        help="instead: data sets to obtain yourself, here or not")  # fmt: skip
    status.set_defaults(do=_status)

    fetch = commands.add_parser("fetch", help="download the public artefacts, checked by sha256")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    fetch.add_argument("--list", action="store_true", help="list them and where they come from")
    fetch.set_defaults(do=_fetch)

    _add_extract(commands)

    miniature = commands.add_parser(
        "miniature", help="write the paper's data sets in miniature, to try the pipeline on",
        epilog="example: companion miniature /tmp/data && COMPANION_DATA=/tmp/data companion "
        "extract pocket_cnn --data imagenet-r --accept-counts",
    )  # fmt: skip
    miniature.add_argument("folder", type=Path)
    miniature.set_defaults(do=_miniature)

    measure = commands.add_parser("measure", help="take a family's measurements of an experiment")
    measure.add_argument("experiment")
    measure.add_argument("family")
    measure.add_argument("--record", action="store_true",
                         help="write them to data/measurements, not just compare")  # fmt: skip
    measure.set_defaults(do=_measure)

    check = commands.add_parser("check-measurements", help="validate recorded measurements",
                                description=_check_measurements.__doc__,
                                epilog="example: companion check-measurements "
                                "data/measurements/pruning/rn50-openai--imagenet.json")  # fmt: skip
    check.add_argument("paths", nargs="*", type=Path, metavar="PATH",
                       help="files, or folders of them (default: data/measurements)")  # fmt: skip
    check.set_defaults(do=_check_measurements)

    execute = commands.add_parser("execute")  # Snakemake's job; not in the help
    execute.add_argument("experiment")
    execute.add_argument("family")
    execute.set_defaults(do=_execute)
    return parser


def _add_extract(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    extract = commands.add_parser("extract", help="compute a family's features of some images")
    extract.add_argument("family")
    extract.add_argument("--data", nargs="+", required=True, metavar="DATA",
                         help="pocket (the test images of all styles), pocket-STYLE-SPLIT, "
                         "imagenet, its shifts, broden or grid (all of these; `companion status "
                         "--data` lists them), or a folder of images, in subfolders by class or "
                         "not")  # fmt: skip
    extract.add_argument("--accept-counts", action="store_true",
                         help="take an incomplete or altered copy of a published set as it is; "
                         "what is measured on it says so")  # fmt: skip
    extract.add_argument("--model", nargs="+", default=[], help="some models only (default: all)")
    extract.add_argument("--checkpoint", type=Path, metavar="FILE",
                         help="safetensors file to use for the one model named")  # fmt: skip
    extract.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    extract.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32")
    extract.add_argument("--batch-size", type=_positive, default=128, help="(128)")
    extract.add_argument("--workers", type=_positive, default=os.cpu_count() or 4,
                         help="threads that decode images (one per core)")  # fmt: skip
    extract.add_argument("--compile", action="store_true", help="compile the encoders first")
    extract.add_argument("--leave-out-damaged", action="store_true",
                         help="list images that cannot be decoded and go on")  # fmt: skip
    extract.set_defaults(do=_extract)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from analysis import lab
    from analysis.execute import check_parameters, execute, execute_for_book

    run = runs.find_run(options.experiment, options.family)
    if run.experiment.features and "pocket" in run.experiment.editions:
        lab.refresh()
    given = dict(options.parameter)
    values = check_parameters(run, given)
    if given or options.output:
        output = options.output or ROOT / "runs" / run.experiment.name / f"{run.subject}.ipynb"
        if output.suffix != ".ipynb":
            raise RunError(f"--output must name an .ipynb file, got {output}.")
        execute(run, values, output)
    else:
        output = run.output
        if not execute_for_book(run):
            raise RunError(runs.status(run).why)
    print(output)
    return 0


def _execute(options: argparse.Namespace) -> int:
    from analysis.engine import exit_with_parent
    from analysis.execute import execute_for_book

    exit_with_parent()
    return 0 if execute_for_book(runs.find_run(options.experiment, options.family)) else 1


def _update(options: argparse.Namespace) -> int:
    from analysis.engine import bring_up_to_date

    executed = bring_up_to_date(options.jobs)
    print(f"{executed} runs executed, {len(runs.all_runs())} up to date.")
    return 0


def _status(options: argparse.Namespace) -> int:
    if options.data:
        return _status_of_data(options.json)
    rows = [runs.status(run) for run in runs.all_runs()]
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
    from analysis import datasets, paper_sets

    try:
        found = datasets.availability()
    except datasets.DatasetError as error:
        raise RunError(str(error)) from error
    published = {
        name: {"published": one.model_dump(include={"images", "classes", "origin", "terms"})}
        for name, one in paper_sets.descriptions().items()
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
    from analysis import datasets
    from analysis.registry import load_family
    from analysis.store import StoreError, read_features

    family = load_family(options.family)
    models = [family.model(name) for name in options.model] or [
        model for model in family.models if model.loadable
    ]
    try:
        from analysis.extract import ExtractionError, Settings, extract
        from analysis.models import ModelError
    except ModuleNotFoundError as error:
        raise RunError(
            f"extraction needs {error.name}, which is not installed: pip install -e '.[extract]'."
        ) from None
    try:
        settings = Settings(
            device=options.device, precision=options.precision, batch_size=options.batch_size,
            workers=options.workers, compile=options.compile,
            leave_out_damaged=options.leave_out_damaged,
        )  # fmt: skip
        found = [datasets.find(text, accept_counts=options.accept_counts) for text in options.data]
        for images in [images for several in found for images in several]:
            for path in extract(models, images, settings, checkpoint=options.checkpoint):
                left_out = read_features(path).sidecar["data"]["left_out"]
                print(path, f"({len(left_out)} left out: {', '.join(left_out)})" * bool(left_out))
    except (datasets.DatasetError, ExtractionError, ModelError, StoreError) as error:
        raise RunError(str(error)) from error
    return 0


def _miniature(options: argparse.Namespace) -> int:
    from analysis import miniatures

    if options.folder.exists() and any(options.folder.iterdir()):
        raise RunError(f"{options.folder} is not empty: name a folder that is, or a new one.")
    for name, made in miniatures.save_all(options.folder).items():
        print(f"{name}  {options.folder / made.folders[0]}  {made.images:,} images")
    return 0


def _measure(options: argparse.Namespace) -> int:
    from analysis import measurements, taking
    from analysis.artifacts import ArtifactError
    from analysis.store import StoreError

    try:
        taken = taking.take(options.experiment, options.family)
        if not taken:
            print(f"There is nothing to measure {options.experiment} of {options.family} from.")
        differ = 0
        for measurement in taken:
            if options.record:
                print(measurements.write(measurement))
                continue
            found = measurements.compare_with_recorded(measurement)
            differ += bool(found)
            print(f"{measurement.file_name}: {'; '.join(found) or 'as recorded'}")
        return int(differ > 0)
    except (ArtifactError, StoreError, measurements.MeasurementError) as error:
        raise RunError(str(error)) from error


def _check_measurements(options: argparse.Namespace) -> int:
    """Check form, provenance, plausible ranges, and agreement with the family files."""
    from analysis import review
    from analysis.measurements import FOLDER
    from analysis.registry import load_families

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
    from analysis import artifacts

    try:
        if options.list:
            for artifact in artifacts.load_catalogue().values():
                print(
                    f"{artifact.name}  {artifact.bytes:,} bytes  {artifact.licence}  {artifact.url}"
                )
            return 0
        for path in artifacts.fetch_all(options.names or None, progress=True).values():
            print(path)
    except artifacts.ArtifactError as error:
        raise RunError(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
