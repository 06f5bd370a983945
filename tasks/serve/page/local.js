// Answers of models that run in the browser itself, by onnxruntime-web, for a page without a server
// (`static_page.py`). They have the fields of the server's answers; what needs a server is hidden.

import { h } from "./dom.js";
import { asBase64, ServerError } from "./server.js";

const root = new URL(document.documentElement.dataset.models, location.href);
const sessions = new Map();
let last = Promise.resolve(); // the work before, one at a time: onnxruntime-web cannot do two

const about = once(async () => {
  const response = await fetch(new URL("models.json", root));
  if (!response.ok) throw new ServerError("The models of this page are not where it looks for them.");
  return response.json();
});
const runtime = once(async () => {
  const ort = await import(new URL("../ort/ort.wasm.bundle.min.mjs", root));
  ort.env.wasm.wasmPaths = new URL("../ort/", root).href;
  ort.env.wasm.proxy = true; // in a worker, so that the page answers meanwhile
  ort.env.logLevel = "error";
  return ort;
});

/** A function that returns the result of the first call which does not fail. */
function once(make) {
  let made = null;
  return () => (made ??= make().catch((error) => { made = null; throw error; }));
}

const ANSWERS = {
  "/api/caption": async (...given) => (await import("./local_captioner.js")).caption(...given),
  "/api/find": async (...given) => (await import("./local_captioner.js")).find(...given),
  "/api/recognize": async (...given) => (await import("./local_recognizer.js")).recognize(...given),
};

/** The answer to a request; throws a ServerError, in one sentence. */
export async function answer(path, body, signal) {
  const work = last.then(async () => {
    signal?.throwIfAborted();
    return ANSWERS[path](await about(), body);
  });
  last = work.catch(() => {});
  try {
    const found = await work;
    signal?.throwIfAborted();
    return found;
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ServerError) throw error;
    throw new ServerError(`The browser cannot run this model: ${error.message ?? error}`);
  }
}

/** The outputs of a function of a model by their names, { dims, data } each.
 *
 * name     of the file, such as "captioner/caption"
 * inputs   { name: [array, ...sizes] }; the type of the array is that of the input
 */
export async function run(name, inputs) {
  const ort = await runtime();
  if (!sessions.has(name)) sessions.set(name, await loaded(ort, name));
  const session = sessions.get(name);
  const tensors = Object.entries(inputs).map(([input, [array, ...sizes]]) => {
    const type = array instanceof Int32Array ? "int32" : "float32";
    return [input, new ort.Tensor(type, array.slice(), sizes)]; // the worker takes the array away
  });
  return session.run(Object.fromEntries(tensors));
}

async function loaded(ort, name) {
  const size = ((await about()).bytes[name] / 1e6).toFixed(0);
  const notice = h("p", { class: "loading", role: "status" }, `Loading a model of ${size} MB into the browser, once.`);
  document.body.append(notice);
  try {
    return await ort.InferenceSession.create(new URL(`${name}.onnx`, root).href);
  } finally {
    notice.remove();
  }
}

/** Numbers from 0 to 1 as a grid of the server. */
export function asGrid(values, rows, columns) {
  return { rows, columns, b64: asBase64(Uint8Array.from(values, (value) => Math.round(255 * Math.min(1, Math.max(0, value))))) };
}
