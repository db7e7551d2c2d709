"""Adding a checkpoint, running chapters for it, and taking it out again."""

import functools
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, cases, companion_in, copy_checkout, python_in, sentence, start_in
from filelock import FileLock
from safetensors.torch import load_file, save_file
from tiny import CLASSES, WIDTH, architectures, image_list, save_clip, save_folder  # noqa: F401 - a fixture
from tiny import model as tiny_model

from analysis.base.files import sha256_of
from analysis.families import registry
from analysis.families.registry import load_families, load_family
from analysis.features import encoders, store
from analysis.features.encoders import ModelError
from analysis.features.plan import ExtractionError
from companion.checkpoints import loading
from companion.cli import main as cli
from companion.cli import readers
from companion.cli.main import main
from companion.cli.readers import AddError, Wish, add
from companion.engine import processes
from companion.engine.jobs import STATE
from companion.sources import find

torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path):
    """Families: one of the book's own."""
    families = tmp_path / "families"
    families.mkdir()
    shutil.copy2(ROOT / "families" / "rn50.yaml", families)
    return families


@pytest.fixture
def pictures(own_store, tmp_path):
    """A folder of nine, and a store of its own for their features."""
    return save_folder(tmp_path / "pictüres of mine")


def wished(name, checkpoint, **more):
    return Wish(name=name, checkpoint=checkpoint, **more)


def refused(wish, folder):
    """The sentence that adding answers with; nothing is left behind."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    message = sentence(add, wish, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert message.endswith(".")
    return message


# What is written.


def test_a_family_is_described_checked_and_written(file, folder):
    added, _, path = add(wished("mine", str(file), title="My  tiny\nmodel"), folder)
    family = load_family("mine", folder)
    assert family == added
    assert (family.title, family.edition, family.order) == ("My tiny model", "reader", 100)
    (model,) = family.models
    assert model.name == "mine" and model.head == "zero_shot" and model.width == WIDTH
    assert (model.level, model.title) == ("unknown", "My tiny model")  # nobody says it was trained
    assert model.weights == file.as_posix()
    assert model.weights_sha256 == sha256_of(file)
    assert loading.load(model).weights_sha256 == model.weights_sha256
    text = path.read_text()
    assert text.startswith("# Added by") and "mean: [0.5, 0.5, 0.5]" in text
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_models_are_added_and_the_other_models_stay(file, folder):
    add(wished("mine", str(file)), folder)
    wish = wished("mine", "random", architecture="tiny-vit", model="mine-control")
    add(wish, folder)
    assert [m.level for m in load_family("mine", folder).models] == ["unknown", "random"]
    assert "there is a model mine-control already, in the family mine" in refused(wish, folder)
    again = wished("mine", str(file))
    assert "there is a family mine already: give another name, add" in refused(again, folder)
    spaced = wished("mine", str(file), model="mine model")
    assert "not a valid name of a model" in refused(spaced, folder)
    add(wished("mine", str(file), model="mine-control", level="captions", replace=True), folder)
    assert [m.level for m in load_family("mine", folder).models] == ["unknown", "captions"]
    add(wished("mine", str(file), replace=True), folder)
    assert len(load_family("mine", folder).models) == 1


def test_class_names_and_templates_of_ones_own(file, folder, tmp_path):
    (tmp_path / "classes.txt").write_text("\ufeffgrey heron\n\nlittle_egret\n")
    (tmp_path / "templates.txt").write_text("a {} in the reeds\n")
    texts = {"classes": str(tmp_path / "classes.txt"), "templates": str(tmp_path / "templates.txt")}
    (model,) = add(wished("birds", str(file), **texts), folder)[0].models
    assert model.classes == ("grey heron", "little_egret")
    assert model.templates == ("a {} in the reeds",)
    (model,) = add(wished("many", str(file), classes="imagenet"), folder)[0].models
    assert (model.classes, model.templates) == ("imagenet", "imagenet")
    for field, content, message in (
        ("classes", b"a\na\n", "classes must differ, but 'a' appears"),
        ("classes", b"\xff\xfe\x00", "cannot be read: it is not UTF-8 text"),
        ("classes", b"\n", "is empty: one per line is expected"),
        ("templates", b"no place for a name\n", "a template needs one {}"),
    ):
        (tmp_path / "given.txt").write_bytes(content)
        given = {field: str(tmp_path / "given.txt")}
        assert message in refused(wished("x", str(file), **given), folder)


def test_published_accuracies_are_found(folder, monkeypatch):
    monkeypatch.setattr(readers, "_checked", lambda model: model)  # no download
    (key,) = add(wished("x", "ViT-B-16-SigLIP/webli"), folder)[1].published
    assert (key.source, key.weights) == ("open_clip", "webli")
    assert add(wished("y", "pocket-cnn-captions"), folder)[1].published == ()


# What is refused.


def test_a_family_that_comes_meanwhile_is_not_overwritten_but_added_to(file, folder, monkeypatch):
    checked = readers._checked

    def add_while_another_does(wish, other):
        def meanwhile(model):
            monkeypatch.setattr(readers, "_checked", checked)
            add(other, folder)
            return checked(model)

        monkeypatch.setattr(readers, "_checked", meanwhile)
        return add(wish, folder)

    first = wished("mine", str(file), title="The first")
    with pytest.raises(AddError, match="there is a family mine already"):
        add_while_another_does(wished("mine", str(file), title="The second"), first)
    kept = load_family("mine", folder)
    assert kept.title == "The first"
    again = first.model_copy(update={"replace": True})
    assert [add(again, folder)[0] for _ in range(2)] == [kept] * 2
    add_while_another_does(*(wished("mine", str(file), model=f"mine-{n}") for n in "bc"))
    named = [model.name for model in load_family("mine", folder).models]
    assert named == ["mine", "mine-c", "mine-b"]


def test_a_family_waits_for_what_changes_the_book(file, folder, capsys):
    STATE.mkdir(exist_ok=True)
    (STATE / "lock-holder").write_text("a build of the book")
    with ThreadPoolExecutor(1) as pool:
        with FileLock(STATE / "lock"):
            adding = pool.submit(add, wished("mine", str(file)), folder)
            said = ""
            while not adding.done() and said != "waiting for a build of the book\n":
                time.sleep(0.02)
                said = capsys.readouterr().err
            assert not adding.done() and not (folder / "mine.yaml").exists()
        assert adding.result()[2].is_file()


# Heads and classes when features are extracted.


@pytest.fixture
def extract(folder, pictures, answer, monkeypatch):
    """What the command prints or says of a family in another folder than the book's."""
    monkeypatch.setattr(registry, "load_family", lambda name: load_family(name, folder))
    words = ("extract", "mine", "--data", pictures, "--workers", 1, "-q")
    return lambda *more, **fails: answer(*words, *more, **fails).strip()


