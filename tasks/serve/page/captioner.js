// Captioner: a photo, its caption, where each word is, other words, the beam, and photos found by a sentence.

import { announce, bar, busy, h, percent, redraw, roving } from "./dom.js";
import { photoOf, photos, takeFiles, takeWithCamera } from "./photos.js";
import { Stage } from "./regions.js";
import { ask, isStatic, latest, MAX_BEAM, ServerError } from "./server.js";
import { treeCard } from "./tree.js";
import { alternatives, wordRow } from "./words.js";

const CHOICES = 8; // words that are shown for a position

export function mount(panel, state) {
  const stage = new Stage({ onpoint: (index) => light(index) });
  const result = h("div", { class: "stack", "aria-live": "off" });
  const others = h("div", {});
  const choice = h("div", {});
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const begin = h("input", { type: "text", name: "begin", placeholder: "two dogs", autocomplete: "off", maxLength: 200 });
  const where = h("select", { "aria-label": "What lights up", onchange: () => { state.set({ where: where.value === "region" ? null : where.value }); layers(); } },
    h("option", { value: "region" }, "where the word is found"), h("option", { value: "attention" }, "what the decoder attends to"));
  const shelf = h("div", { class: "shelf", role: "group", "aria-label": "Photos" });
  const gallery = search({ state, open });
  const tree = treeCard({
    beam: state.get("beam"),
    onbeam: (beam) => { state.set({ beam }, { push: true }); caption(); },
    onchoose: (rank, words) => { if (words.length) writeOn(words.join(" ")); },
  });

  const about = async (photo, body, signal) => ask("/api/caption", { ...body, image: await photo.body() }, { signal });
  const question = latest(about), wordsAsked = latest(about);
  let answer = null, row = null, rank = 0, lit = null;

  panel.append(
    h("header", {}, h("h2", {}, "What does the photo show?"),
      h("p", {}, "An LSTM writes the caption word by word. Hover a word to see where it is in the photo", isStatic ? "." : "; choose it for the words that might stand there, and write on from one.")),
    h("div", { class: "columns" },
      h("div", { class: "column" },
        h("section", { class: "card drop", "aria-label": "Photo" },
          stage.element,
          h("div", { class: "row" }, fileButton(), h("button", { type: "button", class: "action", onclick: camera }, "Take a photo"),
            h("span", { class: "muted small" }, isStatic ? "or drop or paste one; it stays in this browser" : "or drop or paste one; it goes to this server only")),
          shelf)),
      h("div", { class: "column" },
        h("section", { class: "card", "aria-label": "Caption" }, notice, result, choice,
          h("form", { class: "row begin needs-server", onsubmit: (event) => { event.preventDefault(); writeOn(begin.value); } },
            h("label", { class: "field" }, "Write the beginning yourself", begin),
            h("button", { class: "action" }, "Write on"),
            h("button", { type: "button", class: "action", onclick: () => writeOn("") }, "From the start")),
          h("label", { class: "row small muted" }, "Lit up:", where)),
        others)),
    isStatic ? "" : tree.element,
    gallery.element);

  where.value = state.get("where", "region");
  panel.addEventListener("dragover", (event) => { event.preventDefault(); panel.classList.add("dragging"); });
  panel.addEventListener("dragleave", () => panel.classList.remove("dragging"));
  panel.addEventListener("drop", (event) => { event.preventDefault(); panel.classList.remove("dragging"); take(event.dataTransfer.files); });
  addEventListener("paste", (event) => { if (!panel.hidden && event.clipboardData?.files.length) { event.preventDefault(); take(event.clipboardData.files); } });
  state.onchange(() => { tree.beam = state.get("beam"); where.value = state.get("where", "region"); show(); gallery.restore(); });
  show();
  gallery.restore();

  function fileButton() {
    const input = h("input", { type: "file", accept: "image/*", multiple: true, class: "visually-hidden", name: "photos", onchange: () => { take(input.files); input.value = ""; } });
    return h("label", { class: "action file" }, "Choose photos", input);
  }

  async function take(files) {
    const taken = await takeFiles([...files].filter((file) => !file.type || file.type.startsWith("image/")));
    if (!taken.length) return tell("That is no photo; a file of an image was expected.");
    gallery.changed();
    open(taken[0]);
  }

  async function camera() {
    try {
      const file = await takeWithCamera();
      if (file) await take([file]);
    } catch {
      tell("There is no camera here, or the browser may not use it.");
    }
  }

  function open(photo) {
    state.set({ photo: photo.name === photos[0].name ? null : photo.name, begin: null, caption: null }, { push: true });
    show();
  }

  function shown() {
    return photoOf(state.get("photo")) ?? photos[0];
  }

  function show() {
    const photo = shown();
    stage.show(photo);
    redraw(shelf, ...photos.map((each) => h("button", { type: "button", class: "thumb", "aria-pressed": String(each === photo), "aria-label": each.title, title: each.title, onclick: () => open(each) }, h("img", { src: each.url, alt: "", loading: "lazy" }))));
    roving(shelf, ".thumb");
    begin.value = state.get("begin", "");
    caption();
  }

  function tell(text) {
    notice.textContent = text ?? "";
    notice.hidden = !text;
  }

  function writeOn(words) {
    state.set({ begin: words.trim() || null, caption: null }, { push: true });
    begin.value = words.trim();
    return caption();
  }

  async function caption() {
    const beam = Number(state.get("beam")) || null;
    closeChoice();
    const done = busy(result);
    try {
      const found = await question(shown(), { prefix: state.get("begin", ""), tree: true, regions: true, n_best: MAX_BEAM, ...(beam ? { beam } : {}) });
      if (!found) return;
      answer = found;
      tell(null);
      choose(state.index("caption", answer.captions.length - 1));
      tree.show(answer.tree);
      announce(`Caption: ${answer.captions[0].text}`);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      answer = null;
      result.replaceChildren();
      others.replaceChildren();
      tree.show([]);
      tell(error.message);
    } finally {
      done();
    }
  }

  function closeChoice() {
    wordsAsked.cancel();
    choice.replaceChildren();
  }

  /** Shows one of the captions. */
  function choose(index) {
    rank = index;
    closeChoice();
    const { words, confidence } = answer.captions[rank];
    row = wordRow({
      label: "Words of the caption",
      words: words.map((word, i) => ({
        text: word.text, probability: word.probability, doubt: 1 - (word.confidence ?? word.probability), given: i < answer.prefix.length,
        note: `${percent(word.probability)} after the words before it${word.confidence === null ? "" : `; ${percent(word.confidence)} that people would say it`}`,
      })),
      onlight: light,
      onchoose: isStatic ? null : (i) => openWord(i),
    });
    result.replaceChildren(row.element, h("p", { class: "muted small" },
      confidence === null ? "" : `${percent(confidence)} sure that the caption is right. `, "A line below a word: the model doubts it."));
    layers();
    drawOthers();
  }

  function drawOthers() {
    redraw(others, answer.captions.length < 2 ? "" : h("section", { class: "card" }, h("h3", {}, "Captions of the beam"),
      h("ol", { class: "options" }, answer.captions.map((each, i) => h("li", {}, h("button", {
        type: "button", class: "option wide", "aria-current": i === rank ? "true" : null,
        onpointerenter: () => tree.light(i), onpointerleave: () => tree.light(null), onfocus: () => tree.light(i),
        onclick: () => { state.set({ caption: i || null }); choose(i); },
      }, h("span", {}, each.text), each.confidence === null ? null : bar(each.confidence), h("span", { class: "figures" }, each.confidence === null ? "" : percent(each.confidence))))))));
    roving(others, ".option");
  }

  function layers() {
    if (!answer) return;
    const byAttention = where.value === "attention" || !answer.captions[rank].words.some((word) => word.region);
    stage.set(answer.captions[rank].words.map((word) => byAttention
      ? { box: null, cells: word.attention }
      : word.region && { box: word.region.box, cells: word.region.fit }));
  }

  function light(index) {
    if (index === lit) return;
    lit = index;
    stage.light(index);
    row?.light(index === null ? null : new Map([[index, 0.6]]));
  }

  /** Shows what might stand in the position of a word. */
  async function openWord(index) {
    const words = answer.captions[rank].words.map((word) => word.text), before = words.slice(0, index).join(" ");
    const close = () => { choice.replaceChildren(); row.choose(null); row.buttons[index]?.focus(); };
    const title = before ? `After “${before}”` : "The first word";
    row.choose(index);
    choice.replaceChildren(alternatives({ title, items: [], onclose: close, busy: true }));
    const beam = Number(state.get("beam")) || null;
    try {
      const found = await wordsAsked(shown(), { prefix: before, alternatives: CHOICES, ...(beam ? { beam } : {}) });
      if (!found) return;
      const shownWords = found.prefix.length ? `${found.prefix.join(" ")} ` : "";
      const items = found.alternatives.map((one) => ({
        word: one.word || "the end", probability: one.probability, isCurrent: one.word === (words[index] ?? ""),
        before: before && "…", rest: one.text.slice(shownWords.length + one.word.length).trim(),
      }));
      const onchoose = (i) => writeOn(`${shownWords}${found.alternatives[i].word}`).then(() => row?.buttons[index]?.focus());
      choice.replaceChildren(alternatives({ title, items, onclose: close, onchoose }));
      choice.querySelector(".option")?.focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      choice.replaceChildren();
      tell(error.message);
    }
  }
}

