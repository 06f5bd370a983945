// Photos that the page knows: drawn examples, and those that the user gives, which stay in the browser and go to the
// server of the page alone, if it has one.

import { h } from "./dom.js";
import { encoded } from "./server.js";

const EXAMPLES = [
  { name: "meadow", title: "A drawn dog on a meadow" },
  { name: "beach", title: "A drawn dog on a beach" },
  { name: "snow", title: "A drawn dog in the snow" },
];
const MOST_BYTES = 3_000_000; // of a file that is sent as it is
export const LONGEST = 1600; // pixels of a larger one

/** A photo: its name, a title, an address to show it by, and its body for the server. */
class Photo {
  constructor({ name, title, url, blob = null, isOwn = false }) {
    Object.assign(this, { name, title, url, blob, isOwn, vector: null });
  }

  async body() {
    this.sent ??= encoded(this.blob ?? await (await fetch(this.url)).blob());
    return this.sent;
  }
}

export const photos = EXAMPLES.map(({ name, title }) => new Photo({ name, title, url: `examples/${name}.webp` }));
let count = 0;

/** Takes files of the user; returns their photos. */
export async function takeFiles(files) {
  const taken = [];
  for (const file of files) {
    const blob = file.size > MOST_BYTES ? await reduced(file) : file;
    const photo = new Photo({ name: `own-${++count}`, title: file.name || `Photo ${count}`, url: URL.createObjectURL(blob), blob, isOwn: true });
    photos.push(photo);
    taken.push(photo);
  }
  return taken;
}

/** The photo of a name; undefined for one of an earlier visit. */
export function photoOf(name) {
  return photos.find((photo) => photo.name === name);
}

async function reduced(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file; // a format that only the server reads
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.92); });
}

/** A window that takes a photo with the camera; resolves to a file, or to null. */
export async function takeWithCamera() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  const video = h("video", { autoplay: true, muted: true, playsInline: true });
  video.srcObject = stream;
  return new Promise((resolve) => {
    const done = (result) => { stream.getTracks().forEach((track) => track.stop()); dialog.close(); dialog.remove(); resolve(result); };
    const take = () => {
      const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => done(new File([blob], "Photo of the camera", { type: "image/jpeg" })), "image/jpeg", 0.92);
    };
    const button = h("button", { type: "button", class: "action main", disabled: true, onclick: take }, "Take the photo");
    video.addEventListener("loadeddata", () => { button.disabled = false; button.focus(); });
    const dialog = h("dialog", { class: "camera", "aria-label": "Camera", oncancel: () => done(null) }, video,
      h("div", { class: "row" }, button, h("button", { type: "button", class: "action", onclick: () => done(null) }, "Cancel")));
    document.body.append(dialog);
    dialog.showModal();
  });
}
