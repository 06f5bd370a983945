"""Takes the pictures of the page, a tab each, from a server that runs: page_*.webp.

make serve
python -m docs.page_pictures http://127.0.0.1:8000/
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 1240, 860  # pixels
SECONDS = 60  # of waiting for an answer


def captioner(page: Any) -> None:
    """Other words for one of the caption, and the region of another."""
    page.click(".words .word >> text=running")
    page.wait_for_selector(".alternatives .option")
    page.hover(".words .word >> text=dog")


def translator(page: Any) -> None:
    """A word of the translation and where it comes from."""
    page.hover(".pair > .words:last-child .word >> text=station")


def recognizer(page: Any) -> None:
    """The scores of a sentence, below the phones that were said."""
    page.wait_for_selector(".option.score")
    page.locator("section[aria-label=Phones]").evaluate("one => window.scrollTo(0, one.offsetTop - 60)")


def language_model(page: Any) -> None:
    """The surprisal of a text, and its next words."""
    page.wait_for_selector("section[aria-label='Next words'] .option")


def chain(page: Any) -> None:
    """All steps, from the photo on."""
    page.wait_for_selector("#step-phones[data-state=done]")


def inside(page: Any) -> None:
    """The gates over a sentence, with the equations of one unit."""
    page.wait_for_selector(".inside-stage canvas")
    page.locator(".inside-stage").evaluate("one => window.scrollTo(0, one.offsetTop - 70)")


class Picture(NamedTuple):
    show: Callable[[Any], None]
    address: str
    until: str
    """What has the answer to show."""
    scheme: Literal["light", "dark"]


PICTURES = (
    Picture(captioner, "captioner", ".words .word", "light"),
    Picture(translator, "translator?text=Können Sie mir bitte sagen, wo der Bahnhof ist?", ".pair .word", "dark"),
    Picture(recognizer, "recognizer?text=a+brown+dog+is+running+on+the+grass", ".phones .phone", "dark"),
    Picture(language_model, "language-model", ".surprisal .word", "light"),
    Picture(chain, "chain", ".words .word", "light"),
    Picture(inside, "inside?step=30", ".inside-stage:not([hidden])", "dark"),
)


def main(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        for show, tab, until, scheme in PICTURES:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.set_default_timeout(1000 * SECONDS)
            page.goto(f"{address.rstrip('/')}/#{tab}")
            page.wait_for_selector(until)
            show(page)
            page.wait_for_timeout(500)  # of transitions
            picture = Image.open(io.BytesIO(page.screenshot()))
            picture.convert("RGB").save(FOLDER / f"page_{show.__name__}.webp", quality=85, method=6)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
