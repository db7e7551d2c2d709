"""Wrong contributions, flipped bits and folders that are read-only."""

import contextlib
import csv
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from conftest import copy_checkout, refused

from analysis.base.texts import CompanionError
from analysis.families.registry import load_families
from analysis.features import store
from companion.checkpoints import loading
from companion.checks import plausible
from companion.measurements import records
from companion.sources import emoji

FAULTS = Path(__file__).with_name("faults")
sys.path.insert(0, str(FAULTS))

import contributions  # noqa: E402


def test_the_recorded_evidence_agrees():
    families, beside = load_families(), plausible.evidence([])
    for path in records.FOLDER.glob("*/*.json"):
        assert plausible.problems(path, families, beside) == []


def test_the_rates_that_the_guide_prints_are_those_of_the_check():
    """Of few contributions of each way; what is printed is of many."""
    found = contributions.rates(8, seed=1)
    fresh, printed = (
        {way: row for way, *row in rows} for rows in (contributions.table(found), read_rates())
    )
    assert {*fresh} == {*printed}
    now, then = (int(rows["all"][1].rstrip(" %")) for rows in (fresh, printed))
    assert abs(now - then) < 13, (now, then)  # three standard errors
    for way in ("two models swapped", "another checkpoint's features", "a file once more"):
        assert found[way][0] >= 6, way


def read_rates():
    with contributions.FILE.open(encoding="utf-8") as file:
        return [*csv.reader(file)]


@pytest.fixture
def kinds(own_store, tmp_path):
    """A file of each kind that decides a number, and what reads it (runs: see `test_engine`)."""
    described, eye = tiny.model(), np.eye(9, tiny.WIDTH, dtype=np.float32)
    tiny.keep(described, "d", eye, head=store.Head(eye[:3], tiny.CLASSES))
    features, head = store.features_path(described.name, "d"), store.head_path(described.name, "d")
    live = records.write_live(records.read(next(records.FOLDER.glob("pruning/*.json"))))
    shipped = load_families("pocket")["pocket_cnn"].model("pocket-cnn-web-large")
    files = (emoji.ARCHIVE, emoji.APPEARANCE, store.local_weights(shipped))
    archive, appearance, weights = (Path(shutil.copy2(path, tmp_path)) for path in files)
    shipped = shipped.model_copy(update={"weights": str(weights)})
    return {
        "features": (features, lambda: store.read_features(features).features.tobytes()),
        "head": (head, lambda: store.read_head(head).weight.tobytes()),
        "note": (store.sidecar_of(features), lambda: store.read_sidecar(features)),
        "live measurement": (live, lambda: records.read(live)),
        "checkpoint": (weights, lambda: loading.load(shipped).weights_sha256),
        "emoji": (archive, lambda: emoji.load.__wrapped__(archive).images.tobytes()),
        "appearance": (appearance, lambda: emoji.appearance(appearance).tobytes()),
    }


KINDS = ("features", "head", "note", "live measurement", "checkpoint", "emoji", "appearance")


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_is_used(kind, kinds):
    """What carries a digest is refused without it, too; recorded measurements are in git."""
    path, read = kinds[kind]
    sound, expected = path.read_bytes(), read()
    seal = 8 * sound.find(b'"digest"')
    for place in (0, 4 * len(sound), 8 * len(sound) - 9, *([seal + 8 * 11] if seal > 0 else ())):
        flipped = bytearray(sound)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with contextlib.suppress(CompanionError):
            assert read() == expected, place
    if seal > 0:
        unsealed = {n: value for n, value in json.loads(sound).items() if n != "digest"}
        path.write_text(json.dumps(unsealed))
        refused("is not what was written", read)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_folder_that_is_read_only_is_one_sentence(tmp_path):
    """As someone who may not write there: root, too, without the right to do it all the same."""
    project = copy_checkout(tmp_path / "project")
    subprocess.run(["chmod", "-R", "a-w", str(project)], check=True)

    def without_rights():
        libc = ctypes.CDLL(None)
        for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            libc.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP

    kept = {"cwd": project, "text": True, "capture_output": True, "preexec_fn": without_rights}
    kept["env"] = os.environ | {"PYTHONPATH": str(project)}
    runs = ("run outlier_features vit_b_16", "run outlier_features vit_b_16 -o x.ipynb")
    writes = ("export x.csv", "build --runs", *runs)
    for line in ("check", "status", "claims", *writes):
        code = int(line in writes)
        done = subprocess.run([sys.executable, "-m", "companion.cli.main", *line.split()], **kept)
        assert done.returncode == code, (line, done.stderr)
        assert not code or re.fullmatch(r"companion: .*Permission denied.*\n", done.stderr), line
    subprocess.run(["chmod", "-R", "u+w", str(project)], check=True)
