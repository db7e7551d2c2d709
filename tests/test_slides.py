"""Decks: how long they take, what they show before they tell, and what they say of verdicts."""

import re

import pytest
from conftest import ROOT

from companion.engine import slides

FOLDER = ROOT / "book" / "guide" / "slides"
DECKS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
MEETINGS = [name for name in DECKS if name.startswith("meeting_")]
TEACH = (ROOT / "book/guide/teach.md").read_text()
SHEET = (ROOT / "book/guide/lab_sheet.md").read_text()
#: The exercises of the course: label → how long they take, in minutes.
EXERCISES = {
    label: int(minutes)
    for path in (ROOT / "book").rglob("*.md")
    for label, minutes in re.findall(
        r"\{admonition\} Exercise ([a-z]+-\d+) · \w+ · (\d+) minutes", path.read_text()
    )
}


def test_every_slide_says_how_long_it_stays_and_meetings_fit_into_ninety_minutes():
    source = "# A\n\n> 6 min\n>\n> Say it (and wait, 30 s). (Board, 1.5 min: 2 min are enough.)"
    source += "\n\n---\n\n# B\n\n> 20 min: a-1, in pairs\n"
    first, second = slides.slides(source)
    assert (first.minutes, first.work, first.words, first.stated) == (6, "", 2, 2)
    assert (second.minutes, second.work) == (20, "a-1, in pairs")
    assert slides.minutes(source) == (6, 20)
    assert not [s for each in DECKS.values() for s in slides.slides(each) if "*" in s.work]
    assert {name: sum(slides.minutes(DECKS[name])) <= 90 for name in MEETINGS} == dict.fromkeys(
        MEETINGS, True
    )
    assert sum(slides.minutes(DECKS["afternoon"])) <= 240 - 25  # two breaks


@pytest.mark.parametrize(
    "text", ["# A\n\ntext", "# A\n\n> 6 min\n\n> 7 min\n", "# A\n\n> 6 minutes\n"]
)
def test_a_slide_without_its_time_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"^slide 2 has \d lines like `> 6 min`; it needs one, or"):
        slides.deck(f"# T\n\n> 1 min\n\n---\n\n{text}", {}.get)


def test_the_syllabus_takes_its_minutes_from_the_decks():
    assert re.findall(r"\{slides\}`(\w+)` \| \{minutes\}`(\w+)`", TEACH) == [
        (f"meeting_{n}", f"meeting_{n}") for n in range(1, len(MEETINGS) + 1)
    ]
    assert "{minutes}`afternoon`" in TEACH and "{slides}`afternoon`" in TEACH
    assert not re.search(r"\b\d+ (?:\+ \d+ = \d+|minutes of (?:talk|work))", TEACH)


@pytest.mark.parametrize("name", DECKS)
def test_exercises_in_the_room_have_the_time_that_they_take(name):
    for slide in slides.slides(DECKS[name]):
        labels = re.findall(r"\b[a-z]+-\d+\b", slide.work)
        assert {*labels} <= {*EXERCISES}, labels
        assert slide.minutes >= sum(EXERCISES[label] for label in labels), (slide.text, labels)


@pytest.mark.parametrize(
    ("name", "title"), [("meeting_4", "Session 1"), ("meeting_8", "Session 2")]
)
def test_the_lab_sheet_and_its_slides_plan_the_same_minutes(name, title):
    session = SHEET.split(f"## {title}")[1].split("\n## ")[0]
    planned = [
        int(n) for n in re.findall(r"^\*\*[A-Z][^*]* \((\d+) minutes\)\.\*\*", session, re.M)
    ]
    work = [s.minutes for s in slides.slides(DECKS[name]) if s.work.startswith("lab sheet")]
    assert len(planned) >= 3 and sum(planned) == sum(work)


@pytest.mark.parametrize("name", DECKS)
def test_notes_and_what_they_state_fit_into_the_time_of_their_slide(name):
    too_long = {
        f"slide {number}": f"{slide.said:.1f} + {slide.stated:.1f} of {slide.minutes} minutes"
        for number, slide in enumerate(slides.slides(DECKS[name]), 1)
        if slide.said + slide.stated > slide.minutes
    }
    assert too_long == {}


