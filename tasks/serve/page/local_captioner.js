// Captions of photos in the browser, where their words are, and photos found by a sentence: `tasks/captioner` in
// JavaScript, around its compiled functions.

import { asGrid, run } from "./local.js";
import { LONGEST } from "./photos.js";
import { decoded, ServerError } from "./server.js";

const END = 2, UNKNOWN = 3; // of every vocabulary
const MAX_LOG_ODDS = 7, SHORTEST = 0.25, IN_REGION = 0.5; // as in `confidence.py` and `finding.py`

// `caption_tokens` of `shared/metrics.py`
const LETTER = "[\\p{L}\\p{N}_]", MARKED = "[\\p{L}\\p{N}_\\p{M}\\u200c\\u200d]";
const CLITIC = `(?:n't|'(?:s|m|d|re|ll|ve))(?!${MARKED})`;
const TOKEN = new RegExp(`${CLITIC}|\\p{Nd}+(?:[.,:/]\\p{Nd}+)+|(?:\\p{L}\\.){2,}|${LETTER}(?:-?(?!${CLITIC})${MARKED})*|\\S`, "gu");
const SPLIT_OFF = / ((?:'s|'m|'d|'re|'ll|'ve|n't)\b|[.,:;?!])/g;

export async function caption({ captioner }, { image, n_best = 1 }) {
  const picture = await pictureOf(image);
  const found = await run("captioner/caption", { input: prepared(picture, captioner.image_size) });
  const captions = readCaptions(captioner, found).slice(0, n_best);
  if (captioner.fine_size) await addRegions(captioner, picture, captions);
  for (const each of captions) delete each.ids;
  return { model: captioner.name, width: picture.width, height: picture.height, prefix: [], captions, alternatives: [], tree: [] };
}

export async function find({ captioner }, { image, sentence }) {
  if (!captioner.fine_size) throw new ServerError("This captioner finds no photos by sentences.");
  const answer = { model: captioner.name, photo: null, sentence: null, unknown: [], score: null, words: [] };
  if (image) {
    const { photo } = await run("captioner/embed_image", { input: prepared(await pictureOf(image), captioner.image_size) });
    answer.photo = [...photo.data];
  }
  if (sentence) {
    const words = sentence.normalize("NFC").toLowerCase().replaceAll("\u2019", "'").match(TOKEN)?.filter((word) => /[\p{L}\p{N}]|^[$%&#+=]$/u.test(word)) ?? [];
    const ids = words.map((word) => Math.max(captioner.words.indexOf(word), UNKNOWN));
    if (ids.every((id) => id === UNKNOWN)) throw new ServerError("The sentence has no word that the model knows; a sentence like a caption was expected.");
    answer.unknown = [...new Set(words.filter((_, i) => ids[i] === UNKNOWN))];
    answer.sentence = [...(await run("captioner/embed_text", { token_ids: [Int32Array.from(ids), 1, ids.length] })).sentence.data];
  }
  return answer;
}

/** The captions, best first, of the output of the search. */
function readCaptions({ grid: [rows, columns], words, calibration }, found) {
  const [, beam, longest, weights] = found.extras.dims, confidence = calibration && ((x) => chance(calibration.slope * x + calibration.offset));
  const wordConfidence = calibration && "word_slope" in calibration ? (x) => chance(calibration.word_slope * x + calibration.word_offset) : null;
  const captions = [];
  for (let rank = 0; rank < beam; rank++) {
    const length = found.lengths.data[rank], first = rank * longest;
    if (!length) continue; // fills up the beam
    const ids = [...found.token_ids.data.subarray(first, first + length)].filter((id) => id !== END);
    const score = found.scores.data[rank];
    captions.push({
      ids,
      text: ids.map((id) => words[id]).join(" ").replace(SPLIT_OFF, "$1"),
      log_prob: found.log_probs.data[rank],
      score,
      confidence: confidence && confidence(score),
      words: ids.map((id, t) => {
        const logProb = found.token_log_probs.data[first + t], at = (first + t) * weights;
        const attention = Array.from({ length: rows }, (_, row) => [...found.extras.data.subarray(at + row * columns, at + (row + 1) * columns)]);
        return { text: words[id], probability: Math.exp(logProb), confidence: wordConfidence && wordConfidence(logOdds(logProb)), attention, sentinel: found.extras.data[at + weights - 1], region: null };
      }),
    });
  }
  return captions;
}

const chance = (logOdds) => 1 / (1 + Math.exp(-logOdds));
const logOdds = (logProb) => Math.max(logProb - Math.log(Math.max(-Math.expm1(logProb), Math.exp(-MAX_LOG_ODDS))), -MAX_LOG_ODDS);

/** Finds the words of captions in a photo, as `PhotoFinder.match`. */
async function addRegions({ fine_size: size }, picture, captions) {
  const { cells } = await run("captioner/embed_fine", { input: prepared(picture, size) });
  const [, rows, columns, width] = cells.dims, lengths = [];
  for (let cell = 0; cell < rows * columns; cell++) lengths.push(Math.hypot(...cells.data.subarray(cell * width, (cell + 1) * width)));
  const least = Math.max(SHORTEST * Math.max(...lengths), 1e-9);
  for (const { ids, words } of captions) {
    if (ids.every((id) => id === UNKNOWN)) continue;
    const vectors = (await run("captioner/embed_text", { token_ids: [Int32Array.from(ids), 1, ids.length] })).words;
    words.forEach((word, t) => {
      const fit = lengths.map((length, cell) => {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += vectors.data[t * width + i] * cells.data[cell * width + i];
        return sum / Math.max(length, least);
      });
      const most = Math.max(...fit);
      word.region = { box: regionOf(fit, rows, columns), fit: asGrid(fit.map((value) => Math.max(value, 0) / Math.max(most, 1e-9)), rows, columns) };
    });
  }
}

/** Top, left, bottom, right of the cells around the best one, connected with it, that have at least half of its fit. */
function regionOf(fit, rows, columns) {
  const most = Math.max(...fit), least = Math.min(most, IN_REGION * most);
  const inside = new Set([fit.indexOf(most)]);
  for (const cell of inside) { // a set is visited in the order in which it grows
    const row = Math.floor(cell / columns), column = cell % columns;
    for (const [y, x] of [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1]]) {
      if (y >= 0 && y < rows && x >= 0 && x < columns && fit[y * columns + x] >= least) inside.add(y * columns + x);
    }
  }
  const ys = [...inside].map((cell) => Math.floor(cell / columns)), xs = [...inside].map((cell) => cell % columns);
  return [Math.min(...ys) / rows, Math.min(...xs) / columns, (Math.max(...ys) + 1) / rows, (Math.max(...xs) + 1) / columns];
}

/** The pixels of an image file, over white, upright. */
async function pictureOf({ b64 }) {
  const bitmap = await createImageBitmap(new Blob([decoded(b64)])).catch(() => { throw new ServerError("The browser cannot read this image."); });
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale)), height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0, width, height);
  const { data } = pen.getImageData(0, 0, width, height);
  const pixels = new Uint8ClampedArray(3 * width * height);
  for (let i = 0; i < width * height; i++) for (let k = 0; k < 3; k++) pixels[3 * i + k] = data[4 * i + k];
  return { pixels, width, height };
}

