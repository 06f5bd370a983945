"""An HTML page of images and their captions, in one self-contained file."""

import base64
import html
import io
from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from shared.runs import write_bytes

if TYPE_CHECKING:
    from tasks.captioner.inference import Caption

THUMBNAIL = 320  # pixels on the longer side

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Captions</title>
<style>
  body {{ margin: 2rem; font: 16px/1.4 system-ui, sans-serif; background: #fafafa; color: #222 }}
  main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 1.5rem }}
  figure {{ margin: 0; background: #fff; border-radius: 6px; overflow: hidden; box-shadow: 0 1px 4px #0003 }}
  img {{ width: 100%; height: 220px; object-fit: contain; background: #eee }}
  figcaption {{ padding: .6rem .9rem .9rem }}
  ol {{ margin: .3rem 0 0; padding-left: 1.2rem }}
  small {{ color: #777; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<main>
{figures}
</main>
</html>
"""

FIGURE = """<figure>
  <img src="data:image/jpeg;base64,{thumbnail}" alt="{best}" loading="lazy">
  <figcaption><strong>{best}</strong>{others}<br><small>{name} · probability {probability:.2g}</small></figcaption>
</figure>"""


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
        self.figures.append(
            FIGURE.format(
                thumbnail=base64.b64encode(encoded.getvalue()).decode(),
                best=html.escape(captions[0].text),
                others=others and f'<ol start="2">{others}</ol>',
                name=html.escape(name),
                probability=exp(captions[0].log_prob),
            )
        )

    def write(self, path: Path) -> None:
        """Write the page atomically."""
        page = PAGE.format(
            title="1 image" if len(self.figures) == 1 else f"{len(self.figures)} images",
            figures="\n".join(self.figures),
        )
        write_bytes(path, page.encode(errors="replace"))  # file names need not be valid Unicode
