// A sound on one time axis: waveform, spectrogram, what speaks for each phone, the phones and the words.

import { h, percent, roving } from "./dom.js";
import { asBase64, decoded } from "./server.js";

const SECOND = 280; // pixels, at least
const WIDEST = 16_000; // pixels of a canvas; browsers leave a much wider one blank
const ACTIVE = 0.3; // a symbol is shown if it is as probable as that somewhere
const COLOURS = [[13, 8, 34], [66, 20, 96], [140, 41, 99], [213, 84, 52], [249, 164, 63], [252, 246, 190]];

function colour(value) {
  const at = Math.min(0.9999, Math.max(0, value)) * (COLOURS.length - 1), i = Math.floor(at);
  return COLOURS[i].map((part, k) => part + (COLOURS[i + 1][k] - part) * (at - i));
}

function canvas(width, height, label) {
  const ratio = Math.min(2, devicePixelRatio || 1), across = Math.min(ratio, WIDEST / width);
  const element = h("canvas", { width: Math.round(width * across), height: Math.round(height * ratio), role: "img", "aria-label": label });
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  const pen = element.getContext("2d");
  pen.scale(across, ratio);
  return { element, pen };
}

/** A grid of the server as a picture, its first row at the bottom. */
function picture(grid, paint) {
  const bytes = decoded(grid.b64), image = new ImageData(Math.max(1, grid.columns), Math.max(1, grid.rows));
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const [red, green, blue, alpha = 255] = paint(bytes[row * grid.columns + column] / 255);
      image.data.set([red, green, blue, alpha], 4 * ((grid.rows - 1 - row) * grid.columns + column));
    }
  }
  const small = h("canvas", { width: image.width, height: image.height });
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

function hue(name) {
  const style = getComputedStyle(document.documentElement).getPropertyValue(name);
  const probe = h("span", { style: { color: style } });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * Draws an answer of the recognizer.
 *
 * answer   of the server
 * samples  Float32Array
 * spell    a phone -> how it is written
 * onplay   called with start and end in seconds
 *
 * Returns { element, at(seconds) }, which moves the line of what is played; null hides it.
 */
export function drawTimeline({ answer, samples, width: room, spell, onplay }) {
  const { seconds } = answer, width = Math.max(room, Math.round(seconds * SECOND), 240), x = (time) => (time / seconds) * width;
  const line = h("div", { class: "playhead", hidden: true, "aria-hidden": "true" });
  const tiers = h("div", { class: "tiers", style: { width: `${width}px` } });
  const tier = (title, ...content) => tiers.append(h("div", { class: "tier" }, h("span", { class: "name" }, title), content));

  const wave = canvas(width, 66, "Waveform");
  wave.pen.fillStyle = hue("--accent");
  for (let column = 0; column < width; column++) {
    let low = 0, high = 0;
    for (let i = Math.floor((column / width) * samples.length); i < ((column + 1) / width) * samples.length; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    wave.pen.fillRect(column, 33 - 32 * high, 1, Math.max(1, 32 * (high - low)));
  }
  tier("Waveform", wave.element);

  if (answer.spectrogram?.columns) {
    const spectrum = canvas(width, 110, "Spectrogram, low frequencies at the bottom");
    spectrum.pen.drawImage(picture(answer.spectrogram, colour), 0, 0, x(answer.spectrogram.columns * answer.frame_seconds), 110);
    tier("Spectrogram", spectrum.element);
  }

  const span = (part, attributes, ...content) => h("button", {
    type: "button", ...attributes, style: { left: `${x(part.start)}px`, width: `${Math.max(3, x(part.end) - x(part.start) - 1)}px`, ...attributes.style },
    onclick: () => onplay(part.start, part.end),
  }, content);
  const phones = h("div", { class: "spans phones", role: "group", "aria-label": "Phones" }, answer.phones.map((phone) => span(phone, {
    class: "phone", style: { "--probability": phone.probability.toFixed(3) },
    title: `${phone.phone} /${phone.ipa}/ ${percent(phone.probability)}, ${phone.start.toFixed(2)} to ${phone.end.toFixed(2)} s`,
    "aria-label": `${spell(phone)}, ${percent(phone.probability)}, at ${phone.start.toFixed(2)} seconds`,
  }, h("span", {}, spell(phone)))));
  tier("Phones, as strong as they are probable", phones);
  roving(phones, ".phone");

  if (answer.aligned) {
    const { words, phones: said } = answer.aligned;
    const scored = (part, name, text) => ({
      class: `${name} scored`, style: { "--score": part.score === null ? "1" : (part.score / 100).toFixed(2) },
      title: part.score === null ? text : `${text}: ${part.score.toFixed(0)} of 100`, "aria-label": part.score === null ? text : `${text}, score ${part.score.toFixed(0)}`,
    });
    if (words.length) {
      const row = h("div", { class: "spans", role: "group", "aria-label": "Words of the text" }, words.map((word) => span(word, scored(word, "spoken", word.text), h("span", {}, word.text))));
      tier("Your text", row);
      roving(row, ".spoken");
    }
    const row = h("div", { class: "spans", role: "group", "aria-label": "Phones of the text" }, said.map((phone) => span(phone, scored(phone, "phone", spell(phone)), h("span", {}, spell(phone)))));
    tier("Its sounds, coloured by their score", row);
    roving(row, ".phone");
  }

  if (answer.posteriors?.columns) {
    const { rows, columns, b64 } = answer.posteriors, bytes = decoded(b64);
    const active = Array.from({ length: rows }, (_, row) => row).filter((row) => row > 0 && bytes.subarray(row * columns, (row + 1) * columns).some((byte) => byte / 255 >= ACTIVE));
    const first = (row) => bytes.subarray(row * columns, (row + 1) * columns).findIndex((byte) => byte / 255 >= ACTIVE);
    active.sort((a, b) => first(a) - first(b));
    const [red, green, blue] = hue("--accent").match(/\d+/g).map(Number);
    const height = 15, chart = canvas(width, Math.max(1, active.length) * height, "Probability of each phone at every moment");
    active.forEach((row, i) => {
      const one = { rows: 1, columns, b64: asBase64(bytes.subarray(row * columns, (row + 1) * columns)) };
      chart.pen.drawImage(picture(one, (value) => [red, green, blue, 255 * value]), 0, i * height + 1, x(columns * answer.frame_seconds), height - 2);
    });
    const names = h("div", { class: "symbols", "aria-hidden": "true" }, active.map((row) => h("span", {}, spell({ phone: answer.symbols[row], ipa: answer.symbols_ipa[row] }))));
    tier("What speaks for each phone, every 10 ms", h("div", { class: "chart" }, chart.element, names));
  }

  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  for (let time = 0, step = seconds > 20 ? 2 : seconds > 5 ? 1 : 0.5; time <= seconds; time += step) axis.append(h("span", { style: { left: `${x(time)}px` } }, `${time} s`));
  tiers.append(axis, line);
  return {
    element: h("div", { class: "timeline", tabIndex: 0, role: "group", "aria-label": "The sound on a time axis" }, tiers),
    at(time) {
      line.hidden = time === null;
      if (time !== null) line.style.transform = `translateX(${x(time)}px)`;
    },
  };
}