def test_classes_that_a_head_does_not_know_stop_the_extraction(file, folder, extract, tmp_path):
    (tmp_path / "names.txt").write_text("red\nblue\n")
    add(wished("mine", str(file), classes=str(tmp_path / "names.txt")), folder)
    said = "has images of 'green' that the head of mine does not know (its 2"
    assert said in extract(fails=True)
    assert not list((tmp_path / "store").rglob("*.safetensors"))
    path = Path(extract("--without-labels"))
    stored = store.read_features(path)
    assert stored.classes == () and (stored.labels == -1).all() and len(stored.labels) == 9
    head = path.with_name(f"{path.stem}.head.safetensors")
    assert store.read_head(head).classes == ("red", "blue")


def test_ids_of_wordnet_are_read_as_imagenets_names_or_refused(file, folder, pictures, extract):
    add(wished("mine", str(file)), folder)
    wnids = ("n01440764", "n01443537", "n01484850")
    for name, number in zip(CLASSES, wnids, strict=True):
        (pictures / name).rename(pictures / number)
    (listed,) = find.find(str(pictures))
    assert listed.prompts is not None and listed.prompts.names[0] == "tench"
    path = Path(extract())
    assert store.read_head(store.head_path("mine", path.stem)).classes == wnids
    for number in wnids:
        (pictures / number).rename(pictures / f"n9{number[2:]}")
    said = "are ids of WordNet that ImageNet does not have (n91440764, …)"
    assert said in extract(fails=True)
    assert extract("--without-labels")


def test_classes_that_the_text_encoder_cannot_tell_apart_are_refused(
    file, folder, pictures, extract
):
    """Of words that its tokenizer does not know, say: one class would have all the images."""
    add(wished("mine", str(file)), folder)
    for name, other in zip(CLASSES, ("xqzw", "qqvv"), strict=False):
        (pictures / name).rename(pictures / other)
    assert "makes the same of 'qqvv' and 'xqzw': name the classes" in extract(fails=True)
    assert extract("--without-labels")


