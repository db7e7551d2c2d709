"""What a user types becomes a model's description; what is wrong is said in one sentence."""

import json
import math
from pathlib import Path

import pytest
import tiny
from tiny import CLASSES, WIDTH, architectures, model, save_clip  # noqa: F401 - a fixture

from analysis.families import registry
from analysis.families.registry import shown_weights

torch = pytest.importorskip("torch", reason="extraction is not installed")
open_clip = pytest.importorskip("open_clip")
timm = pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")

from safetensors.torch import load_file, save_file  # noqa: E402

from analysis.features import checkpoints, encoders  # noqa: E402
from analysis.features.checkpoints import CheckpointError, default_name, find  # noqa: E402
from analysis.features.encoders import ModelError, load, read_weights  # noqa: E402

torch.set_num_threads(1)
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_clip(path)
    return path


def fails(text: str, **given: str) -> str:
    """The sentence that `find` answers with."""
    with pytest.raises(ModelError) as caught:
        find(text, **given)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


# What the libraries know.


def test_a_model_of_the_book() -> None:
    own = registry.load_family("vit_b_32").model("vit_b_32-openai")
    assert find("vit_b_32-openai") == own
    renamed = find("vit_b_32-openai", name="other", level="captions", pretraining="Mine")
    assert (renamed.name, renamed.level, renamed.pretraining) == ("other", "captions", "Mine")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("ViT-B-32-quickgelu/openai", "vit_b_32-openai"),
        ("ViT-B-32/laion2b-s34b-b79k", "vit_b_32-laion2b"),
        ("RN50-quickgelu/yfcc15m", "rn50-yfcc15m"),
        ("vit_base_patch32_clip_224.openai_ft_in1k", "vit_b_32-openai-finetuned"),
        ("vit_base_patch32_224.augreg_in1k", "vit_b_32-supervised"),
    ],
)
def test_what_is_found_is_what_the_family_files_say(text: str, own: str) -> None:
    described = {m.name: m for f in registry.load_families().values() for m in f.models}[own]
    found = find(text, name=own)
    same = ("level", "library", "architecture", "weights", "pretraining", "preprocessing", "width")
    for field in (*same, "published"):
        assert getattr(found, field) == getattr(described, field), field


def test_every_pretrained_weight_of_open_clip_has_a_description() -> None:
    unusual = []
    for architecture, tag in open_clip.list_pretrained():
        try:
            found = find(f"{architecture}/{tag}")
        except CheckpointError as error:
            unusual.append(str(error))
            continue
        config = open_clip.get_pretrained_cfg(architecture, tag)
        assert found.weights == tag and found.preprocessing.mean == tuple(config["mean"])
        assert found.preprocessing.squash == (config["resize_mode"] == "squash")
    wrong = [text for text in unusual if "were trained with" not in text]
    assert not wrong


def test_timm_resizes_before_it_crops() -> None:
    found = find("tf_efficientnet_lite0.in1k")
    config = timm.get_pretrained_cfg("tf_efficientnet_lite0.in1k")
    assert found.preprocessing.resize == math.floor(224 / config.crop_pct)
    assert (found.level, found.width, found.head) == ("supervised", 1280, None)
    assert find("tf_efficientnet_lite0").weights == "in1k"


def test_image_encoders_of_clip_in_timm_have_no_classifier() -> None:
    found = find("resnet50_clip.openai")
    assert (found.level, found.head) == ("zero_shot", "none")
    assert "before CLIP's projection" in found.note


def test_a_level_that_cannot_be_guessed_is_asked_for() -> None:
    text = "vit_small_patch14_dinov2.lvd142m"
    assert "does not say how it was trained: give --level, one of zero_shot, " in fails(text)
    found = find(text, level="supervised")
    assert (found.head, found.width) == ("none", 384)


def test_random_weights_of_an_architecture() -> None:
    found = find("random", architecture="ViT-B-32", name="control")
    assert (found.level, found.weights, found.width) == ("random", None, 512)
    assert "name it with --architecture" in fails("random")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ViT-B32/openai", r"no architecture 'ViT-B32' .* nearest .* ViT-B-32,"),
        ("ViT-B-32/laion3b_s34b_b79k", r"no weights 'laion3b_s34b_b79k' for ViT-B-32: .*laion2b_s"),
        ("ViT-B-32/openai", r"trained with QuickGELU, .*: give ViT-B-32-quickgelu/openai\."),
        ("vit_b_32-opnai", r"no checkpoint 'vit_b_32-opnai', .* nearest .* vit_b_32-openai,"),
        ("resnet5", r"no checkpoint 'resnet5', neither .* nor of timm.* resnet50"),
        ("resnet50.a1_in2k", r"no checkpoint 'resnet50\.a1_in2k'.*resnet50\.a1_in1k"),
        ("laion/some-clip", r"is written hf-hub:laion/some-clip"),
        ("hf-hub:laion", r"hf-hub:ORGANISATION/NAME is expected"),
        ("", "the checkpoint's name is empty"),
        ("absent.pt", r"there is no file absent\.pt: check the path"),
        (r"C:\my models\vit.safetensors", r"there is no file C:\\my models\\vit\.safetensors"),
        (r"models\vit", r"there is no file models\\vit: check the path"),
        ("families", r"families is a folder: give the file of weights in it \(\.safetensors, "),
        ("README.md", r"README\.md is not a safetensors file, nor one of PyTorch's"),
    ],
)
def test_typing_errors_are_answered_with_the_nearest(text: str, message: str) -> None:
    import re

    assert re.search(message, fails(text)), fails(text)


