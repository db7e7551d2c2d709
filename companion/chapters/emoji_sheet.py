"""The pocket lab's emoji as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from companion.chapters import picture_rows
from companion.engine.style import Drawing
from companion.sources import emoji, sets
from companion.sources.emoji import CLASSES, STYLES, Emoji


def some_emoji(data: Emoji, styles: Sequence[str] = tuple(STYLES)) -> Drawing:
    """Nine test concepts, one from each of nine classes, as every one of some styles draws them."""
    table = data.table
    drawn = table.groupby("concept")["style"].nunique()
    test = table[(table["split"] == "test") & (table["class_index"] >= 0)]
    everywhere = test[test["concept"].map(drawn) == len(STYLES)]
    chosen = everywhere.drop_duplicates("class_index")["concept"].iloc[:: len(CLASSES) // 9]
    names = [table[table["concept"] == c]["name"].iloc[0] for c in chosen]
    places = table.reset_index().set_index(["style", "concept"])["index"]
    drawings = {
        titled(art): [data.images[places[art, concept]] for concept in chosen] for art in styles
    }
    alt = f"A grid of small drawings: {', '.join(names)}, each in {len(styles)} drawing styles."
    return picture_rows.pictures(drawings, alt)


def titled(art: str) -> str:
    """A style, with its role in brackets."""
    return f"{sets.styles()[art].title}\n({emoji.STYLES[art]})"
