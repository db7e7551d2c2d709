"""Numbers as the text of a table's cells, by templates that the captions keep.

A template is a text with `{name}` or `{name:form}` for values of a row, as `str.format` reads it:
`{kurtosis_percentiles[5]:digits}` is an entry of a list. A form is one of `FORMS` or of Python's.
Where a value is missing the next alternative is taken, after ` | `: "{er:points} | not known".

>>> row = {"low": -0.0512, "high": None}
>>> cell("{low:points} to {high:points} | from {low:points}", row)
'from −5.1'
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from analysis.base.texts import CompanionError
from companion.engine import style

#: Values by name.
Row: TypeAlias = "Mapping[Any, Any] | pd.Series[Any]"
#: What is written where no alternative has all its values.
UNKNOWN = "n/a"
#: Form → how a value is written. Fractions become percent, and differences of them points; "half"
#: and "margin" (of a fraction) make half of a 95 % interval out of a standard error; with ".2"
#: points and margins have two decimals, for differences of a few images, which one would double.
#: "interval" and "ends" write a value with the ends of its interval, the first as ± where that is
#: symmetric, with ".2" as above. "spread" and, with one decimal, "counts" write the mean of a list,
#: its lowest and its highest, "median" the median instead; "span " before a form writes only the
#: last two. For sentences, "middle" and "mean%" write a list's median and mean alone.
FORMS = {
    "percent": style.percent,
    "whole": lambda fraction: f"{100 * fraction:.0f}",
    "points": style.points,
    "points.2": lambda fraction: style.points(fraction, decimals=2),
    "digits": style.digits,
    "digits%": lambda fraction: style.digits(100 * fraction),
    "share": style.share,
    "half": lambda error: max(f"{1.96 * error:.2g}", "0.001", key=float),
    "margin": lambda error: style.percent(1.96 * error),
    "margin.2": lambda error: f"{196 * error:.2f}",
    "interval": lambda ends: style.between(*ends),
    "interval.2": lambda ends: style.between(ends[0], ends[1], ends[2], 2),
    "ends": lambda ends: style.with_interval(*ends),
    "spread": style.spread,
    "median": lambda each: style.spread(each, middle=np.median),
    "median%": lambda fractions: style.spread(fractions, 100, middle=np.median),
    "middle": lambda each: f"{np.median(each):.0f}",
    "mean%": lambda fractions: style.percent(float(np.mean(fractions))),
    "counts": lambda each: style.spread(each, write=lambda n: f"{n:.1f}".removesuffix(".0")),
    "spread%": lambda fractions: style.spread(fractions, 100),
    "yes": {True: "yes", False: "no"}.__getitem__,
}


class TemplateError(CompanionError):
    """A template that cannot be filled in; the message is for whoever edits the captions."""


class UnknownError(LookupError):
    """A row has no such value."""


class _Template(string.Formatter):
    """Fills in a row; a missing value raises `UnknownError`, numbers have a true minus sign."""

    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """The row's value of that name; KeyError if it has none."""
        return kwargs[str(key)]

    def format_field(self, value: Any, format_spec: str) -> Any:
        """A value in one of `FORMS` or of Python's; UnknownError if it is missing."""
        first = value[0] if isinstance(value, tuple) else value
        if np.ndim(first) == 0 and pd.isna(first):
            raise UnknownError
        if isinstance(value, str):
            return value if format_spec in FORMS else format(value, format_spec)
        form = format_spec.removeprefix("span ")
        write = FORMS.get(form, lambda number: format(number, form))
        return style.minus(write(value) if form == format_spec else style.span(value, write))


def cell(template: str, row: Row) -> str:
    """The first alternative of a template of which a row has all values.

    Raises TemplateError for a form or an entry that its values do not have, KeyError for a value
    that the row does not name.
    """
    for alternative in template.split(" | "):
        try:
            return _Template().vformat(alternative, (), dict(row))
        except UnknownError:
            continue
        except (ValueError, TypeError, IndexError) as error:
            raise TemplateError(
                f"the template {template!r} cannot be filled in: {error}."
            ) from None
    return UNKNOWN


def written(frame: pd.DataFrame, templates: Mapping[str, str]) -> pd.DataFrame:
    """A column of text for each heading of `templates`, but those of which no row has a value.

    Those stay of which a value is pandas' NA: it could be had, and is not. A named index counts as
    a column. Raises KeyError for a template that names none.
    """
    frame = frame.reset_index() if any(frame.index.names) else frame
    rows = frame.to_dict("records")
    lacking = frame.map(lambda value: value is pd.NA)
    present = (frame.notna() | lacking).any()
    return pd.DataFrame(
        {
            heading: [cell(template, row) for row in rows]
            for heading, template in templates.items()
            if any(present[[*names]].all() for names in fields(template) if names)
        }
    )


def as_they_are(frame: pd.DataFrame) -> pd.DataFrame:
    """All columns as text: whole numbers and words as they are, other numbers with three digits."""
    kinds = {str(name): column.dtype.kind for name, column in frame.items()}
    forms = {name: "{cell:digits}" if kinds[name] == "f" else "{cell}" for name in kinds}
    return pd.DataFrame(
        {
            name: [cell(forms[str(name)], {"cell": value}) for value in column]
            for name, column in frame.items()
        }
    )


def joined(frame: Any) -> pd.DataFrame:
    """The frame with its columns of two levels as one, joined by an underscore."""
    return pd.DataFrame(frame.set_axis(["_".join(levels) for levels in frame.columns], axis=1))


def fields(template: str) -> list[set[str]]:
    """The names of the values in each alternative of a template."""
    try:
        parsed = [[*_Template().parse(text)] for text in template.split(" | ")]
    except ValueError as error:
        raise TemplateError(f"the template {template!r} cannot be read: {error}.") from None
    return [{re.split(r"[.\[]", name)[0] for _, name, _, _ in text if name} for text in parsed]
