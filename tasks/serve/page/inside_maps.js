// The equations of a cell beside heat maps of its values: a column for each letter, a row for each unit.

import { announce, h } from "./dom.js";
import { valuesAt } from "./inside_cells.js";
import { letterOf, math, signed, spoken } from "./inside_text.js";

const HEIGHTS = { sum: 110, gate: 74, state: 74, cell: 74, large: 138, alone: 190 };
const RANGES = { sum: 2.5, gate: 1, state: 1, cell: 2 }; // the value that has the full colour

/** Colours of values from -1 to 1, or of a gate from 0 to 1, as 256 numbers that a canvas stores. */
function palettes(panel) {
  const probe = h("span");
  panel.append(probe);
  const rgb = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  };
  const [low, zero, high, gate] = ["--blue", "--map-zero", "--warm", "--accent"].map(rgb);
  probe.remove();
  const ramp = (mix) => Uint32Array.from({ length: 256 }, (_, i) => {
    const [r, g, b] = mix(i / 255).map(Math.round);
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
  const between = (from, to, share) => from.map((each, i) => each + (to[i] - each) * share);
  return {
    diverging: ramp((x) => (x < 0.5 ? between(zero, low, (1 - 2 * x) ** 0.8) : between(zero, high, (2 * x - 1) ** 0.8))),
    gate: ramp((x) => between(zero, gate, x)),
  };
}

/** Units in the order of how fast their state changes, the slowest first. */
function bySpeed(matrix) {
  const [steps, units] = matrix.shape;
  const speed = Array.from({ length: units }, (_, unit) => {
    let change = 0, size = 1;
    for (let t = 1; t < steps; t++) {
      change += Math.abs(matrix.values[t * units + unit] - matrix.values[(t - 1) * units + unit]);
      size += Math.abs(matrix.values[t * units + unit]);
    }
    return change / size;
  });
  return speed.map((_, unit) => unit).sort((a, b) => speed[a] - speed[b]);
}

export class Maps {
  /** @param choose called with {step, unit} when the reader points at something, `pinned` if by a click or, with `byKey`, a key. */
  constructor(choose) {
    this.choose = choose;
    this.equations = h("div", { class: "equations" });
    this.letters = h("div", { class: "map-letters", "aria-hidden": "true" });
    this.column = h("div", { class: "map-column", "aria-hidden": "true" });
    this.stack = h("div", { class: "map-stack" });
    this.sheet = h("div", {
      class: "map-sheet", tabindex: "0", role: "application", "aria-roledescription": "heat maps",
      "aria-label": "States and gates. Left and right arrows move over the letters, up and down over the units.",
      onpointermove: (event) => this.#point(event, false),
      onpointerdown: (event) => this.#point(event, true),
      onkeydown: (event) => this.#key(event),
    }, this.letters, this.stack, this.column);
    this.scroller = h("div", { class: "map-scroller" }, this.sheet);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours = null; this.#paint(); });
    new ResizeObserver(() => this.#measure()).observe(this.scroller);
  }

  /** Shows a cell's answer. */
  show(cell, answer, { sorted }) {
    const isOther = this.cell !== cell;
    this.cell = cell;
    this.answer = answer;
    const units = answer.states.h.shape[1];
    this.order = sorted ? bySpeed(answer.states.h) : Array.from({ length: units }, (_, unit) => unit);
    this.rowOf = [];
    this.order.forEach((unit, row) => { this.rowOf[unit] = row; });
    if (isOther) this.#lay();
    this.letters.replaceChildren(...answer.read.map((token) => h("span", {}, letterOf(token))));
    this.#paint();
    this.#measure();
  }

  /** Marks a step and a unit, and writes their numbers under the terms of the equations. */
  mark(step, unit, line) {
    if (!this.answer) return;
    this.step = step;
    this.unit = unit;
    const row = this.rowOf[unit], units = this.order.length;
    this.column.style.transform = `translateX(${step * this.width}px)`;
    for (const map of this.maps) {
      map.bar.style.transform = `translateY(${(row * map.height) / units}px)`;
      map.figure.classList.toggle("lit", map.line === line);
    }
    this.letters.querySelector(".lit")?.classList.remove("lit");
    this.letters.children[step]?.classList.add("lit");
    const values = valuesAt(this.answer, step, unit);
    for (const { element, value } of this.numbers) element.textContent = signed(value(values));
    const [best] = this.answer.guesses[step];
    this.guess.textContent = `${letterOf(best.token)} ${Math.round(100 * best.probability)} %`;
    for (const each of this.lines) each.element.classList.toggle("lit", each.line === line);
  }

  /** Builds equations and maps of the cell. */
  #lay() {
    this.numbers = [];
    const number = (value) => {
      const element = h("span", { class: "figure" });
      if (value) this.numbers.push({ element, value });
      return element;
    };
    const term = (part) => (typeof part === "string"
      ? h("span", { class: "sign" }, part)
      : h("span", { class: "term" }, h("span", { class: "symbol" }, math(part[0])), number(part[1])));
    this.lines = this.cell.lines.map((line) => {
      const value = number(line.value);
      if (line.line === "out") this.guess = value;
      const element = h("div", { class: "equation", dataset: { line: line.line }, onpointerenter: () => this.#hoverLine(line.line) },
        h("p", { class: "says" }, h("b", {}, line.name), `, ${line.says}`),
        h("div", { class: "terms" },
          h("span", { class: "term result" }, h("span", { class: "symbol" }, math(line.symbol)), value),
          h("span", { class: "sign" }, "="), line.terms.map(term)));
      return { line: line.line, element };
    });
    this.equations.replaceChildren(...this.lines.map(({ element }) => element));
    this.maps = this.cell.maps.map((map) => {
      const height = map.large ? HEIGHTS.large : this.cell.maps.length === 3 && map.kind === "state" ? HEIGHTS.alone : HEIGHTS[map.kind];
      const canvas = h("canvas", { role: "img", "aria-label": `Heat map: ${map.label}` });
      const bar = h("div", { class: "map-row", "aria-hidden": "true" });
      const figure = h("figure", { class: "map", dataset: { line: map.line, part: map.part } },
        h("figcaption", {}, h("span", { class: "symbol" }, math(map.symbol)), h("span", { class: "muted" }, map.label)),
        h("div", { class: "map-body", style: { height: `${height}px` } }, canvas, bar));
      return { ...map, canvas, bar, figure, height };
    });
    this.stack.replaceChildren(...this.maps.map(({ figure }) => figure));
  }

  #paint() {
    if (!this.answer) return;
    this.colours ??= palettes(this.sheet);
    for (const map of this.maps) {
      const matrix = this.answer[map.part][map.name], [steps, units] = matrix.shape;
      const colours = map.kind === "gate" ? this.colours.gate : this.colours.diverging;
      const most = RANGES[map.kind] * matrix.scale, least = map.kind === "gate" ? 0 : -most;
      map.canvas.width = steps;
      map.canvas.height = units;
      const context = map.canvas.getContext("2d"), image = context.createImageData(steps, units);
      const pixels = new Uint32Array(image.data.buffer);
      for (let t = 0; t < steps; t++) {
        for (let row = 0; row < units; row++) {
          const share = (matrix.values[t * units + this.order[row]] - least) / (most - least);
          pixels[row * steps + t] = colours[Math.max(0, Math.min(255, Math.round(255 * share)))];
        }
      }
      context.putImageData(image, 0, 0);
    }
  }

  #measure() {
    if (!this.answer) return;
    const steps = this.answer.read.length;
    this.width = Math.max(9, Math.min(40, this.scroller.clientWidth / steps));
    this.sheet.style.setProperty("--column", `${this.width}px`);
    this.sheet.style.width = `${this.width * steps}px`;
    for (const map of this.maps) map.bar.style.height = `${Math.max(2, map.height / this.order.length)}px`;
    if (this.step !== undefined) this.mark(Math.min(this.step, steps - 1), this.unit, this.line);
  }

  #point(event, pinned) {
    if (!this.answer) return;
    const box = this.sheet.getBoundingClientRect();
    const step = Math.max(0, Math.min(this.answer.read.length - 1, Math.floor((event.clientX - box.left) / this.width)));
    const body = event.target.closest?.(".map-body");
    let unit = this.unit, line = this.line;
    if (body) {
      const inside = body.getBoundingClientRect();
      const row = Math.floor(((event.clientY - inside.top) / inside.height) * this.order.length);
      unit = this.order[Math.max(0, Math.min(this.order.length - 1, row))];
      line = body.parentElement.dataset.line;
    }
    this.line = line;
    this.choose({ step, unit, line, pinned });
  }

  #hoverLine(line) {
    this.line = line;
    this.mark(this.step, this.unit, line);
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!(event.key in moves) || !this.answer) return;
    event.preventDefault();
    const [x, y] = moves[event.key];
    const step = Math.max(0, Math.min(this.answer.read.length - 1, this.step + x));
    const row = Math.max(0, Math.min(this.order.length - 1, this.rowOf[this.unit] + y));
    this.choose({ step, unit: this.order[row], line: this.line ?? "h", pinned: true, byKey: true });
    const values = valuesAt(this.answer, step, this.unit);
    announce(`After ${spoken(this.answer.read[step])}: unit ${this.unit}, state ${signed(values.state("h"))}`);
  }
}
