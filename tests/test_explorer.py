"""The explorer: its numbers against the package's, and its page in Chromium, from a file."""

import csv
import html
import json
import re
from urllib.parse import parse_qs, quote

import numpy as np
import pytest
from conftest import ROOT, cases, what_axe_finds

from analysis.families.registry import load_families
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    effective_robustness,
    matched_excess,
)
from companion.chapters import explore
from companion.engine.svg import explorer
from companion.measurements import atlas, records
from companion.measurements.accuracies import FIVE_SHIFTS, FOUR_SHIFTS
from companion.measurements.effective_robustness import fit_choices, view

DESK, PHONE = {"width": 1000, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def data(table):
    measured = records.read_all("outlier_features", "vit_b_16")
    return explore.data(table, load_families("paper"), measured)


def test_the_lines_are_the_books(table, data):
    lines = {(o["view"], o["pool"], o["v2"]): o for o in data["lines"]}
    assert len(lines) == len(data["lines"])
    assert lines["five", "printed", "mean"]["slope"] == PAPER_BASELINE.slope
    for choice in fit_choices(table).itertuples():
        line = lines["five", choice.kinds, choice.v2]
        assert (line["slope"], line["models"]) == (choice.slope, choice.models)
    four = view("four").line
    assert lines["four", "all", "matched_frequency"]["intercept"] == four.intercept
    assert not {(o["view"], o["pool"]) for o in data["lines"]} & {("objectnet", "modern")}


def test_the_numbers_are_the_packages(table, data):
    four = atlas.models(table, FOUR_SHIFTS)
    assert len(data["model"]) == len(four)
    place = {pair: n for n, pair in enumerate(zip(data["model"], data["weights"], strict=True))}
    row = place["ViT-L-14", "openai"]
    assert data["group"]["names"][data["group"]["of"][row]] == "OpenAI"
    measured = records.read_all("outlier_features", "vit_b_16")
    openai = [m for m in measured if "openai" in m.model and "captions" not in m.data.name]
    kappas = {m.data.title: m.value("kurtosis_mean") for m in openai}
    kurtosis = data["kurtosis"][str(place["ViT-B-16", "openai"])]
    assert {k["data"]: k["value"] for k in kurtosis} == kappas and kappas["500 COCO images"] > 80


def test_the_chapters_links_choose_what_the_explorer_knows(data):
    text = (ROOT / "book" / "robustness_atlas.md").read_text()
    raw = "".join(re.findall(r"^```\{raw\} html$(.*?)^```$", text, re.M | re.S))  # else it is text
    links = re.findall(r'href="guide/explore\.html#([^"]+)"', raw)
    assert len(links) == 3
    columns = (data["source"]["of"], data["model"], data["weights"], data["size"])
    names, rows = data["source"]["names"], zip(*columns, strict=True)
    choices = {"view": {*data["views"]}, "pool": {*data["pools"]}, "least": {"0", "50", "60", "70"}}
    choices |= {"levels": {level["name"] for level in data["levels"]}, "find": {"datacomp"}}
    choices["pins"] = {f"{names[s]}/{m}/{w}/{z or ''}" for s, m, w, z in rows}
    for link in links:
        for key, values in parse_qs(html.unescape(link)).items():
            assert {*values[0].split(",")} <= choices[key], link


def test_no_name_can_end_the_element_that_holds_it():
    element = explorer(json.dumps({"model": "</script><img src=x>"}), "_static")
    assert element.count("</script>") == 4 and "<img" not in element


# In a browser


@pytest.fixture(scope="module")
def address(tmp_path_factory, data, static):
    """A page with nothing but the explorer, as a file."""
    path = tmp_path_factory.mktemp("explorer") / "explore.html"
    frame = (ROOT / "tests/cases/explorer.html").read_text()
    page = frame.replace("EXPLORER", explorer(json.dumps(data), static)).replace("STATIC", static)
    path.write_text(page)
    return path.as_uri()


@pytest.fixture
def explorer_at(open_page, address):
    """Open the explorer at an address's end."""

    def opened(hash="", viewport=DESK, theme="light"):
        page = open_page(address + hash, viewport)
        page.evaluate("(theme) => document.documentElement.dataset.theme = theme", theme)
        return page

    return opened


def rows_of_csv(page):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download these rows as CSV").click()
    return list(csv.DictReader(waiting.value.path().read_text().splitlines()))


SHIFTS = {"five": FIVE_SHIFTS, "four": FOUR_SHIFTS, "imagenet_a": ("imagenet_a",)}


@pytest.mark.parametrize(("hash", "shifts", "printed"), cases("pages")["explored"])
def test_the_page_computes_what_the_package_does(explorer_at, table, data, hash, shifts, printed):
    shifts = SHIFTS[shifts]
    rows = rows_of_csv(explorer_at(hash))
    models = atlas.models(table, shifts if len(shifts) > 1 else FIVE_SHIFTS)
    models["shifted"] = models[list(shifts)].mean(axis=1)
    models["level"] = models["level"].where(models["level"] != "", "other")
    models = models[models["level"].isin({row["level"] for row in rows})]
    assert len(rows) == len(models) > 10
    first, line = rows[0], PAPER_BASELINE
    if not printed:
        lines = {(o["view"], o["pool"], o["v2"]): o for o in data["lines"]}
        kept = lines[first["view"], first["line"], first["v2_of_line"]]
        line = Baseline(kept["slope"], kept["intercept"], kept["r"])
    er = np.sort(effective_robustness(models["shifted"], models["imagenet"], line))
    assert np.sort([float(row["er"]) for row in rows]) == pytest.approx(er, abs=2e-6)


def test_marks_are_found_by_mouse_and_by_keyboard_and_pinned(explorer_at):
    page = explorer_at("#find=" + quote("vit-l-14 openai"))
    mark = page.locator(".plot .marks path").first.bounding_box()
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    output, tip = page.locator(".told output"), page.locator(".tip")
    assert "ViT-L-14" in output.inner_text() and "ER +" in tip.inner_text()
    page.locator(".plot svg").focus()
    page.keyboard.press("Home")
    assert output.inner_text().startswith("ViT-L-14 openai, zero-shot, OpenAI WIT-400M: ImageN")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert output.inner_text().startswith("ViT-L-14-336 openai")
    page.keyboard.press("Enter")
    compared = page.locator(".compared table")
    assert compared.locator("thead th").count() == 2
    rows = compared.locator("tbody tr").all()
    cells = {r.locator("th").inner_text(): r.locator("td").all_inner_texts() for r in rows}
    assert cells["ER, mean of five shifts"] == ["+36.7", "+38.4"]
    assert cells["κ"] == ["not measured"] * 2
    assert cells["to measure κ"][0] == (
        "companion rerun outlier_features --checkpoint ViT-L-14/openai --data pictures/"
    )
    page.get_by_role("button", name="Unpin ViT-L-14 openai", exact=True).click()
    assert compared.locator("thead th").count() == 1
    page.locator(".plot svg").focus()
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_what_is_looked_for_is_named_and_everything_else_stays(explorer_at):
    page = explorer_at()
    every, line = page.locator(".plot .marks path").count(), page.locator(".plot .line")
    ticks, drawn = page.locator(".plot .axes text").count(), line.get_attribute("d")
    page.get_by_label("find a model").fill("b-32 laion2b_s34b")
    found = page.locator(".plot .marks path").count()
    assert 0 < found < 10 and page.locator(".plot .faint path").count() + found >= every
    assert line.get_attribute("d") == drawn and page.locator(".plot .axes text").count() == ticks
    names = page.locator(".plot .found text").all_text_contents()
    assert names and all("laion2b_s34b" in name for name in names)
    assert page.locator("table.models tbody tr").count() == found
    page.get_by_label("shift", exact=True).select_option("four")
    page.get_by_label("find a model").fill("resnet50 a1_in1k")  # of a level that is not chosen
    assert page.locator("table.models tbody tr").count() > 0


def test_a_link_keeps_the_choice_and_a_wrong_one_is_harmless(explorer_at):
    page = explorer_at()
    page.get_by_label("shift", exact=True).select_option("objectnet")
    page.get_by_label("axes").select_option("linear")
    page.get_by_label("supervised", exact=True).check()
    page.get_by_label("find a model").fill("resnet50")
    page.locator("table.models tbody input").first.check()
    kept = page.evaluate("location.hash")
    caption = page.locator("table.models caption").inner_text()
    again = explorer_at(kept)
    assert again.locator("table.models caption").inner_text() == caption
    assert again.get_by_label("axes").input_value() == "linear"
    assert again.locator(".compared thead th").count() == 1
    again.get_by_role("button", name="Start again").click()
    assert again.evaluate("location.hash") == ""
    odd = explorer_at("#view=<img>&levels=none,zero_shot&pins=a,b&sort=x&colour=red")
    assert odd.locator("table.models caption").inner_text().startswith("87 models")


def test_the_table_sorts_by_keyboard_and_shows_all_rows_when_asked(explorer_at):
    page = explorer_at("#levels=supervised,zero_shot&view=four")
    header = page.locator('th[data-key="imagenet"]')
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")  # the focus is still there
    assert header.get_attribute("aria-sort") == "ascending"
    rows = page.locator("table.models tbody tr")
    values = [float(text) for text in rows.locator("td:nth-child(5)").all_inner_texts()]
    assert len(values) == 100 and values == sorted(values)
    page.get_by_role("button", name="Show all").click()
    assert rows.count() == len(rows_of_csv(page)) > 1000


@pytest.mark.parametrize("viewport, theme", [(DESK, "light"), (PHONE, "dark")])
def test_it_fits_and_axe_finds_nothing_serious(explorer_at, viewport, theme):
    pins = "open_clip/ViT-B-16/openai/,open_clip/ViT-B-32-quickgelu/openai/"
    page = explorer_at(f"#pins={pins}", viewport, theme)
    page.locator(".plot svg").focus()
    page.keyboard.press("End")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".compared .box")
    assert box.evaluate("(one) => one.scrollWidth <= one.clientWidth")  # side by side, not cut
    edges = page.locator(".companion-edges:has(table.models)")
    shadow = edges.evaluate("e => getComputedStyle(e, '::after').content") != "none"
    assert shadow == (viewport == PHONE)  # there the table scrolls
    assert what_axe_finds(page, "article", {"preload": False}) == []