/** A card that orders the photos by a sentence; their vectors are asked for once. */
function search({ state, open }) {
  const field = h("input", { type: "search", name: "find", placeholder: "a dog in the snow", autocomplete: "off", maxLength: 200, "aria-label": "Sentence to find photos by" });
  const found = h("ol", { class: "found", "aria-live": "polite" });
  const notice = h("p", { class: "muted small" }, "The examples, and the photos that you add above.");
  const element = h("section", { class: "card", "aria-label": "Search" },
    h("div", { class: "head" }, h("h3", {}, "Find photos by a sentence"), notice),
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); find(); } }, field), found);
  let timer = 0;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 250); });

  const asked = latest(async (sentence, signal) => {
    const answer = await ask("/api/find", { sentence }, { signal });
    let refusal = null;
    for (const photo of photos) {
      try {
        photo.vector ??= (await ask("/api/find", { image: await photo.body() }, { signal })).photo;
      } catch (error) {
        if (!(error instanceof ServerError)) throw error;
        refusal = error; // of one photo; the others can be found
      }
    }
    const known = photos.filter((photo) => photo.vector);
    if (refusal && !known.length) throw refusal;
    return { ...answer, known };
  });

  async function find() {
    const sentence = field.value.trim();
    state.set({ find: sentence || null });
    if (!sentence) {
      asked.cancel();
      return found.replaceChildren();
    }
    const done = busy(found);
    try {
      const answer = await asked(sentence);
      if (!answer) return;
      const scored = answer.known.map((photo) => ({ photo, score: photo.vector.reduce((sum, value, i) => sum + value * answer.sentence[i], 0) }));
      scored.sort((a, b) => b.score - a.score);
      const most = Math.max(...scored.map((each) => each.score), 1e-9);
      notice.textContent = answer.unknown.length ? `Unknown to the model: ${answer.unknown.join(", ")}.` : `${scored.length} photos, the best first.`;
      found.replaceChildren(...scored.map(({ photo, score }) => h("li", {}, h("button", { type: "button", class: "hit", onclick: () => { open(photo); scrollTo({ top: 0, behavior: "smooth" }); }, "aria-label": `${photo.title}, score ${score.toFixed(2)}` },
        h("img", { src: photo.url, alt: "" }), bar(Math.max(0, score), most), h("span", { class: "figures small" }, score.toFixed(2))))));
      roving(found, ".hit");
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      notice.textContent = error.message;
    } finally {
      done();
    }
    return undefined;
  }

  return {
    element,
    changed() { if (field.value.trim()) find(); },
    restore() { if (field.value !== state.get("find", "")) { field.value = state.get("find", ""); find(); } },
  };
}