def test_unknown_architectures_of_files(file: Path) -> None:
    message = fails(str(file), architecture="ViT-B32")
    assert "neither open_clip nor timm has an architecture 'ViT-B32'" in message
    assert "ViT-B-32" in message.partition("nearest")[2]
    assert "no pretrained model 'resnet50.nothing'" in fails(
        str(file), architecture="resnet50.nothing"
    )


def test_names_for_checkpoints_without_one() -> None:
    assert default_name("hf-hub:laion/CLIP-ViT-B@main") == "laion-clip-vit-b"
    assert default_name(r"C:\my wéights\Mine (1).safetensors") == "mine-1"
    assert default_name("/data/2024.pt") == "model-2024"


def test_paths_of_this_machine_are_not_shown() -> None:
    for path in ("/home/me/x.pt", "~/x.pt", r"C:\me\x.pt", "C:/me/x.pt", "../x.pt"):
        assert shown_weights(path) == "x.pt"
    for kept in ("data/pocket/x.safetensors", "openai", "hf-hub:laion/x", ""):
        assert shown_weights(kept) == kept


# The hub, as a download that a test fakes.


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what the hub has, laid out as the hub's cache."""
    from huggingface_hub.errors import EntryNotFoundError

    cache = tmp_path / "hub"

    def download(repository: str, name: str, revision: str = REVISION) -> str:
        folder = cache / repository.replace("/", "--") / "snapshots" / revision
        if not folder.is_dir():
            raise ConnectionError("offline")
        if not (folder / name).is_file():
            raise EntryNotFoundError(name)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return cache


def put(hub: Path, repository: str, config_name: str, config: object) -> Path:
    folder = hub / repository.replace("/", "--") / "snapshots" / REVISION
    folder.mkdir(parents=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / config_name).write_text(text)
    return folder


TINY = {"embed_dim": WIDTH, "vision_cfg": tiny.ARCHITECTURES["tiny-vit"], "text_cfg": tiny.TEXT}
INPUT = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear",
         "resize_mode": "squash", "size": 32}  # fmt: skip


def test_an_open_clip_repository(hub: Path) -> None:
    config = {"model_cfg": TINY, "preprocess_cfg": INPUT}
    folder = put(hub, "someone/tiny", "open_clip_config.json", config)
    save_clip(folder / "open_clip_model.safetensors")
    found = find("hf-hub:someone/tiny")
    assert (found.library, found.architecture) == ("open_clip", "tiny-vit")
    assert found.weights == f"hf-hub:someone/tiny@{REVISION}"
    assert found.preprocessing.mean == (0.1, 0.2, 0.3) and found.preprocessing.squash
    assert load(found).weights_sha256 == encoders._sha256(folder / "open_clip_model.safetensors")


def test_a_repository_of_an_architecture_that_is_not_listed(hub: Path) -> None:
    put(hub, "someone/wide", "open_clip_config.json", {"model_cfg": {**TINY, "embed_dim": 7}})
    message = fails("hf-hub:someone/wide")
    assert "open_clip does not list (width 7): name the one that it equals" in message
    assert find("hf-hub:someone/wide", architecture="tiny-vit").width == WIDTH
    assert "is an architecture of timm" in fails("hf-hub:someone/wide", architecture="resnet18")


