// Questions to the server of the page, or to models in the browser; nothing goes anywhere else.

/** Whether the page has no server: `static_page.py` has written it. */
export const isStatic = document.documentElement.dataset.models !== undefined;

/** The widest search of the server: no more results can be wanted. */
export const MAX_BEAM = 10;

/** What went wrong, in a sentence that is shown as it is. */
export class ServerError extends Error {}

async function send(path, body, signal) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json", ...authorization() }, body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is `quatrain serve` running?");
  }
  if (response.ok) return response;
  throw new ServerError(await reason(response, path));
}

async function reason(response, path) {
  if (response.status === 401) return "This server asks for a token: add ?token=… to the address, before the #.";
  const { error: text } = await response.json().catch(() => ({}));
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
  return (await send(path, body, signal)).json();
}

/** The events of an answer, as they come. */
export async function* events(path, body, { signal } = {}) {
  const response = await send(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
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

/** A function that keeps only the last of its calls: one that is asked again drops the answer before. */
export function latest(work) {
  let running;
  return async (...values) => {
    running?.abort();
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
