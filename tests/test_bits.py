"""`companion bits`: what few bits cost, the advice, files of vectors, and what is refused."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.basis import random_rotation
from companion import bits as the_bits
from companion.bits import BitsError, bits
from companion.cli import main as cli
from companion.cli import recipes
from companion.probe import rotation
from companion.sources import vectors
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
    """The share of the ten nearest that stay, by brute force: whole queries, inner product."""
    stored = quantise(h)
    found = [set(np.argsort(-row)[:10]) for row in h @ stored.T - 10 * np.eye(len(h))]
    pairs = zip(top_ten(h), found, strict=True)
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
    less_mean = by_hand(h, lambda h: quantise(h - mean))
    assert kept["mean_off"] == pytest.approx(less_mean, abs=0.006)


def made_by_faiss(faiss, scheme, metric):
    """The index of faiss that stores as a scheme does; None where it has no such one."""
    if scheme == "sign-1":
        return faiss.IndexLSH(WIDTH, WIDTH, False, False)
    if scheme == "product-1":
        index = faiss.IndexPQ(WIDTH, WIDTH // 4, 4, metric)
        index.pq.cp.min_points_per_centroid = 1
        return index
    kind = "QT_8bit_uniform" if scheme == "clipped-8" else the_bits.SCHEMES[scheme].faiss
    if not kind:
        return None
    index = faiss.IndexScalarQuantizer(WIDTH, getattr(faiss.ScalarQuantizer, kind), metric)
    if scheme == "clipped-8":
        index.sq.rangestat, index.sq.rangestat_arg = faiss.ScalarQuantizer.RS_quantiles, 0.005
    return index


def found_by_faiss(index, stored, asked):
    """The share of its own ten, if an index has `stored` whole."""
    index.train(stored)
    index.add(stored)
    near = index.search(asked, 11)[1]
    return [[other for other in row if other != i][:10] for i, row in enumerate(near)]


@pytest.mark.parametrize("by", ["cosine", "inner-product", "euclidean"])
def test_every_row_is_what_faiss_keeps(by, towering):
    """As pasted: by Euclidean distance the mean goes off queries, too; else they stay."""
    faiss = pytest.importorskip("faiss")
    metric = faiss.METRIC_L2 if by == "euclidean" else faiss.METRIC_INNER_PRODUCT
    h = towering * np.random.default_rng(1).uniform(0.8, 1.2, (300, 1)).astype(np.float32)
    found = bits(h, by=by)
    if by == "cosine":
        h = h / np.linalg.norm(h, axis=1, keepdims=True)
    less, turned = h - h.mean(axis=0), (h @ random_rotation(WIDTH, 0)).astype(np.float32)
    frames = {"as_written": (h, h), "rotated": (turned, turned)}
    frames["mean_off"] = (less, less if by == "euclidean" else h)
    true, compared = found_by_faiss(faiss.IndexFlat(WIDTH, metric), h, h), 0
    for row in found.rows:
        for frame, (stored, asked) in frames.items():
            if (index := made_by_faiss(faiss, row.scheme, metric)) is None:
                continue
            near = found_by_faiss(
                index, stored, less if "sign" in row.scheme and frame == "mean_off" else asked
            )
            kept = np.mean([len({*a} & {*b}) / 10 for a, b in zip(near, true, strict=True)])
            assert row.kept[frame] == pytest.approx(kept, abs=0.02), (row.scheme, frame)
            assert row.bytes == getattr(index, "code_size", row.bytes)
            compared += 1
    assert compared == 7 * 3


@pytest.mark.parametrize("by", ["cosine", "inner-product", "euclidean"])
@pytest.mark.parametrize("frame", ["as_written", "rotated", "mean_off"])
def test_the_lines_for_faiss_keep_what_the_table_says(by, frame, towering):
    pytest.importorskip("faiss")
    row = next(row for row in bits(towering, by=by).rows if row.scheme == "range-4")
    names = {"stored": towering, "queries": towering}
    exec(recipes.of_faiss(by, frame, row.faiss), names)
    names["index"].search(names["queries"].astype("float32"), 11)
    near = names["index"].search(names["queries"].astype("float32"), 11)[1]
    h = towering.astype(np.float64)
    if by == "cosine":
        h /= np.linalg.norm(h, axis=1, keepdims=True)
    scores = h @ h.T - (h**2).sum(axis=1) / 2 * (by == "euclidean") - 1e6 * np.eye(len(h))
    found = [{*(other for other in row if other != i)} for i, row in enumerate(near)]
    true = [{*np.argsort(-row)[:10]} for row in scores]
    kept = np.mean([len(a & b) / 10 for a, b in zip(found, true, strict=True)])
    assert row.kept[frame] == pytest.approx(kept, abs=0.03)  # of eleven, without itself


def test_usearch_makes_the_codes_that_we_say(towering):
    usearch = pytest.importorskip("usearch.index")
    index = usearch.Index(ndim=WIDTH, metric="cos", dtype="i8")
    index.add(np.arange(len(towering)), 3 * towering)
    codes = np.array([index.get(key, dtype="i8") for key in range(len(towering))])
    assert (np.abs(codes.reshape(towering.shape) - the_bits.by_length(towering)) <= 1).all()
    assert np.mean(codes.reshape(towering.shape) == the_bits.by_length(towering)) > 0.99


def test_the_advice_answers_and_gives_the_size_of_what_a_remedy_wins(plain, found):
    assert re.fullmatch(
        r"4 bits: faiss QT_4bit\w* keeps \d+ % .*\. "
        r"8 bits: faiss QT_8bit\w* keeps \d+ % as it is\. "
        r"(Rotate|Take the mean off).* points \(95 % interval \d+ to \d+\).*\.",
        found.advice,
    )
    assert "one scale per vector at 4 bits" in found.advice and "a range per" not in found.advice
    calm = bits(plain).advice
    assert "No rotation is needed" in calm and "Rotate" not in calm


def test_a_column_that_drowns_all_others_is_no_case_for_advice(plain):
    said = bits(np.insert(plain, 0, 1e6 * (2 + np.sin(np.arange(len(plain)))), axis=1)).advice
    assert "No scheme keeps more than" in said and "look at the vectors" in said


def test_it_is_shown_everywhere(found, tmp_path):
    assert " ".join(str(found).split()).startswith(found.advice) and "pgvector" in str(found)
    assert max(map(len, str(found).partition("# faiss")[0].splitlines())) <= the_bits.LINE
    assert "<table" in found._repr_html_() and "one scale per vector, 4 bits" in str(found)
    frame = found.to_frame()
    assert len(frame) == len(the_bits.SCHEMES) == len(found.rows)
    assert (frame["rotated_low"] <= frame["rotated_won"]).all()
    for ending in ("html", "csv", "txt", "svg"):
        found.save(tmp_path / f"bits.{ending}")
    page = (tmp_path / "bits.html").read_text(encoding="utf-8")
    assert "<svg" in page and "<table" in page and 'http-equiv="Content-Security-Policy"' in page
    assert found.sha256 in page
    assert len(pd.read_csv(tmp_path / "bits.csv")) == len(found.rows)
    assert (tmp_path / "bits.txt").read_text(encoding="utf-8") == f"{found}\n"
    assert (tmp_path / "bits.svg").read_text(encoding="utf-8").count("<svg") == 1
    with pytest.raises(BitsError, match=r"ends in none of"):
        found.save(tmp_path / "bits.pdf")
    assert not (tmp_path / "bits.pdf").exists()


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
    unit = towering / np.linalg.norm(towering, axis=1, keepdims=True)
    less = np.where(np.arange(WIDTH) == 7, 0, unit)
    less /= np.linalg.norm(less, axis=1, keepdims=True)
    near = np.argsort(10 * np.eye(300) - less @ per_vector(less).T, axis=1)[:, :10]
    by_brute = np.mean([len(a & {*b}) / 10 for a, b in zip(top_ten(unit), near, strict=True)])
    assert rows["vector-4"]["one_vector_off"] == pytest.approx(by_brute, abs=0.03)
    assert "one vector off" in str(with_texts) and "one vector off" not in str(found)


def test_of_many_rows_evenly_spaced_ones_take_part(towering):
    many = bits(towering, rows=100)
    assert "100 of 300 vectors" in many.about and "compare columns" in " ".join(many.cautions)
    assert many.to_frame().equals(
        bits(towering[np.linspace(0, 299, 100).round().astype(int)]).to_frame()
    )


def test_copies_change_nothing_and_are_mentioned(plain, towering, found):
    assert "copies" not in " ".join(bits(plain).cautions)
    twice = bits(np.repeat(towering, 2, axis=0))
    assert twice.to_frame().equals(found.to_frame()) and twice.advice == found.advice
    assert "300 copies of other vectors were left out." in twice.cautions


REFUSED = {
    "whole numbers, as in a copy": lambda h: (h * 9).astype(np.int8),
    "are whole numbers": lambda h: np.round(h * 9),
    "NaN": lambda h: np.where(np.arange(len(h))[:, None] == 4, np.nan, h),
    "10 vectors have no 10 neighbours": lambda h: h[:10],
    "shapes of its entries": lambda h: pd.Series([h[0], h[1, :5]] * 20),
    "the shape (48,), where a vector per row": lambda h: h[0],
    "seem to be transposed": lambda h: (h + 15 * np.eye(WIDTH)[7]).T,
    "columns that are no numbers, such as 'e'": lambda h: pd.DataFrame({"e": list(h)}),
    "or zero, in 2 of 300 rows (4, 154): ": lambda h: h * (np.arange(len(h)) % 150 != 4)[:, None],
    "only 50 of 300 vectors differ": lambda h: np.repeat(h[:50], 6, axis=0),
    "in 1 of 300 rows (4): ": lambda h: np.where(np.arange(len(h))[:, None] == 4, 1, h),
    "column 2 holds a whole number": lambda h: np.insert(h, 2, 1000.0 * np.arange(len(h)), axis=1),
    "'id' holds whole numbers": lambda h: pd.DataFrame(h).assign(id=range(len(h))),
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
    with pytest.raises(BitsError, match="are the embeddings themselves"):
        bits(plain, plain.copy())


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


def as_csv(h, folder):
    pd.DataFrame(h).to_csv(folder / "h.csv", index=False, header=False)
    return folder / "h.csv", None


def as_csv_of_postgres(h, folder):
    rows = [str(row.tolist()) for row in h]
    pd.DataFrame({"id": range(len(h)), "embedding": rows}).to_csv(folder / "p.csv", index=False)
    return folder / "p.csv", "embedding"


def as_json_lines(h, folder):
    lines = [json.dumps({"text": "x", "embedding": row.tolist()}) for row in h]
    (folder / "h.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "h.jsonl", None


def as_langchain(h, folder):
    (folder / "store").mkdir()
    as_faiss(h, folder / "store")[0].rename(folder / "store/index.faiss")
    return folder / "store", None


def as_faiss_without_ending(h, folder):
    return as_faiss(h, folder)[0].rename(folder / "h"), None


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


FILES = [as_npy, as_npz, as_pt, as_tensors_by_name, as_safetensors, as_parquet, as_parts, as_arrow]
FILES += [as_feather, as_faiss, as_faiss_graph, as_langchain, as_faiss_without_ending]
FILES += [as_csv, as_csv_of_postgres, as_json_lines]


@pytest.mark.parametrize("write", FILES)
def test_a_file_gives_its_vectors(write, plain, tmp_path):
    path, column = write(plain, tmp_path)
    held = vectors.read(path, column)
    assert np.array_equal(np.asarray(held.rows, dtype=np.float32), plain)
    some = vectors.read(path, column, most=20)
    assert len(some.rows) == 20 and some.total == len(held.rows) == 300


def refused(said, path, column=None):
    with pytest.raises(VectorsError, match=re.escape(said)) as error:
        vectors.read(path, column)
    assert "\n" not in str(error.value) and str(error.value).endswith((".", "?"))


def test_files_without_vectors_are_refused_in_a_sentence(plain, tmp_path):
    refused("there is no file of vectors", tmp_path / "none.npy")
    (tmp_path / "h.txt").write_text("1,2")
    refused("ends in none of", tmp_path / "h.txt")
    pd.DataFrame(plain).assign(id=range(300)).to_csv(tmp_path / "i.csv", index=False)
    refused("'id' holds whole numbers beside", tmp_path / "i.csv")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused("cannot be read as vectors", tmp_path / "o.npy")
    path, _ = as_npz(plain, tmp_path)
    refused("name one of them with --column", path)
    refused("has no 'imges'", path, "imges")
    refused("leave --column out", as_npy(plain, tmp_path)[0], "images")
    for name, said in {"i.bin": "index.get_items", "chroma.sqlite3": "collection.get"}.items():
        (tmp_path / name).write_bytes(bytes(500))
        refused(said, tmp_path / name)
    (tmp_path / "empty").mkdir()
    refused("which has none of index.faiss", tmp_path / "empty")


def test_without_faiss_the_refusal_says_what_to_install(plain, tmp_path, monkeypatch):
    path, _ = as_faiss(plain, tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    refused("pip install faiss-cpu", path)


def test_bfloat16_is_read(plain, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    rows = torch.from_numpy(plain).bfloat16()
    save_file({"h": rows}, tmp_path / "h.safetensors")
    assert np.array_equal(vectors.read(tmp_path / "h.safetensors").rows, rows.float().numpy())


def test_a_mapped_array_gives_its_own_rows(towering, found, tmp_path):
    mapped = np.load(as_npy(towering, tmp_path)[0], mmap_mode="r")
    assert bits(mapped).to_frame().equals(found.to_frame())
    assert bits(mapped[::2]).to_frame().equals(bits(towering[::2]).to_frame())
    assert bits(mapped[:, None]).to_frame().equals(found.to_frame())


@pytest.mark.parametrize(
    "kind", ["SQ8", "PQ12x4", "IVF4,PQ12x4np", "PCA24,Flat", "OPQ4,Flat", "L2norm,Flat", "LSH"]
)
def test_an_index_that_changes_vectors_is_refused_by_name(kind, plain, tmp_path):
    faiss = pytest.importorskip("faiss")
    index = faiss.index_factory(WIDTH, kind)
    index.train(plain)
    index.add(plain)
    faiss.write_index(index, str(tmp_path / "c.index"))
    refused(type(faiss.downcast_index(index)).__name__, tmp_path / "c.index")


@pytest.mark.parametrize("metric", [0, 1, 2, 3, 4, 20, 21, 22])
def test_a_flat_index_is_read_whatever_it_compares_by(metric, plain, tmp_path):
    faiss = pytest.importorskip("faiss")
    for kind in ("Flat", "IVF4,Flat", "IDMap,Flat"):
        index = faiss.index_factory(WIDTH, kind, metric if "IVF" not in kind else metric % 2)
        index.train(plain)
        index.add_with_ids(plain, np.arange(300)) if "IDMap" in kind else index.add(plain)
        faiss.write_index(index, str(tmp_path / "f.index"))
        held = vectors.read(tmp_path / "f.index")
        assert np.array_equal(held.rows, plain)
        assert held.by == {0: "inner-product", 1: "euclidean"}.get(index.metric_type)


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
    either, other = said[said.index("# Either") :].split("# or take the mean off")
    blocks = {"rotated": either, "mean_off": other.partition("\n")[2]}
    for frame, block in blocks.items():  # as a reader would, each alone
        names = {"stored": towering, "queries": towering}
        exec(block, names)
        unit = towering / np.linalg.norm(towering, axis=1, keepdims=True)
        if frame == "rotated":
            assert np.allclose(names["stored"], unit @ random_rotation(WIDTH, 0), atol=1e-5)
            assert np.allclose(names["queries"], names["stored"])
        else:
            assert np.allclose(names["stored"].mean(axis=0), 0, atol=1e-6)
            assert np.allclose(names["queries"], unit, atol=1e-6)
    modes = {(tmp_path / name).stat().st_mode & 0o777 for name in wanted[1::2]}
    assert modes == {0o644}
    assert len(pd.read_csv("b.csv")) == len(the_bits.SCHEMES)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    assert cli.main(["bits", str(tmp_path / "none.npy")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    np.save(tmp_path / "h.npy", np.ones((20, 4), dtype=np.int8))
    assert cli.main(["bits", str(tmp_path / "h.npy"), "--html", str(tmp_path / "b.html")]) == 1
    assert not (tmp_path / "b.html").exists()
