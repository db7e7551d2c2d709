"""The results of one notebook, published with the sentences that a writer keeps for them.

A notebook computes and draws. Its captions are in `book/captions/NAME.yaml`, under the names by
which the book's pages embed its results. A `{name}` in a caption is filled with the value that the
notebook gives under that name. `Page.holds` guards what the book says about the numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import pandas as pd

from results import cells, style, words
from results.captions import Caption, CaptionError, read_captions
from results.cells import Row
from results.style import Drawing, Taken

#: What a result rests on: a kind of evidence, none for a description, or measurements.
Basis: TypeAlias = "str | Iterable[Taken]"
#: ``{name}`` or ``{name:.1f}``. A role of MyST, as in ``{doc}`/pruning```, is none of these.
FIELD = re.compile(r"\{([a-z_]\w*)(?::([^{}`]+))?\}(?!`)")


class Page:
    """What a notebook publishes: figures, tables and texts, each under a name.

    `evidence` is the kind that its numbers rest on, unless a result says otherwise; "" is for a
    result that holds no measurement. `values` may be named in any of its captions; an ``edition``
    among them chooses the captions' texts for it.
    """

    def __init__(self, notebook: str, evidence: Basis = "recorded", **values: object) -> None:
        self.notebook, self.values = notebook, values
        self.evidence = self._kind(evidence)
        self.captions = read_captions(notebook)

    def figure(
        self,
        name: str,
        drawing: Drawing | None,
        evidence: Basis | None = None,
        *,
        holds: object = True,
        touch: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        **values: object,
    ) -> None:
        """Publish a drawing; for None an empty text, because the page says what is missing.

        `holds`: whether the first sentence of its caption is true of the numbers. `touch`: the name
        of a script of the book's (`book/_static`) that replaces the drawing on a screen by one that
        a reader changes, and the numbers that it shows.
        """
        caption = self._filled(name, values)
        if drawing is None:
            return self.texts({name: ""})
        if not drawing.alt.strip():
            raise ValueError(f"figure {name!r} needs an alternative text.")
        words.lay_out(drawing.figure)
        data = {"image/svg+xml": style.to_svg(drawing.figure), "text/plain": drawing.alt}
        data["image/png"] = style.to_png(drawing.figure)
        if drawing.data is not None:
            data["text/csv"] = style.to_csv(drawing.data)
        for numbers in touch.values():
            data["application/json"] = _as_json(numbers)
        about = {"alt": drawing.alt, "script": "".join(touch)}
        self._publish("figure", name, data, evidence, caption, holds, **about)

    def slide(self, name: str, drawing: Drawing | None, height: float = 3.5) -> None:
        """Publish a drawing for slides alone, under `slide-` and a name; no page shows it.

        It is laid out again for a screen: wide, `height` inches tall, with axes of its own. Text
        below it on the slide takes about a quarter of an inch a line.
        """
        if drawing is None:
            return self.texts({f"slide-{name}": ""})
        drawing.figure.set(figwidth=style.SLIDE, figheight=height, layout_engine="constrained")
        words.lay_out(drawing.figure)
        data = {"image/svg+xml": style.to_svg(drawing.figure), "text/plain": drawing.alt}
        _display("slide", f"slide-{name}", data, alt=drawing.alt)

    def table(
        self,
        name: str,
        rows: pd.DataFrame | Iterable[dict[Any, Any]],
        evidence: Basis | None = None,
        *,
        holds: object = True,
        **values: object,
    ) -> None:
        """Publish rows of numbers and texts, written as the caption's `cells` say; without these as
        they are, their index left out. A frame may have columns `more` in its ``attrs``, as a
        `Caption` describes them. `holds` as above.
        """
        caption, frame = self._filled(name, values), pd.DataFrame(rows)
        if caption.cells and (more := getattr(rows, "attrs", {}).get("more")):
            added = {"cells": {**caption.cells, **more.cells}}
            added["columns"] = {**caption.columns, **more.columns}
            caption = caption.model_copy(update=added)
        if frame.empty:
            return self.texts({name: style.not_measured(" ".join(caption.missing.split()))})
        try:
            frame = cells.written(frame, caption.cells) if caption.cells else frame
        except KeyError as error:
            raise CaptionError(f"table {name!r}: {error.args[0]}; it has {[*frame]}.") from None
        named = {*caption.columns, *filter(None, [caption.choose])} - {*caption.cells}
        if unknown := sorted(named - {*frame}):
            raise CaptionError(f"table {name!r} has no columns {unknown}; it has {[*frame]}.")
        data = {
            "text/markdown": style.to_markdown(frame),
            "text/plain": frame.to_string(index=False),
            "text/csv": style.to_csv(frame),
        }
        self._publish("table", name, data, evidence, caption, holds)

    def sentence(self, name: str, **values: object) -> None:
        """Publish a sentence of the captions file."""
        self.texts({name: self._filled(name, values).caption})

    def by_hand(self, name: str, text: str = "", **values: object) -> None:
        """Publish what this cell works out by hand; a run's page shows the cell with it.

        It is a sentence of the captions file, or ``text``.
        """
        text = text or self._filled(name, values).caption
        data = {"text/markdown": text, "text/plain": text}
        _display("text", name, data, by_hand=True)

    def numbers(self, group: str, row: Row) -> None:
        """Publish the numbers of a group in the captions file, taken from a row, as are names."""
        for name, template in self._caption(group).numbers.items():
            self.number({cells.cell(name, row): cells.cell(template, row)})

    def number(self, *computed: Mapping[str, object] | pd.Series[Any], **named: object) -> None:
        """Publish numbers and names, for a page of the book to put into its sentences.

        The run's own page does not show them. `computed` has names that are put together;
        underscores become hyphens.
        """
        self._texts(*computed, named, inline=True)

    def texts(self, *computed: Mapping[str, object], **named: object) -> None:
        """Publish texts (MyST) that the run's own page shows too, under names as for `number`."""
        self._texts(*computed, named)

    def _texts(self, *groups: Mapping[str, object] | pd.Series[Any], inline: bool = False) -> None:
        for names in groups:
            for name, value in names.items():
                data = {"text/markdown": str(value), "text/plain": str(value)}
                _display("text", str(name).replace("_", "-"), data, inline=inline)

    def explorer(self, name: str, data: Mapping[str, Any], script: str = "explorer") -> None:
        """Publish numbers for a page on which a reader chooses what to see, and the book's script
        that shows them.
        """
        text = _as_json(data)
        forms = {"application/json": text, "text/plain": f"{len(text)} characters"}
        _display("explorer", name, forms, script=script)

    def holds(self, condition: object, says: str, evidence: Basis | None = None) -> None:
        """Guard what a page of the book says of the results of this cell.

        Where it does not hold, the book marks the result. Of recorded or published numbers that is
        an error of the book's, which its build reports at the end; ``live`` numbers are a reader's.
        """
        self._guard(condition, says, self._kind(evidence))

    def _guard(self, condition: object, says: str, kind: str, result: str = "") -> None:
        """Mark a result, or all of this cell's, where what is said of it does not hold."""
        if not condition:
            note = f"*“{says}” does not hold of these numbers.*"
            data = {"text/markdown": note, "text/plain": note}
            _show(data, {"kind": "not-so", "of": result, "says": says, "evidence": kind})

    def _kind(self, evidence: Basis | None) -> str:
        if evidence is None:
            return self.evidence
        return evidence if isinstance(evidence, str) else style.kind(evidence)

    def _caption(self, name: str) -> Caption:
        """The caption of a result, for this edition."""
        if name not in self.captions:
            raise CaptionError(
                f"book/captions/{self.notebook}.yaml has no caption for the result {name!r}."
            )
        caption = self.captions[name]
        differs = caption.editions.get(str(self.values.get("edition")))
        update = differs.model_dump(exclude_unset=True) if differs else None
        return caption.model_copy(update=update)

    def _filled(self, name: str, values: Mapping[str, object]) -> Caption:
        """The caption of a result with its values, in one line each."""
        caption = self._caption(name)
        texts = {key: getattr(caption, key) for key in ("caption", "more", "method", "missing")}
        given = {**self.values, **values}
        where = f"book/captions/{self.notebook}.yaml, {name}"
        named = _fields(*texts.values(), *caption.cells, *caption.columns.values())
        if unknown := sorted(named - given.keys()):
            raise CaptionError(f"{where}: the notebook gives no value for {unknown}.")
        other = self.captions[name]
        elsewhere = _fields(other.caption, other.more, other.method)
        if unused := sorted(values.keys() - named - elsewhere):
            raise CaptionError(f"{where}: the notebook gives {unused}, which no text names.")

        def fill(text: str) -> str:
            return FIELD.sub(lambda field: cells.cell(field[0], given), text)

        filled: dict[str, Any] = {key: fill(text) for key, text in texts.items()}
        filled["cells"] = {fill(heading): cell for heading, cell in caption.cells.items()}
        filled["columns"] = {fill(of): fill(meaning) for of, meaning in caption.columns.items()}
        return caption.model_copy(update=filled)

    def _publish(
        self,
        kind: str,
        name: str,
        data: dict[str, str],
        evidence: Basis | None,
        caption: Caption,
        holds: object,
        **about: str,
    ) -> None:
        """Publish a result with its caption, and mark it if what this says does not hold."""
        about["evidence"] = self._kind(evidence)
        message = caption.caption.split(". ")[0].rstrip(".")
        self._guard(holds, message, about["evidence"], name)
        _display(
            kind,
            name,
            data,
            **about,
            **caption.model_dump(exclude={"editions", "missing", "cells", "numbers"}),
        )


def _as_json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _fields(*texts: str) -> set[str]:
    return {name for text in texts for name, _ in FIELD.findall(text)}


def _display(kind: str, name: str, data: dict[str, str], **about: Any) -> None:
    """Publish a result under its name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise ValueError(f"result name {name!r} must consist of letters, digits and hyphens.")
    _show(data, {"kind": kind, "label": name, **about})


def _show(data: dict[str, str], about: dict[str, Any]) -> None:
    """Put out what is in ``data``, with a note on what that is."""
    from IPython.display import display

    note = {key: value for key, value in about.items() if value}
    display(data, raw=True, metadata={"companion": note})  # type: ignore[no-untyped-call]
