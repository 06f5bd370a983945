"""An HTML page that shows the surprisal of each token as the darkness of its background."""

import html
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.language_model.inference import TextScore

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Surprisal</title>
<style>
  body {{ margin: 2rem auto; max-width: 60rem; font: 17px/1.9 system-ui, sans-serif; color: #222 }}
  p {{ margin: .4rem 0 }}
  span {{ padding: .1rem .25rem; border-radius: 4px }}
  .unknown {{ text-decoration: underline dotted #a00 }}
  small {{ color: #777 }}
</style>
<h1>Surprisal</h1>
<p><small>{summary}. Darker words are less probable; hover over a word for -log2 p. Underlined words are unknown to the
model.</small></p>
{lines}
</html>
"""
DARKEST = 16.0  # bits


def paragraph(score: "TextScore") -> str:
    """A line of text as HTML."""
    words = []
    for token, log_prob, unknown in zip(score.tokens, score.log_probs, score.unknown, strict=True):
        bits = -float(log_prob) / math.log(2)
        colour = f"rgb(217 95 2 / {min(1.0, bits / DARKEST):.2f})"
        css_class = ' class="unknown"' if unknown else ""
        words.append(
            f'<span{css_class} style="background:{colour}" title="{bits:.2f} bits">{html.escape(token)}</span>'
        )
    return f"<p>{' '.join(words)}</p>"


def page(summary: str, paragraphs: Iterable[str]) -> bytes:
    """The page in UTF-8, with a one-line summary above the paragraphs."""
    return PAGE.format(summary=summary, lines="\n".join(paragraphs)).encode(errors="replace")