def test_a_timm_repository(hub: Path) -> None:
    config = {
        "architecture": "resnet18", "num_classes": 5, "num_features": 512,
        "pretrained_cfg": {"tag": "mine", "input_size": [3, 64, 64], "crop_pct": 0.5,
                           "interpolation": "bicubic", "mean": [0, 0, 0], "std": [1, 1, 1]},
    }  # fmt: skip
    folder = put(hub, "someone/net", "config.json", config)
    net = timm.create_model("resnet18", num_classes=5)
    save_file(net.state_dict(), folder / "model.safetensors")
    found = find(f"hf-hub:someone/net@{REVISION}")
    assert (found.architecture, found.level, found.width) == ("resnet18", "supervised", 512)
    assert (found.preprocessing.size, found.preprocessing.resize) == (64, 128)
    loaded = load(found)
    assert loaded.head is not None and len(loaded.head.classes) == 5


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("config.json", {"model_type": "clip"}, "but of transformers (clip): one with open_clip_c"),
        ("config.json", {"architecture": "no_such"}, "timm has no architecture 'no_such'"),
        ("config.json", {"architecture": "resnet18", "model_args": {"x": 1}}, "arguments of its o"),
        ("config.json", "{", "is not readable as JSON"),
        ("open_clip_config.json", {"model_cfg": TINY, "preprocess_cfg": {"resize_mode": "longest"}},
         "padded (longest)"),
        ("other.json", {}, "open_clip_config.json or config.json of someone/odd is not on this ma"),
    ],
)  # fmt: skip
def test_repositories_that_cannot_be_used(
    hub: Path, name: str, config: object, message: str
) -> None:
    put(hub, "someone/odd", name, config)
    assert message in fails("hf-hub:someone/odd")


def test_a_hub_that_cannot_be_reached(hub: Path) -> None:
    message = fails("hf-hub:someone/away")
    assert "could not be fetched from the Hugging Face hub (ConnectionError): check the name" in (
        message
    )


# Local files.


def test_a_file_that_says_its_architecture(file: Path) -> None:
    found = find(str(file))
    assert (found.architecture, found.level, found.width) == ("tiny-vit", "zero_shot", WIDTH)
    assert found.weights == file.as_posix() and found.name == "tiny"
    other = file.with_name("nameless.safetensors")
    save_file(load_file(file), other)
    assert "does not say of which architecture it is" in fails(str(other))
    assert find(str(other), architecture="tiny-vit").width == WIDTH


def test_files_in_the_repository_are_described_from_its_root() -> None:
    text = "data/pocket/checkpoints/pocket-cnn-finetuned.safetensors"
    own = registry.load_family("pocket_cnn").model("pocket-cnn-finetuned")
    for path in (text, str(registry.ROOT / text)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoders, "ARCHITECTURES", registry.ROOT / "data/pocket/architectures")
            found = find(path)
        assert (found.weights, found.level) == (text, "finetuned")
        assert (found.preprocessing, found.width) == (own.preprocessing, own.width)


def test_backslashes_between_folders(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent.parent)
    found = find(rf"{file.parent.name}\{file.name}")
    assert found.weights == file.resolve().as_posix() and found.name == "tiny"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_files_of_tensors(file: Path, suffix: str, legacy: bool) -> None:
    state = load_file(file)
    path = file.with_name(f"wéights (1){suffix}")
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    found = find(str(path), architecture="tiny-vit")
    loaded, original = load(found), load(model(), file)
    picture = original.preprocess(tiny.pictures(1)[0])[None]
    assert torch.equal(loaded.encoder(picture), original.encoder(picture))
    assert loaded.read == ""


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model"])
def test_wrapped_state_dicts_are_unwrapped_and_it_is_said(file: Path, entry: str) -> None:
    state = {f"module.{key}": value for key, value in load_file(file).items()}
    path = file.with_name("run.pt")
    torch.save({"epoch": 3, entry: state, "optimizer": {"state": {}}}, path)
    loaded = load(find(str(path), architecture="tiny-vit"))
    assert loaded.read == (
        f"of run.pt the entry {entry!r} was taken, and epoch, optimizer left aside; "
        "the prefix 'module.' was taken off the names of all tensors"
    )


class Bomb:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("a pickle was opened",)


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_files_that_are_no_weights(tmp_path: Path, file: Path) -> None:
    state = load_file(file)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    adapter = {"base.layers.0.lora_A.weight": torch.ones(2, 2)}
    text = {k: v for k, v in state.items() if not k.startswith("visual.")}
    for content, message in [
        (Bomb(), "holds more than tensors"),
        ({"state_dict": state, "arguments": Bomb()}, "may run code when it is opened, so it was n"),
        (optimizer, "holds the state of an optimizer"),
        (adapter, "is an adapter (LoRA)"),
        (text, "holds a text encoder alone"),
        ([torch.ones(1)], "holds no weights by name (a list)"),
        ({}, "holds no weights by name (an empty dictionary)"),
        ({"epoch": 1, "loss": 0.1}, "(a dictionary with epoch, loss), where a dictionary of tenso"),
        (torch.ones(3), "holds no weights by name (a Tensor)"),
    ]:
        path = save(tmp_path / "weights.pt", content)
        with pytest.raises(ModelError) as caught:
            load(find(str(path), architecture="tiny-vit"))
        assert message in str(caught.value) and "\n" not in str(caught.value)
        assert "weights.pt" in str(caught.value)