def test_a_tap_tells_and_pins(explorer_at):
    page = explorer_at("#find=dfn5b", PHONE)
    mark = page.locator(".plot .marks path").first.bounding_box()
    page.touchscreen.tap(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    assert "dfn5b" in page.locator(".told output").inner_text()
    page.locator(".told button").tap()
    assert page.locator(".compared thead th").count() == 1


# The box that answers to a checkpoint's name


@pytest.fixture(scope="module")
def known(table, data):
    return explore.lookup(table, data)


def test_the_lookup_has_the_numbers_of_the_atlas(table, data, known):
    four = atlas.on_four_shifts(table)
    ordinary = atlas.ordinary(four)
    clip = atlas.clip(table).set_index(["model", "weights"])["er"]
    place = {pair: n for n, pair in enumerate(zip(known["model"], known["weights"], strict=True))}
    row = place["ViT-L-14", "openai"]
    assert known["er"][row] == pytest.approx(100 * clip["ViT-L-14", "openai"], abs=0.051)
    own = four.query("model == 'ViT-L-14' and weights == 'openai'").iloc[0]
    pool = ordinary["imagenet"], ordinary["er"]
    excess = matched_excess([own["imagenet"]], [own["er"]], *pool).excess[0]
    assert known["excess"][row] == pytest.approx(100 * excess, abs=0.051)
    assert known["robust"][row] is True and {*known["robust"]} == {True, False, None}


def test_a_checkpoints_name_is_answered(open_page, known, static, tmp_path):
    frame = (ROOT / "tests/cases/explorer.html").read_text()
    box = explorer(json.dumps(known), static, "lookup")
    (tmp_path / "lookup.html").write_text(frame.replace("EXPLORER", box).replace("STATIC", static))
    page = open_page((tmp_path / "lookup.html").as_uri(), PHONE)
    page.get_by_label("I have a checkpoint").press_sequentially("vit-b/16 openai")
    page.get_by_role("button", name="ViT-B-16-quickgelu openai", exact=True).or_(
        page.get_by_role("button", name="ViT-B-16 openai", exact=True)
    ).first.click()
    text = page.locator(".companion-lookup").inner_text()
    assert "+29." in text and "yes: above nearly all" in text and "on 500 COCO images" in text
    page.get_by_label("I have a checkpoint").fill("")
    page.get_by_label("I have a checkpoint").press_sequentially("no such <b>model")
    assert "No published model" in page.locator(".companion-lookup").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert what_axe_finds(page, "article", {"preload": False}) == []
