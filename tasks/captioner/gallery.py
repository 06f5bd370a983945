"""An HTML page of images and their captions, in one self-contained file."""

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
    from tasks.captioner.inference import Caption

THUMBNAIL = 320  # pixels on the longer side

PAGE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


class Gallery:
    """Collects thumbnails and captions; `write` writes the page."""

    def __init__(self):
        self.figures: list[str] = []

    def add(self, name: str, image: np.ndarray, captions: "Sequence[Caption]") -> None:
        """Add an image, uint8 `(height, width, 3)`, with its captions, best first."""
        picture = Image.fromarray(image)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=85)
        others = "".join(f"<li>{html.escape(caption.text)}</li>" for caption in captions[1:])
        thumbnail = base64.b64encode(encoded.getvalue()).decode()
        best, probability = html.escape(captions[0].text), f"probability {exp(captions[0].log_prob):.2g}"
        others = others and f'<ol start="2">{others}</ol>'
        self.figures.append(f"""<figure>
  <img src="data:image/jpeg;base64,{thumbnail}" alt="{best}" loading="lazy">
  <figcaption><strong>{best}</strong>{others}<br><small>{html.escape(name)} · {probability}</small></figcaption>
</figure>""")

    def write(self, path: Path) -> None:
        """Write the page."""
        title = "1 image" if len(self.figures) == 1 else f"{len(self.figures)} images"
        page = PAGE.substitute(title=title, figures="\n".join(self.figures))
        write_output(path, page.encode(errors="replace"))  # file names need not be valid Unicode
