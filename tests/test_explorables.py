"""Figures that a reader changes: their numbers against the package's, and in Chromium."""

import base64
import json
import re

import numpy as np
import pytest
from conftest import ROOT, what_axe_finds

from analysis.metrics import quantisation
from analysis.metrics.basis import quarter_turn, text_directions
from analysis.metrics.outliers import kurtosis
from companion.chapters import explorables, origin_figures
from companion.engine.svg import explorable

TALL = 7  # a photograph of the first forty
DESK, PHONE = {"width": 800, "height": 900}, {"width": 390, "height": 844}
STILL = '<figure class="companion-figure explorable"><svg id="still"></svg>{}</figure>'


@pytest.fixture(scope="module")
def clip():
    with np.load(ROOT / "course/lessons/embeddings.npz") as file:
        return file["images"].astype(float), file["captions"].astype(float)


@pytest.fixture(scope="module")
def data(clip):
    """Both figures' numbers, of the first forty photographs, each named by its place."""
    images, captions = (of[:40] for of in clip)
    names = [f"<b>{n}" for n in range(40)]
    source = explorables.turning("CLIP", images, names, captions)  # as large as with all of them
    stored = explorables.turning(
        "CLIP", images, names, captions, places=[TALL], bits=explorables.BITS
    )
    other = explorables.turning("no captions", images + 1, names)
    dropping = explorables.dropping(images, captions, names)
    growing = explorables.growing(
        *origin_figures.played("relearn/frames"), {"element": "Adam", "shared": "shared"}
    )
    return {
        "turn_axes": {"sources": [source, other]},
        "bits": {"sources": [stored]},
        "drop_directions": dropping,
        "grow_outlier": growing,
    }


def test_a_quarter_turn_is_a_rotation_and_pairs_the_axes():
    turn = quarter_turn(6, seed=1)
    assert np.allclose(turn @ turn.T, np.eye(6)) and np.isclose(np.linalg.det(turn), 1)
    with pytest.raises(ValueError, match="must be even, got 5"):
        quarter_turn(5, seed=1)


@pytest.mark.parametrize(("bits", "off"), [(16, 2e-5), (24, 7e-8)])
def test_vectors_are_packed_to_the_digits_that_are_shown(clip, bits, off):
    vectors = clip[0][:3]
    pack = explorables.packed(vectors, bits)
    data, size = base64.b64decode(pack["numbers"]), bits // 8
    each = (data[at : at + size] for at in range(0, len(data), size))
    whole = np.reshape([int.from_bytes(of, "little", signed=True) for of in each], (3, -1))
    assert np.abs(whole * np.array(pack["scale"])[:, None] - vectors).max() < off * vectors.max()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, data, static):
    """A page for each figure, with nothing else, as files."""
    pages = {}
    frame = (ROOT / "tests/cases/explorer.html").read_text()
    for script, numbers in data.items():
        path = tmp_path_factory.mktemp("explorable") / f"{script}.html"
        drawn = "turn_axes" if script == "bits" else script
        place = STILL.format(explorable(json.dumps(numbers), drawn, static))
        path.write_text(frame.replace("EXPLORER", place).replace("STATIC", static))
        pages[script] = path.as_uri()
    return pages


def shown(page):
    return page.evaluate("({...document.querySelector('.explorable-stage').dataset})")


def move(page, to):
    script = "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')); }"
    page.locator("input[type=range]").evaluate(script, to)
    return shown(page)


@pytest.mark.parametrize("degrees", [0, 37, 90])
def test_the_axes_turn_as_the_package_turns_them(open_page, addresses, clip, data, degrees):
    page = open_page(addresses["turn_axes"], DESK)
    values = move(page, degrees)
    images, captions = (of[:40] for of in clip)
    turned = images @ explorables.rotation(quarter_turn(512, 0), degrees)
    place = explorables.examples(images)[0]
    assert float(values["kurtosis"]) == pytest.approx(kurtosis(turned)[place], abs=1e-4)
    assert float(values["mean"]) == pytest.approx(kurtosis(turned).mean(), rel=1e-4)
    cosines = captions @ images[place] / np.linalg.norm(captions, axis=1)
    best = np.sort(cosines / np.linalg.norm(images[place]))[::-1][:5]
    assert page.locator("li").evaluate_all("all => all.map((e) => Number(e.dataset.cosine))") == (
        pytest.approx(best, abs=2e-4)
    )
    assert "40 of 40 find the same caption" in page.locator(".explorable-says").inner_text()
    assert not page.locator("li b b").count() and page.locator("li").first.inner_text()[:3] == "<b>"


