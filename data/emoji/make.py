"""Build ``emoji.zip``: ten open-licensed emoji sets at 64 × 64 pixels, with names and tags.

    python data/emoji/make.py           # write the file and the table in README.md
    python data/emoji/make.py --check   # compare them with the committed ones

Needs the renderer (``pip install -e ".[data]"``). The packages are fetched from the npm registry
at fixed versions and used only if their sha512 holds. README.md next to this file says how icons
are matched to concepts, which are left out, and how the split is made.
"""

from __future__ import annotations

import argparse
import base64
import csv
import functools
import hashlib
import io
import json
import re
import sys
import tarfile
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import appearance
import numpy as np
import pandas as pd
import pooch
from PIL import Image
from scipy import sparse

from analysis.images.imagelist import Pixels
from companion.sources.emoji import (
    APPEARANCE,
    ARCHIVE,
    SHEET_COLUMNS,
    SIZE,
    STYLES,
    SUBGROUPS,
    TABLE,
    Emoji,
    from_sheet,
    one_row_per_image,
    read_table,
    sizes,
)
from companion.sources.public import cache_folder

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
NAMES = HERE / "names.csv"
BEFORE_SIZES, AFTER_SIZES = "<!-- sizes -->", "<!-- end of sizes -->"

REGISTRY = "https://registry.npmjs.org"
RENDERER = "0.5.0"
#: A sheet keeps this many bits of each colour channel: its compression is lossless after that.
BITS = 6


class Package(NamedTuple):
    """An npm package at one version; ``sha512`` is the registry's, in base64."""

    name: str
    version: str
    sha512: str


TEXT = Package(
    "emojibase-data",
    "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)
PACKAGES = {
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "noto_v1": Package(
        "@iconify-json/noto-v1",
        "1.2.5",
        "/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
    ),
    "openmoji": Package(
        "@iconify-json/openmoji",
        "1.2.29",
        "vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
    ),
    "emojione": Package(
        "@iconify-json/emojione",
        "1.2.3",
        "T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
    ),
    "emojione_v1": Package(
        "@iconify-json/emojione-v1",
        "1.2.3",
        "UjI2VQEXVtGlPBvQuxEizro7QCgBcJDOYwKUupquvvZ8UV4xOlvm45IU82JYWegiAWLerY79gFLMZ26U6Ms+ww==",
    ),
    "emojione_monotone": Package(
        "@iconify-json/emojione-monotone",
        "1.2.1",
        "cZSNcPsuiAD6HCzCh/2dYKGh3pNI0jJlxBxQWfC33cQsPtqYZqulGBvlkThXYNvDl8VxgVHT9u+izyX/yeEIkA==",
    ),
    "fluent_flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "fluent_high_contrast": Package(
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
    ),
    "fxemoji": Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    ),
}
#: The newest emoji version that a set without code points can draw. Guards against an old icon
#: whose name happens to be a newer emoji's, such as Firefox's window of a desktop.
NEWEST = {"noto_v1": 11, "emojione": 5, "emojione_v1": 3, "emojione_monotone": 5, "fxemoji": 1}

#: Man, woman, male and female sign, as parts of a sequence: a gendered variant of a concept.
GENDERS = {"1F468", "1F469", "2640", "2642"}
LEFT_OUT = {"component", "flags"}

#: Words that only tell variants of one drawing apart: colour, gender, size, phase, direction.
VARIANT_WORDS = """
light blue|red|orange|yellow|green|blue|purple|brown|black|white|grey|pink|hollow
man|men|woman|women|person|people|boy|girl|child|santa|mrs|mx|male|female
small|medium|large|low|high|new|full|first|last|quarter|waxing|waning|gibbous|crescent
left|right|up|down|dollar|euro|pound|yen
"""
VARIANT = re.compile(rf"\b({'|'.join(VARIANT_WORDS.split(chr(10))[1:-1])})\b[-. ]*")
#: Two concepts look alike if, in at least this share of the styles that draw both, the inks of
#: their images, averaged to 32 × 32, correlate above SIMILAR.
ALIKE_IN = 0.5
SIMILAR = 0.93

#: Share of concepts whose images are for testing.
TEST_SHARE = 1 / 3
#: A cluster with more concepts than this is for training.
LARGEST_TEST_CLUSTER = 4


