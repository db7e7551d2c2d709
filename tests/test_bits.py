"""`companion bits`: what few bits cost, the advice, files of vectors, and what is refused."""

import re
import sqlite3
import struct

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.basis import random_rotation
from companion import bits as the_bits
from companion import cli
from companion.bits import BitsError, bits
from companion.probe import rotation
from companion.sources import vectors
from companion.sources.indices import HNSW
from companion.sources.rows import VectorsError

WIDTH = 48


@pytest.fixture(scope="module")
def plain():
    return np.random.default_rng(0).standard_normal((300, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def towering(plain):
    """With a constant on one coordinate, as CLIP's features have it."""
    return (plain + 15 * np.eye(WIDTH)[7]).astype(np.float32)


@pytest.fixture(scope="module")
def found(towering):
    return bits(towering)


def top_ten(h):
    """The ten nearest by cosine of each vector, without itself, one vector at a time."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    cosines = unit @ unit.T - 10 * np.eye(len(h))
    return [set(np.argsort(-row)[:10]) for row in cosines]


def by_hand(h, quantise):
    """The share of the ten nearest that stay, by brute force."""
    pairs = zip(top_ten(h), top_ten(quantise(h)), strict=True)
    return np.mean([len(before & after) / 10 for before, after in pairs])


def per_vector(h):
    step = np.abs(h).max(axis=1, keepdims=True) / 7
    return np.round(h / step) * step


def per_dimension(h):
    low, high = h.min(axis=0), h.max(axis=0)
    return low + (np.floor((h - low) / (high - low) * 15) + 0.5) / 15 * (high - low)


def clipped(h):
    low, high = np.sort(h.ravel())[[int(0.005 * h.size), int(0.995 * h.size)]]
    h = np.clip(h, low, high)
    return low + (np.floor((h - low) / (high - low) * 255) + 0.5) / 255 * (high - low)


@pytest.mark.parametrize(
    ("scheme", "quantise"),
    [("vector-4", per_vector), ("dimension-4", per_dimension), ("clipped-8", clipped)],
)
def test_the_shares_are_those_of_brute_force(towering, found, scheme, quantise):
    h = towering.astype(np.float64)
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    kept = next(row.kept for row in found.rows if row.scheme == scheme)
    mean, turn = h.mean(axis=0), random_rotation(WIDTH, rotation.SEED)
    assert kept["as_written"] == pytest.approx(by_hand(h, quantise), abs=0.006)  # ties
    turned = by_hand(h @ turn, quantise)
    assert kept["rotated"] == pytest.approx(turned, abs=0.006)
    less_mean = by_hand(h, lambda h: quantise(h - mean) + mean)
    assert kept["mean_off"] == pytest.approx(less_mean, abs=0.006)


def test_faiss_keeps_as_many_or_more_by_euclidean_distance(towering, found):
    """It compares whole queries with compressed vectors, which loses less than two compressed."""
    faiss = pytest.importorskip("faiss")
    h = (towering / np.linalg.norm(towering, axis=1, keepdims=True)).astype(np.float32)
    frames = {"as_written": h, "mean_off": h - h.mean(axis=0)}
    frames["rotated"] = (h @ random_rotation(WIDTH, rotation.SEED)).astype(np.float32)
    for scheme, name in [("range-4", "QT_4bit_uniform"), ("dimension-4", "QT_4bit")]:
        row = next(row for row in found.rows if row.scheme == scheme)
        for frame, images in frames.items():
            index = faiss.IndexScalarQuantizer(WIDTH, getattr(faiss.ScalarQuantizer, name))
            index.train(images)
            index.add(images)
            near = index.search(images, 11)[1]
            kept = [
                len((set(some) - {i}) & true) / 10
                for i, (some, true) in enumerate(zip(near, top_ten(h), strict=True))
            ]
            assert -0.02 < np.mean(kept) - row.kept[frame] < 0.15
        assert row.bytes == index.code_size


def test_usearch_makes_the_codes_that_we_say(towering):
    usearch = pytest.importorskip("usearch.index")
    index = usearch.Index(ndim=WIDTH, metric="cos", dtype="i8")
    index.add(np.arange(len(towering)), 3 * towering)
    codes = np.array([index.get(key, dtype="i8") for key in range(len(towering))])
    assert (np.abs(codes.reshape(towering.shape) - the_bits.by_length(towering)) <= 1).all()
    assert np.mean(codes.reshape(towering.shape) == the_bits.by_length(towering)) > 0.99


def test_the_advice_is_a_sentence_with_its_size_and_its_interval(plain, found):
    assert re.fullmatch(
        r"(Rotate|Take the mean off).* points \(95 % interval \d+ to \d+\).*; with the others no "
        r"rotation is needed\.",
        found.advice,
    )
    assert "one scale per vector at 4 bits" in found.advice and "dimension" not in found.advice
    calm = bits(plain).advice
    assert re.fullmatch(r"No rotation is needed: .* points \(95 % interval .* to .*\)\.", calm)
    assert "Rotate" not in bits(plain @ random_rotation(WIDTH, 3)).advice


def test_it_is_shown_everywhere(found, tmp_path):
    assert " ".join(str(found).split()).startswith(found.advice) and "pgvector" in str(found)
    assert max(map(len, str(found).splitlines())) <= the_bits.LINE
    assert "<table" in found._repr_html_() and "one scale per vector, 4 bits" in str(found)
    frame = found.to_frame()
    assert len(frame) == len(the_bits.SCHEMES) == len(found.rows)
    assert (frame["rotated_low"] <= frame["rotated_won"]).all()
    found.save(tmp_path / "bits.html")
    page = (tmp_path / "bits.html").read_text(encoding="utf-8")
    assert "<svg" in page and "<table" in page and 'http-equiv="Content-Security-Policy"' in page
    assert found.sha256 in page


def test_every_engine_has_an_address():
    schemes = the_bits.WORDS["schemes"]
    assert set(schemes) == set(the_bits.SCHEMES)
    engines = [engine for scheme in schemes.values() for engine in scheme["engines"]]
    assert len(engines) > 12 and all(e["see"].startswith("https://") for e in engines)


def test_texts_add_a_column_and_a_data_frame_gives_its_column(plain, towering, found):
    texts = plain[:100].copy()
    texts[:, 7] *= 0.01  # along it texts hardly vary
    with_texts = bits(towering, texts)
    column = pd.DataFrame({"embedding": list(towering)})["embedding"]
    assert bits(column).to_frame().equals(found.to_frame())
    rows = {row.scheme: row.kept for row in with_texts.rows}
    assert rows["vector-4"]["one_vector_off"] > rows["vector-4"]["as_written"] + 0.2
    assert "one vector off" in str(with_texts) and "one vector off" not in str(found)


def test_of_many_rows_evenly_spaced_ones_take_part(towering):
    many = bits(towering, rows=100)
    assert "100 of 300 vectors" in many.about and "compare columns" in " ".join(many.cautions)
    assert many.to_frame().equals(
        bits(towering[np.linspace(0, 299, 100).round().astype(int)]).to_frame()
    )


def test_copies_are_mentioned(plain, towering):
    assert "copies" not in " ".join(bits(plain).cautions)
    (said,) = (c for c in bits(np.repeat(towering, 2, axis=0)).cautions if "copies" in c)
    assert said.startswith("Only 300 vectors differ")


REFUSED = {
    "whole numbers, as in a copy": lambda h: (h * 9).astype(np.int8),
    "are whole numbers": lambda h: np.round(h * 9),
    "NaN": lambda h: np.where(np.arange(len(h))[:, None] == 4, np.nan, h),
    "10 vectors have no 10 neighbours": lambda h: h[:10],
    "shapes of its entries": lambda h: pd.Series([h[0], h[1, :5]] * 20),
    "the shape (48,), where a vector per row": lambda h: h[0],
    "seem to be transposed": lambda h: (h + 15 * np.eye(WIDTH)[7]).T,
    "columns that are no numbers, such as 'e'": lambda h: pd.DataFrame({"e": list(h)}),
    "is zero": lambda h: np.where(np.arange(len(h))[:, None] == 4, 0, h),
    "real numbers": lambda h: h.astype(str),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_measured_is_refused_in_a_sentence(plain, said):
    with pytest.raises(BitsError, match=re.escape(said)) as error:
        bits(REFUSED[said](plain))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_texts_of_another_width_are_refused(plain):
    with pytest.raises(BitsError, match="take both from one model"):
        bits(plain, plain[:, :5])


# Files


def as_npy(h, folder):
    np.save(folder / "h.npy", h)
    return folder / "h.npy", None


def as_npz(h, folder):
    np.savez(folder / "h.npz", images=h, other=h[:3])
    return folder / "h.npz", "images"


def as_pt(h, folder):
    torch = pytest.importorskip("torch")
    torch.save({"h": torch.from_numpy(h)}, folder / "h.pt")
    return folder / "h.pt", None


def as_safetensors(h, folder):
    from safetensors.numpy import save_file

    save_file({"h": h}, folder / "h.safetensors")
    return folder / "h.safetensors", None


def as_parquet(h, folder):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"name": "x", "embedding": list(h)}).to_parquet(folder / "h.parquet")
    return folder / "h.parquet", "embedding"


def as_arrow(h, folder):
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(h.ravel()), h.shape[1])
    table = pyarrow.table({"embedding": column})
    with pyarrow.ipc.new_stream(str(folder / "h.arrow"), table.schema) as writer:
        writer.write_table(table)
    return folder / "h.arrow", None


def as_faiss(h, folder):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatL2(h.shape[1])
    index.add(h)
    faiss.write_index(index, str(folder / "h.faiss"))
    return folder / "h.faiss", None


def as_faiss_graph(h, folder):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexHNSWFlat(h.shape[1], 8)
    index.add(h)
    faiss.write_index(index, str(folder / "g.index"))
    return folder / "g.index", None


def as_turned_faiss(h, folder):
    faiss = pytest.importorskip("faiss")
    turn = faiss.RandomRotationMatrix(h.shape[1], h.shape[1])
    turn.init(3)
    index = faiss.IndexPreTransform(turn, faiss.IndexFlatL2(h.shape[1]))
    index.add(h)
    faiss.write_index(index, str(folder / "t.index"))
    return folder / "t.index", None


def as_parts(h, folder):
    pytest.importorskip("pyarrow")
    for place, part in enumerate(np.array_split(h, 3)):
        pd.DataFrame({"embedding": list(part)}).to_parquet(folder / f"part-{place}.parquet")
    return folder, None


def as_feather(h, folder):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"embedding": list(h)}).to_feather(folder / "h.feather")
    return folder / "h.feather", None


def as_tensors_by_name(h, folder):
    torch = pytest.importorskip("torch")
    torch.save({f"dish {i}": torch.from_numpy(v) for i, v in enumerate(h)}, folder / "h.pt")
    return folder / "h.pt", None


def as_chroma(h, folder):
    with sqlite3.connect(folder / "chroma.sqlite3") as database:
        database.execute("CREATE TABLE collections (id TEXT, name TEXT)")
        database.execute("INSERT INTO collections VALUES ('c1', 'pictures')")
        database.execute(
            "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER, "
            "topic TEXT, id TEXT, vector BLOB)"
        )
        rows = [(0, "persistent://a/b/c1", str(i), v.tobytes()) for i, v in enumerate(h)]
        gone = [
            (0, "persistent://a/b/c1", "gone", h[0].tobytes()),
            (3, "persistent://a/b/c1", "gone", None),
        ]
        database.executemany(
            "INSERT INTO embeddings_queue (operation, topic, id, vector) VALUES (?, ?, ?, ?)",
            rows + gone,
        )
    return folder, None  # a folder, as its users name it


def level_0(h, links=32, deleted=()):
    """The rows of hnswlib's lowest level, of vectors without neighbours, and deleted ones."""
    vectors = [(v, 0) for v in h]
    for place in deleted:
        vectors.insert(place, (-h[place], 1))
    rows = [
        struct.pack("<HBB", 0, mark, 0) + bytes(4 * links) + v.tobytes() + struct.pack("<Q", i)
        for i, (v, mark) in enumerate(vectors)
    ]
    return b"".join(rows)


def as_chroma_with_an_index(h, folder):
    """As Chroma keeps a collection since 0.5.6: what has gone into the index leaves the queue."""
    as_chroma(h[200:], folder)
    made = level_0(h[:200], deleted=(7, 8))
    (folder / "s1").mkdir()
    (folder / "s1/data_level0.bin").write_bytes(made)
    row, at = len(made) // 202, 4 + 4 * 32
    header = struct.pack(HNSW, 0, 999, 202, row, row - 8, at, 1, 0, 16, 16, 32, 1.0, 100)
    (folder / "s1/header.bin").write_bytes(struct.pack("<i", 1) + header)
    with sqlite3.connect(folder / "chroma.sqlite3") as database:
        database.executescript(
            """CREATE TABLE segments (id TEXT, scope TEXT, collection TEXT);
            INSERT INTO segments VALUES ('s1', 'VECTOR', 'c1'), ('m1', 'METADATA', 'c1');
            CREATE TABLE max_seq_id (segment_id TEXT, seq_id INTEGER);
            INSERT INTO max_seq_id VALUES ('s1', 0);
            CREATE TABLE embeddings (segment_id TEXT, seq_id BLOB);"""
        )
        database.executemany("INSERT INTO embeddings VALUES ('m1', ?)", [(i,) for i in range(300)])
    return folder, None


def as_level_0(h, folder):
    (folder / "data_level0.bin").write_bytes(level_0(h))
    return folder / "data_level0.bin", None


def as_hnswlib(h, folder):
    hnswlib = pytest.importorskip("hnswlib")
    index = hnswlib.Index("l2", h.shape[1])
    index.init_index(len(h) + 7, M=12)
    index.add_items(h)
    index.save_index(str(folder / "h.bin"))
    return folder / "h.bin", None


FILES = [as_npy, as_npz, as_pt, as_tensors_by_name, as_safetensors, as_parquet, as_parts, as_arrow]
FILES += [as_feather, as_faiss, as_faiss_graph, as_turned_faiss]
FILES += [as_chroma, as_chroma_with_an_index, as_level_0, as_hnswlib]


@pytest.mark.parametrize("write", FILES)
def test_a_file_gives_its_vectors(write, plain, tmp_path):
    path, column = write(plain, tmp_path)
    held = vectors.read(path, column)
    if write is as_hnswlib:  # threads may add them in another order
        assert {row.tobytes() for row in held.rows} == {row.tobytes() for row in plain}
    elif write is as_turned_faiss:  # and turned back
        assert np.allclose(held.rows, plain, atol=1e-5)
    else:
        assert np.array_equal(held.rows, plain)
    some = vectors.read(path, column, most=20)
    assert len(some.rows) == 20 and some.total == len(held.rows) == 300


def refused(said, path, column=None):
    with pytest.raises(VectorsError, match=re.escape(said)) as error:
        vectors.read(path, column)
    assert "\n" not in str(error.value) and str(error.value).endswith((".", "?"))


def test_files_without_vectors_are_refused_in_a_sentence(plain, tmp_path):
    refused("there is no file of vectors", tmp_path / "none.npy")
    (tmp_path / "h.csv").write_text("1,2")
    refused("ends in none of", tmp_path / "h.csv")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused("cannot be read as vectors", tmp_path / "o.npy")
    path, _ = as_npz(plain, tmp_path)
    refused("name one of them with --column", path)
    refused("has no 'imges'", path, "imges")
    refused("leave --column out", as_npy(plain, tmp_path)[0], "images")
    (tmp_path / "i.bin").write_bytes(bytes(500))
    refused("its header is not hnswlib's", tmp_path / "i.bin")
    (tmp_path / "data_level0.bin").write_bytes(bytes(1001))
    refused("no length of a row fits", tmp_path / "data_level0.bin")
    (tmp_path / "empty").mkdir()
    refused("which has none of chroma.sqlite3", tmp_path / "empty")


def test_a_collection_that_is_not_known_whole_is_refused(plain, tmp_path):
    as_chroma_with_an_index(plain, tmp_path)
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:  # one of the index's is gone
        database.execute("DELETE FROM embeddings WHERE seq_id = 5")
    refused("was changed after its index was written", tmp_path)
    (tmp_path / "s1/data_level0.bin").rename(tmp_path / "elsewhere")
    refused("holds 100 of the 299 vectors of 'pictures'", tmp_path / "chroma.sqlite3")


def test_a_mapped_array_gives_its_own_rows(towering, found, tmp_path):
    mapped = np.load(as_npy(towering, tmp_path)[0], mmap_mode="r")
    assert bits(mapped).to_frame().equals(found.to_frame())
    assert bits(mapped[::2]).to_frame().equals(bits(towering[::2]).to_frame())
    assert bits(mapped[:, None]).to_frame().equals(found.to_frame())


def test_a_compressed_index_is_refused(plain, tmp_path):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexScalarQuantizer(WIDTH, faiss.ScalarQuantizer.QT_8bit)
    index.train(plain)
    faiss.write_index(index, str(tmp_path / "sq.index"))
    refused("compressed already", tmp_path / "sq.index")


def test_the_columns_of_a_table_that_hold_no_vectors_are_refused(plain, tmp_path):
    pytest.importorskip("pyarrow")
    path, _ = as_parquet(plain, tmp_path)
    refused("'name' of h.parquet holds", path, "name")
    pd.DataFrame({"e": [[1.0, 2], [1.0]]}).to_parquet(tmp_path / "ragged.parquet")
    refused("different lengths", tmp_path / "ragged.parquet")


# The command


def test_the_command_writes_what_is_to_be_applied(towering, tmp_path, capsys, monkeypatch):
    path, _ = as_npy(towering, tmp_path)
    monkeypatch.chdir(tmp_path)
    wanted = ["--html", "b.html", "--csv", "b.csv", "--svg", "b.svg"]
    wanted += ["--rotation", "r.safetensors", "--mean", "m.npy"]
    assert cli.main(["bits", str(path), *wanted]) == 0
    said = capsys.readouterr().out
    assert " ".join(said.split()).startswith(bits(towering).advice)
    names = {"np": np, "embeddings": towering}
    exec(said[said.index("from safetensors") : said.index("mean = ")], names)  # as a reader would
    assert np.allclose(names["embeddings"], towering @ random_rotation(WIDTH, 0), atol=1e-4)
    names["embeddings"] = towering
    exec(said[said.index("mean = ") :], names)
    assert np.allclose(names["embeddings"].mean(axis=0), 0, atol=1e-6)
    assert len(pd.read_csv("b.csv")) == len(the_bits.SCHEMES)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    assert cli.main(["bits", str(tmp_path / "none.npy")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    np.save(tmp_path / "h.npy", np.ones((20, 4), dtype=np.int8))
    assert cli.main(["bits", str(tmp_path / "h.npy"), "--html", str(tmp_path / "b.html")]) == 1
    assert not (tmp_path / "b.html").exists()
