// Chain: a photo becomes a caption, the caption a translation, the translation speech, and the speech phones. Each step
// takes what the step before gives, and all later ones follow when the reader changes one.

import { announce, h, percent, redraw } from "./dom.js";
import { Sound } from "./chain_sound.js";
import { photoOf, photos, takeFiles, takeWithCamera } from "./photos.js";
import { ask, latest } from "./server.js";
import { wordRow } from "./words.js";

const SPOKEN = ["en", "de", "fr"]; // languages that the server speaks
const BEAM = 4;

/** The mean probability of words or phones, a geometric one, as that of a sentence. */
const certainty = (parts) => Math.exp(parts.reduce((sum, { probability }) => sum + Math.log(Math.max(probability, 1e-6)), 0) / Math.max(1, parts.length));

/** A card of the chain. */
class Step {
  constructor(name, title, says) {
    this.name = name;
    this.body = h("div", { class: "stack step-body" });
    this.figure = h("span", { class: "figures" });
    this.model = h("span", { class: "muted small" });
    this.element = h("section", { class: "card step", id: `step-${name}`, "aria-label": title, dataset: { state: "waiting" } },
      h("div", { class: "head" }, h("h3", {}, title, " ", this.model), h("p", { class: "sure small" }, this.figure)),
      h("p", { class: "muted small" }, says), this.body);
    this.knot = h("a", { href: `#step-${name}`, class: "knot", onclick: (event) => { event.preventDefault(); this.element.scrollIntoView({ behavior: "smooth", block: "center" }); } },
      h("b", {}, title), h("span", { class: "figures muted" }));
  }

  set(state, sure = null, label = null) {
    this.element.dataset.state = state;
    this.knot.dataset.state = state;
    this.element.classList.toggle("busy", state === "working");
    const text = sure === null ? label ?? "" : percent(sure);
    this.figure.textContent = sure === null ? label ?? "" : `${label ?? "confidence"} ${text}`;
    this.knot.lastChild.textContent = text || (state === "missing" ? "not here" : "");
    this.element.style.setProperty("--sure", sure ?? 1);
  }

  fail(message, state = "failed") {
    this.set(state);
    this.model.textContent = "";
    this.body.replaceChildren(h("p", { class: "notice", role: "alert" }, message));
  }

  wait() {
    this.set("waiting");
    this.model.textContent = "";
    this.body.replaceChildren();
  }
}

/** Words of an answer, doubtful ones underlined. */
function wordsOf(words, label, light) {
  return wordRow({ label, words: words.map((word) => ({ ...word, doubt: 1 - word.probability })), onlight: light });
}

