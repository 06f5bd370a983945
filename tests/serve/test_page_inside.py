"""The tab Inside in a browser: what it shows of three untrained cells is what Python computes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tasks.language_model.inside import Inside
from tests.serve.chromium import launched, opened
from tests.serve.letters import TEXT, UNITS, Letters, serving_letters

pytestmark = pytest.mark.slow

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Letters]:
    with serving_letters(tmp_path_factory.mktemp("letters")) as letters:
        yield letters


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture
def page(browser, served) -> Iterator[Any]:
    with opened(browser, f"{served.address}/#inside?text=a+cat+sat") as shown:
        shown.wait_for_selector(".inside-stage:not(.busy) .reach-chart .before[d^=M]", state="attached")
        yield shown


def figure(value: float) -> str:
    """A number as the page writes it."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", MINUS)


def figures(page: Any, line: str) -> list[str]:
    return page.locator(f".equation[data-line={line}] .figure").all_text_contents()


def point(page: Any, part: str, step: int, row: int, *, click: bool = False) -> None:
    """Points at a step and a row of the first heat map of a part of the answer."""
    map_ = page.locator(f".map[data-part={part}] .map-body").first
    map_.scroll_into_view_if_needed()
    box = map_.bounding_box()
    x, y = (step + 0.5) * box["width"] / (len(TEXT) + 2), (row + 0.5) * box["height"] / UNITS
    (page.mouse.click if click else page.mouse.move)(box["x"] + x, box["y"] + y)


def test_pointing_at_a_map_shows_the_numbers_of_a_unit_in_the_equations(page, served):
    page.get_by_role("button", name="as stored").click()
    point(page, "gates", step=3, row=4)
    values = Inside.load(served.runs["lstm"])([TEXT])[0].values
    assert page.locator(".where").text_content() == "Unit 4, after ␣, letter 3"
    expected = [values.gates["f"], values.from_inputs["f"], values.from_states["f"]]
    assert figures(page, "f") == [figure(x[3, 4]) for x in expected]
    cell = [
        values.states["c"][3, 4], values.gates["f"][3, 4], values.states["c"][2, 4], values.gates["i"][3, 4],
        values.gates["g"][3, 4],
    ]  # fmt: skip
    shown = [float(x.replace(MINUS, "-")) for x in figures(page, "c")]
    assert shown == pytest.approx(cell, abs=0.0051)  # either neighbour of a half
    assert page.locator(".equation.lit").get_attribute("data-line") == "i"  # the first map is that of the input gate
    assert page.locator(".map.lit").count() == 1
    page.locator(".map[data-line=f] .map-body").hover()
    assert page.locator(".equation.lit").get_attribute("data-line") == "f"


def test_each_cell_has_its_equations_and_maps(page, served):
    for cell, title, maps, lines in (("simple_rnn", "Simple RNN", 3, 2), ("gru", "GRU", 4, 5), ("lstm", "LSTM", 6, 7)):
        page.locator(".inside-stage .head").get_by_role("button", name=title, exact=True).click()
        assert page.locator(".map").count() == maps
        assert page.locator(".equation").count() == lines
        assert page.locator(".map canvas").first.evaluate("canvas => [canvas.width, canvas.height]") == [11, UNITS]
        assert (f"cell={cell}" in page.url) == (cell != "lstm")
    page.locator(".inside-stage .head").get_by_role("button", name="Simple RNN").click()
    page.get_by_role("button", name="as stored").click()
    point(page, "from_inputs", step=1, row=0)
    values = Inside.load(served.runs["simple_rnn"])([TEXT])[0].values
    parts = values.states, values.from_inputs, values.from_states
    assert figures(page, "h") == [figure(part["h"][1, 0]) for part in parts]


def test_slow_units_come_first(page, served):
    values = Inside.load(served.runs["lstm"])([TEXT])[0].values.states["h"]
    speed = np.abs(np.diff(values, axis=0)).sum(0) / (np.abs(values[1:]).sum(0) + 0.001)
    point(page, "states", step=2, row=0)
    assert page.locator(".where b").first.text_content() == str(speed.argmin())


def test_pointing_at_a_letter_shows_what_each_cell_guesses_after_it(page, served):
    cards = page.locator(".three").first.locator(".cell-card")
    cards.nth(1).locator("[data-step='4']").hover()
    for i, (cell, title) in enumerate((("simple_rnn", "Simple RNN"), ("gru", "GRU"), ("lstm", "LSTM"))):
        seen = Inside.load(served.runs[cell])([TEXT])[0]
        card = cards.nth(i)
        assert card.locator("h3").text_content() == title
        tokens = [{" ": "␣", "</s>": "⏎"}.get(token, token) for token, _ in seen.guesses[4]]
        shown = card.locator(".guesses .letter").all_text_contents()
        assert [len(token) == 2 or token in tokens for token in shown] == [True] * 5  # of bytes two digits are shown
        assert f"{np.mean(seen.nats) / np.log(2):.2f} bits" in card.locator(".mean").text_content()
    assert "2.00 on unseen text" in cards.nth(2).text_content()


