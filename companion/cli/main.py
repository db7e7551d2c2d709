"""The command `companion`: work with families, features, measurements, runs and the book.

examples:
  companion status
  companion run effective_robustness vit_b_32 -p pool_v2 threshold --output trial.ipynb
  companion extract vit_b_16 --data imagenet imagenet-r --precision bf16
  companion probe vit_b_32-openai --images pictures/ --html report.html
  companion rerun outlier_features --checkpoint weights.safetensors --architecture ViT-B-32 \\
      --data pictures/

exit status: 0 on success, 1 on failure (one sentence on standard error says why),
2 if the command line is wrong, 130 if it was interrupted (the next call continues)
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import signal
import sys
import tempfile
import textwrap
import traceback
import typing
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from analysis.base.code import installing, version_of
from analysis.base.files import about_disk, write_text
from analysis.base.quoting import in_short, printable
from analysis.base.roots import ROOT, SHIPPED, WORKSPACE
from analysis.base.strict import Strict, first_reason
from analysis.base.texts import CompanionError
from companion.engine import threads

M = TypeVar("M", bound=BaseModel)
#: What commands are for, in the order of the help.
GROUPS = {
    "read": ("status", "claims", "export", "fetch"),
    "rerun": ("run", "build", "add", "rerun", "remove"),
    "measure": ("bits", "probe", "extract", "measure", "grid"),
    "contribute": ("new", "check"),
    "teach": ("grade", "exam"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit status."""
    try:
        return _main(arguments)
    except CompanionError as error:  # a slip in a file that every command reads
        print(f"companion: {error}", file=sys.stderr)
        return 1


@cache
def verbs() -> dict[str, Callable[..., int | None]]:
    """What each command does, by its name.

    A function's parameters are its options, or models of some; its docstring ends with examples.
    """
    from companion.cli import commands, course_commands, evidence_commands  # which read data files

    modules = (commands, evidence_commands, course_commands)
    return {do.__name__: do for module in modules for do in module.COMMANDS}


