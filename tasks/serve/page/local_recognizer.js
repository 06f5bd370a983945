// Phones of sounds in the browser: `tasks/phoneme_recognizer` in JavaScript, around its compiled functions.

import { asGrid, run } from "./local.js";
import { asBase64, decoded, ServerError } from "./server.js";
import { LONGEST, RATE, samplesOf } from "./sounds.js";

const WINDOW = 400; // samples of a frame, as in `shared/frames.py`
const QUIETEST = 12; // nats below the loudest energy that are shown, as in `recognitions.py`
const FRAME_SECONDS = 0.01;

export async function recognize({ recognizer }, { sound }) {
  const samples = await samplesOf(new Blob([decoded(sound.b64)])).catch(() => { throw new ServerError("The browser cannot read this sound."); });
  if (samples.length > (LONGEST + 1) * RATE) throw new ServerError(`The sound lasts ${Math.round(samples.length / RATE)} s; at most ${LONGEST} were expected.`);
  const answer = {
    model: recognizer.name, seconds: samples.length / RATE, log_prob: 0, phones: [], aligned: null, symbols: recognizer.phones, symbols_ipa: recognizer.ipa,
    frame_seconds: FRAME_SECONDS, posteriors: null, spectrogram: null, samples: { rate: RATE, b64: as16Bits(samples) },
  };
  if (samples.length < WINDOW) return answer;
  const inputs = { samples: [samples, 1, samples.length], lengths: [Int32Array.of(samples.length), 1] };
  const found = await run("recognizer/decoder", inputs);
  answer.log_prob = found.log_probs.data[0];
  for (let i = 0; i < found.label_lengths.data[0]; i++) {
    const label = found.label_ids.data[i];
    answer.phones.push({ phone: recognizer.phones[label], ipa: recognizer.ipa[label], start: found.starts.data[i], end: found.ends.data[i], probability: found.probabilities.data[i], score: null, said: null, inserted: null, inserted_before: null });
  }
  answer.posteriors = gridOf((await run("recognizer/posterior", inputs)).output_0, (value) => value);
  const { output } = await run("recognizer/log_mel", { samples: inputs.samples });
  const loudest = output.data.reduce((most, value) => Math.max(most, value), -Infinity);
  answer.spectrogram = gridOf(output, (value) => 1 + (value - loudest) / QUIETEST);
  return answer;
}

/** A result (1, frames, width) as a grid with a row for each of the width. */
function gridOf({ dims: [, frames, width], data }, shade) {
  const values = new Float32Array(data.length);
  data.forEach((value, i) => { values[(i % width) * frames + Math.floor(i / width)] = shade(value); });
  return asGrid(values, width, frames);
}

function as16Bits(samples) {
  return asBase64(new Uint8Array(Int16Array.from(samples, (value) => Math.round(32767 * Math.min(1, Math.max(-1, value)))).buffer));
}
