// Questions to the server of the page, or to models in the browser; nothing goes anywhere else.

import { h } from "./dom.js";

/** Whether the page has no server: `static_page.py` has written it. */
export const isStatic = document.documentElement.dataset.models !== undefined;

/** The widest search of the server: no more results can be wanted. */
export const MAX_BEAM = 10;

const TRIES = 12; // of a server that is loading its models, which says when to come back

/** What went wrong, in a sentence that is shown as it is. */
export class ServerError extends Error {}

/** What the network gives; a failure is a ServerError, unless the request was aborted. */
async function received(work, failure = "The connection broke off.") {
  try {
    return await work;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(failure);
  }
}

async function send(path, body, signal) {
  const request = { method: "POST", headers: { "Content-Type": "application/json", ...authorization() }, body: JSON.stringify(body), signal };
  for (let tries = 1; ; tries++) {
    const response = await received(fetch(path, request), "The server does not answer. Is `quatrain serve` running?");
    if (response.ok) return response;
    const why = await reason(response, path), seconds = Number(response.headers.get("retry-after"));
    if (response.status !== 503 || !seconds || !why.includes("is loading its models") || tries === TRIES) throw new ServerError(why);
    const notice = h("p", { class: "loading", role: "status" }, `${why}.`);
    document.body.append(notice);
    await pause(seconds, signal).finally(() => notice.remove());
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
  });
}

async function reason(response, path) {
  if (response.status === 401) return "This server asks for a token: add ?token=… to the address, before the #.";
  const { error: text } = await response.json().catch((error) => { if (error.name === "AbortError") throw error; return {}; });
  if (response.status === 404) return `This server does not answer ${path}: the models that it needs are not served.`;
  return text ? text[0].toUpperCase() + text.slice(1) : `The server answered with status ${response.status}.`;
}

function authorization() {
  const token = new URLSearchParams(location.search).get("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The answer to a request. */
export async function ask(path, body, { signal } = {}) {
  if (isStatic) return (await import("./local.js")).answer(path, body, signal);
  return received((await send(path, body, signal)).json());
}

/** The events of an answer, as they come. */
export async function* events(path, body, { signal } = {}) {
  const response = await send(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await received(reader.read());
    if (done) return;
    const parts = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      const kind = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
      if (!data) continue;
      if (kind === "error") throw new ServerError(JSON.parse(data).error ?? data);
      yield JSON.parse(data);
    }
  }
}

/** A function that keeps only the last of its calls: one that is asked again drops the answer before,
 *  and `cancel` drops the last. */
export function latest(work) {
  let running;
  const call = async (...values) => {
    call.cancel();
    const own = running = new AbortController();
    try {
      return await work(...values, own.signal);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      throw error;
    } finally {
      if (running === own) running = undefined;
    }
  };
  call.cancel = () => running?.abort();
  return call;
}

/** Bytes as base64, for a field `{"b64": ...}`. */
export async function encoded(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new ServerError("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
  return { b64: url.slice(url.indexOf(",") + 1) };
}

/** Bytes in memory as a base64 text. */
export function asBase64(bytes) {
  let text = "";
  bytes.forEach((byte) => { text += String.fromCharCode(byte); });
  return btoa(text);
}

/** The bytes of a base64 text. */
export function decoded(b64) {
  return Uint8Array.from(atob(b64), (letter) => letter.charCodeAt(0));
}