def test_objectnets_classes_are_several_of_imagenets(tmp_path):
    from analysis.features.heads import see_to_head
    from analysis.images import imagenet

    chairs = replace(image_list(4), labels=np.zeros(4, int), classes=("chair", "alarm_clock"))
    classes, path = imagenet.classes(), tmp_path / "m" / "d.head.safetensors"
    head = store.Head(np.zeros((len(classes), 2), np.float32), classes)
    loaded = encoders.Loaded(tiny_model("mine"), torch.nn.Linear(1, 1), head, "")
    see_to_head(loaded, chairs, path)
    assert store.read_head(path).classes == classes
    some = replace(loaded, head=replace(head, weight=head.weight[:5], classes=classes[:5]))
    with pytest.raises(ExtractionError, match="has images of 'chair' and 1 more classes"):
        see_to_head(some, chairs, path)


def test_a_head_that_changed_is_made_again_without_the_features(file, folder, extract, tmp_path):
    add(wished("mine", str(file)), folder)
    path = Path(extract())
    head = store.head_path("mine", path.stem)
    before, inode = store.read_head(head), path.stat().st_ino
    assert before.classes == tuple(sorted(CLASSES))
    (tmp_path / "templates.txt").write_text("{}\n")
    texts = {"templates": str(tmp_path / "templates.txt")}
    add(wished("mine", str(file), replace=True, **texts), folder)
    extract()
    assert not np.array_equal(store.read_head(head).weight, before.weight)
    add(wished("mine", str(file), replace=True, head="none"), folder)
    extract()
    assert not head.exists() and not store.sidecar_of(head).exists()
    assert path.stat().st_ino == inode


def test_weights_that_were_overwritten_are_not_read_as_current(file, folder, extract):
    add(wished("mine", str(file)), folder)
    path = Path(extract())
    features, written = path.read_bytes(), file.read_bytes()
    file.write_bytes(written + b" ")
    assert "is not the file that mine was described with" in extract(fails=True)
    file.write_bytes(written)
    assert Path(extract()) == path and path.read_bytes() == features


# The command line.


def test_every_command_says_what_it_does_with_an_example(capsys):
    helps = {}
    for name in ("", *cli.verbs()):
        with pytest.raises(SystemExit) as caught:
            main([*name.split(), "--help"])
        helps[name] = capsys.readouterr().out
        assert caught.value.code == 0 and "\nexample" in helps[name], name
    assert "130 if it was interrupted" in helps[""]
    assert all(f"\n    {name} " in helps[""] for name in cli.verbs())
    assert sorted(cli.verbs()) == sorted(name for names in cli.GROUPS.values() for name in names)


def test_a_library_that_is_missing_is_named_with_what_installs_it(answer, monkeypatch):
    def missing(**_):
        raise ModuleNotFoundError("no timm", name="timm")

    monkeypatch.setitem(cli.verbs(), "fetch", functools.wraps(cli.verbs()["fetch"])(missing))
    said = 'timm, which is not installed: pip install "interpreting-clip-companion[extract]".'
    assert answer("fetch", fails=True) == f"companion: fetch needs {said}\n"


@pytest.fixture(scope="module")
def x_pt(tmp_path_factory):
    """A folder with a checkpoint."""
    folder = tmp_path_factory.mktemp("x")
    save_clip(folder / "x.safetensors")
    torch.save(load_file(folder / "x.safetensors"), folder / "x.pt")
    return folder


LINES = cases("lines")


@pytest.mark.parametrize(("words", "status", "message"), LINES)
def test_a_line_that_cannot_be_done_is_refused_before_anything_is_loaded(
    words, status, message, x_pt, monkeypatch, capsys
):
    monkeypatch.chdir(x_pt)
    monkeypatch.setattr(loading, "load", lambda *given: pytest.fail("it was loaded"))
    monkeypatch.setattr(processes, "start", lambda *given: pytest.fail("a process was started"))
    line = words.replace("...", "--checkpoint x.pt --architecture tiny-vit")
    line = [word.strip("'") for word in line.split()]
    try:
        assert main(line) == status
    except SystemExit as stopped:
        assert stopped.code == status == 2
    said = capsys.readouterr().err
    assert all(part in said for part in message.split("|")), said
    assert said.count("\n") == 1 or said.startswith("usage: ") or "Its parameters" in said
    assert "x" not in load_families()


@pytest.mark.parametrize(("line", "expected"), cases("completion"))
def test_completion_knows_verbs_options_and_names(line, expected, tmp_path):
    """As bash asks for it: argcomplete answers on a file, or on a descriptor of its own."""
    line, answers = f"companion {line}", tmp_path / "answers"
    asking = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "IFS": "\x0b"}
    answering = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\x0b"}
    answering["_ARGCOMPLETE_STDOUT_FILENAME"] = str(answers)
    python_in(ROOT, "-m", "companion.cli.main", **asking, **answering)
    assert (sorted(answers.read_text().split()) if answers.exists() else []) == expected


