"""Training the pocket models: each objective learns, and what is kept is what was trained."""

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from conftest import cases

from companion.checkpoints.tokenizer import WordTokenizer
from companion.checkpoints.weights import read_weights
from companion.pocket import objectives, pocket, pocket_lab
from companion.pocket.pocket import PocketRecipe
from companion.sources import emoji

torch.set_num_threads(1)
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
Y, X = abs(np.indices((20, 20)) - 9.5)
SHAPES = {"square": Y < 10, "bar": Y < 4, "frame": (Y > 5) | (X > 5), "cross": (Y < 2) | (X < 2)}
TOWERS = cases("recipes")["towers"]


def picture(colour, shape, draw):
    image = np.full((32, 32, 3), 255, np.uint8)
    y, x = draw.integers(0, 10, 2)
    image[y : y + 20, x : x + 20][SHAPES[shape]] = COLOURS[colour]
    return image


@pytest.fixture(scope="module")
def tokenizer():
    return WordTokenizer.from_captions([*COLOURS, *SHAPES, *emoji.TEMPLATES], context_length=8)


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return torch.stack([tokenizer(texts) for texts in pocket.prompts(COLOURS)])


@pytest.fixture(scope="module")
def examples(tokenizer):
    """Coloured shapes: 12 concepts ("red square"), 8 images of each; the class is the colour."""
    draw = np.random.default_rng(0)
    concepts = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    images = [picture(*concepts[i % 12], draw) for i in range(96)]
    texts = (pocket.captions(shape, [colour], "", seed=0) for colour, shape in concepts)
    captions = list(map(tokenizer, texts))
    number = torch.arange(96) % 12
    return objectives.Examples(
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        labels=number // 4,
        concepts=number,
        captions=torch.stack(captions),
    )


@pytest.fixture(scope="module", params=TOWERS)
def architecture(request, tokenizer):
    text = {"context_length": 8, "vocab_size": tokenizer.vocab_size, "width": 32}
    text |= {"heads": 2, "layers": 1}
    return {"embed_dim": 16, "vision_cfg": TOWERS[request.param], "text_cfg": text}


def recipe(**changes):
    return PocketRecipe(**cases("recipes")["pocket"] | changes)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Each objective learns


def test_contrastive_then_finetuned(architecture, examples, prompts):
    clip = objectives.train(recipe(), architecture, examples, prompts, seed=0, watched=examples)
    assert clip.curve[-1].loss < clip.curve[0].loss - 0.3
    assert clip.curve[-1].accuracy > 0.6, "chance is 1/3"
    spec = recipe(objective="finetuned", start="tiny", learning_rate=3e-4, steps=20)
    given = {"seed": 0, "start": clip.weights, "watched": examples}
    tuned = objectives.train(spec, architecture, examples, prompts, **given)
    assert tuned.curve[-1].loss < tuned.curve[0].loss
    assert tuned.curve[-1].accuracy >= clip.curve[-1].accuracy - 0.05


def test_supervised_learns(architecture, examples, prompts):
    spec = recipe(objective="supervised", level="supervised")
    done = objectives.train(spec, architecture, examples, prompts, seed=0, watched=examples)
    assert done.curve[-1].loss < done.curve[0].loss / 2
    assert done.curve[-1].accuracy > 0.8
    assert [point.step for point in done.curve] == list(range(6, 61, 6))


# The loss


def test_loss_is_clips_when_no_two_share_a_concept():
    torch.manual_seed(0)
    images, texts = torch.nn.functional.normalize(torch.randn(2, 7, 5), dim=-1)
    scale = torch.tensor(9.0)
    expected = open_clip.ClipLoss()(images, texts, scale)
    loss = objectives.contrastive_loss(images, texts, scale, torch.arange(7))
    torch.testing.assert_close(loss, expected)