class Icon(NamedTuple):
    """A drawing: its name in the package and its SVG."""

    name: str
    svg: str


def main() -> int:
    """Write the files, or with --check say whether the committed ones are what this makes."""
    parser = argparse.ArgumentParser(description="Build data/emoji/emoji.zip.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    check = parser.parse_args().check
    table, images = build()
    stack = np.concatenate([images[style] for style in STYLES])
    emoji = Emoji(stack, one_row_per_image(table))
    flags = [appearance.colours(emoji.images), appearance.textures(emoji.images)]
    packed = np.packbits(np.concatenate(flags, 1), axis=1)
    readme = with_sizes(README.read_text(encoding="utf-8"), sizes(emoji))
    if check:
        difference = compare(table, images, packed, readme)
        print(difference or f"{ARCHIVE.name}, {APPEARANCE.name} and {README.name} are up to date")
        return 1 if difference else 0
    buffer = io.BytesIO()
    np.save(buffer, packed, allow_pickle=False)
    write(APPEARANCE, buffer.getvalue())
    write(README, readme.encode())
    if compare(table, images):  # what has not changed is not written again
        write(ARCHIVE, to_archive(table, images))
    print(f"{ARCHIVE.name}: {len(emoji)} images, {ARCHIVE.stat().st_size / 1e6:.2f} MB")
    return 0


def write(path: Path, content: bytes) -> None:
    """Write a file next to its place, then rename it."""
    beside = path.with_name(f"{path.name}.partial")
    beside.write_bytes(content)
    beside.replace(path)


def build() -> tuple[pd.DataFrame, dict[str, Pixels]]:
    """Return the table of concepts and, by style, the images of those that the style draws."""
    concepts = read_concepts()
    drawings: dict[str, dict[str, Icon]] = {style: match(style, concepts) for style in STYLES}
    images = render_all(drawings)
    for style, icons in drawings.items():
        concepts[style] = [icons[h].name if h in icons else "" for h in concepts.index]
    concepts["cluster"] = clusters(concepts, images)
    concepts["split"] = split(concepts)
    table = concepts.drop(columns="version").reset_index(names="concept")
    return table, {style: coarse(stack) for style, stack in images.items()}


# --- Concepts -------------------------------------------------------------------------------------


@functools.cache
def package(wanted: Package) -> Path:
    """Return the path of a package's checked tarball, downloading it if need be."""
    stem = f"{wanted.name.rpartition('/')[2]}-{wanted.version}.tgz"
    path = pooch.retrieve(
        url=f"{REGISTRY}/{wanted.name}/-/{stem}",
        known_hash=f"sha512:{base64.b64decode(wanted.sha512).hex()}",
        fname=stem,
        path=cache_folder() / "npm",
    )
    return Path(path)


def read(wanted: Package, name: str) -> Any:
    """Return the content of a JSON file in a package; nothing if it has none of that name."""
    with tarfile.open(package(wanted)) as archive:
        try:
            file = archive.extractfile(f"package/{name}")
        except KeyError:
            return {}
        return json.load(file) if file else {}


def read_concepts() -> pd.DataFrame:
    """Return the emoji that count as concepts, in Unicode's order, by hexcode without FE0F.

    Left out: skin tones, gendered variants of a concept, components, flags.
    """
    names = read(TEXT, "meta/groups.json")
    rows = []
    for emoji in sorted(read(TEXT, "en/data.json"), key=lambda e: e.get("order", 0)):
        parts = emoji["hexcode"].split("-")
        if emoji.get("group") is None or (len(parts) > 1 and GENDERS & set(parts)):
            continue
        subgroup = names["subgroups"][str(emoji["subgroup"])]
        rows.append(
            {
                "concept": bare(emoji["hexcode"]),
                "name": emoji["label"].replace("’", "'").replace("“", '"').replace("”", '"'),
                "tags": ";".join(emoji.get("tags", ())),
                "group": names["groups"][str(emoji["group"])],
                "subgroup": subgroup,
                "class": CLASS_OF.get(subgroup, ""),
                "version": emoji["version"],
            }
        )
    table = pd.DataFrame(rows).set_index("concept")
    return table[~table["group"].isin(LEFT_OUT)].copy()


CLASS_OF = {subgroup: name for name, members in SUBGROUPS.items() for subgroup in members}


def bare(hexcode: str) -> str:
    """Return a hexcode in capitals without variation selectors, which packages set differently."""
    return hexcode.upper().replace("-FE0F", "")


# --- Which icon draws which concept ---------------------------------------------------------------


def match(style: str, concepts: pd.DataFrame) -> dict[str, Icon]:
    """Return the icon of every concept that a style draws, by hexcode.

    By the package's own table of code points where it has one; else by name, and only where the
    name belongs to one concept alone.
    """
    source = PACKAGES[style]
    content = read(source, "icons.json")
    points = read(source, "chars.json")
    if points:
        named = {bare(hexcode): name for hexcode, name in points.items()}
    else:
        named = by_name(style, [*content["icons"], *content.get("aliases", {})], concepts)
    return {h: icon(content, named[h]) for h in concepts.index if h in named}


def by_name(style: str, names: Iterable[str], concepts: pd.DataFrame) -> dict[str, str]:
    """Match icon names to concepts, ignoring case, spaces and punctuation."""
    known = known_names()
    allowed = concepts.index[concepts["version"] <= NEWEST[style]]
    by_hand = named_by_hand(style)
    found: dict[str, str] = {}
    for name in names:
        hexcodes = known[squash(name)]
        if len(hexcodes) == 1 and name not in by_hand:
            found.setdefault(*hexcodes, name)
    found |= {hexcode: name for name, hexcode in by_hand.items() if hexcode}
    return {hexcode: name for hexcode, name in found.items() if hexcode in allowed}


def named_by_hand(style: str) -> dict[str, str]:
    """Return the hexcode of each icon that ``names.csv`` assigns, "" where it draws no concept."""
    with NAMES.open(encoding="utf-8", newline="") as file:
        return {
            row["icon"]: row["concept"] for row in csv.DictReader(file) if row["style"] == style
        }


@functools.cache
def known_names() -> Mapping[str, set[str]]:
    """Return hexcodes by squashed name: Unicode's, CLDR's, shortcodes, and the other packages'."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    emoji = {bare(e["hexcode"]): e["label"] for e in read(TEXT, "en/data.json")}
    for hexcode, label in emoji.items():
        known[squash(label)].add(hexcode)
    sources = ["meta/unicode-names.json"]
    sources += [f"en/shortcodes/{kind}.json" for kind in ("emojibase", "emojibase-legacy")]
    for name in sources:
        for hexcode, names in read(TEXT, name).items():
            for one in [names] if isinstance(names, str) else names:
                if bare(hexcode) in emoji:
                    known[squash(one)].add(bare(hexcode))
    for source in PACKAGES.values():
        for hexcode, name in read(source, "chars.json").items():
            if bare(hexcode) in emoji:
                known[squash(name)].add(bare(hexcode))
    return known


def squash(name: str) -> str:
    """Return a name's letters and digits alone, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("&", "and"))
    return re.sub(r"[^a-z0-9]", "", plain)


def icon(content: dict[str, Any], name: str) -> Icon:
    """Return the SVG of an icon of an Iconify set, following aliases."""
    original = name
    while name in content.get("aliases", {}):
        name = content["aliases"][name]["parent"]
    drawing = content["icons"][name]

    def value(key: str, default: int) -> Any:
        return drawing.get(key, content.get(key, default))

    box = f"{value('left', 0)} {value('top', 0)} {value('width', 16)} {value('height', 16)}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIZE}" height="{SIZE}" viewBox="{box}" color="#000">{drawing["body"]}</svg>'
    )
    return Icon(original, svg)


