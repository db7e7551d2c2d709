"""Extraction: features equal the bare model, resume after a kill, and say where they come from."""

import json
import weakref
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from conftest import refused
from safetensors.torch import load_file, save_file
from tiny import PROMPTS, WIDTH, image_list, model, save_clip, save_folder, use_architectures

from analysis.base.files import sealed, sha256_of
from analysis.base.texts import CompanionError
from analysis.families import registry
from analysis.families.registry import Family
from analysis.features import decode, heads, plan, store
from analysis.features import extract as extraction
from analysis.features.plan import ExtractionError, ExtractionSettings
from analysis.features.store import StoreError
from analysis.images import imagelist
from analysis.images.imagelist import ImageList
from companion.checkpoints import loading

torch.set_num_threads(1)
LOAD = loading.load
QUICK = ExtractionSettings(batch_size=4, shard_size=12, workers=2, progress=False)


def extract(*given, **options):
    """Extract with what loads a model, whichever that is at the time."""
    return extraction.extract(*given, load=loading.load, **options)


@pytest.fixture(autouse=True, scope="module")
def checkpoints(tmp_path_factory):
    """Weights for the tiny models, where family files expect them."""
    folder = tmp_path_factory.mktemp("pocket")
    with pytest.MonkeyPatch.context() as patch:
        use_architectures(folder, patch)
        patch.setattr(store, "WORKSPACE", folder)
        for name in tiny.ARCHITECTURES:
            save_clip(folder / f"{name}.safetensors", name)
        yield folder


def described(name, architecture="tiny-vit", **fields):
    weights = f"{architecture}.safetensors"
    return model(name, architecture=architecture, **{"weights": weights, **fields})


VIT = described("vit")
CNN = described("cnn", "tiny-cnn")
#: Another normalisation, but the same pixels.
GREY = described("grey", preprocessing={**tiny.PREPROCESSING, "mean": (0.5, 0.5, 0.5)})
#: The same network before its projection.
EARLY = described("early", width=16, head="none", layer="before_projection")
#: Other pixels.
BOX = described("box", preprocessing={**tiny.PREPROCESSING, "interpolation": "box"})
RANDOM = described("random", weights=None, level="random")


def features(folder, model, name="noise"):
    return store.read_features(store.features_path(model.name, name, folder), model)


def watch_decoding(patch, hook):
    decode = ImageList.image

    def watched(self, index):
        hook(index)
        return decode(self, index)

    patch.setattr(ImageList, "image", watched)


