"""Any encoder: it runs in evaluation mode however it is reached, and nothing of it is changed."""

import copy
import functools
import types
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import refused
from PIL import Image

from analysis.images import imagelist
from analysis.images.pictures import in_rgb

torch = pytest.importorskip("torch")

from companion.checkpoints.any_encoder.features import features_of  # noqa: E402

nn = torch.nn
X = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network():
    """With batch normalisation and dropout, in training mode, as libraries return theirs."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.3)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16))
    net[1].weight.data.uniform_()
    return net.train()


NET = network()
HELD = types.SimpleNamespace(nets={"one": [NET]})


class Wrapper:
    """Which keeps its network in a slot."""

    __slots__ = ("__weakref__", "net")

    def __init__(self, net):
        self.net = net

    def __call__(self, batch):
        return self.net(batch)

    def encode(self, batch):
        return self(batch)


def by_a_global(batch):
    return NET(batch)


def by_a_namespace(batch):
    return HELD.nets["one"][0](batch)


def by_a_default(batch, net=NET):
    return net(batch)


@torch.no_grad()
def by_a_wrapped_function(batch):
    return NET(batch).numpy()


@functools.lru_cache
def the_network():
    return NET


def found_by_nobody(batch):
    return globals()["".join(("N", "ET"))](batch)


REACHED = {
    "the module": NET,
    "its method": NET.forward,
    "a closure": (lambda net: lambda batch: net(batch))(NET),
    "a global": by_a_global,
    "a global's attribute": by_a_namespace,
    "a default": by_a_default,
    "a decorated function": by_a_wrapped_function,
    "a cached function": lambda batch: the_network()(batch),
    "a function within": lambda batch: [(lambda one: NET(one))(batch)][0],
    "a partial": functools.partial(lambda net, batch: net(batch), NET),
    "an object": Wrapper(NET),
    "an object's method": Wrapper(NET).encode,
    "a class": type("Held", (), {"net": NET, "run": staticmethod(lambda x: Held.net(x))}).run,
    "a weak reference": functools.partial(lambda kept, batch: kept()(batch), weakref.ref(NET)),
    "parts": lambda batch: NET[4:](NET[:4](batch)),
}
Held = type("Held", (), {"net": NET})


@pytest.mark.parametrize("way", [*REACHED, "a name that is put together"])
def test_the_network_runs_in_evaluation_mode_and_is_left_as_it_was(way):
    encoder = REACHED.get(way, found_by_nobody)
    expected = copy.deepcopy(NET).eval()(X.clone()).detach().numpy()
    NET[0].eval()  # a mixture of modes is kept, too
    modes = [part.training for part in NET.modules()]
    state, inputs = copy.deepcopy(NET.state_dict()), X.clone()
    np.testing.assert_allclose(features_of(encoder, X, batch_size=16), expected, atol=1e-6)
    assert [part.training for part in NET.modules()] == modes and modes[0] != modes[1]
    assert all(torch.equal(value, state[name]) for name, value in NET.state_dict().items())
    assert torch.equal(X, inputs)
    NET(X.clone()).sum().backward()  # it can still be trained
    NET.train().zero_grad()
    NET.load_state_dict(state)


def test_the_network_is_left_as_it_was_after_an_error():
    def stops(batch):
        if len(batch) < 16:
            raise RuntimeError("no\nluck")
        return NET(batch)

    state = copy.deepcopy(NET.state_dict())
    refused(r"the encoder fails at \(8, 3, 8, 8\).*RuntimeError: no luck$", features_of, stops, X)
    assert all(part.training for part in NET.modules())
    assert all(torch.equal(value, state[name]) for name, value in NET.state_dict().items())


class Stubborn(nn.Module):
    """It uses the statistics of the batch in evaluation, too, and changes its own."""

    def __init__(self):
        super().__init__()
        self.norm, self.calls = nn.BatchNorm1d(192), 0

    def forward(self, batch):
        mean, variance = self.norm.running_mean, self.norm.running_var
        return nn.functional.batch_norm(batch.flatten(1), mean, variance, training=True)


def test_features_that_hang_on_the_batch_or_on_chance_are_refused():
    stubborn = Stubborn().eval()
    before = copy.deepcopy(stubborn.state_dict())
    refused("differ by .* from one batch to the next", features_of, stubborn, X)
    refused("differ by", features_of, lambda x: stubborn(x), X)
    assert all(torch.equal(v, before[name]) for name, v in stubborn.state_dict().items())
    refused("differ by", features_of, lambda x: nn.functional.dropout(x.flatten(1)), X)
    refused("differ by", features_of, lambda x: torch.randn(len(x), 5), X[:1])
    kept = torch.empty(16, 192)  # dropout into memory that is used again
    into = lambda x: torch.mul(nn.functional.dropout(x.flatten(1)), 1, out=kept[: len(x)])  # noqa: E731
    refused("differ by", features_of, into, X, batch_size=16)
    picture = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    chance = lambda one: torch.rand(3, 8, 8)  # noqa: E731
    refused("two inputs of image 0: it hangs on chance", features_of, NET, [*picture], chance)
    refused("looks like a single picture", features_of, NET, picture[0], chance)


def test_an_encoder_may_write_all_its_features_into_the_same_memory():
    kept = torch.empty(16, 192)
    into = lambda x: torch.mul(x.flatten(1), 2, out=kept[: len(x)])  # noqa: E731
    np.testing.assert_array_equal(features_of(into, X, batch_size=16), 2 * X.flatten(1).numpy())


def test_a_compiled_or_scripted_network_is_left_as_it_was():
    net = copy.deepcopy(NET).train()
    features_of(torch.compile(net, backend="eager"), X)
    assert all(part.training for part in net.modules())
    parts = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192))
    scripted = torch.jit.script(parts)
    assert features_of(scripted, X).shape == (len(X), 192)
    assert all(part.training for part in scripted.modules())


def test_inputs_get_the_networks_precision():
    half, whole = (copy.deepcopy(NET).eval().to(kind) for kind in (torch.bfloat16, torch.float32))
    expected = whole(X.clone()).detach().numpy()
    for given in (half, lambda batch: half(batch)):
        np.testing.assert_allclose(features_of(given, X), expected, atol=0.03)
    for same in (X.double(), X.numpy().astype(np.float64), X.numpy().astype(">f4"), [*X]):
        np.testing.assert_allclose(features_of(whole, same), expected, atol=1e-6)
    refused(r"fails at \(32, 3, 8, 8\) of type torch.uint8: Ru", features_of, whole, (X > 0).byte())


def test_a_network_in_several_precisions_gets_that_of_its_first_layer():
    """As OpenAI's CLIP has it: convolutions of 16 bits, and a class embedding of 32."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.ones(8))
            self.stem = nn.Conv2d(3, 8, 3).to(torch.bfloat16)

        def forward(self, batch):
            return self.stem(batch).float().mean((2, 3)) + self.token

    net = Mixed()
    expected = net(X.to(torch.bfloat16)).detach().numpy()
    np.testing.assert_allclose(features_of(net, X), expected, atol=1e-6)
    np.testing.assert_allclose(features_of(lambda batch: net(batch), X), expected, atol=1e-6)


