"""Encoders at their obvious spellings, and the recipes of the page, with random weights."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import refused
from PIL import Image

from analysis.base.roots import ROOT

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from companion.checkpoints import lookup  # noqa: E402
from companion.checkpoints.any_encoder.features import features_of  # noqa: E402

X = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4}
VISION = SIZES | {"image_size": 32, "patch_size": 8}
TEXT = SIZES | {"vocab_size": 99, "max_position_embeddings": 16}
SIZE = {"height": 32, "width": 32}


def clip():
    config = transformers.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=24)
    return transformers.CLIPModel(config)


def siglip():
    return transformers.SiglipModel(
        transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    )


def projected():
    config = transformers.CLIPVisionConfig(projection_dim=24, **VISION)
    return transformers.CLIPVisionModelWithProjection(config)


def dinov2():
    return transformers.Dinov2Model(transformers.Dinov2Config(**VISION))


MODELS = {
    "CLIP": (clip, 24, lambda net: net.get_image_features(pixel_values=X)),
    "SigLIP": (siglip, 32, lambda net: net.get_image_features(pixel_values=X)),
    "CLIP's image tower": (projected, 24, lambda net: net(X).image_embeds),
    "DINOv2": (dinov2, 32, lambda net: net(X).pooler_output),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_transformers_is_an_encoder_as_it_is(name):
    torch.manual_seed(0)
    make, width, own = MODELS[name]
    net = make()
    with torch.no_grad():
        made = own(net.eval())
    expected = getattr(made, "pooler_output", made).numpy()
    np.testing.assert_allclose(features_of(net.train(), X), expected, atol=1e-5)
    assert net.training and expected.shape == (12, width)
    if hasattr(net, "get_image_features"):
        method = lambda x: net.get_image_features(pixel_values=x)  # noqa: E731
        np.testing.assert_allclose(features_of(method, X), expected, atol=1e-5)


def test_layers_of_transformers_and_its_scores():
    net = clip().eval()
    with torch.no_grad():
        tokens = net.vision_model(X, output_hidden_states=True).hidden_states[1]
    taken = features_of(net, X, layer="vision_model.encoder.layers.0", pool="first")
    np.testing.assert_allclose(taken, tokens[:, 0].numpy(), atol=1e-5)
    refused("gives 2 tensors", features_of, net, X, layer="vision_model")
    classifier = transformers.ViTForImageClassification(transformers.ViTConfig(**VISION))
    refused(r"a classifier's scores \(logits\)", features_of, classifier, X)


def test_an_image_processor_is_a_preprocessing():
    pictures = [Image.fromarray(np.full((40, 40, 3), 9 * n, np.uint8)) for n in range(12)]
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE)
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    for given in (processor, SimpleNamespace(image_processor=processor)):
        taken = features_of(torch.nn.Flatten(), pictures, given)
        np.testing.assert_allclose(taken, pixels.flatten(1).numpy(), atol=1e-5)


def session(folder):
    """A network that averages over places and multiplies by a matrix, of batches of any size."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ones((3, 8), np.float32).cumsum(1), "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", number, ["n", 3, 32, 32])
    made = helper.make_tensor_value_info("y", number, ["n", 8])
    graph = helper.make_graph(nodes, "encoder", [given], [made], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "encoder.onnx")
    return onnxruntime.InferenceSession(str(folder / "encoder.onnx"))


def test_a_session_and_objects_that_encode_are_encoders(tmp_path):
    expected = X.mean((2, 3)).numpy() @ np.ones((3, 8), np.float32).cumsum(1)
    given = session(tmp_path)
    run = lambda x: given.run(None, {"x": x.numpy()})[0]  # noqa: E731
    objects = [SimpleNamespace(encode=run), SimpleNamespace(encode_image=run)]
    for encoder in (given, run, *objects):
        np.testing.assert_allclose(features_of(encoder, X), expected, atol=1e-5)


@pytest.mark.parametrize("make", [siglip, dinov2])
def test_a_saved_folder_of_another_model_says_what_to_write(tmp_path, make):
    net = make()
    net.save_pretrained(tmp_path)
    said = rf"is {type(net).__name__} of transformers.*takes AutoModel.from_pretrained"
    refused(said, lookup.find, str(tmp_path))


def test_the_recipes_of_the_page_run(tmp_path, monkeypatch):
    """All of them, with random weights; one goes on with what another made, as a reader does."""
    text = (ROOT / "book/guide/probe.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    recipes = [block for block in blocks if re.search("import (probe|features_of)", block)]
    assert len(recipes) == 5
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        picture.save(tmp_path / f"pictures/{number}.png")
    session(tmp_path)
    processor = transformers.SiglipImageProcessor(size=SIZE)
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", lambda name: siglip())
    monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", lambda name: processor)
    create = timm.create_model

    def drawn(name, pretrained=False, **more):
        if not name.startswith("vit"):
            return create(name, **more)
        return create("vit_tiny_patch16_224", num_classes=0)  # DINOv2 has no classifier, either

    monkeypatch.setattr(timm, "create_model", drawn)
    vit = drawn("vit")
    given = {"inputs": X, "labels": np.arange(12) % 2, "head": None}
    given |= {"net": vit, "preprocess": timm.data.create_transform(input_size=(3, 224, 224))}
    for recipe in recipes:
        names = {**given}
        exec(recipe, names)
        found = names["found"]
        if "features_of" in recipe:  # (images, width) at the class token of the last block
            assert names["features"].shape == (12, 192) and len(found.best) == 2
            given["features"] = names["features"]
        else:
            assert found.measurement.counts["images"] == 12