def test_images_are_decoded_once_and_seen_as_one_at_a_time(tmp_path, monkeypatch):
    everyone, images = [VIT, CNN, GREY, EARLY, BOX, RANDOM], image_list()
    decoded, resized, resize = [], [], decode.to_pixels
    watch_decoding(monkeypatch, decoded.append)
    monkeypatch.setattr(
        decode, "to_pixels", lambda *given: (resized.append(given), resize(*given))[1]
    )
    extract(everyone, images, QUICK, folder=tmp_path)
    assert sorted(decoded) == list(range(50))
    assert len(resized) == 100  # all but BOX share their pixels
    for net in everyone:
        read, loaded = features(tmp_path, net), loading.load(net)
        with torch.inference_mode():
            for i in range(0, 50, 3):
                alone = loaded.encoder(loaded.preprocess(images.image(i))[None])[0].numpy()
                np.testing.assert_allclose(read.features[i], alone, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(read.labels, images.labels)
        np.testing.assert_array_equal(read.rows, store.row_numbers(images.keys))
        assert read.features.std() > 0.01 and read.sidecar["batch_size"] == 4
    (alone,) = extract([VIT], images, QUICK, folder=tmp_path / "alone")
    assert alone.read_bytes() == (tmp_path / "vit" / alone.name).read_bytes()
    assert features(tmp_path / "alone", VIT).sidecar == features(tmp_path, VIT).sidecar


def test_the_sidecar_tells_where_features_come_from(tmp_path, checkpoints):
    images = image_list()
    extract([VIT], images, QUICK, folder=tmp_path)
    sidecar = features(tmp_path, VIT).sidecar
    assert sidecar["model"]["weights_sha256"] == sha256_of(checkpoints / "tiny-vit.safetensors")
    about = {"name": "noise", "manifest": images.manifest, "images": 50}
    assert sidecar["data"] == about | {"classes": list(images.classes), "left_out": {}}
    assert (sidecar["N"], sidecar["d"], sidecar["dtype"]) == (50, WIDTH, "float32")
    assert (sidecar["precision"], sidecar["device"]) == ("fp32", "cpu")
    assert str(tmp_path) not in json.dumps(sidecar)
    made_from = sidecar["made_from"]
    assert (made_from["images"], made_from["batch size"]) == (images.manifest, "4")
    assert made_from["torch"] == version("torch") == sidecar["versions"]["torch"]
    named = {name for name in made_from if name.startswith("analysis")}
    assert {"analysis.features.preprocess", "analysis.images.imagelist"} < named
    assert not {name for name in named if name.endswith(("store", "plan", "parquet"))}


def test_features_before_the_projection_give_those_behind_it(tmp_path, checkpoints):
    extract([VIT, EARLY], image_list(), QUICK, folder=tmp_path)
    late, early = (features(tmp_path, net) for net in (VIT, EARLY))
    projection = load_file(checkpoints / "tiny-vit.safetensors")["visual.proj"].numpy()
    np.testing.assert_allclose(early.features @ projection, late.features, rtol=1e-4, atol=1e-5)
    assert not store.head_path("early", "noise", tmp_path).exists()
    with pytest.raises(StoreError, match="made when the model's layer differed"):
        features(tmp_path, EARLY.model_copy(update={"own_layer": None}))


def stopped(folder, monkeypatch, *models):
    """Extraction that ends in the fourth shard, as where it is killed."""
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        watch_decoding(patch, lambda index: 1 / (45 - index))
        extract(models, image_list(), QUICK, folder=folder)


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    """Of the second encoder the third shard is damaged."""
    begun, whole = tmp_path / "begun", tmp_path / "whole"
    stopped(begun, monkeypatch, VIT, CNN)
    refused("was not finished", features, begun, VIT)
    last = max((begun / "cnn").glob("*.parts/*/*.safetensors"))
    last.write_bytes(last.read_bytes()[:-1])
    again = []
    watch_decoding(monkeypatch, again.append)
    extract([VIT, CNN], image_list(), QUICK, folder=begun)
    assert set(again) == set(range(24, 50))  # vit had 36 images
    extract([VIT, CNN], image_list(), QUICK, folder=whole)
    names = [p.relative_to(whole) for p in sorted(whole.rglob("*")) if p.is_file()]
    assert names == [p.relative_to(begun) for p in sorted(begun.rglob("*")) if p.is_file()]
    for name in names:
        assert (whole / name).read_bytes() == (begun / name).read_bytes(), name


def test_shards_of_other_weights_are_not_used(tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, VIT)
    other = tmp_path / "other.safetensors"
    save_clip(other, seed=2)
    (path,) = extract([VIT], image_list(), QUICK, folder=tmp_path, checkpoint=other)
    (once,) = extract([VIT], image_list(), QUICK, folder=tmp_path / "once", checkpoint=other)
    assert once.read_bytes() == path.read_bytes()
    refused("weights_sha256 differed", features, tmp_path, VIT)  # not those it names


def test_what_is_there_and_current_is_not_extracted_again(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        loading, "load", lambda net, *rest: (loaded.append(net.name), LOAD(net, *rest))[1]
    )

    def again(*models, images=image_list(), **settings):  # noqa: B008 - never changed
        loaded.clear()
        extract(models, images, replace(QUICK, **settings), folder=tmp_path)
        return loaded

    again(VIT, CNN)
    assert again(VIT, CNN, workers=1, shard_size=8) == []
    assert plan.is_current(VIT, image_list(), replace(QUICK, device="cuda"), tmp_path)
    path = store.features_path("cnn", "noise", tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert again(VIT, CNN, GREY) == ["cnn", "grey"]
    path.write_bytes(bytes(8) + path.read_bytes()[8:])  # of the same size
    assert again(VIT, CNN) == ["cnn"]
    assert again(VIT, CNN, images=image_list(49)) == ["vit", "cnn"]  # the same name
    assert again(VIT, precision="bf16") == ["vit"] == again(VIT, batch_size=2)
    made = json.loads(store.sidecar_of(path).read_text())
    del made["digest"]
    made["made_from"]["companion.checkpoints.loading"] = "0"
    store.sidecar_of(path).write_text(json.dumps(sealed(made)))
    assert features(tmp_path, CNN).features.shape == (49, WIDTH)  # a reader takes them
    assert not plan.is_current(CNN, image_list(49), QUICK, tmp_path)
    assert again(CNN, images=image_list(49)) == ["cnn"] and again(CNN, images=image_list(49)) == []
    wider = replace(image_list(49), prompts=replace(PROMPTS, templates=("{}",)))
    assert again(CNN, images=wider) == ["cnn"]  # for its head


def test_after_an_upgrade_features_are_kept_if_a_sample_comes_out_equal(tmp_path, monkeypatch):
    extract([VIT, CNN], image_list(), QUICK, folder=tmp_path)
    before = {net.name: features(tmp_path, net) for net in (VIT, CNN)}
    version = plan.code.version_of
    monkeypatch.setattr(plan.code, "version_of", lambda n: "9" if n == "PIL" else version(n))
    why = plan.why_again(VIT, image_list(), QUICK, tmp_path)
    assert why == [f"PIL {version('PIL')} → 9"]
    other = plan.why_again(VIT, image_list(), replace(QUICK, precision="bf16"), tmp_path)
    assert other == ["other precision"]
    path = store.features_path("cnn", "noise", tmp_path)
    old = store.read_features(path)  # as an earlier version might have computed them
    about = {name: of for name, of in old.sidecar.items() if name != "digest"}
    store.write_features(path, old.features * 1.01, old.labels, old.rows, sidecar=about)
    extract([VIT, CNN], image_list(), QUICK, folder=tmp_path)
    for net in (VIT, CNN):
        assert plan.is_current(net, image_list(), QUICK, tmp_path)
        now = features(tmp_path, net)
        np.testing.assert_allclose(now.features, before[net.name].features, rtol=1e-5)
        note = now.sidecar.get("kept")
        assert (note is not None) == (net is VIT)
    assert features(tmp_path, VIT).sidecar["kept"]["changed"] == why
    assert features(tmp_path, VIT).sidecar["sha256"] == before["vit"].sidecar["sha256"]


SPOILT = [*(f"blue/{number:03}.jpg" for number in (2, 5, 8, 11)), "red/003.jpg"]


def spoil(folder):
    save_folder(folder, 30, "jpg")
    for name in SPOILT:
        (folder / name).write_bytes((folder / name).read_bytes()[:300])
    return imagelist.folder(folder, name="spoilt")


def test_damaged_images_can_be_left_out(tmp_path):
    """Also where a shard has no others, as the first here."""
    images = spoil(tmp_path / "pictures")
    leaving_out = replace(QUICK, shard_size=4, leave_out_damaged=True)
    (path,) = extract([VIT], images, leaving_out, folder=tmp_path)
    read = store.read_features(path, VIT)
    left_out = read.sidecar["data"]["left_out"]
    assert list(left_out) == SPOILT and "Truncated" in left_out["red/003.jpg"]
    assert read.sidecar["data"]["images"] == 30 and read.sidecar["N"] == 25
    with pytest.raises(ExtractionError, match=r"cannot be decoded"):  # it was not asked for now
        extract([VIT], images, QUICK, folder=tmp_path)
    for name in SPOILT:
        (tmp_path / "pictures" / name).unlink()
    kept = imagelist.folder(tmp_path / "pictures", name="kept")
    extract([VIT], kept, QUICK, folder=tmp_path)
    clean = features(tmp_path, VIT, "kept")
    np.testing.assert_array_equal(read.rows, clean.rows)
    np.testing.assert_allclose(read.features, clean.features, rtol=1e-4, atol=1e-5)


def limited(most, error):
    """`load`, with an encoder that has memory for so many images."""

    def check(module, inputs):
        if len(inputs[0]) > most:
            raise error

    def load(*given):
        loaded = LOAD(*given)
        loaded.encoder.register_forward_pre_hook(check)
        return loaded

    return load


WITHOUT_MEMORY = [
    torch.OutOfMemoryError("CUDA"),
    RuntimeError("[] can't allocate memory: you"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("Unable to find an engine to execute this computation"),
]


@pytest.mark.parametrize("error", WITHOUT_MEMORY)
def test_out_of_memory_halves_the_batch(tmp_path, monkeypatch, error):
    extract([VIT], image_list(), QUICK, folder=tmp_path / "free")
    monkeypatch.setattr(loading, "load", limited(3, error))
    settings = replace(QUICK, batch_size=16)
    extract([VIT], image_list(), settings, folder=tmp_path / "tight")
    free, tight = (features(tmp_path / name, VIT) for name in ("free", "tight"))
    assert tight.sidecar["batch_size"] == 2
    np.testing.assert_allclose(free.features, tight.features, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(loading, "load", limited(0, error))
    with pytest.raises(ExtractionError, match="does not hold even one image"):
        extract([VIT], image_list(), settings, folder=tmp_path / "none")


@pytest.mark.parametrize("when", ["loading", "computing"])
def test_models_that_memory_does_not_hold_together_follow_one_another(tmp_path, monkeypatch, when):
    """Simulated: memory holds one encoder, and one of them, GREY, not even alone."""
    alive, failed, loads = weakref.WeakSet(), {}, []

    def full(*_):
        if len(alive) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def load(net, *given):
        loads.append(net.name)
        if net is GREY:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if when == "loading" and alive:
            raise torch.OutOfMemoryError("CUDA out of memory")
        loaded = LOAD(net, *given)
        alive.add(loaded.encoder)
        loaded.encoder.register_forward_pre_hook(full)
        return loaded

    monkeypatch.setattr(loading, "load", load)
    note = lambda net, error: failed.update({net.name: str(error)})  # noqa: E731
    extract([VIT, CNN, GREY, RANDOM], image_list(), QUICK, folder=tmp_path, onerror=note)
    assert [*failed] == ["grey"] and "does not hold even one image" in failed["grey"]
    monkeypatch.setattr(loading, "load", LOAD)
    for net in (VIT, CNN, RANDOM):
        extract([net], image_list(), QUICK, folder=tmp_path / "alone")
        one, other = features(tmp_path, net), features(tmp_path / "alone", net)
        np.testing.assert_allclose(one.features, other.features, rtol=1e-4, atol=1e-5)
    assert loads[0] == "vit" and {*loads} == {"vit", "cnn", "grey", "random"}


def test_a_head_of_texts_goes_on_where_it_was_killed_and_with_less_memory(tmp_path, monkeypatch):
    prompts = replace(PROMPTS, templates=("a {}", "the {}", "one {}"))
    loaded, calls, kept = LOAD(VIT), [], tmp_path / "head.safetensors"

    def text(texts, most=100):
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        calls.append(len(texts))
        if len(calls) == most:
            raise KeyboardInterrupt
        return loaded.text(texts)

    expected = heads.zero_shot_head(loaded, prompts)
    tight = heads.zero_shot_head(replace(loaded, text=text), prompts, batch_size=6)
    np.testing.assert_allclose(tight.weight, expected.weight, atol=1e-6)
    whole = len(calls)
    monkeypatch.setattr(heads, "SAVED_EVERY", 0)
    calls.clear()
    killed = replace(loaded, text=lambda texts: text(texts, most=3))
    with pytest.raises(KeyboardInterrupt):
        heads.zero_shot_head(killed, prompts, batch_size=3, kept=kept)
    calls.clear()
    again = heads.zero_shot_head(replace(loaded, text=text), prompts, batch_size=3, kept=kept)
    np.testing.assert_allclose(again.weight, expected.weight, atol=1e-6)
    assert 0 < len(calls) < whole
    other = replace(prompts, templates=("another {}", "the {}", "one {}"))
    assert not heads._kept_rows(kept, {"model": {}, "texts": other.sha256})


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_features_of_lower_precision_are_near_and_say_so(tmp_path, precision):
    extract([VIT, CNN], image_list(), QUICK, folder=tmp_path / "full")
    lower = replace(QUICK, precision=precision)
    extract([VIT, CNN], image_list(), lower, folder=tmp_path / "lower")
    for net in (VIT, CNN):
        a, b = (features(tmp_path / name, net) for name in ("full", "lower"))
        assert b.features.dtype == np.float16 and b.sidecar["precision"] == precision
        scale = np.abs(a.features).max()
        np.testing.assert_allclose(b.features, a.features, atol=0.03 * scale)
        assert not np.array_equal(a.features.astype(np.float16), b.features)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_tf32_is_used_where_it_is_asked_for(tmp_path, monkeypatch, precision):
    """PyTorch's default, which is to use it in convolutions alone, is put back."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    seen, before, forward = set(), [b.allow_tf32 for b in backends], extraction.Encoder._forward

    def noting(self, pixels):
        seen.add(tuple(backend.allow_tf32 for backend in backends))
        return forward(self, pixels)

    monkeypatch.setattr(extraction.Encoder, "_forward", noting)
    extract([CNN], image_list(), replace(QUICK, precision=precision), folder=tmp_path)
    assert seen == {(precision == "tf32",) * 2}
    assert [backend.allow_tf32 for backend in backends] == before
    assert features(tmp_path, CNN).sidecar["precision"] == precision


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_gpu_gives_the_same_features(tmp_path, channels_last):
    on_gpu = replace(QUICK, device="cuda", channels_last=channels_last)
    extract([VIT, CNN], image_list(), QUICK, folder=tmp_path / "cpu")
    extract([VIT, CNN], image_list(), on_gpu, folder=tmp_path / "gpu")
    for net in (VIT, CNN):
        a, b = (features(tmp_path / name, net) for name in ("cpu", "gpu"))
        np.testing.assert_allclose(a.features, b.features, rtol=1e-2, atol=1e-2)


def test_models_that_fail_are_left_out(tmp_path, checkpoints, monkeypatch):
    state = load_file(checkpoints / "tiny-vit.safetensors")
    state["visual.conv1.weight"][0] = 3e38  # finite of a black image alone
    save_file(state, checkpoints / "nan.safetensors")
    wrong = {
        "there are no weights at": described("absent", weights="absent.safetensors"),
        "is not the file that other was described": described("other", weights_sha256="0" * 64),
        "is of the architecture tiny-cnn": described("misfit", weights="tiny-cnn.safetensors"),
        "which is no trained network": described("nan", weights="nan.safetensors"),
        "the head of dull does not know": described("dull", head="zero_shot", classes=("red",)),
    }
    decoded, failed = [], {}
    watch_decoding(monkeypatch, decoded.append)

    def note(net, error):
        failed[net.name] = str(error)

    extract([VIT, *wrong.values(), CNN], image_list(), QUICK, folder=tmp_path, onerror=note)
    assert sorted(decoded) == list(range(50))
    for reason, net in wrong.items():
        assert reason in failed.pop(net.name)
        assert not store.features_path(net.name, "noise", tmp_path).exists()
        with pytest.raises(CompanionError, match=reason):  # without onerror it stops the others
            extract([VIT, net], image_list(), QUICK, folder=tmp_path / "stopped")
    assert not failed and features(tmp_path, VIT).features.std() > 0


def test_what_fails_on_one_data_set_loses_none_of_the_others(tmp_path, checkpoints, monkeypatch):
    """Images of the second cannot be decoded; DULL's head knows no class but the fourth's."""
    damaged = spoil(tmp_path / "pictures")
    red = replace(image_list(20), name="red", labels=np.zeros(20, dtype=np.int64), classes=("red",))
    lists = [image_list(), damaged, replace(image_list(30), name="third"), red]
    dull = described("dull", head="zero_shot", classes=("red",))
    failed, loads = [], []
    monkeypatch.setattr(
        loading, "load", lambda net, *rest: (loads.append(net.name), LOAD(net, *rest))[1]
    )
    note = lambda net, error: failed.append((net.name, str(error)))  # noqa: E731
    extract([VIT, dull, CNN], lists, QUICK, folder=tmp_path / "store", onerror=note)
    assert loads == ["vit", "dull", "cnn"]
    cannot = [name for name, why in failed if "spoilt: " in why and "cannot be decoded" in why]
    assert cannot == ["vit", "cnn"]
    assert [name for name, why in failed if "the head of dull does not" in why] == ["dull"] * 3
    assert len(failed) == 5
    sound = ("noise", "third", "red")
    there = {path.relative_to(tmp_path / "store") for path in tmp_path.rglob("*.safetensors")}
    features_ = {str(path.with_suffix("")) for path in there if ".head" not in path.name}
    assert features_ == {"dull/red", *(f"{net}/{name}" for net in ("vit", "cnn") for name in sound)}
    with pytest.raises(ExtractionError, match="images cannot be decoded"):
        extract([VIT], lists, QUICK, folder=tmp_path / "store")


def test_more_locks_than_files_may_be_open_are_held(tmp_path):
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = [tmp_path / f"{n}.safetensors" for n in range(200)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
        with store.locked(paths):
            assert len([*tmp_path.glob("*.lock")]) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_command_says_what_it_leaves_out_and_computes_again(own_store, monkeypatch, answer):
    gone = model("gone", library=None, architecture=None, weights=None)
    about = {"title": "Tiny", "edition": "reader", "order": 1, "backbone": "Small."}
    family = Family(name="tiny", models=(VIT, CNN, gone), **about)
    monkeypatch.setattr(registry, "load_family", lambda name: family)
    pictures = own_store.parent / "pictures"
    spoil(pictures)
    command = ["extract", "tiny", "--data", pictures, "--workers", 1, "--leave-out-damaged"]
    said, _ = answer(*command, "--device", "cpu").splitlines()
    assert said.endswith(f"(5 left out: {', '.join(SPOILT)})")
    path = Path(said.split()[0])
    assert path.parent == own_store / "vit"
    assert "did you mean 'vit'" in answer(*command, "--model", "vitt", fails=True)
    lines = answer(*command, "--device", "cpu", "--precision", "bf16").splitlines()
    assert lines[0] == f"{path} exists in fp32: it is computed again in bf16" and len(lines) == 4
    # nothing is to be computed
    said = answer(*command, "--device", "gpu", "--precision", "bf16", fails=True)
    assert "there is no device 'gpu' on this machine; there are: " in said