@pytest.mark.parametrize("bits", explorables.BITS)
@pytest.mark.parametrize("degrees", [0, 52, 90])
def test_what_is_stored_in_few_bits_finds_what_the_package_finds(
    open_page, addresses, clip, bits, degrees
):
    page = open_page(f"{addresses['bits']}#bits={bits}&turn={degrees}", DESK)
    images, captions = (of[:40] for of in clip)
    frame = explorables.rotation(quarter_turn(512, 0), degrees)
    rounded = quantisation.uniform(images @ frame, bits)
    now, before = (rounded @ (captions @ frame).T).argmax(1), (images @ captions.T).argmax(1)
    assert page.locator("q").all_inner_texts() == [f"<b>{of[TALL]}" for of in (before, now)]
    same = (now == before).sum()
    says = "All 40" if same == 40 else f"{same} of 40"
    assert page.locator("small").nth(1).inner_text() == f"{says} keep their caption"
    left = (rounded[TALL] != 0).sum()
    axis = f"the 512 numbers of one photograph; {left} {'is' if left == 1 else 'are'} not 0"
    assert page.locator(".explorable-axis").inner_text() == axis
    stems = page.locator(".stems").get_attribute("d")  # what is drawn is what is stored
    assert len(set(re.findall(r"V([\d.]+)", stems))) <= 2**bits - 1


def test_the_address_has_what_a_reader_chose_and_opens_there(open_page, addresses):
    page = open_page(addresses["bits"], DESK)
    page.get_by_role("button", name="2 bits", exact=True).click()
    move(page, 90)
    page.wait_for_url("**#bits=2&turn=90")
    page.reload()
    assert shown(page)["degrees"] == "90"
    assert "Stored in 2 bits" in page.locator(".explorable-found").inner_text()
    page.evaluate("location.hash = '#bits=4&turn=30'")
    page.get_by_text("Stored in 4 bits").wait_for()
    page.evaluate("location.hash = '#some-heading'")
    assert shown(page)["degrees"] == "30"


@pytest.mark.parametrize("address", ["#turn=x&bits=y", "#turn=-7", "#bits=5", "#some-heading"])
def test_an_address_that_says_nothing_begins_at_the_start(open_page, addresses, address):
    page = open_page(addresses["bits"] + address, DESK)
    assert shown(page)["degrees"] == "0"
    assert "Stored in 3 bits" in page.locator(".explorable-found").inner_text()
    assert page.url.endswith(address)


@pytest.mark.parametrize("count", [0, 25, explorables.MOST])
def test_directions_go_as_the_package_drops_them(open_page, addresses, clip, count):
    values = move(open_page(addresses["drop_directions"], DESK), count)
    images, captions = (of[:40] for of in clip)
    h = images / np.linalg.norm(images, axis=1, keepdims=True)
    least = text_directions(captions).directions[:count]
    left = h - h @ least.T @ least
    unit = captions / np.linalg.norm(captions, axis=1, keepdims=True)
    right = ((left @ unit.T).argmax(1) == np.arange(40)).mean()
    assert float(values["kurtosis"]) == pytest.approx(kurtosis(left).mean(), rel=1e-4)
    assert float(values["found"]) == pytest.approx(right, abs=1e-4)
    own = kurtosis(left)[explorables.examples(images)[0]]
    assert float(values["own"]) == pytest.approx(own, rel=1e-2)


def test_one_vector_alone_is_the_mean_in_the_silent_directions(open_page, addresses, data):
    page = open_page(addresses["drop_directions"], DESK)
    page.get_by_role("button", name="one vector alone").click()
    vector = data["drop_directions"]["vector"]
    assert float(shown(page)["kurtosis"]) == pytest.approx(vector["kurtosis"])
    page.get_by_role("button", name="Another image").click()
    assert page.locator(".explorable-name").inner_text() != ""


@pytest.mark.parametrize("script", ["turn_axes", "bits", "drop_directions", "grow_outlier"])
@pytest.mark.parametrize(("viewport", "theme"), [(DESK, "light"), (PHONE, "dark")])
def test_keys_move_it_it_fits_and_axe_finds_nothing(open_page, addresses, script, viewport, theme):
    page = open_page(addresses[script], viewport)
    page.evaluate("(theme) => document.documentElement.dataset.theme = theme", theme)
    before = shown(page)
    page.locator("input[type=range]").focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    assert shown(page)["kurtosis"] != before["kurtosis"]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert not page.locator("#still").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#still").evaluate("e => getComputedStyle(e).display") != "none"
    assert not page.locator(".explorable-stage").is_visible()
    page.emulate_media(media="screen")
    assert not what_axe_finds(page, ".explorable-stage", {"preload": False})


