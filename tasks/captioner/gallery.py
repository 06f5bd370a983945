"""An HTML page of images with their captions, or with the sentences that they match, in one self-contained file."""

import base64
import html
import io
from collections.abc import Sequence
from math import exp
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from shared.outputs import write_output

if TYPE_CHECKING:
    from tasks.captioner.finding import Match
    from tasks.captioner.inference import Caption

THUMBNAIL = 320  # pixels on the longer side
COLOURS = ("#d6336c", "#1971c2", "#2f9e44", "#e8590c", "#7048e8", "#0c8599")  # of words and their regions, in turn

PAGE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


class Gallery:
    """Collects thumbnails and texts; `write` writes the page."""

    def __init__(self):
        self.figures: list[str] = []

    def add(self, name: str, image: np.ndarray, captions: "Sequence[Caption]") -> None:
        """Add an image, uint8 `(height, width, 3)`, with its captions, best first."""
        best, *others = (html.escape(caption.text) for caption in captions)
        listed = "".join(f"<li>{caption}</li>" for caption in others)
        text = f"<strong>{best}</strong>" + (f'<ol start="2">{listed}</ol>' if others else "")
        self._add(name, image, best, text, f"probability {exp(captions[0].log_prob):.2g}")

    def add_match(self, name: str, image: np.ndarray, match: "Match") -> None:
        """Add an image with a sentence, and the regions of its telling words in their colours."""
        colours = {id(word): COLOURS[i % len(COLOURS)] for i, word in enumerate(match.telling)}
        words, regions = [], []
        for word in match.words:
            written, colour = html.escape(word.word), colours.get(id(word))
            words.append(f'<span style="color: {colour}">{written}</span>' if colour else written)
            if colour:
                top, left, bottom, right = (
                    edge * size for edge, size in zip(word.region, image.shape[:2] * 2, strict=True)
                )
                box = f'x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}"'
                regions.append(f'<rect {box} stroke="{colour}"><title>{written}</title></rect>')
        sentence = html.escape(match.sentence)
        text = f"<strong>{' '.join(words)}</strong>"
        self._add(name, image, sentence, text, f"score {match.score:.3f}", "".join(regions))

    def _add(self, name: str, image: np.ndarray, title: str, text: str, note: str, regions: str = "") -> None:
        """Add a figure; `title`, `text` and `regions`, in pixels of the image, are HTML."""
        picture = Image.fromarray(image)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=85)
        thumbnail = base64.b64encode(encoded.getvalue()).decode()
        height, width = image.shape[:2]
        marks = regions and f'\n  <svg viewBox="0 0 {width} {height}">{regions}</svg>'
        self.figures.append(f"""<figure>
  <div><img src="data:image/jpeg;base64,{thumbnail}" alt="{title}" loading="lazy">{marks}</div>
  <figcaption>{text}<br><small>{html.escape(name)} · {note}</small></figcaption>
</figure>""")

    def write(self, path: Path) -> None:
        """Write the page."""
        title = "1 image" if len(self.figures) == 1 else f"{len(self.figures)} images"
        page = PAGE.substitute(title=title, figures="\n".join(self.figures))
        write_output(path, page.encode(errors="replace"))  # file names need not be valid Unicode
