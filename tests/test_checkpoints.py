"""What a user types becomes a model's description; what is wrong is said in one sentence."""

import json
import math
import re
import zipfile
from functools import partial

import huggingface_hub
import open_clip
import pytest
import timm
import tiny
import torch
from conftest import cases, refused, sentence
from safetensors.torch import load_file, save_file
from tiny import WIDTH, architectures, in_parts, model, save_clip  # noqa: F401 - a fixture

from analysis.base.files import sha256_of
from analysis.base.roots import ROOT
from analysis.families import registry
from analysis.families.registry import shown_weights
from analysis.features import parts
from companion.checkpoints import networks, weights
from companion.checkpoints.loading import load
from companion.checkpoints.lookup import find
from companion.checkpoints.names import default_name
from companion.checkpoints.weights import read_weights, weights_file

torch.set_num_threads(1)
CASES = cases("checkpoints")
REVISION = "0123456789abcdef0123456789abcdef01234567"


fails = partial(sentence, find)


# What the libraries know.


def test_a_model_of_the_book_is_described_as_in_its_family():
    assert find("vit_b_32-openai") == registry.load_family("vit_b_32").model("vit_b_32-openai")
    renamed = find("vit_b_32-openai", name="other", level="captions", pretraining="Mine")
    assert (renamed.name, renamed.level, renamed.pretraining) == ("other", "captions", "Mine")


PAPERS = [m for f in registry.load_families("paper").values() for m in f.models if m.loadable]


@pytest.mark.parametrize("ours", PAPERS, ids=lambda model: model.name)
def test_what_is_found_is_what_the_family_files_say(ours):
    """Which is what the installed libraries say."""
    text = f"{ours.architecture}{'/' if ours.library == 'open_clip' else '.'}{ours.weights}"
    given = {"layer": ours.own_layer} if ours.own_layer else {}
    if ours.level == "random":
        text, given = "random", {"architecture": ours.architecture}
    model = find(text, name=ours.name, **given)
    named = ["level", "library", "architecture", "weights", "pretraining", "preprocessing"]
    assert {f: getattr(model, f) for f in named} == {f: getattr(ours, f) for f in named}
    assert model.width == ours.width


@pytest.mark.parametrize(("name", "tag"), CASES["inputs"])
def test_a_models_input_is_that_of_open_clip(name, tag):
    name += "-quickgelu" * (tag == "openai")
    model, config = find(f"{name}/{tag}"), open_clip.get_pretrained_cfg(name, tag)
    assert model.weights == tag and model.preprocessing.mean == tuple(config["mean"])
    assert model.preprocessing.interpolation == config["interpolation"]
    assert model.preprocessing.squash == (config["resize_mode"] == "squash")
    size = open_clip.get_model_config(name)["vision_cfg"]["image_size"]
    assert (model.preprocessing.size, model.preprocessing.resize) == (size, None)


def test_timm_resizes_before_it_crops():
    model = find("tf_efficientnet_lite0.in1k")
    assert model == find("tf_efficientnet_lite0", name=model.name)
    config = timm.get_pretrained_cfg("tf_efficientnet_lite0.in1k")
    assert model.preprocessing.resize == math.floor(224 / config.crop_pct)
    assert (model.level, model.width, model.head) == ("supervised", 1280, None)


def test_image_encoders_of_clip_in_timm_have_no_classifier():
    model = find("resnet50_clip.openai")
    assert (model.level, model.head) == ("zero_shot", "none")
    assert "before CLIP's projection" in model.note


def test_a_level_that_nobody_states_is_unknown_unless_it_is_said():
    text = "vit_small_patch14_dinov2.lvd142m"
    assert find(text).level == "unknown"
    model = find(text, level="supervised")
    assert (model.head, model.width) == ("none", 384)


@pytest.mark.parametrize("text, message", CASES["names"])
def test_typing_errors_are_answered_with_the_nearest(hub, text, message):
    assert re.search(message, fails(text)), fails(text)


