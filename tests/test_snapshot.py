"""What is kept of the numbers that notebooks publish: which changes are seen, and which are not."""

import json

import pytest

from companion.engine import snapshot

TABLE = """title,κ,accuracy,verdict
ViT-B/16,2.87 (2.84 to 2.91),"1,692",differs
RN50,3,−4 %,agrees
"""
FIGURE = "of,x\na,1\na,2.5\nb,4\n"


def notebook(folder, subject="paper", evidence="recorded", number="0.25", said="12 B/16", **csv):
    """An executed notebook `told` with a number, a table and a figure."""
    tables = {"numbers": TABLE, "curve": FIGURE} | csv
    notes = [{"kind": "text", "label": "share", "evidence": ""}]
    data = [{"text/markdown": [number]}]
    for name, text in tables.items():
        kind = "figure" if text.startswith("of") else "table"
        notes.append({"kind": kind, "label": name, "evidence": evidence})
        notes[-1] |= {"caption": said, "columns": {"x": "√(2/πd)"}}
        data.append({"text/csv": text, "text/markdown": "a table"})
    pairs = zip(notes, data, strict=True)
    outputs = [{"metadata": {"companion": note}, "data": each} for note, each in pairs]
    path = folder / f"runs/told/{subject}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [{"outputs": outputs}]}))
    return folder / "runs"


def changed(folder, **given):
    """What is said once a run is kept, and then made again otherwise: faults, and the rest."""
    live = {"evidence": given["evidence"]} if "evidence" in given else {}
    snapshot.write(runs=notebook(folder, **live), folder=folder / "kept")
    found = snapshot.differences(notebook(folder, **given), folder=folder / "kept")
    return [[str(each) for each in found if each.fault is fault] for fault in (True, False)]


@pytest.mark.parametrize("evidence", ["recorded", "live"])
def test_the_same_run_has_no_difference_and_what_is_kept_is_a_number_a_line(tmp_path, evidence):
    assert changed(tmp_path, evidence=evidence) == [[], []]
    kept = json.loads((tmp_path / "kept/told.json").read_text())["paper"]
    assert kept == {
        "share": "0.25",
        "numbers": {
            "title": "2 rows, 2 unlike",
            "κ": ["2.87 2.84 2.91", "3"],
            "accuracy": ["1692", "-4"],
            "verdict": "2 rows, 2 unlike",
            "in words": "12 16 2",
        },
        "curve": {
            "of": "3 rows, 2 unlike",
            "x": "3 rows, 3 numbers: mean 2.50000, 1.00000 to 4.00000, in order 3.50000",
            "in words": "12 16 2",
        },
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"number": "0.26"}, "paper share: was 0.25, is 0.26"),
        ({"said": "12 B/32"}, "in words: row 1 was 12 16 2, is 12 32 2"),
        ({"number": "*undecided*"}, "was 0.25, is *undecided*"),
        ({"numbers": TABLE.replace("2.91", "2.92")}, "κ: row 1 was 2.87 2.84 2.91, is 2.87 2.84"),
        ({"numbers": TABLE.replace("−4", "4")}, "accuracy: row 2 was -4, is 4"),
        ({"numbers": TABLE.replace("3,−4 %", ",−4 %")}, "κ: row 2 was 3, is empty"),
        ({"numbers": TABLE[: TABLE.index("RN50")]}, "κ: had 2 rows, has 1"),
        ({"numbers": TABLE.replace("differs", "agrees")}, "verdict: row 1 was 2 rows, 2 unlike"),
        ({"numbers": TABLE.replace("κ", "kurtosis").replace("2.87", "9")}, "κ: is no longer"),
        ({"curve": FIGURE.replace("a,2.5\n", "")}, "in order 3.50000, is 2 rows, 2"),
        (
            {"curve": FIGURE.replace("2.5", "2.5001")},
            "to 4.00000, in order 3.50000, is 3 rows, 3 numbers: mean 2.50003",
        ),
        ({"curve": "of,x\na,1\na,4\nb,2.5\n"}, "in order 3.50000, is 3 rows, 3 numbers: mean 2.5"),
        ({"curve": FIGURE.replace("2.5", "nan")}, "in order 3.50000, is 3 rows, 2"),
        ({"curve": FIGURE.replace("a,2.5", "b,2.5").replace("a,1", "b,1")}, "of: row 1 was 3 rows"),
    ],
)
def test_another_number_is_a_fault(tmp_path, change, says):
    faults, rest = changed(tmp_path, **change)
    assert any(says in each for each in faults), (faults, rest)