def test_a_root_that_is_not_there_is_not_made(tmp_path):
    """A typing error in COMPANION_ROOT: whatever is asked for, nothing is written anywhere."""
    environment = {"PYTHONPATH": str(ROOT), "COMPANION_ROOT": str(tmp_path / "nowhere")}
    line = ("add", "mine", "random", "--architecture", "pocket-cnn")
    done = python_in(tmp_path, "-m", "companion.cli.main", *line, **environment)
    assert done.returncode == 1 and "nowhere', which is not there: set it to" in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_to_measure_says_what_is_lacking(file, folder, extract):
    from companion.engine import experiments
    from companion.measurements import pending
    from companion.runs import status

    def why(experiment):
        family = load_family("mine", folder)
        return pending.in_words([pending.lack([experiment], family, m) for m in family.models])

    def add_it(**more):
        return add(wished("mine", str(file), replace=True, **more), folder)[0]

    add_it()
    brings = "use `companion extract mine --data FOLDER`"
    assert why("accuracy") == f"its models lack features; {brings}"
    extract("--without-labels")
    assert why("accuracy") == f"its models lack labels, or a head of their classes; {brings}"
    assert why("concepts").endswith("use `companion extract mine --data broden`")
    bare = add_it(head="none")
    assert why("accuracy") == "its models lack a head (its file says `head: none`)"
    ((_, *lack),) = status.lacks(experiments.load_experiments()["pruning"], bare)
    assert lack == ["a head (its file says `head: none`)", ""]
    add(wished("mine", "random", architecture="tiny-vit", replace=True), folder)
    assert why("pruning") == "its models lack trained weights"


