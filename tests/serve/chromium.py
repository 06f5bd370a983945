"""Debian's Chromium, driven by playwright; without either of them a test skips."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; each of its contexts is a visitor of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium; Debian's package has it")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A page at an address; an error in a script of the page fails the test."""
    errors: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(20_000)
    page.goto(address)
    yield page
    context.close()
    assert errors == []


def until(page: Any, holds: str | Callable[[], bool]) -> None:
    """Waits until an expression of the page, or a function of the test, holds.

    The page's policy forbids what `wait_for_function` does.
    """
    end = time.monotonic() + 20
    while not (page.evaluate(holds) if isinstance(holds, str) else holds()):
        assert time.monotonic() < end, f"never: {holds}"
        page.wait_for_timeout(25)