/** A picture as the models read it, `prepared` of `shared/media.py`. */
function prepared({ pixels, width, height }, size) {
  const narrow = transposed(resized(pixels, height, size), size, width);
  return [transposed(resized(narrow, width, size), size, size).map(rounded), 1, size, size, 3];
}

/** The nearest integer, the even one of two, as NumPy rounds. */
function rounded(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

/** Rows of numbers -> `size` rows, each the mean of those around it, weighted by a triangle of two rows. */
function resized(source, rows, size) {
  const width = source.length / rows, scale = rows / size, reach = Math.max(scale, 1), result = new Float32Array(size * width);
  for (let index = 0; index < size; index++) {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.ceil(centre - reach - 0.5), 0), last = Math.min(Math.floor(centre + reach - 0.5), rows - 1);
    const weights = Array.from({ length: last - first + 1 }, (_, i) => Math.max(1 - Math.abs(first + i + 0.5 - centre) / reach, 0));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    weights.forEach((weight, i) => {
      for (let k = 0; k < width; k++) result[index * width + k] += (weight / total) * source[(first + i) * width + k];
    });
  }
  return result;
}

/** (rows, columns, 3) -> (columns, rows, 3) */
function transposed(source, rows, columns) {
  const result = new Float32Array(source.length);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) for (let k = 0; k < 3; k++) result[3 * (column * rows + row) + k] = source[3 * (row * columns + column) + k];
  return result;
}
