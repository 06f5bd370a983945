// Speech as a picture: its waveform with the phones that are recognized in it, on one axis of time. Each can be played.

import { h, percent, svg } from "./dom.js";
import { decoded } from "./server.js";

const HEADER = 44; // bytes of a WAV file before its samples
const RATE = 16_000, POINTS = 600, HEIGHT = 90;
const SILENCE = new Set(["sil", ""]);

/** The samples of a WAV file in base64, -1 to 1. */
export function samplesOf(b64) {
  const bytes = decoded(b64);
  return Float32Array.from(new Int16Array(bytes.buffer, HEADER, (bytes.length - HEADER) >> 1), (sample) => sample / 32768);
}

/** Extremes of the samples as one closed path in a box of POINTS x HEIGHT. */
function outline(samples) {
  const step = samples.length / POINTS, upper = [], lower = [];
  const most = samples.reduce((largest, sample) => Math.max(largest, Math.abs(sample)), 1e-4);
  for (let x = 0; x < POINTS; x++) {
    let high = 0, low = 0;
    for (let i = Math.floor(x * step); i < Math.min(samples.length, (x + 1) * step); i++) {
      high = Math.max(high, samples[i]);
      low = Math.min(low, samples[i]);
    }
    const y = (value) => (HEIGHT / 2 - (value / most) * (HEIGHT / 2 - 2)).toFixed(1);
    upper.push(`${x} ${y(high)}`);
    lower.unshift(`${x} ${y(low)}`);
  }
  return `M${[...upper, ...lower].join("L")}Z`;
}

let context; // a browser allows sound only after a click, so it is made then

/** A sound with a button, a waveform and, once they are known, its phones. */
export class Sound {
  constructor(b64, seconds) {
    Object.assign(this, { samples: samplesOf(b64), seconds, phones: [] });
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, x1: -9, x2: -9 });
    this.button = h("button", { class: "action", type: "button", onclick: () => (this.source ? this.stop() : this.play(0, seconds)) }, "Play");
    const wave = svg("svg", { viewBox: `0 0 ${POINTS} ${HEIGHT}`, preserveAspectRatio: "none", class: "wave", "aria-hidden": "true" },
      svg("path", { d: outline(this.samples) }), this.cursor);
    this.row = h("div", { class: "phones", role: "group", "aria-label": "Phones on the axis of time" });
    this.element = h("div", { class: "sound" }, h("div", { class: "sound-sheet", style: { "--seconds": seconds } }, wave, this.row));
  }

  /** Plays from one time to another, in seconds. */
  play(from, to) {
    this.stop();
    context ??= new AudioContext();
    const buffer = context.createBuffer(1, this.samples.length, RATE);
    buffer.copyToChannel(this.samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    source.onended = () => { if (this.source === source) this.stop(); };
    source.start(0, from, Math.max(0.03, to - from));
    this.source = source;
    this.button.textContent = "Stop";
    const began = context.currentTime;
    const follow = () => {
      if (this.source !== source) return;
      this.#at(Math.min(to, from + context.currentTime - began));
      requestAnimationFrame(follow);
    };
    follow();
  }

  stop() {
    const source = this.source;
    this.source = null;
    source?.stop();
    this.button.textContent = "Play";
    this.#at(null);
  }

  #at(time) {
    const x = ((time ?? -1) / this.seconds) * POINTS;
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.phones.forEach(({ start, end }, i) => this.row.children[i].classList.toggle("lit", time !== null && time >= start && time < end));
  }

  /** Shows the phones of a recognition under the waveform; the opacity of each is its probability. */
  show(phones) {
    this.phones = phones.filter(({ phone }) => !SILENCE.has(phone));
    this.row.replaceChildren(...this.phones.map((one) => h("button", {
      class: "phone", type: "button", title: `${one.phone}, ${percent(one.probability)}, ${one.start.toFixed(2)} to ${one.end.toFixed(2)} s`,
      "aria-label": `${one.phone}, ${percent(one.probability)}`,
      style: { "--from": one.start / this.seconds, "--size": (one.end - one.start) / this.seconds, "--sure": one.probability },
      onclick: () => this.play(one.start, one.end),
    }, one.ipa)));
  }
}