def test_an_error_that_no_code_foresaw_is_a_sentence_and_a_file(monkeypatch, tmp_path, capsys):
    def fails() -> None:
        raise KeyError("no\nsuch thing\x1b[2J")

    known = cli.verbs()
    monkeypatch.setattr(cli, "verbs", lambda: known | {"status": fails})
    monkeypatch.setattr(cli, "WORKSPACE", tmp_path / "work")
    monkeypatch.setattr(cli.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    for folder in (tmp_path / "temporary", tmp_path / "work"):
        assert cli.main(["status"]) == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert re.match(r"companion: status met an error .*\(KeyError: .*no.*thing", said)
        log = Path(re.search(r"; (/\S+) has the details", said)[1])
        assert 'raise KeyError("no' in log.read_text() and "\x1b" not in said
        assert folder in log.parents
        (tmp_path / "work/.companion/logs").mkdir(parents=True, exist_ok=True)


def test_a_reader_who_has_seen_enough_gets_no_traceback():
    process = start_in(ROOT, "fetch", "--list")
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_what_a_terminal_cannot_show_is_escaped(tmp_path):
    (tmp_path / "é.json").write_text("{")
    line = ("-m", "companion.cli.main", "check", tmp_path / "é.json")
    done = python_in(ROOT, *line, PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and "\\xe9.json cannot be read as JSON" in done.stdout
    assert done.stderr == ""


# From a clean copy of the checkout.


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("added") / "cöpy of it")


CHAPTERS = {"effective_robustness", "outlier_features", "privileged_directions", "pruning"}


def runs_of(family, answer):
    """The family's runs among those that `companion status --json` told."""
    return {row["experiment"] for row in json.loads(answer) if row["family"] == family}


@pytest.fixture(scope="module")
def mine(project):
    """A file of weights in the project, added as a family."""
    weights = project / "my wéights" / "mine (1).safetensors"
    weights.parent.mkdir()
    shutil.copy2(project / "data/pocket/checkpoints/pocket-cnn-web-large.safetensors", weights)
    (code, added, _), (_, listed, _) = companion_in(
        project,
        ["add", "mine", weights, "--architecture", "pocket-cnn", "--title", "My CNN"],
        ["status", "--json"],
    )
    assert code == 0 and "mine-zero_shot: pocket-cnn (open_clip), zero_shot, 128 comp" in added
    assert runs_of("mine", listed) >= CHAPTERS
    return weights


def test_a_chapter_adds_a_checkpoint_extracts_and_measures_it(project):
    early = "pocket-vit-web-large-before-projection"
    line = "rerun outlier_features --checkpoint pocket-vit-web-large --layer before_projection"
    (code, said, errors), removed = companion_in(
        project,
        [*line.split(), "--data", "pocket-noto-test", "-q"],
        ["remove", early],
    )
    assert code == 0 and f"outlier_features/{early}.ipynb" in said, errors
    assert "jupyter-book build book/" in said
    (path,) = (project / f"store/{early}-zero_shot/measurements").glob("outlier_features--*")
    content = json.loads(path.read_text())
    assert content["provenance"]["layer"].startswith("before CLIP's projection")
    assert content["counts"]["components"] == 96
    assert removed[0] == 0 and f"kept its features: {path.parents[1]}" in removed[1]


def test_two_checkpoints_of_a_family_stand_side_by_side_under_their_titles(project):
    """Who added them is the author of their results."""
    weights = "data/pocket/checkpoints/pocket-vit-web-{}.safetensors"
    given = ["--architecture", "pocket-vit", "--head", "none"]
    save_folder(project / "seen", 40)
    answers = companion_in(
        project,
        *(
            ["add", "pair", weights.format(size), "--model", f"pair-{n}", "--title", title, *given]
            for size, n, title in (("small", 1, "Step 1"), ("large", 3, "Step 3"))
        ),
        ["extract", "pair", "--data", "seen", "--quiet", "--device", "cpu"],
        ["run", "outlier_features", "pair"],
    )
    assert [code for code, *_ in answers] == [0] * 4, answers
    cells = json.loads((project / "book/runs/outlier_features/pair.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = {
        output["metadata"]["companion"]["label"]: "".join(output["data"].get("text/markdown", ""))
        for output in outputs
        if "companion" in output.get("metadata", {})
    }
    titles = [line.split("|")[1].strip() for line in shown["kurtosis"].strip().splitlines()[2:]]
    assert [title.partition(":")[0] for title in titles] == ["Step 1", "Step 3"]
    whole = json.dumps(cells)
    assert "pair models" in whole and "Step 1 models" not in whole  # the family has its own name
    ask = "from companion.runs.project import PROJECT as p; print(*map(p.author, ('rn50', 'pair')))"
    assert python_in(project, "-c", ask).stdout == " Your Name\n"


@pytest.mark.slow
def test_a_checkpoint_goes_through_the_chapters_and_out_again(project, mine):
    pruning = ["rerun", "pruning", "--checkpoint", mine, "--name", "mine", "--architecture"]
    extracted, listed, run, no_run, shifted, pruned = companion_in(
        project,
        ["extract", "mine", "--data", "pocket-noto-test", "--quiet"],
        ["status", "--json"],
        ["run", "outlier_features", "mine"],
        ["run", "effective_robustness", "mine"],
        [*pruning, "pocket-cnn", "--data", "pocket-noto-test"],
        [*pruning, "pocket-cnn", "--data", "pocket-twemoji-test"],
    )
    features = project / "store/mine-zero_shot/pocket-noto-test.safetensors"
    assert extracted[:2] == (0, f"{features}\n"), extracted
    assert features.with_suffix(".head.safetensors").is_file()
    rows = {(row["experiment"], row["family"]): row["why"] for row in json.loads(listed[1])}
    assert rows["outlier_features", "mine"] == (
        "its models lack measurements of their features; use `companion run outlier_features mine`"
    )
    text = (project / "book/runs/outlier_features/mine.ipynb").read_text()
    assert run[0] == 0 and "My CNN" in text
    assert no_run[0] == 1 and "companion extract mine --data imagenet" in no_run[2]
    # Of a shift: pruning looks at the training style.
    assert shifted[0] == 1 and "its models lack features; use `companion extract mine" in shifted[2]
    assert pruned[0] == 0 and "pruning/mine.ipynb" in pruned[1] and "families" not in pruned[1]

    stale = project / "book/_build/html/runs/pruning/mine.html"
    stale.parent.mkdir(parents=True)
    stale.write_text("a page")
    other = stale.with_name("mine.too.html")
    other.write_text("a page of another family")
    removed, listed, gone = companion_in(
        project, ["remove", "mine", "--features"], ["status", "--json"], ["remove", "mine"]
    )
    assert removed[0] == 0 and "kept" not in removed[1] and gone[0] == 1
    assert other.exists() and not stale.exists()
    assert not list((project / "book/runs").rglob("mine.*"))
    assert not features.parent.exists() and runs_of("mine", listed[1]) == set()


@pytest.mark.parametrize(("fill", "said"), [(0.0, "are all zero"), (1e30, "reach 1e+30")])
def test_weights_that_no_training_gives_are_refused(fill, said, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = load_file(file)
    filled = {name: torch.full_like(value, fill) for name, value in state.items()}
    save_file(filled, "filled.safetensors")
    wish = Wish(name="odd", checkpoint="filled.safetensors", architecture="tiny-vit", head="none")
    with pytest.raises((AddError, ModelError), match=rf"not finite numbers|{re.escape(said)}"):
        add(wish, tmp_path)
    assert not list(tmp_path.glob("*.yaml"))
