"""The command `companion`: runs, their status, and the public artefacts they rest on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import runs
from analysis.registry import ROOT, RegistryError
from analysis.runs import RunError

EXAMPLES = """examples:
  companion status
  companion run effective_robustness vit_b_32
  companion run effective_robustness vit_b_32 -p pool_v2 threshold --output trial.ipynb
  companion fetch
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
    status.set_defaults(do=_status)

    fetch = commands.add_parser("fetch", help="download the public artefacts, checked by sha256")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    fetch.add_argument("--list", action="store_true", help="list them and where they come from")
    fetch.set_defaults(do=_fetch)

    execute = commands.add_parser("execute")  # Snakemake's job; not in the help
    execute.add_argument("experiment")
    execute.add_argument("family")
    execute.set_defaults(do=_execute)
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from analysis.execute import check_parameters, execute, execute_for_book

    run = runs.find_run(options.experiment, options.family)
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