export async function mount(panel, state) {
  document.head.append(h("link", { rel: "stylesheet", href: "chain.css" }));
  const steps = {
    photo: new Step("photo", "Photo", "Choose one, drop it, paste it, or take it."),
    caption: new Step("caption", "Caption", "An LSTM looks at the photo and writes. Choose another of its captions, or write your own."),
    translation: new Step("translation", "Translation", "A recurrent encoder and decoder with attention. Hover a word to see what it comes from."),
    back: new Step("back", "And back", "The same the other way, so that the speech is English, which the recognizer knows."),
    speech: new Step("speech", "Speech", "espeak-ng reads it aloud; it is no neural network, and sure of itself."),
    phones: new Step("phones", "Phones", "A recurrent recognizer writes the sounds that it finds. The fainter, the less sure. Click one to play it."),
  };
  const list = Object.values(steps);
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const route = h("select", { "aria-label": "Languages", onchange: () => { state.set({ by: route.value }); from("translation"); } });
  const routeLabel = h("label", { class: "row small muted" }, "Translate ", route);
  panel.append(
    h("header", {}, h("h2", {}, "From a photo to sounds"),
      h("p", {}, "Four recurrent networks in a row. Each is given only what the one before has written, so a mistake is carried on; the confidences say where it might have been made.")),
    h("nav", { class: "chain-knots", "aria-label": "Steps of the chain" }, list.map((step) => step.knot)),
    notice, h("div", { class: "chain-steps" }, list.map((step) => step.element)));

  let directions = [];
  try {
    ({ directions } = await ask("/api/directions", {}));
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
  }
  const modelOf = (source, target) => directions.find((one) => one.source === source && one.target === target);
  for (const one of directions.filter(({ source }) => source === "en")) {
    if (modelOf(one.target, "en")) route.append(h("option", { value: `${one.target}-en` }, `into ${one.target_name} and back`));
    route.append(h("option", { value: one.target }, `into ${one.target_name}`));
  }

  const chain = { photo: null, captions: null, text: "", spoken: null, sound: null };
  const shelf = h("div", { class: "shelf", role: "group", "aria-label": "Photos" });
  const picture = h("img", { class: "chain-photo", alt: "" });
  const files = h("input", { type: "file", accept: "image/*", class: "visually-hidden", name: "chain-photo", onchange: () => { take(files.files); files.value = ""; } });
  steps.photo.body.append(picture, shelf, h("div", { class: "row" },
    h("label", { class: "action file" }, "Choose a photo", files), h("button", { class: "action", type: "button", onclick: camera }, "Take a photo")));
  const own = h("input", { type: "text", maxlength: "300", autocomplete: "off", "aria-label": "Your own caption", placeholder: "Write your own caption" });
  const ownForm = h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); write(own.value.trim()); } }, own, h("button", { class: "action" }, "Use it"));

  const work = {
    async caption(signal) {
      chain.captions = await ask("/api/caption", { image: await chain.photo.body(), beam: BEAM, n_best: BEAM }, { signal });
      showCaptions();
    },
    async translation(signal) {
      const [target, back] = route.value.split("-");
      if (!target) throw new Error("No translator from English is served; the chain ends here.");
      const answer = await ask("/api/translate", { text: chain.text, model: modelOf("en", target).model }, { signal });
      showTranslation(steps.translation, answer, modelOf("en", target), routeLabel);
      chain.spoken = { text: answer.text, language: target };
      steps.back.element.hidden = steps.back.knot.hidden = !back;
    },
    async back(signal) {
      const [target, back] = route.value.split("-");
      if (!back) return;
      const answer = await ask("/api/translate", { text: chain.spoken.text, model: modelOf(target, back).model }, { signal });
      showTranslation(steps.back, answer, modelOf(target, back));
      chain.spoken = { text: answer.text, language: back };
    },
    async speech(signal) {
      const { text, language } = chain.spoken;
      if (!SPOKEN.includes(language)) throw new Error(`No voice for ${language} is served; the chain ends here.`);
      const speech = await ask("/api/speak", { text: text.slice(0, 300), language }, { signal });
      chain.wav = speech.b64;
      chain.sound?.stop();
      chain.sound = new Sound(speech.b64, speech.seconds);
      steps.speech.model.textContent = "espeak-ng";
      steps.speech.body.replaceChildren(h("div", { class: "row" }, chain.sound.button, h("span", { class: "muted small figures" }, `${speech.seconds.toFixed(1)} s`), h("q", { lang: language }, text)));
      steps.speech.set("done", null, "by rule");
    },
    async phones(signal) {
      const { text, language } = chain.spoken, isEnglish = language === "en";
      const found = await ask("/api/recognize", { sound: { b64: chain.wav }, text: isEnglish ? text : "" }, { signal });
      chain.sound.show(found.phones);
      steps.phones.model.textContent = found.model;
      const spokenWords = found.aligned?.words ?? [];
      steps.phones.body.replaceChildren(...[
        chain.sound.element,
        !isEnglish && h("p", { class: "muted small" }, "The recognizer knows the sounds of English alone, and writes what comes closest."),
        spokenWords.some(({ score }) => score !== null) && h("p", { class: "small muted" }, "How well each word came through, of 100:"),
        spokenWords.some(({ score }) => score !== null) && h("div", { class: "row scores" }, spokenWords.map(({ text: word, score }) => h("span", { class: "score", style: { "--sure": score / 100 } }, word, h("b", { class: "figures" }, String(Math.round(score)))))),
      ].filter(Boolean));
      steps.phones.set("done", certainty(chain.sound.phones));
    },
  };

  const order = ["caption", "translation", "back", "speech", "phones"];
  const from = latest(async (first, signal) => {
    for (const name of order.slice(order.indexOf(first))) steps[name].set("waiting");
    for (const name of order.slice(order.indexOf(first))) {
      steps[name].set("working");
      try {
        await work[name](signal);
      } catch (error) {
        if (error.name === "AbortError") throw error;
        const isMissing = name === "speech" && error.message.includes("/api/speak");
        steps[name].fail(isMissing ? "Speech is not installed where this server runs (pip install -e '.[speech-synthesis]'), so the chain ends here." : error.message, isMissing ? "missing" : "failed");
        order.slice(order.indexOf(name) + 1).forEach((later) => steps[later].wait());
        return;
      }
      if (steps[name].element.dataset.state === "working") steps[name].set("done");
    }
    announce(`The chain is complete: ${chain.text}`);
  });

  panel.addEventListener("dragover", (event) => event.preventDefault());
  panel.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  addEventListener("paste", (event) => { if (!panel.hidden && event.clipboardData?.files.length) { event.preventDefault(); take(event.clipboardData.files); } });
  state.onchange(fromAddress);
  fromAddress();

  function fromAddress() {
    route.value = state.get("by") ?? "";
    if (route.selectedIndex < 0) route.selectedIndex = 0;
    open(photoOf(state.get("photo")) ?? photos[0]);
  }

  async function take(given) {
    const [photo] = await takeFiles([...given].filter((file) => !file.type || file.type.startsWith("image/")).slice(0, 1));
    if (photo) choosePhoto(photo);
    else steps.photo.body.append(h("p", { class: "notice", role: "alert" }, "That is no photo; a file of an image was expected."));
  }

  async function camera() {
    try {
      const file = await takeWithCamera();
      if (file) await take([file]);
    } catch {
      steps.photo.body.append(h("p", { class: "notice", role: "alert" }, "There is no camera here, or the browser may not use it."));
    }
  }

  function choosePhoto(photo) {
    state.set({ photo: photo.isOwn ? null : photo.name, text: null });
    open(photo);
  }

  function open(photo) {
    chain.photo = photo;
    picture.src = photo.url;
    picture.alt = photo.title;
    steps.photo.body.querySelector(".notice")?.remove();
    redraw(shelf, ...photos.map((each) => h("button", { class: "thumb", type: "button", "aria-pressed": String(each === photo), onclick: () => choosePhoto(each) },
      h("img", { src: each.url, alt: each.title }))));
    steps.photo.set("done");
    from("caption");
  }

  /** The reader's own caption. */
  function write(text) {
    if (!text) return;
    state.set({ text });
    showCaptions();
    from("translation");
  }

  function showCaptions() {
    const { captions, model } = chain.captions ?? { captions: [], model: "" };
    const given = state.get("text"), chosen = given === null ? captions[0] : captions.find(({ text }) => text === given);
    chain.text = given ?? captions[0]?.text ?? "";
    steps.caption.model.textContent = chosen ? model : "yours";
    redraw(steps.caption.body,
      chosen ? wordsOf(chosen.words, "Caption").element : h("p", { class: "words" }, chain.text),
      h("div", { class: "options", role: "group", "aria-label": "Captions" }, captions.map((caption, i) => h("button", {
        class: "option caption-option", type: "button", "aria-current": caption === chosen ? "true" : null,
        onclick: () => { state.set({ text: i ? caption.text : null }); showCaptions(); from("translation"); },
      }, h("b", {}, caption.text), h("span", { class: "figures" }, caption.confidence === null ? "" : percent(caption.confidence))))),
      ownForm);
    steps.caption.set("done", chosen ? chosen.confidence ?? certainty(chosen.words) : null, chosen ? null : "yours");
  }

  function showTranslation(step, answer, { source, target, source_name: from_, target_name: to, model }, head = "") {
    step.model.textContent = model;
    const rows = answer.parts.map((part) => {
      const best = part.translations[0];
      const sourceRow = wordRow({ label: from_, words: part.source_words.map((text) => ({ text, given: true })) });
      const targetRow = wordsOf(best.words, to, (index) => {
        const weights = index === null ? null : new Map(best.alignment.filter(([, of]) => of === index).map(([at]) => [at, 1]));
        sourceRow.light(weights);
        targetRow.light(index === null ? null : new Map([[index, 1]]));
      });
      sourceRow.element.lang = source;
      targetRow.element.lang = target;
      return [h("p", { class: "small muted" }, from_), sourceRow.element, h("p", { class: "small muted" }, to), targetRow.element];
    });
    redraw(step.body, head, ...rows.flat());
    step.set("done", certainty(answer.parts.flatMap((part) => part.translations[0].words)));
  }
}