def test_unknown_architectures_of_files(file):
    message = fails(str(file), architecture="ViT-B32")
    assert "neither open_clip nor timm has an architecture 'ViT-B32'" in message
    assert "ViT-B-32" in message.partition("nearest")[2]
    message = fails(str(file), architecture="resnet50.nothing")
    assert "no pretrained model 'resnet50.nothing'" in message
    assert "leave out --architecture" in fails("RN50-quickgelu/openai", architecture="RN50")
    assert "have no level captions" in fails("random", architecture="RN50", level="captions")


def test_names_for_checkpoints_without_one():
    assert default_name("hf-hub:laion/CLIP-ViT-B@main") == "laion-clip-vit-b"
    assert default_name(r"C:\my wéights\Mine (1).safetensors") == "mine-1"
    assert default_name("/data/2024.pt") == "model-2024"
    assert default_name(f"/data/{'x' * 200}.pt") == "x" * 60


def test_paths_of_this_machine_are_not_shown():
    for path in ("/home/me/x.pt", "~/x.pt", r"C:\me\x.pt", "C:/me/x.pt", "../x.pt"):
        assert shown_weights(path) == "x.pt"
    for kept in ("data/pocket/x.safetensors", "openai", "hf-hub:laion/x", ""):
        assert shown_weights(kept) == kept


# The hub, as a download that a test fakes.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder for what the hub has, laid out as the hub's cache."""
    cache = tmp_path / "hub"

    def download(repository, name, *, revision, local_files_only, **_):
        folder = cache / repository.replace("/", "--") / "snapshots" / (revision or REVISION)
        if local_files_only or not folder.is_dir():
            raise ConnectionError("offline")
        if not (folder / name).is_file():
            raise huggingface_hub.errors.EntryNotFoundError(name)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(weights, "_online", lambda: True)
    return cache


def put(hub, repository, name, content=""):
    """Put a file into a repository of the hub; return the folder that it is in."""
    folder = hub / repository.replace("/", "--") / "snapshots" / REVISION
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder


def test_files_of_described_weights(hub):
    repository = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    described = model(architecture="ViT-B-16", weights="laion2b_s34b_b88k")
    refused(rf"{repository} is not on this machine.*ConnectionError", weights_file, described)
    put(hub, repository, "open_clip_pytorch_model.bin")  # a pickle
    refused("EntryNotFoundError", weights_file, described)
    folder = put(hub, repository, "open_clip_model.safetensors")
    assert weights_file(described) == folder / "open_clip_model.safetensors"
    folder = put(hub, "timm/vit_base_patch16_224.augreg_in1k", "model.safetensors")
    described = model(library="timm", architecture="vit_base_patch16_224", weights="augreg_in1k")
    assert weights_file(described) == folder / "model.safetensors"


TINY = {"embed_dim": WIDTH, "vision_cfg": tiny.ARCHITECTURES["tiny-vit"], "text_cfg": tiny.TEXT}
INPUT = CASES["input"]


def test_a_repository_of_weights_in_parts(hub, file):
    config = {"model_cfg": TINY, "preprocess_cfg": INPUT}
    folder = put(hub, "someone/large", "open_clip_config.json", config)
    index = in_parts(load_file(file), folder, "open_clip_model")
    model = find("hf-hub:someone/large")
    assert load(model).weights_sha256 == parts.checksum(index)
    next(folder.glob("*-00002-*")).unlink()
    refused(r"model-00002-of-00002.safetensors of someone/l", weights_file, model)


def test_an_open_clip_repository_gives_its_own_network_and_input(hub):
    config = {"model_cfg": TINY, "preprocess_cfg": INPUT}
    folder = put(hub, "someone/tiny", "open_clip_config.json", config)
    save_clip(folder / "open_clip_model.safetensors")
    model = find("hf-hub:someone/tiny")
    assert (model.library, model.architecture, model.width) == ("open_clip", "someone/tiny", WIDTH)
    assert model.weights == f"hf-hub:someone/tiny@{REVISION}"
    assert model.preprocessing.mean == (0.1, 0.2, 0.3) and model.preprocessing.squash
    plain = load(model)
    assert plain.weights_sha256 == sha256_of(folder / "open_clip_model.safetensors")
    picture = plain.preprocess(tiny.pictures(1)[0])[None]

    def configured(**changes):
        put(hub, "someone/tiny", "open_clip_config.json", {"model_cfg": TINY | changes})
        return load(model).encoder(picture)

    assert not torch.allclose(configured(quick_gelu=True), plain.encoder(picture))
    other = tiny.ARCHITECTURES["tiny-vit"] | {"patch_size": 16}
    refused(r"another shape \(first visual\.conv1", configured, vision_cfg=other)


