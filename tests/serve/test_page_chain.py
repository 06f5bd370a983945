"""The tab Chain in a browser: a photo, its caption, translations, speech and phones; answers are made by hand."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tasks.serve.app import PAGE, Server
from tasks.serve.captions import CaptionRequest
from tasks.serve.limits import Limits
from tasks.serve.models import Models
from tasks.serve.recognitions import RecognizeRequest
from tasks.serve.speech import SpeakRequest
from tasks.serve.translations import TranslateRequest
from tests.serve.chromium import launched, opened, until
from tests.serve.conftest import run
from tests.serve.page_answers import Asked, page_endpoints

pytestmark = pytest.mark.slow

STEPS = "photo", "caption", "translation", "back", "speech", "phones"


class Site(NamedTuple):
    address: str
    browser: Any
    asked: Asked


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    asked = Asked()
    with launched() as browser:
        for address in run(Server(Models({}), page_endpoints(asked), Limits(decoders=1))):
            yield Site(address, browser, asked)


@pytest.fixture
def page(site, request) -> Iterator[Any]:
    """The tab, or the address that the test names, with the chain complete."""
    site.asked.clear()
    with opened(site.browser, f"{site.address}/#chain{getattr(request, 'param', '')}") as page:
        is_complete(page)
        yield page


def states(page: Any) -> dict[str, str]:
    return {name: page.locator(f"#step-{name}").get_attribute("data-state") for name in STEPS}


def is_complete(page: Any) -> None:
    """Waits for the last step."""
    page.locator("#step-phones[data-state=done]").wait_for()


def last(asked: Asked, kind: type) -> Any:
    return asked.of(kind)[-1]


def test_each_step_takes_what_the_one_before_gives(page, site):
    assert set(states(page).values()) == {"done"}
    assert last(site.asked, CaptionRequest).beam == 4
    assert [(one.text, one.model) for one in site.asked.of(TranslateRequest)] == [
        ("a dog runs", "en-de"), ("a dog runs", "de-en"),
    ]  # fmt: skip
    spoken = last(site.asked, SpeakRequest)
    assert (spoken.text, spoken.language) == ("a dog runs", "en")
    sounded = last(site.asked, RecognizeRequest)
    assert (sounded.sound.b64[:4], sounded.text) == (b"RIFF", "a dog runs")
    assert page.locator("#step-phones .phone").all_text_contents() == ["d", "ɔ", "ŋ"]
    assert page.locator("#step-phones .score").all_text_contents() == ["a dog runs67"]
    confidences = page.locator(".chain-knots .knot span").all_text_contents()
    assert confidences == ["", "50 %", "75 %", "75 %", "by rule", "68 %"]  # (0.9 x 0.5 x 0.7) ** (1 / 3)


def test_another_caption_and_ones_own(page, site):
    page.locator(".caption-option", has_text="a cat").click()
    until(
        page, lambda: last(site.asked, TranslateRequest).text == "a dog runs" and len(site.asked.of(SpeakRequest)) == 2
    )
    assert [one.text for one in site.asked.of(TranslateRequest)[2:]] == ["a cat", "a dog runs"]
    assert "text=a+cat" in page.url
    is_complete(page)
    page.get_by_label("Your own caption").fill("two birds sing")
    page.keyboard.press("Enter")
    until(page, lambda: len(site.asked.of(SpeakRequest)) == 3)
    assert site.asked.of(TranslateRequest)[4].text == "two birds sing"
    assert page.locator("#step-caption .words").text_content() == "two birds sing"
    assert len(site.asked.of(CaptionRequest)) == 1


@pytest.mark.parametrize("page", ["?by=fr&photo=snow"], indirect=True)
def test_into_one_language_only(page, site):
    """The recognizer knows English alone, and is given no sentence to compare with; the way back is not shown."""
    assert page.locator("#step-back").is_hidden()
    assert [one.model for one in site.asked.of(TranslateRequest)] == ["en-fr"]
    assert last(site.asked, SpeakRequest).language == "fr"
    assert last(site.asked, RecognizeRequest).text == ""
    assert page.locator(".chain-photo").get_attribute("src") == "examples/snow.webp"
    page.locator("#step-translation .words").nth(1).locator(".word").nth(1).hover()
    assert page.locator("#step-translation .words").nth(0).locator(".lit").all_text_contents() == ["dog"]
    page.get_by_label("Languages").select_option("de-en")
    page.locator("#step-back[data-state=done]").wait_for()
    assert "by=de-en" in page.url


@pytest.mark.parametrize("page", ["?by=xx"], indirect=True)
def test_languages_that_the_address_does_not_have(page, site):
    """Those of no model, and none at all, are the first."""
    languages = page.get_by_label("Languages")
    assert languages.input_value() == "de-en"
    page.evaluate("location.hash = '#chain?by=fr'")
    until(page, lambda: last(site.asked, TranslateRequest).model == "en-fr")
    page.evaluate("location.hash = '#chain'")
    until(page, lambda: last(site.asked, TranslateRequest).model == "de-en")
    assert languages.input_value() == "de-en"
    is_complete(page)


def test_the_focus_stays_where_it_was(page, site):
    page.locator(".caption-option").nth(1).focus()
    page.keyboard.press("Enter")
    until(page, lambda: len(site.asked.of(SpeakRequest)) == 2)
    is_complete(page)
    assert page.evaluate("document.activeElement.innerText").startswith("a cat")
    page.get_by_label("Languages").focus()
    page.get_by_label("Languages").select_option("fr")
    page.locator("#step-phones[data-state=waiting]").wait_for()
    is_complete(page)
    assert page.evaluate("document.activeElement.ariaLabel") == "Languages"


def test_a_photo_is_chosen_and_a_phone_played(page, site):
    page.evaluate(
        """() => {
          const button = document.querySelector("#step-speech .action"), seen = window.seen = [];
          new MutationObserver(() => seen.push(button.textContent)).observe(button, { childList: true });
        }"""
    )
    page.locator("#step-phones .phone").nth(1).click()
    until(page, "window.seen.includes('Stop') && window.seen.at(-1) === 'Play'")
    page.set_input_files("input[name=chain-photo]", PAGE / "examples" / "beach.webp")
    until(page, lambda: len(site.asked.of(CaptionRequest)) == 2)
    assert page.locator("#step-photo .thumb[aria-pressed=true]").count() == 1


def test_the_chain_ends_where_a_step_is_not_there(site):
    with opened(site.browser, f"{site.address}/#translator") as page:
        page.route("**/api/speak", lambda route: route.fulfill(status=404, json={"error": "there is nothing"}))
        page.get_by_role("tab", name="Chain").click()
        page.locator("#step-speech[data-state=missing]").wait_for()
        assert page.locator("#step-speech .notice").text_content().startswith("Speech is not installed where this")
        assert states(page)["phones"] == "waiting"
        assert page.locator(".chain-knots .knot span").nth(4).text_content() == "not here"


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1400, "light")])
def test_nothing_is_wider_than_the_window(site, width, scheme):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with opened(site.browser, f"{site.address}/#chain", **options) as page:
        is_complete(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
