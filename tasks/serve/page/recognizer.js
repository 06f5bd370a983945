// Recognizer: a sound, its phones on a time axis, to be played one by one; and how well a text was said.

import { announce, bar, busy, h, roving } from "./dom.js";
import { ask, decoded, encoded, isStatic, latest, ServerError } from "./server.js";
import { asWav, fitting, LONGEST, Player, record } from "./sounds.js";
import { drawTimeline } from "./timeline.js";

const EXAMPLE = { name: "dog", title: "A voice: a brown dog is running on the grass", url: "examples/dog.flac", text: "a brown dog is running on the grass" };
const PASS = 50; // of 100: below it a sound counts as said wrongly

export function mount(panel, state) {
  const player = new Player();
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const drawn = h("div", {});
  const summary = h("p", { class: "phones-line", lang: "en-fonipa" });
  const report = h("div", {});
  const recording = h("button", { type: "button", class: "action", onclick: () => toggle() }, "Record");
  const text = h("input", { type: "text", name: "text", autocomplete: "off", maxLength: 300, placeholder: EXAMPLE.text });
  const letters = h("select", { "aria-label": "Spelling of phones", onchange: () => { state.set({ letters: letters.value === "ipa" ? null : letters.value }); draw(); } },
    h("option", { value: "ipa" }, "phonetic alphabet"), h("option", { value: "arpabet" }, "ARPAbet"));
  let blob = null, title = EXAMPLE.title, answer = null, samples = null, running = null, isAsked = false, timeline = null;

  const from = h("p", { class: "muted small" });
  panel.append(
    h("header", {}, h("h2", {}, "Which sounds were said, and when?"),
      h("p", {}, "A bidirectional LSTM reads the sound every 10 ms and finds its phones. Choose one to hear it.", isStatic ? "" : " Type what is said, and each sound is scored.")),
    h("section", { class: "card stack", "aria-label": "Sound" },
      h("div", { class: "row" }, recording, fileButton(), h("button", { type: "button", class: "action", onclick: () => { forget(); example(); } }, "Example"),
        h("button", { type: "button", class: "action", name: "play", onclick: () => play(0, answer?.seconds ?? 0) }, "Play all"), letters),
      from,
      h("form", { class: "row begin needs-server", onsubmit: (event) => { event.preventDefault(); score(); } },
        h("label", { class: "field" }, "What is said; then every sound is scored", text), h("button", { class: "action main" }, "Score"))),
    notice,
    h("section", { class: "card", "aria-label": "Phones" }, h("div", { class: "head" }, h("h3", {}, "Phones")), summary, drawn),
    report);
  letters.value = state.get("letters", "ipa");
  text.value = state.get("text", "");
  panel.addEventListener("dragover", (event) => event.preventDefault());
  panel.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
  state.onchange(() => { letters.value = state.get("letters", "ipa"); text.value = state.get("text", ""); recognize(); });
  let size = 0;
  new ResizeObserver(([{ contentRect }]) => { if (answer && Math.abs(contentRect.width - size) > 8) { size = contentRect.width; draw(); } }).observe(drawn);

  const question = latest((body, signal) => ask("/api/recognize", body, { signal }));
  example();

  function fileButton() {
    const input = h("input", { type: "file", accept: "audio/*,video/*,.flac,.sph", class: "visually-hidden", name: "sound", onchange: () => { take(input.files[0]); input.value = ""; } });
    return h("label", { class: "action file" }, "Choose a sound", input);
  }

  async function example() {
    blob = await (await fetch(EXAMPLE.url)).blob();
    title = EXAMPLE.title;
    recognize();
  }

  async function take(file) {
    if (!file) return;
    try {
      blob = await fitting(file);
      title = file.name;
      forget();
      await recognize();
    } catch {
      tell("The browser cannot read this sound; a shorter one was expected.");
    }
  }

  /** A text belongs to its sound. */
  function forget() {
    text.value = "";
    state.set({ text: null });
  }

  async function toggle() {
    if (running) return running.stop();
    if (isAsked) return undefined; // the browser still asks for permission
    isAsked = true;
    try {
      running = await record();
    } catch {
      return tell("There is no microphone here, or the browser may not use it.");
    } finally {
      isAsked = false;
    }
    recording.textContent = "Stop";
    recording.classList.add("recording");
    announce(`Recording, for at most ${LONGEST} seconds.`);
    try {
      blob = await running.result;
      title = "Your recording";
      forget();
    } catch {
      return tell("The recording is empty.");
    } finally {
      running = null;
      recording.textContent = "Record";
      recording.classList.remove("recording");
    }
    return recognize();
  }

  function score() {
    state.set({ text: text.value.trim() || null }, { push: true });
    recognize();
  }

  function tell(message) {
    notice.textContent = message ?? "";
    notice.hidden = !message;
  }

  async function recognize() {
    const done = busy(drawn);
    from.textContent = title;
    const body = async (sound) => ({ sound: await encoded(sound), text: state.get("text", ""), posteriors: true, spectrogram: true, samples: true });
    try {
      const found = await question(await body(blob)).catch(async (error) => {
        // What this server cannot read, such as video without ffmpeg, the browser may.
        if (!(error instanceof ServerError) || blob.type === "audio/wav" || state.get("text")) throw error;
        const converted = await asWav(blob).catch(() => { throw error; });
        return question(await body(blob = converted));
      });
      if (!found) return;
      answer = found;
      const bytes = decoded(answer.samples.b64);
      samples = Float32Array.from(new Int16Array(bytes.buffer, 0, bytes.length >> 1), (value) => value / 32768);
      player.load({ rate: answer.samples.rate, samples });
      tell(answer.aligned?.left_out.length ? `No pronunciation is known of: ${answer.aligned.left_out.join(", ")}.` : null);
      draw();
      announce(`${answer.phones.length} phones in ${answer.seconds.toFixed(1)} seconds.`);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      tell(error.message);
    } finally {
      done();
    }
  }

  function spell(phone) {
    return letters.value === "ipa" ? phone.ipa : phone.phone;
  }

  function play(start, end) {
    if (!samples?.length || end <= start) return;
    player.play(start, end, (time) => timeline?.at(time));
  }

  function draw() {
    if (!answer) return;
    summary.textContent = answer.phones.length ? answer.phones.map(spell).join(" ") : "No speech was found.";
    timeline = drawTimeline({ answer, samples, width: Math.max(240, drawn.clientWidth - 2), spell, onplay: play });
    drawn.replaceChildren(timeline.element);
    drawScores();
  }

  function drawScores() {
    const { aligned } = answer;
    if (!aligned || aligned.score === null) return report.replaceChildren();
    const remark = (phone) => [
      phone.said === null ? null : phone.said ? `sounded like ${phone.said}` : "was left out",
      phone.inserted_before === null ? null : `${phone.inserted_before} before it`,
      phone.inserted === null ? null : `${phone.inserted} after it`,
    ].filter(Boolean).join(", ");
    const rows = (aligned.words.length ? aligned.words : [{ text: "", phones: aligned.phones.map((_, i) => i) }]).flatMap((word) => word.phones.map((i, at) => {
      const phone = aligned.phones[i];
      return h("button", { type: "button", class: `option score${phone.score < PASS ? " wrong" : ""}`, onclick: () => play(phone.start, phone.end), "aria-label": `${word.text} ${spell(phone)}, ${phone.score.toFixed(0)} of 100 ${remark(phone)}` },
        h("span", { class: "muted small" }, at ? "" : word.text), h("b", {}, spell(phone)), bar(phone.score / 100), h("span", { class: "figures" }, phone.score.toFixed(0)), h("span", { class: "small" }, remark(phone)));
    }));
    report.replaceChildren(h("section", { class: "card", "aria-label": "Scores" },
      h("div", { class: "head" }, h("h3", {}, "How well it was said"), h("strong", { class: "total" }, `${aligned.score.toFixed(0)} of 100`)),
      h("p", { class: "muted small" }, "100 is right, 50 a heavy accent, 0 wrong or missing. Choose a sound to hear it."),
      h("div", { class: "options scores" }, rows)));
    roving(report, ".score");
    return undefined;
  }
}