# --- Images ---------------------------------------------------------------------------------------


def render_all(drawings: Mapping[str, Mapping[str, Icon]]) -> dict[str, Pixels]:
    """Render all icons, (N, 64, 64, 3) by style, in processes of their own.

    The renderer is compiled code; should it crash on an icon, that icon is named.
    """
    import resvg_py

    if resvg_py.__version__ != RENDERER:
        print(f"resvg-py is {resvg_py.__version__}, the file was made with {RENDERER}.")
    with ProcessPoolExecutor() as pool:
        pending = {
            style: pool.submit(render, [icon.svg for icon in icons.values()])
            for style, icons in drawings.items()
        }
        images = {}
        for style, result in pending.items():
            try:
                images[style] = result.result()
            except BrokenProcessPool:
                break
    for style in drawings:
        if style not in images:
            images[style] = render_one_by_one(style, drawings[style].values())
    return images


def render_one_by_one(style: str, icons: Iterable[Icon]) -> Pixels:
    """Render in single steps; SystemExit names the icon that crashes the renderer."""
    parts = []
    for drawing in icons:
        with ProcessPoolExecutor(1) as pool:
            try:
                parts.append(pool.submit(render, [drawing.svg]).result())
            except BrokenProcessPool:
                raise SystemExit(
                    f"the renderer crashes on {drawing.name!r} of {style}: install resvg-py "
                    f"{RENDERER}."
                ) from None
    return np.concatenate(parts)