#: Decks whose notes are written out in full.
SPOKEN = [f"meeting_{number}" for number in (1, 2, 5, 6, 7)]


@pytest.mark.parametrize("name", SPOKEN)
def test_a_deck_is_written_out_and_adds_up_to_the_planned_minutes(name):
    every = slides.slides(DECKS[name])
    assert all(slide.words > 35 for slide in every if not slide.work)
    left = {n: s.minutes - s.said - s.stated for n, s in enumerate(every, 1)}
    assert {number: minutes for number, minutes in left.items() if minutes > 0.61} == {}


@pytest.mark.parametrize("name", MEETINGS)
def test_every_slide_has_something_to_say(name):
    few = [s.text.splitlines()[0] for s in slides.slides(DECKS[name]) if s.words < 20]
    assert few == []


@pytest.mark.parametrize("name", DECKS)
def test_each_deck_has_a_vote_with_options_before_the_answer(name):
    votes = [slide for slide in slides.slides(DECKS[name]) if slide.text.startswith("# Vote")]
    assert votes and all(slide.work.startswith("vote") for slide in votes)
    options = [re.findall(r"^\d\. (.*)$", slide.text, re.M) for slide in votes]
    assert {len(each) for each in options} == {3}
    assert [o for each in options for o in each if o[-1] in ",.;:" or len(o.split()) > 8] == []
    assert all("{result}`" not in vote.text.split("\n1. ")[1].split("\n>")[0] for vote in votes)


def test_options_of_a_vote_have_letters():
    page = slides.deck("# Vote: which?\n\n1. this\n2. that\n\n> 3 min: vote\n", {}.get)
    assert '<section class="vote"' in page and "3 minutes: vote" in page
    assert ".vote ol { list-style: upper-alpha; }" in page


def test_a_drawing_on_two_slides_has_ids_of_its_own_on_each():
    svg = '<svg viewBox="0 0 9 9"><defs><path id="m"/></defs><use xlink:href="#m"/></svg>'
    drawn = {"kind": "slide", "alt": "A mark."}, {"image/svg+xml": svg}
    slide = "# Mark\n\n```{result} a/b#slide-c\n```\n\n> 1 min\n"
    page = slides.deck(f"{slide}\n---\n\n{slide}", lambda _: drawn)
    ids = re.findall('<path id="([^"]+)"', page)
    assert len({*ids}) == len(ids) == 2


@pytest.mark.parametrize("name", DECKS)
def test_drawings_on_slides_are_laid_out_for_them(name):
    shown = re.findall(r"^```\{result\} (\S+)$", DECKS[name], re.M)
    assert all("#slide-" in reference for reference in shown)
    if name not in ("meeting_4", "meeting_8", "meeting_11"):
        of_definitions = [s.text for s in slides.slides(DECKS[name]) if "# Definition" in s.text]
        assert of_definitions and all("```{result}" in text for text in of_definitions), name


def test_the_speakers_window_and_the_projector_turn_each_other(browser, tmp_path):
    source = "# One\n\n> 6 min\n>\n> Say it.\n\n---\n\n# Two\n\n> 4 min\n>\n> Then this.\n"
    (tmp_path / "deck.html").write_text(
        slides.deck(source + "\n---\n\n# Three\n\n> 2 min\n", {}.get)
    )
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    projector, wrong = context.new_page(), []
    projector.on("pageerror", lambda error: wrong.append(error))
    projector.goto(f"file://{tmp_path}/deck.html")
    with context.expect_page() as opened:
        projector.keyboard.press("p")
    speaker = opened.value
    speaker.on("pageerror", lambda error: wrong.append(error))
    speaker.get_by_text("Say it.").locator("visible=true").wait_for()
    assert speaker.locator(".coming h1").inner_text() == "Two"
    speaker.keyboard.press("ArrowRight")
    projector.get_by_role("heading", name="Two").wait_for()
    projector.keyboard.press("ArrowRight")
    speaker.locator("section.shown h1", has_text="Three").wait_for()
    assert "The end." in speaker.locator(".coming").inner_text()
    assert "minutes 10 to 12 of 12" in speaker.locator(".planned").inner_text()
    assert speaker.locator(".elapsed").inner_text().startswith("0:0")
    assert projector.get_by_text("Then this.").is_hidden() and wrong == []
    context.close()
