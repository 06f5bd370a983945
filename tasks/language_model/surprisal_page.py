"""An HTML page that shows the surprisal of each word as the darkness of its background."""

import html
import math
from collections.abc import Iterable

from tasks.language_model.inference import TextScore, Word

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Surprisal</title>
<style>
  body {{ margin: 2rem auto; max-width: 60rem; font: 17px/1.9 system-ui, sans-serif; color: #222 }}
  p {{ margin: .4rem 0 }}
  span {{ padding: .1rem 0; border-radius: 4px }}
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


def paragraph(score: TextScore) -> str:
    """A line of text as HTML: its words as they are written, then `</s>`."""
    end = Word(text=score.tokens[-1], log_prob=float(score.log_probs[-1]), unknown=False)
    groups = [*score.spaced_words("apart"), [end]]
    return f"<p>{' '.join(''.join(map(_span, words)) for words in groups)}</p>"


def _span(word: Word) -> str:
    css_class = ' class="unknown"' if word.unknown else ""
    if word.log_prob is None:
        return f"<span{css_class}>{html.escape(word.text)}</span>"
    bits = -word.log_prob / math.log(2)
    colour = f"rgb(217 95 2 / {min(1.0, bits / DARKEST):.2f})"
    return f'<span{css_class} style="background:{colour}" title="{bits:.2f} bits">{html.escape(word.text)}</span>'


def page(summary: str, paragraphs: Iterable[str]) -> bytes:
    """The page in UTF-8, with a one-line summary above the paragraphs."""
    return PAGE.format(summary=html.escape(summary), lines="\n".join(paragraphs)).encode(errors="replace")