class Stored(nn.Linear):
    """It keeps its numbers in 8 bits, as quantised layers do."""

    def __init__(self):
        super().__init__(192, 16)
        weight = self.weight.detach()
        self.scale = weight.abs().max() / 127
        stored = (weight / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(stored, requires_grad=False)

    def forward(self, batch):
        return nn.functional.linear(batch, self.weight.float() * self.scale, self.bias)


class AfterStored(nn.Module):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(5, 5).half()  # which is not used
        self.stored, self.norm = Stored(), nn.LayerNorm(16).double()

    def forward(self, batch):
        return self.norm(self.stored(batch.flatten(1)).double())


class LateStem(nn.Module):
    """Its last layer is named first, in 32 bits, and what inputs meet is in 16."""

    def __init__(self):
        super().__init__()
        self.last, self.stem = nn.Linear(16, 4), nn.Linear(192, 16).bfloat16()

    def forward(self, batch):
        return self.last(self.stem(batch.flatten(1)).float())


def test_a_networks_own_error_is_said_and_not_that_of_another_precision():
    net = LateStem()
    expected = net(X.bfloat16()).detach().numpy()
    np.testing.assert_allclose(features_of(net, X), expected, atol=1e-6)
    refused(r"shapes cannot be multiplied \(32x191", features_of, net, X.flatten(1)[:, 1:])
    calls = []

    def unreachable(batch):
        calls.append(batch.dtype)
        if len(calls) == 1:
            raise ConnectionError("type of network unknown")
        return net(batch)

    refused("ConnectionError", features_of, unreachable, X)


def test_what_weights_are_stored_in_is_no_precision_of_inputs():
    net = AfterStored()
    expected = net(X).detach().numpy()
    np.testing.assert_allclose(features_of(net, X), expected, atol=1e-6)
    assert expected.std(axis=0).min() > 0.3


@pytest.mark.parametrize("kind", [">f4", np.longdouble, np.float16, np.int32])
def test_numbers_of_any_kind_are_taken_as_they_are(kind):
    expected = ROWS.numpy().astype(kind).astype(np.float32)
    backwards = lambda batch: batch.numpy().astype(kind)[:, ::-1]  # noqa: E731
    np.testing.assert_array_equal(features_of(backwards, ROWS), expected[:, ::-1])
    if np.dtype(kind).kind == "f":
        given = ROWS.numpy().astype(kind)
        taken = features_of(AS_IT_IS, given, batch_size=np.int64(8))
        np.testing.assert_array_equal(taken, expected)


ROWS = X.flatten(1)
NESTED = torch.nested.nested_tensor([*ROWS], layout=torch.jagged)
AS_IT_IS = lambda batch: batch  # noqa: E731


@pytest.mark.parametrize(
    ("said", "encoder", "images", "options"),
    [
        ("type DataLoader", AS_IT_IS, torch.utils.data.DataLoader(ROWS, 8), {}),
        ("type set", AS_IT_IS, {1, 2, 3}, {}),
        ("images are a tensor without all", AS_IT_IS, ROWS.to("meta"), {}),
        ("images are a tensor without all", AS_IT_IS, ROWS.to_sparse(), {}),
        ("images are a tensor without all", AS_IT_IS, NESTED, {}),
        ("gives a tensor without all its", lambda batch: batch.to("meta"), ROWS, {}),
        ("gives a tensor without all its", lambda batch: batch.to_sparse(), ROWS, {}),
        (r"makes \(32, 0\) of type", lambda batch: batch[:, :0], ROWS, {}),
        ("image 3 are not finite", lambda b: b / (b[:, :1] != ROWS[3, 0]), ROWS, {}),
        ("image 0 are not finite", AS_IT_IS, [Image.new("RGB", (4, 4))] * 3,
         {"preprocess": lambda picture: torch.full((5,), np.nan)}),
        ("no layer 1: ", NET, X, {"layer": 1}),
        ("pool is 'avg', where mean, first", NET, X, {"layer": "0", "pool": "avg"}),
        ("pool is array", NET, X, {"layer": "0", "pool": np.ones(3)}),
        (r"no layer \['2'\]", NET, X, {"layer": ["2"]}),
    ],
)  # fmt: skip
def test_what_no_features_can_be_made_of_is_refused(said, encoder, images, options):
    refused(said, features_of, encoder, images, **options)


def test_a_batch_may_be_larger_than_all_there_is():
    np.testing.assert_array_equal(features_of(AS_IT_IS, ROWS, batch_size=2**70), ROWS.numpy())


def grey(kind):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16
    if kind == "I;16":
        return Image.fromarray(values)
    return Image.fromarray(values.astype({"I": np.int32, "F": np.float32}[kind]))


def test_pictures_are_read_alike_from_folders_lists_and_arrays(tmp_path):
    """16-bit pictures keep their upper eight bits; those of unknown range are refused."""
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    pictures = [grey("I;16"), Image.fromarray(colours), Image.fromarray(colours[..., 0])]
    pictures += [pictures[2].convert("1"), Image.fromarray(colours).convert("RGB").quantize(9)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    arrays = [np.asarray(grey("I;16")), colours, colours[..., :1]]
    looked, seen = [], []

    def look(picture):
        looked.append(np.asarray(picture))
        return torch.ones(3)

    for images in (tmp_path, pictures, arrays, np.stack([colours] * 3)):
        looked.clear()
        features_of(lambda batch: batch, images, look)
        seen += looked[: len(looked) // 2]  # each is looked at again
    for listed, one in zip(seen[5:13], [*range(5), *range(3)], strict=True):
        np.testing.assert_array_equal(listed, seen[one])
    assert len(np.unique(seen[0])) == 256 and (seen[13] == seen[1]).all() and len(seen) == 16
    wide = grey("I")  # as older versions of Pillow open 16-bit PNGs
    wide.format = "PNG"
    np.testing.assert_array_equal(np.asarray(in_rgb(wide)), seen[0])
    for kind in ("I", "F"):
        refused("image 0 of the list .* range is not known", features_of, len, [grey(kind)], look)
        with pytest.raises(ValueError, match="32 bits"):
            in_rgb(grey(kind))
        grey(kind).save(tmp_path / "9.tiff")
        refused("32 bits", imagelist.unlabelled(tmp_path).image, 5)
    refused("shape .*5.*where", features_of, len, [np.ones((9, 9, 5), np.uint8)], look)


# A layer by its name


class Tokens(nn.Module):
    """A small transformer: a stem that cuts patches, two blocks, and a head that must not run."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 4, 4)
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(6, 2, 12, 0.5, batch_first=True) for _ in range(2))
        )
        self.head = nn.Linear(6, 3)
        self.heads_run = 0

    def forward(self, x):
        tokens = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        self.heads_run += 1
        return self.head(tokens.mean(1))


def test_a_layer_by_its_name_gives_what_a_plain_loop_gives():
    net = Tokens().train()
    net.eval()
    with torch.no_grad():
        tokens = net.blocks[0](net.stem(X).flatten(2).transpose(1, 2))
        places = net.stem(X)
    net.train()
    pools = {"mean": tokens.mean(1), "first": tokens[:, 0], "all": tokens.flatten(1)}
    for pool, expected in pools.items():
        found = features_of(net, X, layer="blocks.0", pool=pool)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    own = features_of(net, X, layer="blocks.0", pool=lambda made: made.amax(1))
    np.testing.assert_allclose(own, tokens.amax(1).numpy(), atol=1e-5)
    net.heads_run = 0
    stem = features_of(net, X, layer="stem", batch_size=5)
    assert net.heads_run == 1  # of eight batches, to see that the layer is called once
    np.testing.assert_allclose(stem, places.mean((2, 3)).numpy(), atol=1e-5)
    assert net.training and not net.blocks[0]._forward_hooks


def test_a_layer_that_is_not_there_is_answered_with_the_nearest():
    net = Tokens()
    refused(
        r"no layer 'blocks.5': the nearest of .*blocks\.[01]", features_of, net, X, layer="blocks.5"
    )
    refused("is named of a torch.nn.Module", features_of, lambda x: x, X, layer="stem")
    net.unused = nn.Linear(2, 2)
    refused("does not use its layer 'unused'", features_of, net, X, layer="unused")


def test_a_bar_is_shown_if_that_is_wanted(capsys):
    features_of(nn.Flatten(), X, progress=True)
    assert f"/{len(X)}" in capsys.readouterr().err
    features_of(nn.Flatten(), X, progress=False)
    assert capsys.readouterr().err == ""


def test_what_several_calls_or_several_tensors_leave_open_is_refused():
    class Shared(nn.Module):
        """A block that is used twice, one that gives two tensors, and one that gives a list."""

        def __init__(self):
            super().__init__()
            self.block, self.two, self.cell = nn.Linear(192, 192), Two(), nn.LSTM(192, 7)

        def forward(self, x):
            x = self.block(self.block(x.flatten(1)))
            return self.cell(self.two(x)[1][None])[0][0]

    class Two(nn.Module):
        def forward(self, x):
            return x[:, :10], x

    refused("calls its layer 'block' 2 times", features_of, Shared(), X, layer="block")
    refused(r"gives 2 tensors \(\(32, 10\), \(32, 192\)\)", features_of, Shared(), X, layer="two")
    chosen = features_of(Shared(), X, layer="two", pool=lambda made: made[1])
    assert chosen.shape == (40, 192)


def test_which_axis_has_the_components_is_decided_by_the_layers_width():
    """Of (n, h, w, d), of convolutions over time (n, d, t); what stays open is refused."""

    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 12, 2, 2), nn.LayerNorm(12)
            self.act, self.time = nn.GELU(), nn.Conv1d(16, 24, 1)
            self.sort, self.odd = nn.Sequential(nn.Identity()), nn.Linear(24, 5)

        def forward(self, x):
            places = self.act(self.norm(self.stem(x).permute(0, 2, 3, 1)))
            times = self.time(places.flatten(1, 2))
            return self.odd(self.sort(times).mean(2))

    net = Apart()
    with torch.no_grad():
        places = nn.functional.gelu(net.norm(net.stem(X).permute(0, 2, 3, 1)))
        times = net.time(places.flatten(1, 2))
    for layer, expected in {
        "norm": net.norm(net.stem(X).permute(0, 2, 3, 1)).mean((1, 2)).detach(),
        "act": places.mean((1, 2)),
        "time": times.mean(2),
    }.items():
        np.testing.assert_allclose(features_of(net, X, layer=layer), expected.numpy(), atol=1e-5)
    refused("nothing says which axis.*give a function as pool", features_of, net, X, layer="sort")


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(192, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.body(x.flatten(1)).relu())


class Timms(Scorer):
    def get_classifier(self):
        return self.fc


def test_a_classifiers_scores_are_no_features():
    said = "features are the scores of the network's classifier, fc: "
    refused(said + r"set fc to torch.nn.Identity\(\)", features_of, Scorer(), X)
    refused(said + r"call reset_classifier\(0\)", features_of, Timms(), X)
    net = Timms()
    refused(said, features_of, lambda x: net(x), X)
    assert not net.fc._forward_hooks
    assert features_of(net, X, layer="fc").shape == (40, 3)
    assert features_of(lambda x: net(x).softmax(1), X).shape == (40, 3)
    net.fc = nn.Identity()
    assert features_of(net, X).shape == (40, 8)


def test_one_image_at_a_time_hides_nothing():
    normed = lambda x: nn.functional.batch_norm(x.flatten(1), None, None, training=True)  # noqa: E731

    def alone(x):
        return x.flatten(1) if len(x) == 1 else normed(x)

    def one_only(x):
        if len(x) > 1:
            raise ValueError("a batch of 1 is expected")
        return x.flatten(1)

    refused("differ by", features_of, alone, X, batch_size=1)
    taken = features_of(one_only, X, batch_size=1)
    np.testing.assert_array_equal(taken, X.flatten(1).numpy())


def test_a_network_on_another_thread_is_left_as_it_was():
    net = copy.deepcopy(NET).train()
    before, pool = copy.deepcopy(net.state_dict()), ThreadPoolExecutor(1)
    features_of(lambda x: pool.submit(lambda: net(x).detach()).result(), X)
    assert all(part.training for part in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_preprocessing_by_chance_is_refused_by_its_name_and_gets_a_copy():
    transforms = pytest.importorskip("torchvision.transforms")
    pictures = [Image.fromarray(np.full((9, 9, 3), n, np.uint8)) for n in range(20)]
    rare = transforms.Compose([transforms.ToTensor(), transforms.RandomErasing(0.02)])
    refused(r"hangs on chance \(RandomErasing\)", features_of, nn.Flatten(), pictures, rare)
    never = transforms.Compose([transforms.RandomHorizontalFlip(p=0.0), transforms.ToTensor()])
    assert features_of(nn.Flatten(), pictures, never).shape == (20, 243)

    def in_place(picture):
        picture.thumbnail((3, 3))
        return transforms.functional.to_tensor(picture)

    assert features_of(nn.Flatten(), pictures, in_place).shape == (20, 27)
    assert {picture.size for picture in pictures} == {(9, 9)}


@pytest.mark.parametrize("bits", [10, 12])
def test_pictures_of_ten_or_twelve_bits_are_refused(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint16).reshape(32, -1)
    Image.fromarray(values).save(tmp_path / "camera.png")
    look = lambda picture: torch.ones(3)  # noqa: E731
    for images in (tmp_path, [values], [Image.fromarray(values)]):
        refused("stay below 4,096", features_of, nn.Flatten(), images, look)