def test_a_timm_repository_gives_its_own_network_and_head(hub):
    folder = put(hub, "someone/net", "config.json", CASES["timm"])
    net = timm.create_model("resnet18", num_classes=5, act_layer="gelu").eval()
    save_file(net.state_dict(), folder / "model.safetensors")
    model = find(f"hf-hub:someone/net@{REVISION}")
    assert (model.architecture, model.level, model.width) == ("resnet18", "supervised", 512)
    assert (model.preprocessing.size, model.preprocessing.resize) == (64, 128)
    loaded = load(model)
    picture = loaded.preprocess(tiny.pictures(1)[0])[None]
    with torch.inference_mode():
        scores = loaded.head.logits(loaded.encoder(picture).numpy())
        torch.testing.assert_close(torch.from_numpy(scores), net(picture))


@pytest.mark.parametrize(("name", "config", "message"), CASES["repositories"])
def test_a_repository_that_cannot_be_used_says_why(hub, name, config, message):
    whole = config if isinstance(config, str) else {"model_cfg": TINY} | config
    put(hub, "someone/odd", name, whole)
    assert message in fails("hf-hub:someone/odd")
    assert "from the Hugging Face hub (ConnectionError): check the name" in fails("hf-hub:a/b")


# Local files.


def test_a_file_that_says_its_architecture(file):
    model = find(str(file))
    assert (model.architecture, model.level, model.width) == ("tiny-vit", "unknown", WIDTH)
    assert model.weights == file.as_posix() and model.name == "tiny"
    other = file.with_name("nameless.safetensors")
    save_file(load_file(file), other)
    assert "does not name its architecture" in fails(str(other))
    assert find(str(other), architecture="tiny-vit").width == WIDTH
    quick = find(str(other), architecture="ViT-B-32-quickgelu").note
    assert "uses QuickGELU; if it was trained with GELU, describe it as ViT-B-32." in quick