def test_pointing_at_a_letter_shows_how_far_the_gradient_reaches(page, served):
    cards = page.locator(".three").nth(1).locator(".cell-card")
    cards.nth(0).locator("[data-step='8']").hover()
    for i, cell in enumerate(("simple_rnn", "gru", "lstm")):
        reach = Inside.load(served.runs[cell])([TEXT])[0].reach
        shares = np.maximum(0, 1 + (reach.inputs[8] - reach.inputs[8].max()) / 4)
        shown = (
            cards.nth(i)
            .locator(".letters span")
            .evaluate_all("letters => letters.map((each) => Number(each.style.getPropertyValue('--shade')))")
        )
        np.testing.assert_allclose(shown, shares, atol=0.01)
        left = 10 ** (reach.states[8, 0] - reach.states[8, 8])
        verdict = cards.nth(i).locator(".verdict").text_content()
        assert verdict.startswith("Vanishes: less than 1 %" if left < 0.01 else "Kept: ")
        assert cards.nth(i).locator(".curve.now").get_attribute("d").count("L") == min(
            8, int(np.argmax(np.append(reach.states[8, 8::-1] - reach.states[8, 8] < -8, [True])))
        )


def test_a_click_keeps_what_it_points_at_in_the_address(page, served, browser):
    page.get_by_role("button", name="as stored").click()
    point(page, "gates", step=5, row=2, click=True)
    assert page.locator(".pin").count() == 1
    point(page, "gates", step=1, row=1)
    assert page.locator(".where").text_content().startswith("Unit 2, after a, letter 5")
    with opened(browser, page.url) as again:
        again.wait_for_selector(".inside-stage:not(.busy) .pin")
        assert again.locator(".where").text_content() == page.locator(".where").text_content()
    point(page, "gates", step=5, row=2, click=True)
    point(page, "gates", step=1, row=1)
    assert page.locator(".where").text_content() == "Unit 1, after ␣, letter 1"
    assert "step=" not in page.url


def test_arrow_keys_move_over_letters_and_units(page):
    page.get_by_role("button", name="as stored").click()
    point(page, "gates", step=2, row=2)
    page.locator(".map-sheet").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.locator(".where").text_content().startswith("Unit 3, after ␣, letter 3")
    assert page.locator("#status").text_content().startswith("After a space: unit 3, state ")


def test_an_arrow_key_at_the_border_keeps_what_it_has_kept(page):
    page.get_by_role("button", name="as stored").click()
    page.locator(".map-sheet").focus()
    for _ in range(len(TEXT) + 3):
        page.keyboard.press("ArrowLeft")
    assert page.locator(".where").text_content().endswith("letter 0kept")
    assert "step=0" in page.url


@pytest.mark.parametrize(("step", "shown"), [("-5", 0), ("1.5", 1), ("x", 0), ("9999", len(TEXT) + 1)])
def test_a_letter_of_the_address_that_there_is_not(browser, served, step, shown):
    with opened(browser, f"{served.address}/#inside?text=a+cat+sat&step={step}&unit=1.5") as page:
        page.wait_for_selector(".inside-stage:not(.busy) .pin")
        assert page.locator(".where").text_content().startswith("Unit 1, after ")
        assert page.locator(".where").text_content().endswith(f", letter {shown}kept")


def test_another_sentence_is_read_and_kept_in_the_address(page):
    page.locator("#inside-text").fill("the mat")
    page.wait_for_selector(".map-letters span:nth-child(9):last-child")
    assert page.locator(".map-letters").text_content() == "⏎␣the␣mat"
    assert "text=the+mat" in page.url
    page.locator(".chip").first.click()
    page.wait_for_selector(".map-letters span:nth-child(21)")
    assert "text=" not in page.url  # the first example


def test_before_training_other_weights_are_shown(page, served):
    mean = page.locator(".three").first.locator(".cell-card .mean").nth(2)
    trained = mean.text_content()
    page.get_by_role("button", name="before training").click()
    seen = Inside.load_untrained(served.runs["lstm"])([TEXT])[0]
    shown = page.locator(".where").text_content(), figures(page, "f")
    assert mean.text_content() == f"{seen.nats.mean() / np.log(2):.2f} bits"
    page.get_by_role("button", name="after training").click()
    assert (page.locator(".where").text_content(), figures(page, "f")) != shown
    assert mean.text_content() == trained


def test_a_text_that_is_refused_says_why(page):
    page.locator("#inside-text").fill("水" * 100)
    page.wait_for_selector(".inside > .notice:visible")
    assert "302 steps" in page.locator(".inside > .notice").text_content()


def test_pointing_lights_up_within_50_ms(page):
    seconds = page.evaluate(
        """() => {
          const sheet = document.querySelector(".map-sheet"), body = sheet.querySelector(".map-body");
          const box = body.getBoundingClientRect(), times = [];
          for (let i = 0; i < 40; i++) {
            const began = performance.now();
            const at = { clientX: box.left + (i / 40) * box.width, clientY: box.top + 3, bubbles: true };
            body.dispatchEvent(new PointerEvent("pointermove", at));
            document.body.offsetHeight; // the layout belongs to it
            times.push(performance.now() - began);
          }
          return times.sort((a, b) => a - b)[20] / 1000;
        }"""
    )
    assert seconds < 0.05


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1400, "light")])
def test_nothing_is_wider_than_the_window(browser, served, width, scheme):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with opened(browser, f"{served.address}/#inside", **options) as page:
        page.wait_for_selector(".inside-stage:not(.busy) .reach-chart .now[d^=M]", state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
