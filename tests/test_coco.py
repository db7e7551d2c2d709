import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from analysis.features.published import read_array
from analysis.images.imagelist import DatasetError
from analysis.images.public import ArtifactError, fetch
from companion.measurements import concept_probe

CHECK = Path(__file__).parents[1] / "data" / "concepts" / "check.py"


def test_the_table_of_words():
    names, table = concept_probe.coco_words()
    assert table.shape == (500, len(names)) and table.dtype == bool
    assert list(names) == sorted(names) and len(names) == 58
    counts = dict(zip(names, table.sum(axis=0).tolist(), strict=True))
    assert min(counts.values()) == 10
    assert (counts["bathroom"], counts["motorcycle"], counts["cat"]) == (61, 55, 23)
    assert not {"a", "with", "motorcycles"} & set(names)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (0, "black front garage honda motorcycle parked"),
        (5, "bird cat caught eating"),
        (14, "bike front group leathers man motorcycle standing"),
        (499, "bench green side sidewalk sitting"),
    ],
)
def test_words_of_single_captions(row, words):
    names, table = concept_probe.coco_words(least=1)
    assert [names[i] for i in np.flatnonzero(table.toarray()[row])] == words.split()


def test_plurals_count_as_singulars_that_occur():
    shown = [{"plane", "bench"}, {"planes", "benches"}, {"dress", "bus"}, {"buses", "people", "as"}]
    assert concept_probe._singulars(shown) == [
        {"plane", "bench"}, {"plane", "bench"}, {"dress", "bus"}, {"bus", "people", "as"},
    ]  # fmt: skip


def test_wrong_questions_and_tables(tmp_path):
    with pytest.raises(DatasetError, match="least=0"):
        concept_probe.coco_words(least=0)
    short = tmp_path / "short.csv"
    short.write_text("image_id,annotation_id,caption\n1,2,a cat\n")
    with pytest.raises(DatasetError, match=r"short\.csv has 1 captions, 500 are expected"):
        concept_probe.coco_captions(short)


def correlation(features, words, moved=0):
    """Over pairs of images: similarity of embeddings against that of captions' words."""
    h = features - features.mean(axis=0)
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    pairs = np.triu_indices(len(h), 1)
    overlap = np.roll(words, moved, axis=0)
    return float(np.corrcoef((h @ h.T)[pairs], (overlap @ overlap.T)[pairs])[0, 1])


def test_captions_are_in_the_order_of_the_embeddings():
    try:
        files = [fetch(f"Modality-Gap/features_clip{end}.npy") for end in ("", "_random")]
    except ArtifactError as error:
        pytest.skip(str(error))
    real, random = (np.asarray(read_array(file), dtype=np.float64) for file in files)
    table = concept_probe.coco_words(least=1)[1].toarray()
    words = table * np.log(len(table) / table.sum(axis=0))
    words = words / np.linalg.norm(words, axis=1, keepdims=True)
    for image_or_caption in (0, 1):
        assert correlation(real[image_or_caption], words) > 0.3
        for moved in (-2, -1, 1, 2):
            assert abs(correlation(real[image_or_caption], words, moved)) < 0.02
        for start in range(0, 500, 50):  # no part of the table is out of step
            part = slice(start, start + 50)
            assert correlation(real[image_or_caption][part], words[part]) > 0.2
    assert 0.02 < correlation(random[0], words) < 0.1


def annotations():
    """What COCO's file would hold of the table, and later captions of the same images."""
    check = runpy.run_path(str(CHECK))
    rows = [row.split(",", 2) for row in check["TABLE"].read_text().splitlines()[1:]]
    first = [
        {"image_id": int(i), "id": int(a), "caption": c.strip('"') + " \n"} for i, a, c in rows
    ]
    return first + [row | {"id": 900_000, "caption": "another"} for row in first]


def test_the_comparison_with_cocos_file(tmp_path):
    differences = runpy.run_path(str(CHECK))["differences"]
    file = tmp_path / "captions_val2017.json"
    found = annotations()
    file.write_text(json.dumps({"annotations": found}))
    assert differences(file) == []
    found[3]["caption"] = "Two women"
    file.write_text(json.dumps({"annotations": found}))
    assert len(differences(file)) == 1 and differences(file)[0].startswith("row 3: here ('517069',")
    file.write_text(json.dumps({"annotations": found[:7]}))
    assert differences(file)[0].startswith("500 rows here, 7 images in")