def test_files_in_the_repository_are_described_from_its_root():
    text = "data/pocket/checkpoints/pocket-cnn-finetuned.safetensors"
    ours = registry.load_family("pocket_cnn").model("pocket-cnn-finetuned")
    for path in (text, str(ROOT / text)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(networks, "ARCHITECTURES", ROOT / "data/pocket/architectures")
            model = find(path)
        assert (model.weights, model.level) == (text, "finetuned")
        assert (model.preprocessing, model.width) == (ours.preprocessing, ours.width)


def test_which_input_a_file_takes_is_said_where_published_weights_differ():
    for library, name, taken, other in (
        ("open_clip", "ViT-L-14", "openai", "laion2b_s32b_b82k"),
        ("timm", "resnet50", "a1_in1k", "a1h_in1k"),
        ("timm", "resnet50.tv_in1k", "tv_in1k", "a1_in1k"),
    ):
        note = networks.input_note(library, name)
        assert f"weights {taken} was taken" in note and other in note, note
    assert networks.input_note("open_clip", "ViT-B-32") == ""
    assert networks.input_note("open_clip", "tiny-vit") == ""


#: As transformers takes pictures: what a file states, and what follows, which is size, edge that is
#: resized to, whether both edges are, and filter. transformers 4.57.6 gave equal inputs, to 2e-7,
#: of a picture of 500 × 300 pixels by each of them.
PROCESSORS = [
    ("ViTFeatureExtractor", {"size": 224, "resample": 2}, (224, None, True, "bilinear")),
    ("ViTImageProcessor", {"size": {"height": 480, "width": 480}}, (480, None, True, "bicubic")),
    ("ViTImageProcessorFast", {"size": 480, "crop_size": 224}, (480, None, True, "bicubic")),
    ("DeiTImageProcessor", {"size": 256, "crop_size": 224}, (224, 256, True, "bicubic")),
    ("BitImageProcessor", {"size": {"shortest_edge": 256}}, (224, 256, False, "bicubic")),
    ("CLIPFeatureExtractor", {"size": 224, "crop_size": 224}, (224, None, False, "bicubic")),
    ("BeitFeatureExtractor", {"size": 256, "crop_size": 224, "do_center_crop": False},
     (256, None, True, "bicubic")),
    ("SiglipImageProcessor", {"size": {"height": 384, "width": 384}, "do_convert_rgb": None},
     (384, None, True, "bicubic")),
]  # fmt: skip
FULL = {"resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
#: What is not done here, or is not stated: a change of ViT's, and what is said.
NO_INPUT = [
    ({"image_processor_type": "ConvNextImageProcessor"}, "processor 'ConvNextImageProcessor'"),
    ({"image_processor_type": None}, "processor 'none', known are CLIPImageProcessor"),
    ({"do_normalize": False}, "has do_normalize False, which is not done here"),
    ({"do_pad": True}, "has do_pad True"),
    ({"crop_pct": 0.875}, "has crop_pct 0.875"),
    ({"size_divisor": 32}, "has size_divisor 32"),
    ({"rescale_factor": 1 / 127.5}, "has rescale_factor 0.007"),
    ({"size": {"height": 256, "width": 512}}, "has size {'height': 256, 'width': 512}"),
    ({"size": [224, 224]}, r"has size \[224, 224\]"),
    ({"do_center_crop": True, "crop_size": "big"}, "has crop_size 'big'"),
    ({"size": {"shortest_edge": 224}}, "has do_center_crop None"),
    ({"resample": [3]}, "takes an input that this book does not know: interpolation"),
    ({"resample": 1}, "takes an input that this book does not know: interpolation"),
    ({"image_std": None}, "does not say its image_std"),
]


@pytest.fixture
def resnet(tmp_path):
    save_file(timm.create_model("resnet18").state_dict(), path := tmp_path / "net.safetensors")
    return path


@pytest.mark.parametrize(("named", "stated", "wanted"), PROCESSORS)
def test_a_configuration_next_to_a_file_says_its_input(resnet, named, stated, wanted):
    content = FULL | {"image_processor_type": named} | stated
    resnet.with_name("preprocessor_config.json").write_text(json.dumps(content))
    model = find(str(resnet), architecture="resnet18.a1_in1k")
    taken = model.preprocessing
    assert (taken.size, taken.resize, taken.squash, taken.interpolation) == wanted
    assert taken.mean == (0.1, 0.2, 0.3) and "preprocessor_config.json next to" in model.note


@pytest.mark.parametrize(("change", "said"), NO_INPUT)
def test_a_configuration_that_is_not_followed_is_refused(resnet, change, said):
    content = FULL | {"image_processor_type": "ViTImageProcessor", "size": 224} | change
    resnet.with_name("preprocessor_config.json").write_text(json.dumps(content))
    told = fails(str(resnet), architecture="resnet18.a1_in1k")
    assert re.search(f"^the preprocessor_config.json next to .*{said}", told), told


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000])
def test_a_configuration_that_is_none_is_named(resnet, text):
    resnet.with_name("preprocessor_config.json").write_text(text)
    assert "cannot be read" in fails(str(resnet), architecture="resnet18.a1_in1k")


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_files_that_are_no_weights_are_refused_and_nothing_runs(tmp_path, file):
    """One table of bad files: each is refused in one sentence, and nothing is run."""
    state = load_file(file)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    whole = tmp_path / "whole.pt"
    torch.save(state, whole)
    with zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small:
        for name in zipfile.ZipFile(whole).namelist():
            small.writestr(name, zipfile.ZipFile(whole).read(name))
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    cases = [
        ("program.pt", None, r"it is TorchScript, a program: save the state_dict\(\)"),
        ("small.pt", None, "it is compressed, and would take"),
        ("pickle.pt", Bomb(), "holds more than tensors and plain values"),
        ("within.bin", {"state_dict": state, "arguments": Bomb()}, "holds more than tensors and"),
        ("optimizer.pt", optimizer, "it holds state, param_groups where a dictionary of tensors"),
        ("list.pth", [torch.ones(1)], "it holds nothing where"),
        ("cut.pt", whole.read_bytes()[: whole.stat().st_size // 2], "if it was cut short, get it"),
        ("text.pt", b"these are not weights", "it cannot be read"),
        ("cut.safetensors", file.read_bytes()[:-100], "tensors alone"),
        ("other.safetensors", whole.read_bytes(), "tensors alone"),
        ("two.pt", {"student": state, "teacher": state}, "it holds student, teacher where a dic"),
    ]
    for name, content, message in cases:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        said = sentence(read_weights, path)
        assert re.search(rf"^{name} is not a sound .*{message}", said), said
        assert "weights_only=False" not in said
    assert "is not a sound file" in fails(str(tmp_path / "cut.pt"), architecture="tiny-vit")


def test_weights_that_differ_in_names_alone_are_recognised_and_loaded_if_that_is_said(tmp_path):
    net, path = timm.create_model("resnet18", num_classes=7).eval(), tmp_path / "net.pth"
    state = {f"part_{n}": tensor for n, tensor in enumerate(net.state_dict().values())}
    torch.save(state, path)
    message = fails(str(path), architecture="resnet18")
    assert "net.pth has 122 tensors of the shapes that resnet18 has, in the same order" in message
    model = find(str(path), architecture="resnet18", renamed=True)
    assert model.renamed and model.weights_sha256 == sha256_of(path) and model.head is None
    picture = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = net.forward_head(net.forward_features(picture), pre_logits=True)
        for head in (None, "none"):
            loaded = load(model.model_copy(update={"head": head, "classes": None}))
            torch.testing.assert_close(loaded.encoder(picture), expected)
    other = dict(list(state.items())[:-1])
    torch.save(other, path)
    assert "is not of the architecture resnet18" in sentence(
        load, find(str(path), architecture="resnet18", renamed=True)
    )
    assert "no file of weights" in fails("ViT-B-32/openai", renamed=True)


def test_tensors_without_an_order_are_not_taken_by_their_place(tmp_path):
    """Blocks of equal shapes would be exchanged: of safetensors, and of a sorted dictionary."""
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    state = {f"layer{n}.param": tensor for n, tensor in enumerate(net.state_dict().values())}
    save_file(state, whole := tmp_path / "net.safetensors")
    torch.save(dict(sorted(state.items())), other := tmp_path / "sorted.pt")
    unordered = "has layer109.param before layer11.param"
    for path, said in ((whole, "keeps no order"), (other, unordered)):
        assert said in fails(str(path), architecture="vit_tiny_patch16_224", renamed=True)


def test_weights_of_no_trained_network_are_refused(tmp_path):
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    first = "conv1.weight"
    damaged = {
        "running variance 0": {n: v * 0 for n, v in state.items() if n.endswith("running_var")},
        "are all zero": {n: v * 0 for n, v in state.items() if v.is_floating_point()},
        "float8_e4m3fn for conv1.weight": {first: state[first].to(torch.float8_e4m3fn)},
    }
    for message, changed in damaged.items():
        save_file(state | changed, path := tmp_path / "net.safetensors")
        said = sentence(load, find(str(path), architecture="resnet18.a1_in1k"))
        assert message in said, said


def test_timm_files_with_and_without_a_classifier(tmp_path):
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    model = find(str(path), architecture="resnet18.a1_in1k")
    assert (model.level, model.preprocessing.size) == ("unknown", 224)
    loaded = load(model.model_copy(update={"head": "own", "classes": tuple("abcdefg")}))
    assert loaded.head is not None and loaded.head.classes == tuple("abcdefg")
    assert load(model.model_copy(update={"head": "none"})).head is None
    for wrong, said in (
        ({"head": "own", "classes": ("a", "b")}, "head has 7 classes, 2 class names are given"),
        ({"head": "zero_shot"}, r"no text encoder .* classifier of its own \(head own\)"),
    ):
        assert re.search(said, sentence(load, model.model_copy(update=wrong)))
    save_file({k: v for k, v in state.items() if not k.startswith("fc.")}, path)
    model = find(str(path), architecture="resnet18", level="random")  # a file of random weights
    assert model.level == "random" and not model.drawn
    assert model.head == "none" and load(model).head is None
