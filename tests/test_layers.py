"""Layers by name, in architectures of timm and torchvision: the right axis, or a refusal.

Which axis holds the components is known from elsewhere: it alone does not grow with the picture.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")

from companion.checkpoints.any_encoder import layers  # noqa: E402
from companion.checkpoints.any_encoder.features import features_of  # noqa: E402
from companion.sources.sets import DatasetError  # noqa: E402

#: Sizes of pictures that most architectures take, and of those that need others.
SIZES = {
    "": (64, 96),
    "swin": (64, 128),
    "coatnet": (64, 128),
    "maxvit": (224, 448),
    "inception": (139, 171),
}
FEW = ("timm swin_tiny_patch4_window7_224", "torchvision swin_t", "torchvision convnext_tiny",
       "timm convnext_atto", "torchvision resnet18", "timm vit_tiny_patch16_224")  # fmt: skip
MANY = (
    *(f"timm {name}" for name in (
        "resnet18", "resnext26ts", "seresnet18", "densenet121", "regnety_002", "efficientnet_b0",
        "mobilenetv3_small_050", "mobilenetv4_conv_small", "ghostnet_100", "repvgg_a0", "vgg11_bn",
        "inception_v3", "xcit_nano_12_p16_224", "mixer_s32_224", "resmlp_12_224", "gmlp_ti16_224",
        "deit_tiny_patch16_224", "vit_small_patch14_dinov2", "beit_base_patch16_224",
        "cait_xxs24_224", "coat_lite_tiny", "pit_ti_224", "levit_128s", "poolformer_s12",
        "edgenext_xx_small",
        "swinv2_tiny_window8_256", "pvt_v2_b0", "twins_svt_small", "davit_tiny", "fastvit_t8",
    )),
    *(f"torchvision {name}" for name in (
        "alexnet", "squeezenet1_1", "googlenet", "mnasnet0_5", "mobilenet_v2", "shufflenet_v2_x0_5",
        "efficientnet_v2_s", "regnet_x_400mf", "vit_b_16", "swin_v2_t",
    )),
)  # fmt: skip


def network(named, size):
    """With random weights; where an architecture is of one size, of this one."""
    library, name = named.split()
    torch.manual_seed(0)
    if library == "torchvision":
        more = {"image_size": size} if name.startswith("vit") else {}
        more |= {"init_weights": False} if name in ("googlenet",) else {}
        return models.get_model(name, weights=None, num_classes=5, **more).eval()
    try:
        return timm.create_model(name, num_classes=5, img_size=size).eval()
    except TypeError:
        return timm.create_model(name, num_classes=5).eval()


def outputs(net, size):
    """What each layer gives of two pictures, by name, if it is called once and gives one tensor."""
    made = {}

    def note(name):  # what follows may work in place
        return lambda part, given, gives: made.setdefault(name, []).append(
            gives.clone() if isinstance(gives, torch.Tensor) else gives
        )

    handles = [part.register_forward_hook(note(n)) for n, part in net.named_modules() if n]
    with torch.no_grad():
        net(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)))
    for handle in handles:
        handle.remove()
    once = {name: of[0] for name, of in made.items() if len(of) == 1}
    return {n: one for n, one in once.items() if isinstance(one, torch.Tensor) and len(one) == 2}


def sizes_of(named):
    return next(sizes for part, sizes in [*SIZES.items()][::-1] if part in named)


def true_axes(named):
    """The axis of each layer's components, where one is known, and what the layer gives."""
    small, large = sizes_of(named)
    net = network(named, small)
    first, second = outputs(net, small), outputs(network(named, large), large)
    axes = {}
    for name, one in first.items():
        if one.ndim > 2 and name in second and second[name].ndim == one.ndim:
            shapes = zip(one.shape[1:], second[name].shape[1:], strict=True)
            same = [axis for axis, (a, b) in enumerate(shapes, 1) if a == b]
            if same in ([1], [one.ndim - 1]):
                axes[name] = 1 if same == [1] else -1
    return net, first, axes


@pytest.mark.parametrize(
    "named", [*FEW, *(pytest.param(named, marks=pytest.mark.slow) for named in MANY)]
)
def test_no_layer_is_read_along_a_wrong_axis(named):
    """And what `features_of` makes of some layers is what a plain loop over these axes makes."""
    net, made, axes = true_axes(named)
    parts, found = dict(net.named_modules()), {}
    for name in axes:
        try:
            found[name] = layers._axis(made[name], name, parts)
        except DatasetError as error:
            assert "give a function as pool" in str(error)
    assert {name: axes[name] for name in found} == found and len(axes) > 10
    mixers = ("mixer", "resmlp", "gmlp", "xcit")  # whose tokens have layers of their own
    assert len(found) > 0.6 * len(axes) or any(mixer in named for mixer in mixers)
    names, size = sorted(found), sizes_of(named)[0]
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    for name in names[:: max(1, len(names) // 3)]:
        one = made[name]
        channels = found[name] % one.ndim
        over = tuple(axis for axis in range(1, one.ndim) if axis != channels)
        taken = features_of(net, x, layer=name, progress=False)
        np.testing.assert_allclose(taken, one.mean(over).numpy(), rtol=1e-3, atol=1e-4)


class TalkingHeads(torch.nn.Module):
    """Attention whose heads are mixed by a convolution, so that they look like channels."""

    def __init__(self, num_heads, width=48):
        super().__init__()
        self.num_heads, self.width = num_heads, width
        self.patch, self.mix = (
            torch.nn.Conv2d(3, width, 16, 16),
            torch.nn.Conv2d(num_heads, num_heads, 1),
        )
        self.drop = torch.nn.Dropout()

    def forward(self, x):
        tokens = self.patch(x).flatten(2).mT.unflatten(2, (self.num_heads, -1)).movedim(2, 1)
        maps = self.drop(self.mix((tokens @ tokens.mT).softmax(-1)))
        return (maps @ tokens).movedim(1, 2).flatten(2).mean(1)


@pytest.mark.parametrize(
    ("named", "size", "heads"),
    [
        ("vit_tiny_patch16_224", 64, [(3,), (6,)]),
        ("eva02_tiny_patch14_224", 56, [(3,), (6,)]),
        ("cait_xxs24_224", 64, [(4,), (8,)]),
        ("vit_relpos_small_patch16_224", 64, [(6,), (12,)]),
        ("swinv2_tiny_window8_256", 64, [(3, 6, 12, 24), (6, 12, 24, 24)]),
        (None, 64, [(4,), (6,)]),
    ],
)
def test_heads_are_never_taken_for_components(named, size, heads):
    """Layers whose shape depends on the number of heads give four axes; each is refused."""

    def built(numbers):
        given = numbers if len(numbers) > 1 else numbers[0]
        if named is None:
            return TalkingHeads(given).eval()
        return timm.create_model(named, num_classes=5, img_size=size, num_heads=given).eval()

    net, other = map(built, heads)
    made, changed = outputs(net, size), outputs(other, size)
    parts = dict(net.named_modules())
    by_head = [
        name for name, one in made.items() if one.ndim == 4 and one.shape != changed[name].shape
    ]
    assert by_head
    for name in by_head:
        with pytest.raises(DatasetError, match="give a function as pool"):
            layers._axis(made[name], name, parts)
    sample = torch.zeros(2, 3, size, size)
    with pytest.raises(DatasetError, match="give a function as pool"):
        features_of(net, sample, layer=by_head[0], progress=False)
    own = features_of(
        net, sample, layer=by_head[0], pool=lambda one: one.flatten(1), progress=False
    )
    assert own.shape == (2, made[by_head[0]][0].numel())
