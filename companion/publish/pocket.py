"""The pocket lab's emoji as a picture, and what its models recognise of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.families.registry import Family
from analysis.images import emoji, sets
from analysis.images.emoji import CLASSES, STYLES, Emoji
from companion.publish import charts, dots
from companion.publish.style import Drawing


def some_emoji(data: Emoji) -> Drawing:
    """Nine test concepts, of as many classes, as every style draws them."""
    table = data.table
    drawn = table.groupby("concept")["style"].nunique()
    test = table[(table["split"] == "test") & (table["class_index"] >= 0)]
    everywhere = test[test["concept"].map(drawn) == len(STYLES)]
    chosen = everywhere.drop_duplicates("class_index")["concept"].iloc[:: len(CLASSES) // 9]
    names = [table[table["concept"] == c]["name"].iloc[0] for c in chosen]
    places = table.reset_index().set_index(["style", "concept"])["index"]
    drawings = {
        _titled(art): [data.images[places[art, concept]] for concept in chosen] for art in STYLES
    }
    alt = f"A grid of small drawings: {', '.join(names)}, each in ten drawing styles."
    return charts.pictures(drawings, alt)


def by_style(family: Family, test: pd.DataFrame, shown: Sequence[str]) -> Drawing:
    """Accuracy of the family's models in the `shown` styles, one mark per seed.

    ``test``: rows of `data/pocket/accuracies.csv`.
    """
    marks = []
    for model in family.models:
        own = test[(test["model"] == model.name) & test["style"].isin(shown)]
        x, look = own["style"].map(shown.index), dots.look(model.name)
        marks.append(dots.Marks(model.title, model.level, x, own["accuracy"], look=look))
    places = [_titled(art) for art in shown]
    return dots.strips(places, marks, "accuracy on test concepts (%)", 100 / len(CLASSES))


def _titled(art: str) -> str:
    """A style, and in brackets what it plays."""
    return f"{sets.styles()[art].title}\n({emoji.STYLES[art]})"