def test_a_result_or_a_run_that_is_gone_is_a_fault_and_a_new_one_is_not(tmp_path):
    faults, rest = changed(tmp_path, more=FIGURE)
    assert (faults, rest) == ([], ["told/paper more: is new"])
    snapshot.write(runs=tmp_path / "runs", folder=tmp_path / "kept")
    notebook(tmp_path)
    (fault,) = snapshot.differences(tmp_path / "runs", folder=tmp_path / "kept")
    assert fault == ("told/paper more", "is no longer published", True)
    (tmp_path / "runs/told/paper.ipynb").unlink()
    (fault,) = snapshot.differences(tmp_path / "runs", folder=tmp_path / "kept")
    assert fault == ("told/paper", "has no run any more", True)
    snapshot.write(runs=tmp_path / "runs", folder=tmp_path / "kept")
    assert not [*(tmp_path / "kept").iterdir()]


@pytest.mark.parametrize(
    "change",
    [
        TABLE.replace("ViT-B/16", "ViT-B/32 at 336px"),  # a name
        TABLE.replace('"1,692"', "1692").replace("−4 %", "-4.0"),  # written otherwise
        TABLE.replace("κ", "kurtosis"),  # a heading, with the numbers that it had
    ],
)
def test_a_number_that_is_written_otherwise_is_the_same(tmp_path, change):
    assert changed(tmp_path, numbers=change)[0] == []


def test_neither_the_day_nor_nearly_equal_live_rows_that_swap_are_a_difference(tmp_path):
    """A rank correlation of live rows moves by 2/n when two rows swap; a recorded one may not."""
    table = "scheme,ρ,day\nsign,−0.66,2026-12-03\n"
    later = table.replace("−0.66", "−0.64").replace("12-03", "12-04")
    snapshot.write(runs=notebook(tmp_path, number="2026-12-03", t=table), folder=tmp_path / "kept")
    found = snapshot.differences(
        notebook(tmp_path, evidence="live", number="2026-12-04", t=later), folder=tmp_path / "kept"
    )
    assert found == []
    notebook(tmp_path, number="2026-12-04", t=later)
    (fault,) = snapshot.differences(tmp_path / "runs", folder=tmp_path / "kept")
    assert fault == ("told/paper t, ρ", "row 1 was -0.66, is -0.64", True)


@pytest.mark.parametrize(
    ("before", "now", "recorded", "live"),
    [
        ("2.5", "2.5", True, True),
        ("2.87", "2.88", False, True),  # a unit of the last decimal, where rounding may turn
        ("2.87", "2.89", False, False),
        ("31", "32", False, False),  # a count
        ("31 of 34", "31 of 35", False, False),
        ("123456", "123457", False, True),  # one part in 10,000
        ("12345", "12347", False, False),
        ("9.5 %", "9.48 %", True, True),  # with other digits
        ("9.5", "9.44", False, True),
        ("9.5", "9.3", False, False),
        ("1 2", "1", False, False),
        ("*agrees*", "*differs*", False, False),
        ("*agrees*", "*agrees*", True, True),
    ],
)
def test_live_numbers_may_differ_a_little_and_recorded_ones_may_not(before, now, recorded, live):
    assert snapshot.alike(before, now, live=False) == recorded
    assert snapshot.alike(before, now, live=True) == live