@pytest.mark.parametrize("script", ["turn_axes", "bits", "drop_directions", "grow_outlier"])
def test_what_is_pressed_is_large_enough_for_a_finger(browser, addresses, script):
    context = browser.new_context(is_mobile=True, has_touch=True, viewport=PHONE)
    page = context.new_page()
    page.goto(addresses[script])
    pressed = page.locator(".explorable-stage :is(button, select)")
    heights = pressed.evaluate_all("all => all.map((e) => e.getBoundingClientRect().height)")
    assert len(heights) > 2 and min(heights) >= 44
    assert page.locator("input[type=range]").bounding_box()["width"] > 250
    context.close()


def test_a_network_without_captions_shows_its_numbers_alone(open_page, addresses):
    page = open_page(addresses["turn_axes"], DESK)
    page.get_by_role("button", name="no captions").click()
    assert (
        page.locator("li").count() == 0
        and "caption" not in page.locator(".explorable-says").inner_text()
    )


@pytest.mark.parametrize("frame", [0, 7, 13])
def test_two_trainings_play_side_by_side_as_they_were_recorded(open_page, addresses, frame):
    page = open_page(addresses["grow_outlier"], DESK)
    values = move(page, frame)
    runs, arrays = origin_figures.played("relearn/frames")
    recorded = [(r["second_moment"], r["rotated"]) for r in runs]
    for side, kind in (("", "element"), ("right_", "shared")):
        row = recorded.index((kind, "none"))  # the first seed
        for key in ("kurtosis", "accuracy", "mean_share"):
            assert float(values[side + key]) == pytest.approx(arrays[key][row, frame], abs=1e-4)
        mean = np.abs(arrays["mean"][row, frame].astype(float)).max() * arrays["unit"][row, frame]
        assert float(values[f"{side}largest"]) == pytest.approx(mean, abs=2e-5)
    assert int(values["step"]) == arrays["step"][frame]
    page.get_by_label("Optimiser on the right").select_option("Adam")
    assert shown(page)["step"] == values["step"]  # another optimiser, the same step and seed
    assert shown(page)["kurtosis"] == values["kurtosis"] == shown(page)["right_kurtosis"]


def guessed(page):
    return page.locator("svg.explorable-drawing").nth(2).locator(".curve.drawn").get_attribute("d")


def test_curves_are_drawn_as_far_as_a_reader_has_come(open_page, addresses):
    page = open_page(addresses["grow_outlier"], DESK)
    plot = page.locator("svg.explorable-drawing").nth(2)
    for frame in (0, 5, 2):  # what was seen stays
        move(page, frame)
        of_adam = plot.locator(".curve.silent").get_attribute("d")
        assert of_adam.count("L") == {0: 0, 5: 5, 2: 5}[frame]
    page.get_by_role("button", name="Another seed").click()
    assert plot.locator(".curve.silent").get_attribute("d").count("L") == 0


@pytest.mark.parametrize("by", ["pointer", "keys"])
def test_a_reader_guesses_kappa_before_the_training(open_page, addresses, by):
    page = open_page(addresses["grow_outlier"], DESK)
    plot = page.locator("svg.explorable-drawing").nth(2)
    assert plot.evaluate("e => e.style.touchAction") == ""  # a swipe scrolls
    page.get_by_role("button", name="Guess κ first").click()
    assert plot.evaluate("e => e.style.touchAction") == "none"
    if by == "pointer":
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 50, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 60, steps=8)
        page.mouse.up()
    else:
        page.keyboard.press("ArrowUp")
        low = float(plot.get_attribute("aria-valuenow"))
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
        assert float(plot.get_attribute("aria-valuenow")) > low > 3
        assert "κ" in plot.get_attribute("aria-valuetext")
        assert not what_axe_finds(page, ".explorable-stage", {"preload": False})
    assert guessed(page).count("L") > 3
    move(page, 3)  # who trains has guessed; the guess stays beside what happened
    assert plot.get_attribute("role") == "img" and plot.evaluate("e => e.style.touchAction") == ""
    assert guessed(page).count("L") > 3


@pytest.mark.parametrize("script", ["turn_axes", "bits", "drop_directions", "grow_outlier"])
def test_play_pauses_and_only_its_end_is_said(open_page, addresses, script):
    page = open_page(addresses[script], DESK)
    says = page.locator("[aria-live]")
    page.get_by_role("button", name="Play").click()
    assert says.get_attribute("aria-live") == "off"
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Pause").click()
    at = page.locator("input[type=range]").input_value()
    page.wait_for_timeout(200)
    assert page.locator("input[type=range]").input_value() == at and int(at) > 0
    assert says.get_attribute("aria-live") == "polite"


def test_code_and_numbers_stay_small(data):
    scripts = [
        ROOT / f"book/_static/{name}.js"
        for name in ("drawn", "explorable", *data)
        if name != "bits"
    ]
    assert sum(path.stat().st_size for path in scripts) < 40_000
    assert all(len(json.dumps(numbers)) < 300_000 for numbers in data.values())
