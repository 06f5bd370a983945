// A photo with layers that light up where a word is: all are drawn when the answer comes, so that lighting one up only
// changes a class.

import { h } from "./dom.js";
import { decoded } from "./server.js";

const VEIL = 0.66; // opacity over what does not belong to the word

/** The cells of a grid of the server, or of rows of weights, relative to the greatest: { rows, columns, values }. */
function cells(source) {
  if (source.b64 !== undefined) return { rows: source.rows, columns: source.columns, values: Float32Array.from(decoded(source.b64), (byte) => byte / 255) };
  const values = Float32Array.from(source.flat());
  const most = Math.max(...values, 1e-9);
  return { rows: source.length, columns: source[0].length, values: values.map((value) => value / most) };
}

function veil(grid) {
  const canvas = h("canvas", { width: grid.columns, height: grid.rows, class: "veil", "aria-hidden": "true" });
  const image = new ImageData(grid.columns, grid.rows);
  grid.values.forEach((value, i) => { image.data[4 * i + 3] = Math.round(255 * VEIL * (1 - Math.min(1, Math.max(0, value)))); });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The stage: the photo and its layers. `onpoint` is called with the word below the pointer, or null. */
export class Stage {
  constructor({ onpoint }) {
    this.image = h("img", { alt: "", decoding: "async" });
    this.layers = h("div", { class: "layers" });
    this.element = h("figure", { class: "stage" }, this.image, this.layers);
    this.words = [];
    this.element.addEventListener("pointermove", (event) => onpoint(this.wordAt(event)));
    this.element.addEventListener("pointerleave", () => onpoint(null));
  }

  show(photo) {
    this.image.src = photo.url;
    this.image.alt = photo.title;
    this.set([]);
  }

  /** The layers of words: { box, cells } each, or null for a word that is nowhere. */
  set(words) {
    this.words = words.map((word) => word && { box: word.box, grid: cells(word.cells) });
    this.parts = this.words.map((word) => {
      if (!word) return null;
      const [top, left, bottom, right] = word.box ?? [0, 0, 0, 0];
      const frame = word.box && h("span", { class: "frame", "aria-hidden": "true", style: { top: `${100 * top}%`, left: `${100 * left}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` } });
      return h("div", { class: "layer" }, veil(word.grid), frame);
    });
    this.layers.replaceChildren(...this.parts.filter(Boolean));
  }

  light(index) {
    this.parts?.forEach((part, i) => part?.classList.toggle("lit", i === index));
  }

  /** The word that fits best where the pointer is, of those whose box is there; smaller boxes say more. */
  wordAt(event) {
    const area = this.image.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width, y = (event.clientY - area.top) / area.height;
    let best = null, most = 0;
    this.words.forEach((word, i) => {
      if (!word?.box || x < 0 || y < 0 || x >= 1 || y >= 1) return;
      const [top, left, bottom, right] = word.box;
      if (y < top || y > bottom || x < left || x > right) return;
      const { rows, columns, values } = word.grid;
      const value = values[Math.floor(y * rows) * columns + Math.floor(x * columns)] / Math.sqrt((bottom - top) * (right - left));
      if (value > most) [best, most] = [i, value];
    });
    return best;
  }
}
