"""The book's visual language: one colour and one marker per level, one way to write a number.

A notebook draws with `plots` and `figures`, and publishes with `page`. Nothing is computed here.

The colours follow Okabe and Ito (2008), lightened or darkened to a contrast of at least 3:1 on
the book's light and its dark page. `INK`, `MUTED`, `GRID` and `PAPER` are stand-ins: the book
replaces them by its theme's variables, so that axes and text follow dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from analysis.base.quoting import as_cell, as_markdown, in_paragraph
from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml

if TYPE_CHECKING:  # what draws is imported with the first figure: a page of tables needs none
    import pandas as pd
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
#: Lines on a heat map, whose middle is white on a dark page, too.
ON_HEAT = "#333333"
#: For what is no level, such as optimisers or orders, next to `INK` and `MUTED`: no level has it.
STRONG = "#cc3355"
LONGEST_TITLE = 44
#: Inches of a drawing's width: what a phone shows legibly, and a page and a slide larger.
WIDTH = 4.7
#: Inches of a slide's width, which 9-point type then fills as a room needs it.
SLIDE = 6.4
#: What a mark links to is its name: `to_svg` makes it a tooltip.
TOOLTIP = "tooltip:"
#: A role of MyST, and in it the words that it stands for.
ROLE = re.compile(r"\{[\w:-]+\}`/?([^`<]*?)\s*(?:<[^`]*>)?`")
#: Parts of a figure from which on its alternative text speaks of levels.
MANY = 24
#: Fonts of figures in a browser: Verdana is as wide as DejaVu, by which matplotlib lays out.
FONTS = "'DejaVu Sans', Verdana, Geneva, sans-serif"


class LevelStyle(NamedTuple):
    """The look of a level, or whatever a project compares, in every figure."""

    title: str
    colour: str
    marker: str


class Taken(Protocol):
    """Anything that was measured: in this build, or recorded before."""

    @property
    def live(self) -> bool:
        """Whether it is of this build."""
        ...


#: The looks of the project: of levels; and quantities whose axes are logarithmic in every figure,
#: each with the label of its axis.
LOOKS = ROOT / "data" / "looks.yaml"
_looks: dict[str, dict[str, Any]] = read_yaml(LOOKS) if LOOKS.is_file() else {}
LEVEL_STYLES = {level: LevelStyle(**look) for level, look in _looks.get("levels", {}).items()}
LOGARITHMIC: dict[str, str] = _looks.get("logarithmic", {})
#: The looks of two kinds of things that are no levels, by what a frame calls them.
CONTRASTED = {"first": LevelStyle("", STRONG, "o"), "second": LevelStyle("", INK, "s")}


#: What an alternative text says of some quantities in the rows of a part.
Says = Callable[["pd.DataFrame", Sequence[str]], str]


class Drawing(NamedTuple):
    """A figure, its alternative text (plain words with the main values), and what it draws.

    `data`: numbers as drawn, a row for each mark or step of a line; None of pictures.
    """

    figure: Figure
    alt: str
    data: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        figure: Figure,
        kind: str,
        data: pd.DataFrame,
        *quantities: str,
        says: Says,
    ) -> Drawing:
        """A drawing whose alternative text says the quantities of each part of the data.

        A part is what its panel and its row, line or mark are called; where there are `MANY`, a
        series or level. What is said of its rows is ``says``, such as `ranges` or `steps`.
        """
        what = f"{kind}: {' and '.join(quantities)}"
        return cls(figure, minus(f"{what}. {told(data, *quantities, by=says)}."), data)


def ranges(rows: pd.DataFrame, quantities: Sequence[str]) -> str:
    """The range of each quantity, in words."""
    return " and ".join(span(rows[name], "{:.4g}".format) for name in quantities)


def steps(rows: pd.DataFrame, quantities: Sequence[str]) -> str:
    """The first, the middle and the last of a line's x and y, in words."""
    chosen = rows[[*quantities]].iloc[sorted({0, len(rows) // 2, len(rows) - 1})]
    return ", ".join(f"{y:.4g} at {x:.4g}" for x, y in chosen.to_numpy(float))


def peaks(rows: pd.DataFrame, quantities: Sequence[str]) -> str:
    """The range of a quantity, and the coordinate where it is farthest from 0, in words."""
    farthest = np.abs(rows[quantities[0]].to_numpy(float)).argmax()
    at = rows["coordinate"].iloc[farthest]
    return f"{ranges(rows, quantities)}, farthest from 0 at {at}"


def told(data: pd.DataFrame, *quantities: str, by: Says = ranges) -> str:
    """What a figure shows, in words: of each part of its data, `ranges`, `steps` or `peaks`.

    A part is what its `panel` and its `of` are called; where there are `MANY`, a series or level.
    """
    parts = (
        f"{title}: {by(rows, quantities)}".removeprefix(": ")
        for title, whole in _parts(data)
        if not (rows := whole.dropna(subset=[*quantities])).empty
    )
    return minus("; ".join(parts))


def _parts(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a figure's data, each with what its panel and its row, line or mark are called.

    Where these are `MANY`, a part is a series or a level.
    """
    titles = {level: look.title for level, look in LEVEL_STYLES.items()}
    import pandas as pd  # late, since every build imports this module

    levels = pd.Series(data.get("level", ""), data.index).replace(titles)
    named = data.assign(of=data.get("of", ""), series=data.get("series", levels))
    panel = [name for name in ("panel", "quantity") if name in named]
    single = named.groupby([*panel, "of"], sort=False)
    parts = single if len(single) < MANY else named.groupby([*panel, "series"], sort=False)
    return [(", ".join(map(str, filter(None, part))), rows) for part, rows in parts]


def stacked(parts: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Parts of a figure's data, each with columns of one length or single values, as one frame."""
    import pandas as pd

    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def new_figure(
    columns: int = 1, rows: int = 1, width: float = WIDTH, height: float = 4.2, **options: Any
) -> tuple[Figure, Any]:
    """A styled figure and its axes; `width`, `height` in inches, `options` go to `subplots`."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.style.use("companion.engine.book")
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # keeps the renderer that measures words
    return figure, figure.subplots(rows, columns, **options)


def panels(
    titles: Iterable[str], columns: int, height: float, **options: Any
) -> tuple[Figure, Any]:
    """A panel for each title, `height` inches each; the axes have the shape (rows, columns).

    No more than two are side by side, which a phone shows legibly. A title that would not fit is
    broken, if it can be at a colon.
    """
    named, columns = list(titles), min(columns, 2)
    rows = -(-len(named) // columns)
    figure, axes = new_figure(columns, rows, WIDTH, 1.2 + height * rows, squeeze=False, **options)
    for panel in axes.flat[len(named) :]:
        panel.set_visible(False)
    for panel, title in zip(axes.flat, named, strict=False):
        fits = LONGEST_TITLE // columns
        lines = [title] if len(title) <= fits else title.replace(": ", ":\n").split("\n")
        panel.set_title("\n".join(fill(line, fits) for line in lines), fontsize=10)
    return figure, axes


def logit_scale(axis: Axis, low: float, high: float) -> None:
    """Give an axis of percents, from `low` to `high`, the spacing of logits and plain ticks."""
    from scipy.special import expit, logit

    stretched = (lambda p: logit(p / 100), lambda x: 100 * expit(x))
    ticks = [tick for tick in _PERCENT if low <= tick <= high]
    ticks = [t for t in ticks if len(ticks) < 12 or t not in (30, 50, 70)]
    name = axis.axis_name  # type: ignore[attr-defined]
    getattr(axis.axes, f"set_{name}scale")("function", functions=stretched)
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.axes.set(**{f"{name}lim": (low, high)})


def log_scale(axis: Axis, low: float, high: float, most: int = 9) -> None:
    """Give an axis from `low` to `high` log spacing, and plain numbers as ticks, `most` at most."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    if high > 1e5 * low:
        axis.set_major_formatter(lambda x, _: _power(x))
        return
    at = [n * 10.0**power for power in range(-2, 5) for n in (1, 2, 3, 5)]
    inside = [tick for tick in at if 0.9 * low <= tick <= 1.1 * high]
    dense, sparse = ([t for t in inside if f"{t:e}"[0] in of] for of in ("125", "13"))
    kept = dense if len(dense) <= most else sparse
    if len(dense) < 4:  # a short axis
        near = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        kept = [tick for tick in near if 0.99 * low <= tick <= 1.01 * high]
    kept = kept[:: -(-len(kept) // most)]
    axis.set_ticks(kept, labels=[f"{tick:g}" for tick in kept])
    axis.set_minor_locator(NullLocator())


def to_svg(figure: Figure) -> str:
    """The figure as SVG, the same bytes for the same figure: text is text, marks have tooltips."""
    import matplotlib as mpl

    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None}
    with mpl.rc_context({"svg.hashsalt": "companion", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    svg = re.sub(r"[ \t]+\n", "\n", buffer.getvalue()).replace("'DejaVu Sans'", FONTS)
    tooltip = rf'<a xlink:href="{TOOLTIP}([^"]*)"[^>]*>(.*?)</a>'
    return re.sub(tooltip, r"<g><title>\1</title>\2</g>", svg, flags=re.DOTALL)


def measure_again(figure: Figure) -> None:
    """Words that were drawn as SVG would go on being as wide as there."""
    from matplotlib.text import Text

    canvas: Any = figure.canvas
    for text in figure.findobj(Text):
        text.get_window_extent(canvas.get_renderer())


def to_csv(frame: pd.DataFrame) -> str:
    """Rows as text, numbers with six digits; no cell has MyST in it, or is a formula."""
    rows = frame.map(lambda cell: as_cell(without_markup(cell)) if isinstance(cell, str) else cell)
    rows.columns = [as_cell(without_markup(str(name))) for name in frame]
    return str(rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def without_markup(markdown: str) -> str:
    """A table's cell without its MyST: the words of links, roles and spans, on one line."""
    text = re.sub(r"\s*\{cite:\w\}`[^`]*`", "", markdown)  # a key is no word
    text = ROLE.sub(r"\1", text)
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\{[^}]*\})", r"\1", text)
    text = re.sub(r"`|\*\*", "", text)
    text = re.sub(r"(?<![\w\\])\*(?!\s)([^*]+)(?<![\s\\])\*(?!\w)", r"\1", text)
    return " ".join(text.replace("\\*", "*").split())


def kind(measured: Iterable[Taken]) -> str:
    """The kind of evidence of measurements, for the badge of a figure or table."""
    return kinds(*("live" if m.live else "recorded" for m in measured)) or "recorded"


def kinds(*each: str) -> str:
    """Kinds of evidence together: those of "published", "recorded" and "live" that are in any."""
    return ", ".join(k for k in ("published", "recorded", "live") if k in ", ".join(each))


def admonition(title: str, body: str, kind: str = "warning") -> str:
    """A box with a title (MyST); "" around nothing."""
    return f":::{{admonition}} {title}\n:class: {kind}\n{body}\n:::" if body else ""


def items(texts: Iterable[str]) -> str:
    """Sentences as a list (MyST), one alone as it is; "" of nothing."""
    sentences = [in_paragraph(text) for text in texts]
    return "\n".join(sentences if len(sentences) == 1 else [f"- {text}" for text in sentences])


def unusable(problems: Iterable[str]) -> str:
    """An admonition (MyST) on files that are here and cannot be used; "" if there are none.

    The sentences quote files that anyone may have written: but for code they hold no markup.
    """
    escaped = (as_markdown(" ".join(text.split()), "<>&{}[]$*|\\") for text in problems)
    return admonition("What cannot be used", items(escaped))


def not_measured(what: str) -> str:
    """A folded box (MyST) on what is missing and how to get it; "" if nothing is."""
    return admonition("Not measured yet", what, "not-measured dropdown")


def to_markdown(frame: pd.DataFrame) -> str:
    """A pipe table; columns that hold numbers are aligned to the right."""
    cells = frame.astype(str)
    rule = ["---:" if _numeric(cells[column]) else ":---" for column in cells]
    rows = [list(map(str, cells.columns)), *cells.to_numpy().tolist()]
    rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    rows.insert(1, rule)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def points(fraction: float, error: float | None = None, decimals: int = 1) -> str:
    """A difference of accuracies as signed percentage points, with ± if an error is given."""
    if not np.isfinite(fraction):
        return "n/a"
    value = minus(f"{100 * fraction:+.{decimals}f}")
    return value if error is None else f"{value} ± {100 * error:.{decimals}f}"


def minus(number: str) -> str:
    """A formatted number with a true minus sign instead of a hyphen."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", number)


def percent(fraction: float) -> str:
    """An accuracy as percent with one decimal, without the sign."""
    return f"{100 * fraction:.1f}" if np.isfinite(fraction) else "n/a"


def share(fraction: float) -> str:
    """A share in percent; one that is not quite all or nothing never reads so."""
    for end, words in ((0.0, "less than 0.1"), (1.0, "more than 99.9")):
        if fraction != end and f"{fraction:.3f}" == f"{end:.3f}":
            return f"{words}\N{NO-BREAK SPACE}%"
    return f"{100 * fraction:.1f}\N{NO-BREAK SPACE}%".replace(".0", "")


def with_interval(
    value: float, low: float, high: float, joint: str = " to ", decimals: int = 1
) -> str:
    """A difference and the ends of its interval in signed percentage points, from fractions."""
    first, least, most = (points(number, decimals=decimals) for number in (value, low, high))
    return f"{first} ({least}{joint}{most})"


def between(value: float, low: float, high: float, decimals: int = 1) -> str:
    """The same with ± where the interval is symmetric, and the value alone where there is none."""
    if not np.isfinite(low):
        return points(value, decimals=decimals)
    if np.isclose(high - value, value - low):
        return points(value, high - value, decimals)
    return with_interval(value, low, high, decimals=decimals)


def digits(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:#.3g}".rstrip(".")


def listed(numbers: Iterable[Any]) -> str:
    """Whole numbers in their order, the first six and how many more there are; or "none"."""
    names = [str(number) for number in numbers]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more or "none"


def span(values: Iterable[float], write: Callable[[float], str] = digits) -> str:
    """Lowest to highest, or the one value, as they are written; "n/a" of none."""
    every = list(values)
    if not every:
        return "n/a"
    return " to ".join(dict.fromkeys(write(end(every)) for end in (np.min, np.max)))


def spread(
    values: Iterable[float],
    scale: float = 1.0,
    write: Callable[[float], str] = digits,
    middle: Callable[[Any], Any] = np.mean,
) -> str:
    """The mean (or another middle) over seeds, and the lowest and the highest of several."""
    each = scale * np.array([*values])
    low, mean, high = (write(float(end(each))) for end in (np.min, middle, np.max))
    return minus(mean if len(each) < 2 else f"{mean} ({low} to {high})")


def _power(number: float) -> str:
    """A number, or a power of ten whose exponent is as easy to read."""
    exponent = f"{np.log10(number):.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{number:g}" if 1e-3 <= number <= 1e4 else f"10{exponent}"


def _numeric(column: pd.Series[str]) -> bool:
    return bool(
        column.str.fullmatch(
            r"[+−-]?[\d.,]+( ?[%×])?( ± [\d.]+)?( \(.*\))?|n/a|not (measured|published|known)|"
        ).all()
    )


_PERCENT = (0.5, 1, 2, 5, *range(10, 100, 10), 95)
