"""The results of one notebook, published with the sentences that a writer keeps for them.

A notebook computes and draws. Its captions are in `book/captions/NAME.yaml`, under the names by
which the book's pages embed its results. A `{name}` in a caption is filled with the value that the
notebook gives under that name. `Page.holds` guards what the book says about the numbers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pandas as pd

from companion.engine import cells, style, words
from companion.engine.captions import Caption, CaptionError, read_captions
from companion.engine.cells import Row
from companion.engine.style import Drawing, Taken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a result rests on: a kind of evidence, none for a description; a frame with the kinds in a
#: column `evidence`; or measurements.
Basis: TypeAlias = "str | pd.DataFrame | Iterable[Taken]"
#: ``{name}`` or ``{name:.1f}``. A role of MyST, as in ``{doc}`/pruning```, is none of these.
FIELD = re.compile(r"\{([a-z_]\w*)(?::([^{}`]+))?\}(?!`)")


class Also(NamedTuple):
    """Columns that quantities bring to the tables of their experiment.

    Heading → template, and heading → definition.
    """

    columns: Mapping[str, str]
    means: Mapping[str, str]


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
        figure: Any,
        frame: Any = None,
        *,
        says: str = "",
        slide: float = 0,
        evidence: Basis | None = None,
        holds: object = True,
        touch: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        **values: object,
    ) -> None:
        """Lay a figure of Matplotlib's out, publish it with its numbers, and close it.

        `frame`: the numbers as drawn, a row for each mark or step of a line, which readers get as
        CSV; where it has no rows nothing is shown, because the page says what is missing. `says`:
        what is worth telling to who does not see the figure, besides the axes' labels. `slide`: the
        height in inches of the same figure on a slide, if there is one. `evidence`: where it is not
        the page's. `holds`: whether the first sentence of its caption is true of the numbers.
        `touch`: the name of a script of the book's (`book/_static`) that replaces the figure on a
        screen by one that a reader changes, and the numbers that it shows.
        """
        if not hasattr(figure, "savefig"):  # a drawing, as notebooks made it before
            evidence = frame if evidence is None else evidence
            figure, alt, frame = figure or (None, "", None)
        elif says:
            alt = style.minus(f"{words.described(figure)}. {says}.".removeprefix(". "))
        else:
            alt = ""
        caption = self._filled(name, values)
        if figure is None or (frame is not None and frame.empty):
            _close(figure)
            return self.texts({of: "" for of in (name, f"slide-{name}")[: 1 + (slide > 0)]})
        if not alt.strip():
            raise ValueError(f"figure {name!r} needs an alternative text.")
        data = {"image/svg+xml": _laid_out(figure), "text/plain": alt}
        if frame is not None:
            if other := words.undrawn(figure, frame):
                raise ValueError(
                    f"figure {name!r}: what it draws is not what is told beside it in {other}: "
                    "give `figure` the frame that is drawn."
                )
            data["text/csv"] = style.to_csv(frame)
        for numbers in touch.values():
            data["application/json"] = _as_json(numbers)
        about = {"alt": alt, "script": "".join(touch)}
        self._publish("figure", name, data, evidence, caption, holds, **about)
        if slide:
            self.slide(name, figure, slide, alt)

    def slide(self, name: str, figure: Any, height: float = 3.5, says: str = "") -> None:
        """Publish a figure for slides alone, under `slide-` and a name, and close it.

        It is laid out again for a screen: wide, `height` inches tall, with axes of its own. Text
        below it on the slide takes about a quarter of an inch a line.
        """
        if isinstance(figure, Drawing):
            figure, says, _ = figure
        if figure is None:
            return self.texts({f"slide-{name}": ""})
        figure.set(figwidth=style.SLIDE, figheight=height, layout_engine="constrained")
        style.measure_again(figure)
        data = {"image/svg+xml": _laid_out(figure), "text/plain": says}
        _display("slide", f"slide-{name}", data, alt=says)

    def table(
        self,
        name: str,
        frame: pd.DataFrame | Iterable[dict[Any, Any]],
        columns: Any = None,
        *,
        also: Also | None = None,
        means: Mapping[str, str] = MappingProxyType({}),
        evidence: Basis | None = None,
        holds: object = True,
        **values: object,
    ) -> None:
        """Publish a frame: a row for each row, and of its columns those that `columns` names.

        `columns`: heading → how a cell is written from its row, a template of `cells`, such as
        "{kurtosis_mean:digits} ± {error:.2f}", in order. Without it all columns are shown under
        their own names, texts and whole numbers as they are, others with three digits. `also`:
        columns that quantities bring along. `means`: heading → its definition, where it is not that
        of `columns.yaml`. A frame without rows is a box that says how to get them. `evidence` and
        `holds` are as above.
        """
        caption, rows = self._filled(name, values), pd.DataFrame(frame)
        if columns is not None and not isinstance(columns, Mapping):  # as notebooks gave it before
            evidence, columns = columns, None
        if caption.cells and (more := getattr(frame, "attrs", {}).get("more")):
            also = Also(more.cells, more.columns)
        templates = {**(columns or caption.cells), **(also.columns if also else {})}
        means = {**caption.columns, **means, **(also.means if also else {})}
        if rows.empty:
            return self.texts({name: style.not_measured(" ".join(caption.missing.split()))})
        try:
            csv = rows = cells.written(rows, templates) if templates else rows
        except KeyError as error:
            raise CaptionError(f"table {name!r}: {error.args[0]}; it has {[*rows]}.") from None
        named = {*means, *filter(None, [caption.choose])} - {*templates}
        if unknown := sorted(named - {*rows}):
            raise CaptionError(f"table {name!r} has no columns {unknown}; it has {[*rows]}.")
        rows = rows if templates else cells.as_they_are(rows)
        data = {
            "text/markdown": style.to_markdown(rows),
            "text/plain": rows.to_string(index=False),
            "text/csv": style.to_csv(csv),
        }
        caption = caption.model_copy(update={"columns": means})
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

    def numbers(self, row: Row | str, templates: Any) -> None:
        """Publish numbers of a row for sentences: name → template, as for `table`.

        A name may be a template, too, where several rows give their numbers.
        """
        if isinstance(row, str):  # a group of the captions file, as notebooks named it before
            return self.numbers(templates, self._caption(row).numbers)
        for name, template in templates.items():
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
        if isinstance(evidence, pd.DataFrame):
            return style.kinds(*evidence["evidence"]) or "recorded"
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


def _laid_out(figure: Figure) -> str:
    """The figure as SVG, laid out; pyplot forgets it, so that Jupyter does not show it again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    _close(figure)
    if not isinstance(figure.canvas, FigureCanvasAgg):  # of a window: layout needs a renderer
        FigureCanvasAgg(figure)
    words.lay_out(figure)
    return style.to_svg(figure)


def _close(figure: Figure | None) -> None:
    if figure is not None and (pyplot := sys.modules.get("matplotlib.pyplot")):
        pyplot.close(figure)


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
