"""Probe any encoder in your own script: a network that open_clip and timm do not know, say.

It needs torch, which is imported when something is to be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from analysis.families.registry import Level
from companion.probe import judge, measure

if TYPE_CHECKING:
    from companion.checkpoints.any_encoder.features import AnyEncoder, AnyImages, Preprocess
    from companion.checkpoints.any_encoder.layers import Pooling


def probe(
    encoder: AnyEncoder,
    images: AnyImages,
    *,
    preprocess: Preprocess | None = None,
    head: ArrayLike | None = None,
    name: str = "this encoder",
    level: Level = "unknown",
    layer: str | None = None,
    pool: Pooling = "mean",
    batch_size: int = 32,
) -> judge.Probe:
    """Look for outlier features in what an encoder makes of images, as `companion probe` does.

    ``encoder`` is a ``torch.nn.Module`` or any function from a batch of inputs (n, ...) to features
    (n, d): what the model's head sees. Its modules run in evaluation mode and are left as they
    were. ``images`` is a folder, a list of pictures (of PIL, or arrays of bytes), or a tensor of
    inputs; of the first two, ``preprocess`` makes the input of one picture. ``layer`` and ``pool``
    take what an inner part gives (`features_of`), ``head`` are the weights (classes, d) of a
    classifier, ``level`` is how the encoder was trained. It is compared with the models of this
    book. Raises ProbeError and DatasetError, in one sentence.
    """
    if not isinstance(name, str):
        raise measure.ProbeError(f"the name is of type {type(name).__name__}: give a text.")
    from companion.checkpoints.any_encoder.features import features_of

    features = features_of(
        encoder, images, preprocess, layer=layer, pool=pool, batch_size=batch_size
    )
    return judge.probe(features, head=head, name=name, level=level, rows_are_images=True)