def test_loss_of_a_shared_caption_by_hand():
    """Two images of one caption: all scores equal, so both rows have the loss log 2."""
    feature = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    groups = torch.tensor([4, 4])
    loss = objectives.contrastive_loss(feature, feature, torch.tensor(10.0), groups)
    assert float(loss) == pytest.approx(np.log(2))
    pulled = feature.clone().requires_grad_()
    objectives.contrastive_loss(pulled, feature, torch.tensor(10.0), groups).backward()
    assert torch.allclose(pulled.grad, torch.zeros(2, 2)), "they do not push each other away"


# The loop


def test_a_seed_gives_the_same_weights_again(architecture, examples, prompts):
    spec = recipe(steps=5)
    first, again, other = (
        objectives.train(spec, architecture, examples, prompts, seed=seed).weights
        for seed in (5, 5, 6)
    )
    assert same(first, again) and not same(first, other)


def test_every_epoch_goes_once_through_all():
    rows = torch.cat([objectives.batch_rows(12, 4, seed=1, step=step) for step in range(6)])
    assert sorted(rows[:12].tolist()) == sorted(rows[12:].tolist()) == list(range(12))
    assert rows[:12].tolist() != rows[12:].tolist()
    assert sorted(objectives.batch_rows(3, 8, seed=1, step=5).tolist()) == [0, 1, 2]


# Captions and recipes


def test_concepts_set_aside_for_tuning_are_whole_training_clusters():
    real = pocket_lab.with_validation(emoji.load().table)
    assert (real.groupby("cluster")["split"].nunique() == 1).all()
    assert 0.2 < (real["split"] == "val").sum() / (real["split"] != "test").sum() < 0.45


# What is kept

KEPT = ["accuracies.csv", "curves.csv", "tuning.csv"]


def test_tables_hold_every_training():
    accuracies, curves, tuning = (pd.read_csv(pocket.POCKET / name) for name in KEPT)
    recipes = pocket.load_recipes()
    expected = {(recipe.name, seed) for recipe, seed in recipes.tasks()}
    assert set(zip(accuracies["model"], accuracies["seed"], strict=True)) == expected
    assert not accuracies.duplicated(["model", "seed", "style", "split"]).any()
    tested = accuracies[accuracies["split"] == "test"]
    assert (tested.groupby(["model", "seed"]).size() == len(emoji.STYLES)).all()
    assert accuracies["accuracy"].between(0, 1).all()
    trained = {(name, seed) for name, seed in expected if recipes.recipe(name).steps}
    assert set(zip(curves["model"], curves["seed"], strict=True)) == trained
    for row in tuning[tuning["chosen"]].itertuples():
        recipe = recipes.recipe(row.model)
        assert (recipe.learning_rate, recipe.weight_decay) == (row.learning_rate, row.weight_decay)
        tried = tuning[tuning["model"] == row.model]
        assert row.validation_accuracy == tried["validation_accuracy"].max()


@pytest.mark.slow
def test_kept_checkpoints_give_the_kept_accuracies():
    """The checkpoints are all there, small, of the present recipes, and as good as is said."""
    recipes = pocket.load_recipes()
    kept = pd.read_csv(pocket.POCKET / "accuracies.csv").query("seed == 0 and split == 'test'")
    files = {path.stem for path in pocket.CHECKPOINTS.iterdir()}
    assert files == {r.name for r in recipes.models if r.family != "pool" and r.steps}
    assert sum(path.stat().st_size for path in pocket.CHECKPOINTS.iterdir()) <= 25e6
    for name in sorted(files):
        path, recipe = pocket.CHECKPOINTS / f"{name}.safetensors", recipes.recipe(name)
        metadata = read_weights(path).metadata
        assert metadata["recipe"] == pocket_lab.identity(recipe, recipes, 0, ("train", "val"))
        assert metadata["architecture"] == recipe.architecture
        measured = {row[0]: float(row[-1]) for row in pocket_lab.measure(path, ["test"])}
        said = kept[kept["model"] == name].set_index("style")["accuracy"].to_dict()
        assert measured == pytest.approx(said, abs=0.006), "two images for another processor"