def render(svgs: list[str]) -> Pixels:
    """Render SVGs on white, (N, 64, 64, 3)."""
    import resvg_py

    images = np.empty((len(svgs), SIZE, SIZE, 3), np.uint8)
    for target, svg in zip(images, svgs, strict=True):
        png = resvg_py.svg_to_bytes(svg_string=svg, background="#fff", skip_system_fonts=True)
        with Image.open(io.BytesIO(png)) as image:
            target[:] = np.asarray(image.convert("RGB"))
    return images


def coarse(images: Pixels) -> Pixels:
    """Round each channel to 64 levels from 0 to 255: at most 2 away, and compressed far better."""
    top = 2**BITS - 1
    levels = (images.astype(np.uint16) * top + 127) // 255
    return ((levels * 255 + top // 2) // top).astype(np.uint8)


# --- Split ----------------------------------------------------------------------------------------


def clusters(concepts: pd.DataFrame, images: Mapping[str, Pixels]) -> list[str]:
    """Return for every concept the first concept of its cluster: those that look alike.

    Linked are concepts whose names tell variants of one drawing (``variant_of``), and those whose
    images look alike (``alike``); links are followed to the end.
    """
    links = alike(concepts, images)
    keys = [variant_of(row.name, row.subgroup) for row in concepts.itertuples(index=False)]
    positions = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    for first, *others in positions.values():
        links[first, others] = True
    _, labels = sparse.csgraph.connected_components(sparse.csr_array(links), directed=False)
    firsts: dict[int, str] = {}
    return [firsts.setdefault(label, h) for label, h in zip(labels, concepts.index, strict=True)]


def variant_of(name: str, subgroup: str) -> str:
    """Return a name without what only tells variants of one drawing apart."""
    if subgroup == "keycap":
        return "keycap"
    if subgroup == "time" and re.search(r"o'clock|thirty", name):
        return "face of a clock"
    if name.startswith(("person:", "family")):
        return name.partition(":")[0]
    name = name.removesuffix(": facing right").lower()
    return VARIANT.sub("", name).strip() or name


def alike(concepts: pd.DataFrame, images: Mapping[str, Pixels]) -> np.ndarray:
    """Return a (C, C) boolean matrix: which concepts look alike (see ALIKE_IN)."""
    number = len(concepts)
    both = np.zeros((number, number), np.int16)
    close = np.zeros((number, number), np.int16)
    for style, stack in images.items():
        drawn = np.flatnonzero(concepts[style] != "")
        ink = 255 - stack.reshape(-1, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4), np.float32)
        flat = ink.reshape(len(ink), -1)
        flat -= flat.mean(1, keepdims=True)
        flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
        both[np.ix_(drawn, drawn)] += 1
        close[np.ix_(drawn, drawn)] += flat @ flat.T > SIMILAR
    links = (both >= 2) & (close >= ALIKE_IN * both)
    np.fill_diagonal(links, False)
    return links


def split(concepts: pd.DataFrame) -> pd.Series:
    """Return train or test for every concept; a cluster is never divided.

    Within each class, concepts that every style draws and the others apart, clusters go by size,
    then by the hash of their name. Each goes to test if it is small and the share of concepts for
    testing then stays at TEST_SHARE, rounded.
    """
    size = concepts["cluster"].value_counts()
    everywhere = (concepts[list(STYLES)] != "").all(axis=1)
    strata = (concepts["class"] + everywhere.map({True: "*", False: ""})).groupby(
        concepts["cluster"]
    )
    stratum = strata.agg(lambda names: Counter(names).most_common(1)[0][0])
    seen: Counter[str] = Counter()
    test: Counter[str] = Counter()
    side = {}
    for cluster in sorted(size.index, key=lambda name: (-size[name], sha256(name))):
        where = stratum[cluster]
        seen[where] += size[cluster]
        fits = test[where] + size[cluster] <= TEST_SHARE * seen[where] + 0.5
        side[cluster] = "test" if fits and size[cluster] <= LARGEST_TEST_CLUSTER else "train"
        test[where] += size[cluster] if side[cluster] == "test" else 0
    return concepts["cluster"].map(side)


def sha256(text: str) -> str:
    """Return the hash of a text: an order that depends on nothing else."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- File -----------------------------------------------------------------------------------------


def to_archive(table: pd.DataFrame, images: Mapping[str, Pixels]) -> bytes:
    """Return the file's bytes: the table as CSV, and per style one sheet as lossless WebP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members(table, images):
            entry = zipfile.ZipInfo(name)  # dated 1980, so that equal content gives equal bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def to_sheet(images: Pixels) -> Pixels:
    """Lay (N, 64, 64, 3) images out in rows of 40: (64 · rows, 2560, 3), white where none is."""
    rows = -(-len(images) // SHEET_COLUMNS)
    full = np.full((rows * SHEET_COLUMNS, SIZE, SIZE, 3), 255, np.uint8)
    full[: len(images)] = images
    grid = full.reshape(rows, SHEET_COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2)
    return grid.reshape(rows * SIZE, SHEET_COLUMNS * SIZE, 3)


def members(table: pd.DataFrame, images: Mapping[str, Pixels]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the archive's files."""
    yield TABLE, table.to_csv(index=False, lineterminator="\n").encode()
    for style, stack in images.items():
        buffer = io.BytesIO()
        sheet = Image.fromarray(to_sheet(stack))
        sheet.save(buffer, format="WEBP", lossless=True, quality=80, method=4)
        yield f"{style}.webp", buffer.getvalue()


def compare(
    table: pd.DataFrame,
    images: Mapping[str, Pixels],
    packed: np.ndarray | None = None,
    readme: str | None = None,
) -> str:
    """Return in a sentence how the committed files' content differs, "" if it does not."""
    if not ARCHIVE.is_file():
        return f"{ARCHIVE.name} does not exist: run make.py"
    with zipfile.ZipFile(ARCHIVE) as archive:
        committed = read_table(archive.read(TABLE))
        sheets = {style: archive.read(f"{style}.webp") for style in STYLES}
    if not committed.equals(table.astype(committed.dtypes)):
        return f"{ARCHIVE.name} is out of date, its table differs: run make.py"
    for style, content in sheets.items():
        with Image.open(io.BytesIO(content)) as sheet:
            there = from_sheet(np.asarray(sheet.convert("RGB")), len(images[style]))
        off = np.abs(there.astype(int) - images[style])
        if off.any():
            number = np.count_nonzero(off.any((1, 2, 3)))
            return (
                f"{ARCHIVE.name} is out of date, {number} images of {style} differ, by {off.max()} "
                "of 255 at most: run make.py"
            )
    if packed is not None and not np.array_equal(np.load(APPEARANCE), packed):
        return f"{APPEARANCE.name} is out of date: run make.py"
    if readme is not None and README.read_text(encoding="utf-8") != readme:
        return f"the table in {README.name} is out of date: run make.py"
    return ""


def with_sizes(readme: str, counts: pd.DataFrame) -> str:
    """Return the README with the table of sizes, train/test, between its two marks."""
    head, found, tail = readme.partition(BEFORE_SIZES)
    _, ended, tail = tail.partition(AFTER_SIZES)
    if not found or not ended:
        raise SystemExit(f"{README.name} lacks the marks {BEFORE_SIZES} and {AFTER_SIZES}.")
    total = counts.drop(index="(no class)").sum().rename("**all classes**")
    rows = pd.concat([counts, total.to_frame().T])
    styles = list(STYLES)
    lines = ["| class | " + " | ".join(f"`{style}`" for style in styles) + " |"]
    lines += ["|" + "---|" * (len(styles) + 1)]
    for name, row in rows.iterrows():
        cells = [f"{row[style, 'train']}/{row[style, 'test']}" for style in styles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return f"{head}{BEFORE_SIZES}\n" + "\n".join(lines) + f"\n{AFTER_SIZES}{tail}"


if __name__ == "__main__":
    sys.exit(main())
