"""Compare captions.csv with COCO's own file: python course/data/check.py FILE

FILE is captions_val2017.json of COCO's annotations_trainval2017.zip. The exit status is 1 if they
differ.
"""

import csv
import json
import sys
from pathlib import Path

TABLE = Path(__file__).with_name("captions.csv")
IMAGES = 500


def first_captions(annotations: list[dict]) -> list[tuple[str, str, str]]:
    """Return the first caption of each of the first images, in the order in which they appear."""
    first: dict[int, dict] = {}
    for annotation in annotations:
        first.setdefault(annotation["image_id"], annotation)
    return [
        (str(image), str(found["id"]), found["caption"].strip())
        for image, found in list(first.items())[:IMAGES]
    ]


def differences(file: Path) -> list[str]:
    """Say of each row of the table that is not as in COCO's file what both have."""
    with TABLE.open(encoding="utf-8", newline="") as table:
        ours = [tuple(row) for row in csv.reader(table)][1:]
    theirs = first_captions(json.loads(file.read_text(encoding="utf-8"))["annotations"])
    if len(ours) != len(theirs):
        return [f"{len(ours)} rows here, {len(theirs)} images in {file}"]
    return [
        f"row {row}: here {mine}, in {file.name} {other}"
        for row, (mine, other) in enumerate(zip(ours, theirs, strict=True))
        if mine != other
    ]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = differences(Path(sys.argv[1]))
    print("\n".join(found) or "the table is as in COCO's file")
    sys.exit(bool(found))
