"""Should I rotate before I quantise? What few bits cost stored embeddings, scheme by scheme.

    from companion.bits import bits
    print(bits(embeddings))  # an array (vectors, components), or a data frame's column

The command is `companion bits`; `data/bits.yaml` has its words, and says which engines store
vectors by which scheme. The page is *Should I rotate before I quantise?*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from analysis.base.files import write_output
from analysis.base.quoting import Html, in_html, tag
from analysis.base.roots import ROOT
from analysis.base.strict import read_yaml
from analysis.base.texts import CompanionError, aligned
from analysis.metrics import basis, outliers, paired
from analysis.metrics import quantisation as metrics
from companion.cli import recipes
from companion.engine import policy, style
from companion.engine.cells import cell
from companion.engine.svg import inline_svg
from companion.measurements.bits import standard_error, without_one_vector
from companion.measurements.unread import Texts
from companion.probe import measure, rotation
from companion.sources.rows import Comparison, as_stack, of_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

#: Of more vectors so many take part, evenly spaced, and neighbours are looked for of so many.
MOST_ROWS, QUERIES = 20_000, 500
#: Scores are at most 1; those that differ by less are equal but for rounding in float32.
TIED = 4e-6
#: Characters of a line in a terminal.
LINE = 79
#: Below this share of distinct vectors nothing is advised.
LEAST_DISTINCT = 0.5
#: Fewer vectors are few for ten neighbours.
FEW_ROWS = 200
#: So many rows of a kind are named in a message.
FEW_NAMED = 5
#: Where no scheme keeps more of the neighbours than this, the vectors are to be looked at.
LEAST_KEPT = 0.1
#: The share of values that a clipped range leaves out at each end.
OUTERMOST = 0.005
WORDS: dict[str, Any] = read_yaml(ROOT / "data" / "bits.yaml")
#: Remedies, by the column that shows what they keep.
REMEDIES = {"mean_off": "mean off", "rotated": "rotation", "one_vector_off": "one vector off"}


class BitsError(CompanionError):
    """Embeddings cannot be measured; the message says why and what to do."""


# Schemes


def clipped(features: ArrayLike, bits: int) -> Array:
    """One range for all numbers, without the outermost values, which are clipped: (N, d)."""
    h = np.asarray(features, dtype=np.float64)
    low, high = np.quantile(h, [OUTERMOST, 1 - OUTERMOST])
    return metrics.ranged(np.clip(h, low, high), bits, of="tensor")


def by_length(features: ArrayLike) -> Array:
    """Bytes of the numbers over their vector's length, as usearch makes them for cosines: (N, d).

    A number is multiplied by 127 and cut off after the point.
    """
    return np.trunc(127 * basis.at_length_one(features))


def product(features: ArrayLike) -> Array:
    """Codes of 4 bits for 4 numbers, as faiss's IndexPQ learns them from the vectors: (N, d)."""
    import faiss

    h = np.ascontiguousarray(features, dtype=np.float32)
    codes: Any = faiss.ProductQuantizer(h.shape[1], h.shape[1] // metrics.PART, 4)
    codes.cp.min_points_per_centroid = 1
    codes.train(h)
    decoded: Array = codes.decode(codes.compute_codes(h)).astype(np.float64)
    return decoded


class Scheme(NamedTuple):
    """How vectors are stored: bits per number, bytes besides, and a quantiser (N, d) → (N, d).

    `alike`: queries are compressed like the stored vectors and compared by cosine, whatever else
    the engine does; elsewhere queries stay whole. `faiss`: the name of its scalar quantiser.
    """

    bits: int
    quantiser: Callable[[ArrayLike], Array]
    besides: int = 0
    alike: bool = False
    faiss: str = ""

    def bytes(self, width: int) -> int:
        """Bytes of a vector's code."""
        return -(-self.bits * width // 8) + self.besides


SCHEMES: dict[str, Scheme] = {
    "range-4": Scheme(4, partial(metrics.ranged, bits=4, of="tensor"), faiss="QT_4bit_uniform"),
    "vector-4": Scheme(4, partial(metrics.uniform, bits=4), besides=4),
    "dimension-4": Scheme(4, partial(metrics.ranged, bits=4, of="dimension"), faiss="QT_4bit"),
    "range-8": Scheme(8, partial(metrics.ranged, bits=8, of="tensor"), faiss="QT_8bit_uniform"),
    "clipped-8": Scheme(8, partial(clipped, bits=8)),
    "length-8": Scheme(8, by_length, alike=True),
    "vector-8": Scheme(8, partial(metrics.uniform, bits=8), besides=4),
    "dimension-8": Scheme(8, partial(metrics.ranged, bits=8, of="dimension"), faiss="QT_8bit"),
    "product-1": Scheme(1, product),
    "sign-1": Scheme(1, metrics.sign, alike=True),
}


def schemes(width: int, by: Comparison) -> dict[str, Scheme]:
    """Those that can be measured: usearch's by cosine, product codes where faiss is installed."""
    left_out = {"length-8"} if by != "cosine" else set()
    if width % metrics.PART or not find_spec("faiss"):
        left_out.add("product-1")
    return {key: scheme for key, scheme in SCHEMES.items() if key not in left_out}


# Searching


def _scores(
    asked: Array, stored: Array, queries: NDArray[np.intp], by: Comparison
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Scores of queries (q, d) with stored vectors (N, d), best highest, −∞ for themselves.

    By Euclidean distance the score is q·x − |x|²/2, which orders as the distance does.
    """
    if by == "cosine":
        asked, stored = (x / np.maximum(_lengths(x), 1e-300) for x in (asked, stored))
    largest = max(_lengths(asked).max(), _lengths(stored).max(), 1e-300)
    asked, stored = asked / largest, stored / largest
    if by == "euclidean":
        asked = np.column_stack([asked, np.ones(len(asked))])
        stored = np.column_stack([stored, -(stored**2).sum(axis=1) / 2])
    columns = stored.T.astype(np.float32)
    for start in range(0, len(queries), metrics.BLOCK):
        part = slice(start, start + metrics.BLOCK)
        scores = asked[part].astype(np.float32) @ columns
        scores[np.arange(len(scores)), queries[part]] = -np.inf
        yield part, scores


def _lengths(h: Array) -> Array:
    lengths: Array = np.linalg.norm(h, axis=1, keepdims=True)
    return lengths


def nearest(h: Array, queries: NDArray[np.intp], by: Comparison) -> NDArray[np.intp]:
    """The ten best of some vectors, without themselves: (N, d), (q,) → (q, 10), in no order."""
    most = metrics.NEIGHBOURS
    parts = (np.argpartition(-s, most - 1) for _, s in _scores(h[queries], h, queries, by))
    return np.concatenate([part[:, :most] for part in parts])


def kept(
    found: NDArray[np.intp], asked: Array, stored: Array, queries: NDArray[np.intp], by: Comparison
) -> Array:
    """The share of each query's neighbours that a search among stored vectors still finds: (q,).

    Among equal scores each counts with the probability that it is taken.
    """
    most, shares = found.shape[1], np.empty(len(queries))
    for part, scores in _scores(asked, stored, queries, by):
        last = np.partition(scores, -most, axis=1)[:, -most, None]
        free = most - (scores > last + TIED).sum(axis=1, keepdims=True)
        tied = (np.abs(scores - last) <= TIED).sum(axis=1, keepdims=True)
        own = np.take_along_axis(scores, found[part], axis=1)
        chance = (own > last + TIED) + (np.abs(own - last) <= TIED) * free / tied
        shares[part] = chance.mean(axis=1)
    return shares


class Won(NamedTuple):
    """What a remedy wins of the neighbours, as a fraction, with its 95 % interval."""

    won: float
    low: float
    high: float

    @property
    def worth(self) -> bool:
        """Whether it wins enough to be advised, and surely something."""
        return self.won >= rotation.WORTH and self.low > 0


class Row(NamedTuple):
    """One scheme: neighbours kept, as fractions, in each frame, and what remedies win."""

    scheme: str
    bytes: int
    kept: Mapping[str, float]
    won: Mapping[str, Won]

    @property
    def name(self) -> str:
        """The scheme in words."""
        return str(WORDS["schemes"][self.scheme]["name"])

    @property
    def engines(self) -> str:
        """The engines that store so."""
        return "; ".join(engine["name"] for engine in WORDS["schemes"][self.scheme]["engines"])

    @property
    def bits(self) -> int:
        """Bits per number."""
        return SCHEMES[self.scheme].bits

    @property
    def faiss(self) -> str:
        """The name of faiss's scalar quantiser, or nothing."""
        return SCHEMES[self.scheme].faiss

    @property
    def advice(self) -> str:
        """What is worth it: rotation, mean_off, either, or nothing."""
        turn, mean = self.won["rotated"], self.won.get("mean_off")
        if mean is None or not mean.worth:
            return "rotation" if turn.worth else "nothing"
        if not turn.worth or mean.won - turn.won >= rotation.WORTH:
            return "mean_off"
        return "rotation" if turn.won - mean.won >= rotation.WORTH else "either"

    @property
    def best(self) -> tuple[str, float]:
        """The frame that is worth storing in, and what it keeps."""
        frame = {"nothing": "as_written", "mean_off": "mean_off"}.get(self.advice, "rotated")
        return frame, self.kept[frame]


@dataclass(frozen=True, repr=False)
class Bits:
    """What few bits cost embeddings: a row for each scheme, and one sentence of advice.

    `mean`: (d,), of the vectors, by cosine at length 1; `sha256`: of those that took part.
    """

    by: Comparison
    rows: tuple[Row, ...]
    advice: str
    about: str
    cautions: tuple[str, ...]
    mean: Array
    sha256: str

    def __repr__(self) -> str:
        table = self.cells().drop(columns=WORDS["columns"]["engines"])
        lines = aligned([[*table], *table.to_numpy().tolist()])
        notes = [fill(text, LINE) for text in (self.about, *self.cautions)]
        named = [f"{row.name}: {row.engines}" for row in self.rows if row.engines]
        engines = [
            fill(text, LINE, initial_indent="  ", subsequent_indent="    ") for text in named
        ]
        parts = [fill(self.advice, LINE), "", *lines, "", *notes, "", "Engines that store so:"]
        return "\n".join([*parts, *engines, "", self.recipe()])

    def recipe(self) -> str:
        """Lines to paste for faiss and Qdrant, each with the remedy that is worth it there."""
        faiss = max((row for row in self.rows if row.bits == 4 and row.faiss), key=_after_remedy)
        (qdrant,) = (row for row in self.rows if row.scheme == "range-8")
        return recipes.of_faiss(self.by, faiss.best[0], faiss.faiss) + recipes.of_qdrant(
            self.by, qdrant.best[0], len(self.mean)
        )

    def _repr_html_(self) -> str:
        return Html(tag("p", tag("strong", self.advice)) + self._table() + self._notes())

    def _table(self) -> Html:
        rows = self.cells().to_html(index=False, border=0)
        return tag("div", Html(rows), class_="scroll", tabindex="0")

    def _notes(self) -> Html:
        return Html("".join(tag("p", text) for text in (self.about, *self.cautions)))

    def cells(self) -> pd.DataFrame:
        """The table as texts: shares in percent, remedies in words."""
        words = WORDS["columns"]
        table = pd.DataFrame(
            {words["scheme"]: row.name, words["bytes"]: f"{row.bytes:,}"}
            | {words[frame]: f"{100 * kept:.0f} %" for frame, kept in row.kept.items()}
            | {words["worth"]: row.advice.replace("_", " "), words["engines"]: row.engines}
            for row in self.rows
        )
        last = [words["worth"], words["engines"]]  # a frame that the first row lacks comes last
        return table[[c for c in table if c not in last] + last].fillna("–")

    def to_frame(self) -> pd.DataFrame:
        """A row for each scheme; shares are fractions, with the ends of 95 % intervals."""
        return pd.DataFrame(
            {"scheme": row.name, "engines": row.engines, "bytes": row.bytes}
            | dict(row.kept)
            | {f"{name}_{end}": x for name, w in row.won.items() for end, x in w._asdict().items()}
            | {"worth": row.advice}
            for row in self.rows
        )

    def picture(self) -> Figure:
        """Neighbours kept by each scheme, a mark for each frame."""
        figure, axis = style.new_figure(height=0.8 + 0.5 * len(self.rows))
        places = np.arange(len(self.rows))[::-1]
        marks = dict(zip(("as_written", *REMEDIES), "osD^", strict=True))
        for frame, marker in marks.items():
            shares = [100 * row.kept.get(frame, np.nan) for row in self.rows]
            if np.isfinite(shares).any():
                axis.plot(shares, places, marker, label=WORDS["columns"][frame], alpha=0.8)
        axis.set_yticks(places, labels=[fill(row.name, 22) for row in self.rows], fontsize=9)
        axis.set_xlim(-2, 102)
        axis.set_xlabel("nearest neighbours kept (%)")
        axis.grid(axis="x", alpha=0.4)
        figure.legend(frameon=False, fontsize=9, ncols=4, loc="outside upper center")
        return figure

    def save(self, path: str | Path) -> None:
        """Write what the ending says: .html (all, a page that loads nothing), .svg, .csv, .txt.

        Raises BitsError for another ending.
        """
        ending = Path(path).suffix.lower()
        if ending not in (".html", ".svg", ".csv", ".txt"):
            raise BitsError(f"{path} ends in none of .html, .svg, .csv and .txt: choose one.")
        if ending == ".html":
            text = self.page()
        elif ending == ".svg":
            text = style.to_svg(self.picture())
        else:
            text = style.to_csv(self.to_frame()) if ending == ".csv" else f"{self}\n"
        write_output(Path(path), text)

    def page(self) -> str:
        """The advice, the picture and the table as a page of HTML that loads nothing."""
        from string import Template

        from companion.engine import single_page

        title = "Should I rotate before I quantise?"
        figure = tag("figure", Html(inline_svg(style.to_svg(self.picture()), self.advice)))
        origin = tag("p", f"sha256 of the vectors: {self.sha256}", class_="caption")
        advice = tag("div", tag("p", self.advice), class_="sentences")
        body = advice + figure + self._table() + self._notes() + origin
        template = Template(single_page.PAGE.read_text(encoding="utf-8"))
        return template.substitute(title=in_html(title), policy=policy.of_single_page(), body=body)


def bits(
    embeddings: ArrayLike | pd.Series[Any],
    texts: ArrayLike | None = None,
    *,
    by: Comparison = "cosine",
    rows: int = MOST_ROWS,
    total: int | None = None,
    rows_are_vectors: bool = False,
    progress: bool = False,
) -> Bits:
    """What storing embeddings (N, d) in few bits costs, and whether a rotation helps.

    `by`: how the engine compares; by cosine, vectors are taken at length 1. Each scheme compresses
    the stored vectors as they are written; without their mean (by Euclidean distance it is taken
    off queries, too; by inner product and cosine queries stay as they are, since a constant taken
    off all stored vectors changes each score of a query by the same number); rotated at random;
    and, with `texts` (M, d) of the same model, without the part of the mean that lies where texts
    vary least. Counted is the share of the ten nearest neighbours that stay. Copies are left out.
    Of more than `rows` vectors so many take part, evenly spaced; `total`: how many there were.
    `rows_are_vectors`: whether that is known, so that no guess about a transposed array is made.
    Raises BitsError for anything that cannot be measured.
    """
    try:
        array, count = _some(embeddings, rows)
        h, sha256, copies = _checked(array, rows_are_vectors or isinstance(embeddings, pd.Series))
        h = basis.at_length_one(h) if by == "cosine" else np.asarray(h, dtype=np.float64)
        others = None if texts is None else _texts(texts, array)
        about = partial(_about, h, by, count if total is None else total, copies)
        table = tuple(_rows(h, by, others, progress))
        return Bits(by, table, advice(table), *about(table), h.mean(axis=0), sha256)
    except ValueError as error:
        raise BitsError(f"the bits cannot be counted: {error}") from None


def _rows(h: Array, by: Comparison, texts: Texts | None, progress: bool) -> Iterator[Row]:
    """A row for each scheme."""
    queries, measured = metrics.evenly(len(h), QUERIES), schemes(h.shape[1], by)
    found, shares = nearest(h, queries, by), dict[str, dict[str, Array]]()
    frames = 3 if texts is None else 4
    with tqdm(total=frames * len(measured), leave=False, disable=None if progress else True) as bar:
        for frame, stored in _frames(h, texts, by):
            for key, scheme in measured.items():
                bar.update()
                if frame == "mean_off" and key == "length-8":
                    continue
                decoded = scheme.quantiser(stored)
                whole = frame == "mean_off" and by != "euclidean"
                asked = decoded if scheme.alike else h if whole else stored
                how: Comparison = "cosine" if scheme.alike else _by_scores(by)
                some = kept(found, asked[queries], decoded, queries, how)
                shares.setdefault(key, {})[frame] = some
    yield from (_row(key, of, h.shape[1]) for key, of in shares.items())


def _by_scores(by: Comparison) -> Comparison:
    """How vectors at length 1 are compared by cosine: nothing divides by a code's length."""
    return "inner-product" if by == "cosine" else by


def _frames(h: Array, texts: Texts | None, by: Comparison) -> Iterator[tuple[str, Array]]:
    """The vectors in each frame, one after the other, so that one copy is in memory."""
    yield "as_written", h
    yield "mean_off", h - h.mean(axis=0)
    yield "rotated", h @ basis.random_rotation(h.shape[1], rotation.SEED)
    if texts is not None:
        less = without_one_vector(h, texts)
        yield "one_vector_off", basis.at_length_one(less) if by == "cosine" else less


def _row(key: str, shares: Mapping[str, Array], width: int) -> Row:
    """A row from the share that each query keeps in each frame."""
    won = {}
    for frame, of in shares.items():
        if frame != "as_written":
            change = of - shares["as_written"]
            half = paired.Z * float(standard_error(change))
            won[frame] = Won(float(change.mean()), change.mean() - half, change.mean() + half)
    kept = {frame: float(of.mean()) for frame, of in shares.items()}
    return Row(key, SCHEMES[key].bytes(width), kept, won)


# Words


def advice(rows: Sequence[Row]) -> str:
    """One sentence: what to do with which schemes, and what that wins."""
    most = max(share for row in rows for share in row.kept.values())
    if most < LEAST_KEPT:
        return str(cell(WORDS["none"], {"kept": 100 * most}))
    by = {kind: [row for row in rows if row.advice == kind] for kind in WORDS["advice"]}
    answers = " ".join(_answer(rows, size) for size in (4, 8))
    if len(by["nothing"]) == len(rows):
        best = max((row.won["rotated"] for row in rows), key=lambda won: won.won)
        return f"{answers} {cell(WORDS['advice']['nothing'], _points(best))}."
    parts = []
    for kind, of in by.items():
        if of and kind != "nothing":
            frame = "mean_off" if kind == "mean_off" else "rotated"
            best = max((row.won[frame] for row in of), key=lambda won: won.won)
            parts.append(cell(WORDS["advice"][kind], {"names": _named(of), **_points(best)}))
    parts = [parts[0], *(part[:1].lower() + part[1:] for part in parts[1:])]
    if by["nothing"]:
        parts.append(WORDS["advice"]["rest"])
    return f"{answers} {'; '.join(parts)}."


def _after_remedy(row: Row) -> tuple[float, float]:
    """A remedy must win enough over the best scheme that needs none."""
    frame, share = row.best
    return share - (0 if frame == "as_written" else rotation.WORTH), share


def _answer(rows: Sequence[Row], size: int) -> str:
    """With so many bits, the scheme of an engine that keeps most, and in which frame."""
    best = max((row for row in rows if row.bits == size and row.engines), key=_after_remedy)
    frame, share = best.best
    engine = WORDS["schemes"][best.scheme]["engines"][0]["name"].partition(",")[0]
    return str(cell(WORDS["answer"][frame], {"bits": size, "engine": engine, "kept": 100 * share}))


def _named(rows: Sequence[Row]) -> str:
    """Schemes in words, those of one name together: "one scale per vector (4 and 8 bits)"."""
    sizes: dict[str, list[str]] = {}
    for row in rows:
        name, _, size = row.name.rpartition(", ")
        sizes.setdefault(name, []).append(size.split()[0])
    each = [
        name if len(SIZES[name]) == len(size) else f"{name} at {' and '.join(size)} bits"
        for name, size in sizes.items()
    ]
    return " or ".join([", ".join(each[:-1]), each[-1]] if len(each) > 1 else each)


#: The bits that each kind of scheme has, by its name.
SIZES: dict[str, list[int]] = {}
for _key, _scheme in SCHEMES.items():
    SIZES.setdefault(WORDS["schemes"][_key]["name"].rpartition(", ")[0], []).append(_scheme.bits)


def _points(won: Won) -> dict[str, float]:
    return {name: 100 * value for name, value in won._asdict().items()}


def _about(
    h: Array, by: Comparison, total: int, copies: int, rows: Sequence[Row]
) -> tuple[str, tuple[str, ...]]:
    """What was measured, and what must be kept in mind."""
    of = f"of {total:,} " if total > len(h) + copies else ""
    values = {"rows": len(h), "of": of, "components": h.shape[1], "neighbours": metrics.NEIGHBOURS}
    values |= {"queries": min(len(h), QUERIES), "kurtosis": outliers.kurtosis(h).mean()}
    values |= {"by": WORDS["by"][by], "copies": copies}
    words, said = WORDS["cautions"], []
    if len(h) < FEW_ROWS:
        said.append(cell(words["few"], values))
    if of:
        said.append(words["sample"])
    if copies:
        said.append(cell(words["copies"], values))
    for row in rows:
        if row.scheme == "product-1" and row.won["rotated"].won < rotation.WORTH:
            ends = {"written": 100 * row.kept["as_written"], "rotated": 100 * row.kept["rotated"]}
            said.append(cell(words["product"], ends))
        if (lost := row.won["rotated"]).high < 0 and lost.won <= -0.01:
            least = Won(-lost.won, -lost.high, -lost.low)
            said.append(cell(words["loses"], {**_points(least), "name": row.name}))
    return cell(WORDS["about"], values), tuple(said)


# Bad input


def _some(embeddings: Any, most: int) -> tuple[NDArray[Any], int]:
    """At most so many rows, evenly spaced, and how many there were."""
    given = as_stack(embeddings)
    if not isinstance(given, np.memmap):
        given = measure.as_array("the embeddings", given)
    if given.ndim == 3 and 1 in given.shape[1:]:  # (N, 1, d), as some models give them
        given = given.reshape(len(given), -1)
    count = len(given) if given.ndim else 0
    taken = of_array(given, metrics.evenly(count, most)) if given.ndim == 2 else given
    return measure.as_array("the embeddings", taken), count


def _checked(array: NDArray[Any], rows_are_vectors: bool) -> tuple[NDArray[Any], str, int]:
    """The vectors that take part, their checksum, and how many copies were left out.

    Raises ValueError for others.
    """
    if array.ndim != 2:
        raise ValueError(
            f"the embeddings have the shape {array.shape}, where a vector per row is expected, "
            "(vectors, numbers): give such an array."
        )
    array = outliers.checked_features(array)
    if not rows_are_vectors and measure.seems_transposed(array):
        raise ValueError(
            f"the embeddings have the shape {array.shape} and seem to be transposed, since their "
            "rows differ in length more than twice as much as their columns: give embeddings.T or, "
            "if rows are vectors, divide each by its length."
        )
    some = array[: metrics.BLOCK]
    if array.dtype.kind in "iu" or (some.min() < some.max() and not np.any(some % 1)):
        raise ValueError(
            f"the embeddings ({array.dtype}) are whole numbers, as in a copy that is compressed "
            "already: give what the model computes, in floating point."
        )
    if len(array) <= metrics.NEIGHBOURS:
        raise ValueError(
            f"{len(array)} vectors have no {metrics.NEIGHBOURS} neighbours each: give more than "
            f"{metrics.NEIGHBOURS}, preferably hundreds."
        )
    constant = np.flatnonzero(array.min(axis=1) == array.max(axis=1))
    if len(constant):
        raise ValueError(
            f"all numbers are equal, or zero, in {len(constant):,} of {len(array):,} rows "
            f"({', '.join(map(str, constant[:FEW_NAMED]))}{', …' * (len(constant) > FEW_NAMED)}): "
            "leave these rows out."
        )
    for column in np.flatnonzero(~np.any(some % 1, axis=0)):
        if len(np.unique(array[:, column])) == len(array) and not np.any(array[:, column] % 1):
            raise ValueError(
                f"column {column} holds a whole number of its own in each row, as an id does: "
                f"leave it out, np.delete(vectors, {column}, axis=1)."
            )
    first = {row.tobytes(): place for place, row in reversed([*enumerate(array)])}
    if len(first) < max(LEAST_DISTINCT * len(array), metrics.NEIGHBOURS + 1):
        raise ValueError(
            f"only {len(first):,} of {len(array):,} vectors differ, and neighbours among copies "
            "mean nothing: give each vector once."
        )
    whole = len(first) == len(array)
    distinct = array if whole else array[sorted(first.values())]
    return distinct, measure.sha256(distinct), len(array) - len(distinct)


def _texts(given: ArrayLike, embeddings: NDArray[Any]) -> Texts:
    """The texts, of the embeddings' width; ValueError for others, and for the embeddings."""
    rows = outliers.checked_features(measure.as_array("the texts", as_stack(given)))
    if rows.shape[1] != (width := embeddings.shape[1]):
        raise ValueError(
            f"the texts have {rows.shape[1]} components, the embeddings {width}: take both from "
            "one model."
        )
    if np.array_equal(rows, embeddings):
        raise ValueError("the texts are the embeddings themselves: give embeddings of texts.")
    return Texts(rows)
