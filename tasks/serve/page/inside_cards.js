// The three cells side by side: what each guesses after a letter, and how far back the gradient of that guess reaches.

import { bar, h, percent, svg } from "./dom.js";
import { letterOf, power } from "./inside_text.js";

const NOTHING = -(2 ** 15);
const FAINTEST = 4; // decades of the gradient that shades show
const CHART = { width: 320, height: 190, left: 40, right: 8, top: 10, bottom: 32, least: -8, most: 2 };

/** A text of letters, one element each; pointing at one chooses its step. */
function letters(answer, choose, describe) {
  const element = h("p", {
    class: "letters", "aria-label": describe,
    onpointerover: ({ target }) => target.dataset.step && choose({ step: Number(target.dataset.step), pinned: false }),
    onclick: ({ target }) => target.dataset.step && choose({ step: Number(target.dataset.step), pinned: true }),
  }, answer.read.map((token, step) => h("span", { dataset: { step } }, token === " " ? " " : letterOf(token))));
  let lit;
  return {
    element,
    mark(step) {
      lit?.classList.remove("at");
      lit = element.children[step];
      lit?.classList.add("at");
    },
    shade(shares) {
      shares.forEach((share, step) => element.children[step].style.setProperty("--shade", share));
    },
  };
}

/** Losses of the letters, and the guesses after the chosen one. */
export class GuessCard {
  constructor(cell, colour, choose) {
    this.choose = choose;
    this.facts = h("p", { class: "small muted figures" });
    this.text = h("div");
    this.after = h("p", { class: "small muted" });
    this.options = h("ol", { class: "guesses" });
    this.element = h("section", { class: "card cell-card", style: { "--cell": colour } },
      h("h3", {}, cell.title), this.facts, this.text, this.after, this.options);
  }

  show(answer, model) {
    this.answer = answer;
    const mean = answer.bits.reduce((sum, bits) => sum + bits, 0) / answer.bits.length;
    const unseen = model.bits === null ? "" : ` · ${model.bits.toFixed(2)} on unseen text`;
    this.facts.replaceChildren(h("b", { class: "mean" }, `${mean.toFixed(2)} bits`), ` a letter here${unseen} · ${model.parameters.toLocaleString("en")} weights`);
    this.letters = letters(answer, this.choose, "Your text, letters shaded by how surprising they are");
    this.letters.shade([0, ...answer.bits.slice(0, -1).map((bits) => Math.min(1, bits / 9))]); // a step's loss is of the next letter
    this.text.replaceChildren(this.letters.element);
  }

  mark(step) {
    if (!this.answer) return;
    this.letters.mark(step);
    const next = this.answer.predicted[step], isLast = step === this.answer.read.length - 1;
    const probability = 2 ** -this.answer.bits[step];
    this.after.replaceChildren(isLast ? "The line ends: " : "The next letter is ", h("b", { class: "letter" }, letterOf(next)), `, to which it gives ${percent(probability)}.`);
    this.options.replaceChildren(...this.answer.guesses[step].map((guess) => h("li", { class: guess.token === next ? "right" : "" },
      h("span", { class: "letter" }, letterOf(guess.token)), bar(guess.probability), h("span", { class: "figures" }, percent(guess.probability)))));
  }
}

/** log10 of the gradient of the loss of step t for the state d steps before, relative to that at t; null if zero. */
function backwards(answer, t) {
  const steps = answer.read.length, { values, scale } = answer.reach_states;
  const first = values[t * steps + t];
  return Array.from({ length: t + 1 }, (_, d) => {
    const value = values[t * steps + t - d];
    return value === NOTHING || first === NOTHING ? null : (value - first) / scale;
  });
}

/** The mean of these curves over all steps, where at least three have a value. */
function meanCurve(answer) {
  const sums = [], counts = [];
  for (let t = 0; t < answer.read.length; t++) {
    backwards(answer, t).forEach((value, d) => {
      if (value === null) return;
      sums[d] = (sums[d] ?? 0) + value;
      counts[d] = (counts[d] ?? 0) + 1;
    });
  }
  return sums.map((sum, d) => (counts[d] >= 3 ? sum / counts[d] : null));
}

