"""Probe any encoder in your own script: a network that open_clip and timm do not know, say.

It needs torch, which is imported when something is to be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from companion.probe import judge

if TYPE_CHECKING:
    from analysis.features.any_encoder import AnyEncoder, AnyImages, Preprocess


def probe(
    encoder: AnyEncoder,
    images: AnyImages,
    *,
    preprocess: Preprocess | None = None,
    head: ArrayLike | None = None,
    name: str = "this encoder",
    batch_size: int = 32,
) -> judge.Probe:
    """Look for outlier features in what an encoder makes of images, as `companion probe` does.

    ``encoder`` is a ``torch.nn.Module`` or any function from a batch of inputs (n, ...) to features
    (n, d): what the model's head sees. Its modules run in evaluation mode and are left as they
    were. ``images`` is a folder, a list of pictures (of PIL, or arrays of bytes), or a tensor of
    inputs; of the first two, ``preprocess`` makes the input of one picture. ``head`` are the
    weights (classes, d) of a classifier. It is compared with the models of this book. Raises
    ProbeError and DatasetError, in one sentence.
    """
    if not isinstance(name, str):
        raise judge.ProbeError(f"the name is of type {type(name).__name__}: give a text.")
    from analysis.features.any_encoder import features_of

    features = features_of(encoder, images, preprocess, batch_size=batch_size)
    recorded = judge.known_models()
    return judge.probe(features, head, name=name, recorded=recorded, rows_are_images=True)