def test_half_a_checkpoint(tmp_path: Path, file: Path) -> None:
    state = load_file(file)
    whole = save(tmp_path / "whole.pt", state).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("these are not weights")
    (tmp_path / "nothing.pt").write_bytes(b"")
    for name in ("cut.pt", "text.pt", "nothing.pt"):
        message = fails(str(tmp_path / name), architecture="tiny-vit")
        assert f"{name} is not a sound file of PyTorch's" in message
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-100])
    message = fails(str(tmp_path / "cut.safetensors"), architecture="tiny-vit")
    assert "named safetensors but is not a sound one" in message
    del state["visual.proj"]
    found = find(str(save(tmp_path / "less.pt", state)), architecture="tiny-vit")
    with pytest.raises(ModelError, match=r"1 tensors are missing .*get the whole file"):
        load(found)


def test_torchscript_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(ModelError, match="it is a TorchScript program, not a file of weights"):
        read_weights(path)


def test_an_old_pytorch_reads_no_pickles(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(file.with_name("weights.pt"), load_file(file))
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(ModelError, match=r"is read with PyTorch 2\.6 or newer only"):
        read_weights(path)


def test_a_checkpoint_of_another_architecture(file: Path) -> None:
    found = find(str(file), architecture="tiny-cnn")
    with pytest.raises(ModelError, match="is of the architecture tiny-vit, tiny-cnn is expected"):
        load(found)


def test_timm_files_with_and_without_a_classifier(tmp_path: Path) -> None:
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    found = find(str(path), architecture="resnet18.a1_in1k")
    assert (found.level, found.preprocessing.size) == ("supervised", 224)
    named = found.model_copy(update={"head": "own", "classes": tuple("abcdefg")})
    loaded = load(named)
    assert loaded.head is not None and loaded.head.classes == tuple("abcdefg")
    with pytest.raises(ModelError, match="head has 7 classes, 2 class names are given"):
        load(found.model_copy(update={"head": "own", "classes": ("a", "b")}))
    assert load(found.model_copy(update={"head": "none"})).head is None
    with pytest.raises(ModelError, match=r"no text encoder .* classifier of its own \(head own\)"):
        load(found.model_copy(update={"head": "zero_shot"}))
    bare = {k: v for k, v in state.items() if not k.startswith("fc.")}
    save_file(bare, path)
    assert "give --level" in fails(str(path), architecture="resnet18")
    found = find(str(path), architecture="resnet18", level="supervised")
    assert found.head == "none" and load(found).head is None
    state["fc.weight"] = torch.ones(7, 99)
    save_file(state, path)
    with pytest.raises(ModelError, match=r"fc\.weight has the shape \(7, 99\), \(7, 512\) is exp"):
        load(find(str(path), architecture="resnet18"))


def test_an_image_encoder_alone_has_no_head(file: Path) -> None:
    save_file({k: v for k, v in load_file(file).items() if k.startswith("visual.")}, file)
    found = find(str(file), architecture="tiny-vit")
    assert found.head == "none"
    assert load(found).head is None and load(found).text is None
    with pytest.raises(ModelError, match="has no classifier of its own"):
        load(model(head="own", weights="x.safetensors"), save_whole(file))


def save_whole(path: Path) -> Path:
    save_clip(path)
    return path


def test_weights_that_changed_are_refused(file: Path) -> None:
    found = find(str(file)).model_copy(update={"weights_sha256": encoders._sha256(file)})
    assert load(found).weights_sha256 == found.weights_sha256
    save_clip(file, seed=2)
    with pytest.raises(ModelError, match=r"is not the file that tiny was described with: .*put th"):
        load(found)


def test_classes_of_the_users_own(file: Path) -> None:
    images = tiny.image_list(4)
    own = find(str(file)).model_copy(update={"head": "zero_shot", "classes": ("a_b", "c")})
    assert encoders.head_prompts(own, images).names == ("a b", "c")
    texts = own.model_copy(update={"templates": ("{}!",)})
    assert encoders.head_prompts(texts, images).templates == ("{}!",)
    imagenet = own.model_copy(update={"classes": "imagenet", "templates": "imagenet"})
    prompts = encoders.head_prompts(imagenet, images)
    assert (len(prompts.names), len(prompts.templates)) == (1000, 80)
    plain = own.model_copy(update={"classes": None})
    assert encoders.head_prompts(plain, images) == images.prompts
    assert images.prompts.classes == CLASSES
    assert isinstance(checkpoints.CheckpointError("x"), ModelError)