/** What a curve says, in a sentence. */
export function verdict(curve) {
  const known = curve.map((value) => value ?? -Infinity), last = known.length - 1;
  const most = Math.max(...known);
  if (last < 1) return "Nothing is before it.";
  if (most > 1) return `Explodes: ${power(most)} times as large ${known.indexOf(most)} letters back.`;
  const gone = known.findIndex((value) => value < -2);
  if (gone > 0) return `Vanishes: less than 1 % arrives ${gone} ${gone === 1 ? "letter" : "letters"} back.`;
  return `Kept: ${percent(10 ** known[last])} arrives ${last} ${last === 1 ? "letter" : "letters"} back.`;
}

/** The letters shaded by the gradient that reaches them, and its size by the distance. */
export class ReachCard {
  constructor(cell, colour, choose) {
    this.choose = choose;
    this.text = h("div");
    this.sentence = h("p", { class: "verdict" });
    this.now = svg("path", { class: "curve now" });
    this.mean = svg("path", { class: "curve mean" });
    this.before = svg("path", { class: "curve before" });
    this.axes = svg("g");
    this.chart = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", class: "reach-chart" }, this.axes, this.before, this.mean, this.now);
    this.element = h("section", { class: "card cell-card", style: { "--cell": colour } }, h("h3", {}, cell.title), this.text, this.sentence, this.chart, h("p", { class: "small muted" }, cell.back));
  }

  show(answer) {
    this.answer = answer;
    this.letters = letters(answer, this.choose, "Your text, letters shaded by the gradient that reaches them");
    this.text.replaceChildren(this.letters.element);
    this.#drawAxes(answer.read.length);
    this.#draw(this.mean, meanCurve(answer));
  }

  /** Shows the same before training, dashed; null hides it. */
  compare(answer) {
    this.#draw(this.before, answer ? meanCurve(answer) : []);
  }

  mark(step) {
    if (!this.answer) return;
    const { values, scale } = this.answer.reach_inputs, steps = this.answer.read.length;
    const row = Array.from(values.subarray(step * steps, (step + 1) * steps), (value) => (value === NOTHING ? -Infinity : value / scale));
    const most = Math.max(...row);
    this.letters.mark(step);
    this.letters.shade(row.map((value) => Math.max(0, 1 + (value - most) / FAINTEST)));
    const curve = backwards(this.answer, step);
    this.#draw(this.now, curve);
    this.sentence.textContent = verdict(curve);
    this.chart.setAttribute("aria-label", `Gradient by distance. ${this.sentence.textContent}`);
  }

  #x(distance) {
    return CHART.left + (distance / Math.max(1, this.answer.read.length - 1)) * (CHART.width - CHART.left - CHART.right);
  }

  #y(value) {
    const share = (value - CHART.least) / (CHART.most - CHART.least);
    return CHART.height - CHART.bottom - Math.max(0, Math.min(1, share)) * (CHART.height - CHART.top - CHART.bottom);
  }

  #draw(path, curve) {
    const points = [];
    for (const [distance, value] of curve.entries()) {
      if (value === null) break;
      points.push(`${this.#x(distance).toFixed(1)} ${this.#y(value).toFixed(1)}`);
      if (value < CHART.least) break; // the rest is below the chart
    }
    path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
  }

  #drawAxes(steps) {
    const labels = [];
    for (let value = CHART.least; value <= CHART.most; value += 2) {
      const y = this.#y(value);
      labels.push(
        svg("line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: y, y2: y, class: value === 0 ? "grid whole" : "grid" }),
        svg("text", { x: CHART.left - 6, y: y + 4, "text-anchor": "end" }, value === 0 ? "1" : power(value)));
    }
    const every = [5, 10, 20, 50].find((each) => steps / each <= 7) ?? 50;
    for (let distance = 0; distance < steps; distance += every) {
      labels.push(svg("text", { x: this.#x(distance), y: CHART.height - CHART.bottom + 15, "text-anchor": "middle" }, String(distance)));
    }
    labels.push(svg("text", { x: (CHART.left + CHART.width) / 2, y: CHART.height - 3, "text-anchor": "middle" }, "letters back"));
    this.axes.replaceChildren(...labels);
  }
}
