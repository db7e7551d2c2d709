"""Build the class tables of ImageNet and its shifts next to this file.

    python data/imagenet/make.py            # write classes.csv, templates.txt and objectnet.csv
    python data/imagenet/make.py --check    # compare with the committed files
    python data/imagenet/make.py --check --mappings /data/objectnet-1.0/mappings

Class ids and the classes of ImageNet-R and ImageNet-A come from timm, class names and templates
from open_clip, both as installed. ObjectNet's folders, labels and ImageNet names are columns of
``objectnet.csv`` itself; only its last column is computed here, and ``--mappings``, the folder that
comes with ObjectNet, checks the others. README.md next to this file gives the origins.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import open_clip

HERE = Path(__file__).resolve().parent
OBJECTNET = HERE / "objectnet.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--mappings", type=Path, help="mappings/ of a copy of ObjectNet")
    options = parser.parse_args()
    made = {"classes.csv": classes(), "templates.txt": templates(), "objectnet.csv": objectnet()}
    differ = []
    for name, text in made.items():
        path = HERE / name
        if not options.check:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif path.read_text(encoding="utf-8") != text:
            differ.append(f"{name} is not what is made from timm and open_clip.")
    if options.mappings:
        differ += compare_with_mappings(options.mappings)
    print("\n".join(differ) or ", ".join(made) + (" agree." if options.check else " written."))
    return int(bool(differ))


def classes() -> str:
    """The 1,000 classes in the order of every ImageNet head."""
    rendered, natural = set(timm_list("imagenet_r_synsets")), set(timm_list("imagenet_a_synsets"))
    rows = [
        (index, wnid, name, int(wnid in rendered), int(wnid in natural))
        for index, (wnid, name) in enumerate(
            zip(timm_list("imagenet_synsets"), open_clip.IMAGENET_CLASSNAMES, strict=True)
        )
    ]
    return to_csv([("index", "wnid", "name", "imagenet_r", "imagenet_a"), *rows])


def templates() -> str:
    """OpenAI's 80 templates for ImageNet, one a line."""
    return "".join(f"{template('{}')}\n" for template in open_clip.OPENAI_IMAGENET_TEMPLATES)


def objectnet() -> str:
    """ObjectNet's 313 folders, with the wnids of the ImageNet names that 113 of them have."""
    lemmas = dict(line.split("\t") for line in timm_lines("imagenet_synset_to_lemma"))
    ids: dict[str, list[str]] = {}
    for wnid in timm_list("imagenet_synsets"):
        ids.setdefault(lemmas[wnid], []).append(wnid)
    rows = [("folder", "label", "imagenet", "wnids")]
    for row in sorted(read_objectnet(), key=lambda row: row["folder"]):
        wnids = [only(ids[name]) for name in row["imagenet"].split("; ") if name]
        rows.append((row["folder"], row["label"], row["imagenet"], " ".join(wnids)))
    return to_csv(rows)


def compare_with_mappings(folder: Path) -> list[str]:
    """What the mappings of a copy of ObjectNet say otherwise than objectnet.csv."""
    labels = json.loads((folder / "folder_to_objectnet_label.json").read_text(encoding="utf-8"))
    names = json.loads((folder / "objectnet_to_imagenet_1k.json").read_text(encoding="utf-8"))
    rows = read_objectnet()
    ours = {row["folder"]: row["label"] for row in rows}
    mapped = {row["label"]: row["imagenet"] for row in rows if row["imagenet"]}
    differ = []
    for what, there, here in (("labels", labels, ours), ("ImageNet names", names, mapped)):
        wrong = sorted(k for k in there.keys() | here.keys() if there.get(k) != here.get(k))
        if wrong:
            differ.append(f"{what} of {folder} differ from objectnet.csv for {', '.join(wrong)}.")
    return differ


def read_objectnet() -> list[dict[str, str]]:
    with OBJECTNET.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def timm_lines(name: str) -> list[str]:
    """Lines of one of timm's tables."""
    path = files("timm.data") / "_info" / f"{name}.txt"
    return path.read_text(encoding="utf-8").splitlines()


def timm_list(name: str) -> list[str]:
    return [line.strip() for line in timm_lines(name) if line.strip()]


def only(found: list[str]) -> str:
    (one,) = found  # a name that two classes have, such as crane, would need a decision
    return one


def to_csv(rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
