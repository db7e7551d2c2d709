"""Count the operations of the paper's architectures, without any weights: flops.csv.

    python data/recipes/cost/make.py [--check]

PyTorch's own counter on tensors without content: a multiplication and an addition are two
operations, elementwise work is not counted. For one image, and one text of the full context length.
"""

import csv
import io
import sys
from pathlib import Path

import open_clip
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from analysis.families.registry import load_families  # noqa: E402
from analysis.features import networks  # noqa: E402

FIELDS = ("architecture", "image_forward", "image_training", "text_training")
PATH = Path(__file__).with_name("flops.csv")


def count(architecture: str) -> dict[str, object]:
    """Return forward, and forward with backward, of the towers of one architecture."""
    config = networks.architecture(architecture)
    side, length = config["vision_cfg"].get("image_size", 224), config["text_cfg"]["context_length"]
    with torch.device("meta"):
        clip = open_clip.CLIP(**config)
        image, text = torch.zeros(1, 3, side, side), torch.zeros(1, length, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        clip.visual(image)
    with FlopCounterMode(display=False) as training:
        clip.visual(image).sum().backward()
    with FlopCounterMode(display=False) as texts:
        clip.encode_text(text).sum().backward()
    numbers = (c.get_total_flops() for c in (forward, training, texts))
    return dict(zip(FIELDS, (architecture, *numbers), strict=True))


def table(architectures: list[str]) -> str:
    """Return the whole file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(count(name) for name in architectures)
    return text.getvalue()


def architectures() -> list[str]:
    """Return what the paper's zero-shot models are built on, in the families' order."""
    found = [
        model.architecture
        for family in load_families("paper").values()
        for model in family.at_level("zero_shot")
    ]
    return [name for name in dict.fromkeys(found) if name]


if __name__ == "__main__":
    made = table(architectures())
    if "--check" not in sys.argv:
        PATH.write_text(made, encoding="utf-8")
    elif PATH.read_text(encoding="utf-8") != made:
        sys.exit("flops.csv is not what this PyTorch counts: make it again.")
