"""Command lines from models: each option is declared once, as a field with type, default and help.

What a field becomes follows from its annotation: a switch for ``bool`` (``--no-…`` where it is on),
both for ``bool | None``, one of some words for a ``Literal``, any number of values for a tuple, an
option that can be repeated for a tuple of pairs. What argparse has read becomes the model again,
which checks it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from analysis.common import first_reason

M = TypeVar("M", bound=BaseModel)


def option(
    help: str,
    default: Any = ...,
    *,
    placed: bool = False,
    short: str = "",
    metavar: str | tuple[str, str] | None = None,
    names: Callable[..., Iterable[str]] | None = None,
    least: int | None = None,
) -> Any:
    """Declare an option, required if it has no default; ``placed``: given by its place, no dashes.

    ``names`` gives what a shell completes with, ``least`` is the smallest number allowed.
    """
    about: dict[str, Any] = {"placed": placed, "short": short, "metavar": metavar, "names": names}
    return Field(default, description=help, ge=least, json_schema_extra=about)


def add_options(parser: argparse.ArgumentParser, kind: type[BaseModel], *placed: str) -> None:
    """Add what a model declares to a parser; fields named in ``placed`` are given by their place."""
    for name, field in kind.model_fields.items():
        if field.description:
            _add(parser, name, field, name in placed)


def read(kind: type[M], parsed: argparse.Namespace, parser: argparse.ArgumentParser) -> M:
    """Make a model of what was parsed; what it finds wrong ends the program as argparse does."""
    names = [name for name, field in kind.model_fields.items() if field.description]
    try:
        return kind.model_validate({name: getattr(parsed, name) for name in names})
    except ValidationError as error:
        parser.error(f"--{first_reason(error).replace('_', '-')}")


def _add(parser: argparse.ArgumentParser, name: str, field: FieldInfo, placed: bool) -> None:
    about = dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}
    given = _argparse(field.annotation, field)
    if not field.is_required():
        given["default"] = [] if given.get("action") == "append" else field.default
    if placed or about.get("placed"):
        names = [name]
        if not field.is_required():
            given["nargs"] = "*" if "nargs" in given else "?"
    else:
        no = "no-" * (given.get("action") == "store_false")
        names = [flag for flag in (about.get("short"), f"--{no}{name.replace('_', '-')}") if flag]
        given |= {"dest": name, "required": field.is_required()}
    if about.get("metavar"):
        given["metavar"] = about["metavar"]
    action = parser.add_argument(*names, help=(field.description or "").replace("%", "%%"), **given)
    action.completer = about.get("names")  # type: ignore[attr-defined] - for argcomplete


def _argparse(kind: Any, field: FieldInfo) -> dict[str, Any]:
    """How argparse reads values of a type."""
    optional = type(None) in get_args(kind)
    if optional:
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    if kind is bool:
        if optional:
            return {"action": argparse.BooleanOptionalAction}
        return {"action": "store_false" if field.default else "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if get_origin(inner) is tuple:
            return {"action": "append", "nargs": len(get_args(inner))}
        return _argparse(inner, field) | {"nargs": "+"}
    if kind is int:
        least = next((rule.ge for rule in field.metadata if hasattr(rule, "ge")), 0)
        return {"type": _whole_number(least), "metavar": "N"}
    return {"type": Path} if kind is Path else {}


def _whole_number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return int(text)

    return number