def _main(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Programs without a console have no standard output.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal cannot show is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    # A shell that completes has the words in COMP_LINE.
    parser = _parser(words or os.environ.get("COMP_LINE", "").split())
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    if words and words[0][:1] == "-" and words[0] not in ("-h", "--help", "--version"):
        parser.error(f"a command is expected before {words[0]}: companion --help lists them")
    if words[:1] == ["--version"] and words[1:]:
        parser.error(f"nothing is expected after --version, got {words[1]!r}")
    parsed = parser.parse_args(words)
    options = {name: _read(model, parsed) for name, model in parsed.kinds.items()}
    single = dict(options.pop(""))  # those that are no model's
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it stops a command as Ctrl-C does
    quietly = contextlib.redirect_stderr(io.StringIO())  # errors are printed after this
    try:
        threads.limit()
        _check_root(parsed.verb)
        with quietly if parsed.quiet else contextlib.nullcontext():
            status = verbs()[parsed.verb](**single, **options) or 0
            sys.stdout.flush()
        return status
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        needed = f"{error.name}, which is not installed: {installing('extract')}."
        print(f"companion: {parsed.verb} needs {needed}", file=sys.stderr)
    except BrokenPipeError:  # whoever read the output has seen enough: `| head`, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"companion: {about_disk(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        what = "nothing was written" if parsed.verb == "probe" else "the next call continues"
        print(f"companion: interrupted; {what}.", file=sys.stderr)
        # As shells call a command that Ctrl-C ended.
        return 130
    except Exception as error:
        print(f"companion: {_unforeseen(parsed.verb, error)}", file=sys.stderr)
    return 1


def _unforeseen(verb: str, error: Exception) -> str:
    """A sentence on an error that no code foresaw, whose traceback is kept in a file."""
    logs = WORKSPACE / ".companion" / "logs"
    text = "".join(traceback.format_exception(error))
    try:
        # No folder of ours is made only to say that something failed.
        if not logs.is_dir():
            raise FileNotFoundError
        write_text(log := logs / f"{verb}.log", text)
    except OSError:
        log = Path(tempfile.gettempdir()) / f"companion-{verb}-{os.getpid()}.log"
        write_text(log, text)
    said = printable(in_short(" ".join(f"{type(error).__name__}: {error}".split()), 300))
    return (
        f"{verb} met an error that it does not know ({said}); {log} has the details: please report "
        "it with that file, and what it was called with."
    )


def _check_root(command: str) -> None:
    """Raise CompanionError if a checkout is needed and absent."""
    if command in _in_checkout() and ROOT == SHIPPED:
        raise CompanionError(
            f"companion {command} needs a checkout of the companion, and {Path.cwd()} is not in "
            "one: change to a checkout, or set COMPANION_ROOT to it; probe, bits, "
            "add, extract, measure, check, claims and export work anywhere."
        )


def _in_checkout() -> set[str]:
    """The commands that need a checkout."""
    from companion.cli import commands, course_commands

    return {do.__name__ for do in (*commands.IN_CHECKOUT, *course_commands.COMMANDS)}


def _about(do: Callable[..., Any]) -> tuple[str, str]:
    """What a command does, in sentences, and its examples."""
    *about, examples = inspect.cleandoc(do.__doc__ or "").split("\n\n")
    return " ".join(" ".join(about).split()), examples


def _listed() -> str:
    """The commands with their first sentences, by what they are for."""
    lines, known = list[str](), verbs()
    for group, names in GROUPS.items():
        lines.append(f"\n{group}:")
        for name in names:
            mark, (first, *_) = " *"[name in _in_checkout()], _about(known[name])[0].split(". ")
            lines.append(f"    {name:8}{mark} {first.rstrip('.')}")
    return "\n".join([*lines, "", "* needs a checkout of the companion"])


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the options of the commands that the words name."""
    style: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    title, _, more = (__doc__ or "").partition("\n\n")
    title = f"{title}\n{_listed()}"
    parser = argparse.ArgumentParser("companion", description=title, epilog=more, **style)
    version = f"companion {version_of('interpreting-clip-companion')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for name, do in verbs().items():
        text, examples = _about(do)
        marked = text + " It needs a checkout of the companion." * (name in _in_checkout())
        command = commands.add_parser(
            name,
            description=textwrap.fill(marked, 78),
            epilog="examples:\n" + textwrap.indent(examples, "  "),
            argument_default=argparse.SUPPRESS,  # the models have the defaults
            **style,
        )
        kinds = _models_of(do) if name in words else {}
        command.set_defaults(kinds=kinds, parser=command, quiet=False)
        for model in kinds.values():
            for option, field in model.model_fields.items():
                _add(command, option, field)
        if name != "probe":  # whose verdict it leaves
            command.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    return parser


def _read(kind: type[M], parsed: argparse.Namespace) -> M:
    """Make a model of what was parsed; what it finds wrong ends the program as argparse does."""
    parser: argparse.ArgumentParser = parsed.parser
    try:
        given = {name: getattr(parsed, name) for name in kind.model_fields if name in parsed}
        for name, value in given.items():
            if value == "" or (isinstance(value, list) and "" in value):
                about: Any = kind.model_fields[name].json_schema_extra or {}
                dashes = "" if about.get("placed") else "--"
                parser.error(f"{dashes}{name.replace('_', '-')} is empty: give it, or leave it out")
        return kind.model_validate(given)
    except ValidationError as error:
        about = first_reason(error)
        parser.error(f"--{about.replace('_', '-')}" if error.errors()[0]["loc"] else about)


def _models_of(do: Callable[..., Any]) -> dict[str, type[BaseModel]]:
    """The models that make a function's arguments, by parameter; "" has those that are options."""
    hints = typing.get_type_hints(do, include_extras=True)
    models: dict[str, type[BaseModel]] = {}
    fields: dict[str, Any] = {}
    for name, given in inspect.signature(do).parameters.items():
        if isinstance(hints[name], type) and issubclass(hints[name], BaseModel):
            models[name] = hints[name]
        else:
            fields[name] = (hints[name], ... if given.default is given.empty else given.default)
    return models | {"": create_model("Own", __base__=Strict, **fields)}


def _add(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    """Add an option to a parser, typed as its annotation says."""
    extra: Any = field.json_schema_extra
    about: dict[str, Any] = extra or {}
    given = _argparse(field.annotation, field)
    if about.get("placed"):
        names = [name]
        if not field.is_required():
            given["nargs"] = "*" if "nargs" in given else "?"
    else:
        no = "no-" if given.get("action") == "store_false" else ""
        flag = about.get("flag") or f"--{no}{name.replace('_', '-')}"
        names = [about["short"], flag] if about.get("short") else [flag]
        given |= {"dest": name, "required": field.is_required()}
    action = parser.add_argument(*names, help=(field.description or "").replace("%", "%%"), **given)
    if about.get("names"):
        vars(action)["completer"] = lambda **_: about["names"]()  # argcomplete's


def _argparse(kind: Any, field: FieldInfo) -> dict[str, Any]:
    """How argparse reads values of a type.

    A switch for ``bool`` (``--no-…`` where it is on), both for ``bool | None``, one of some words
    for a ``Literal``, any number of values for a tuple, an option that can be repeated for a tuple
    of pairs.
    """
    optional = type(None) in get_args(kind)
    if optional:
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if kind is bool:
        if optional:
            return {"action": argparse.BooleanOptionalAction}
        return {"action": "store_false" if field.default else "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if get_origin(inner) is tuple:
            return {"action": "append", "nargs": 2, "metavar": ("NAME", "VALUE")}
        return _argparse(inner, field) | {"nargs": "+"}
    return {"metavar": "N"} if kind is int else {}


if __name__ == "__main__":
    sys.exit(main())
