// Language model: how surprising each word is, what may come next, texts that go on, states to branch from; blanks and
// labels by its kin.

import { announce, bar, busy, h, percent, redraw, roving } from "./dom.js";
import { ask, events, latest, ServerError } from "./server.js";
import { alternatives, wordRow } from "./words.js";

const NEXT = 10; // words that may come next
const SURPRISING = 14; // bits of the darkest shade
const EXAMPLES = ["I would like to have a cup of", "If I had known that, I would", "He was born in London, where his father"];
const REVIEWS = ["A warm, funny and moving film.", "The plot is thin, but the actors are wonderful.", "A dull and pointless mess."];
const BLANKS = "the ___ of the city was ___ in 1890";

export function mount(panel, state) {
  panel.append(
    h("header", {}, h("h2", {}, "What comes next?"),
      h("p", {}, "An LSTM reads a text word by word and knows at every step how probable each next word is. The surprisal of a word is −log₂ of its probability, in bits.")),
    reading(state),
    h("div", { class: "columns even" }, filling(state), classifying(state)));
}

/** Text, surprisal, next words, writing on, and saved states. */
function reading(state) {
  const text = h("textarea", { name: "text", rows: 3, maxLength: 2000, "aria-label": "Text to read" });
  const before = h("p", { class: "muted before", hidden: true });
  const words = h("div", { class: "surprisal" });
  const figures = h("p", { class: "muted small" });
  const choice = h("div", {});
  const next = h("div", { class: "stack" });
  const saved = h("div", { class: "stack" });
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const write = h("button", { type: "button", class: "action main", onclick: writeOn }, "Write on");
  const setting = (name, label, attributes) => h("input", { type: "number", name, "aria-label": label, value: state.get(name, attributes.usual), ...attributes, onchange: (event) => state.set({ [name]: event.target.value === attributes.usual ? null : event.target.value }) });
  const temperature = setting("temperature", "Temperature", { min: "0.1", max: "3", step: "0.1", usual: "0.7" });
  const topP = setting("top_p", "Top-p", { min: "0.05", max: "1", step: "0.05", usual: "0.9" });
  const seed = setting("seed", "Seed", { min: "0", max: "9999", step: "1", usual: "1" });
  const states = []; // { name, said, b64, parent }
  let base = null, timer = 0, stopper = null;

  const element = h("div", { class: "columns" },
    h("div", { class: "column" },
      h("section", { class: "card stack", "aria-label": "Text" }, before, text,
        h("div", { class: "chips" }, EXAMPLES.map((example) => h("button", { type: "button", class: "chip", onclick: () => set(example) }, example))),
        h("div", { class: "row" }, write, h("button", { type: "button", class: "action", onclick: save }, "Save this state")),
        h("div", { class: "row settings" }, [["Temperature", temperature], ["Top-p", topP], ["Seed", seed]].map(([label, input]) => h("label", { class: "field" }, label, input)))),
      h("section", { class: "card", "aria-label": "Surprisal" }, h("h3", {}, "Surprisal of each word"), notice, words, figures, choice)),
    h("div", { class: "column" },
      h("section", { class: "card", "aria-label": "Next words" }, h("h3", {}, "Next words"), next),
      h("section", { class: "card", "aria-label": "Saved states" }, h("h3", {}, "Saved states"), saved)));

  text.value = state.get("text") ?? EXAMPLES[0];
  text.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => { state.set({ text: text.value }); read(); }, 200); });
  state.onchange(() => {
    text.value = state.get("text") ?? EXAMPLES[0];
    for (const input of [temperature, topP, seed]) input.value = state.get(input.name) ?? input.getAttribute("usual");
    read();
  });
  drawStates();

  const question = latest((body, signal) => ask("/api/score", body, { signal }));
  const wordsAsked = latest((body, signal) => ask("/api/score", body, { signal }));
  read();
  return element;

  function from() {
    return base ? { state: { b64: base.b64 } } : {};
  }

  function set(value) {
    stopper?.abort();
    text.value = value;
    state.set({ text: value }, { push: true });
    return read();
  }

  function closeChoice() {
    wordsAsked.cancel();
    choice.replaceChildren();
  }

  async function read() {
    closeChoice();
    const done = busy(words);
    try {
      const found = await question({ text: text.value, next: NEXT, ...from() });
      if (!found) return;
      notice.hidden = true;
      draw(found);
    } catch (error) {
      fail(error);
    } finally {
      done();
    }
  }

  function fail(error) {
    if (!(error instanceof ServerError)) throw error;
    notice.textContent = error.message;
    notice.hidden = false;
  }

  function draw(found) {
    closeChoice();
    const row = wordRow({
      label: "Words and their surprisal in bits",
      words: found.words.map((word) => ({
        text: word.text, probability: word.bits === null ? undefined : 2 ** -word.bits, doubt: 0, below: word.bits === null ? "–" : word.bits.toFixed(1),
        note: word.bits === null ? "the model reads nothing of it" : `${word.bits.toFixed(1)} bits${word.unknown ? ", unknown to the model" : ""}`,
      })),
      onchoose: (i) => openWord(found, row, i),
    });
    row.buttons.forEach((button, i) => button.style.setProperty("--bits", Math.min(1, (found.words[i].bits ?? 0) / SURPRISING).toFixed(3)));
    words.replaceChildren(found.words.length ? row.element : h("p", { class: "muted" }, "Type something."));
    figures.textContent = found.perplexity === null ? "" : `Perplexity ${found.perplexity.toFixed(0)} a token; the end of the line after it would have ${found.end_bits.toFixed(1)} bits.`;
    const most = Math.max(...found.next.map((one) => one.probability), 1e-9);
    redraw(next, h("div", { class: "options", role: "group", "aria-label": "Next words" }, found.next.map((one) => h("button", {
      type: "button", class: "option", onclick: () => append(one), disabled: !one.word, "aria-label": `${one.word || "end of the line"}, ${percent(one.probability)}`,
    }, h("b", {}, one.word || "end of the line"), bar(one.probability, most), h("span", { class: "figures" }, percent(one.probability))))),
    h("p", { class: "muted small" }, "Choose one to go on with it."));
    roving(next, ".option");
  }

  function append(one) {
    set(text.value.trimEnd() + (text.value.trim() ? one.text : one.text.trimStart()));
  }

  /** What might stand in the position of a word. */
  async function openWord(found, row, index) {
    const beginning = found.words.slice(0, index).map((word) => word.text).join(" ");
    const close = () => { choice.replaceChildren(); row.choose(null); row.buttons[index]?.focus(); };
    const title = beginning ? `After “${beginning.slice(-60)}”` : "The first word";
    row.choose(index);
    choice.replaceChildren(alternatives({ title, items: [], onclose: close, busy: true }));
    try {
      const asked = await wordsAsked({ text: beginning, next: NEXT, ...from() });
      if (!asked) return;
      const usable = asked.next.filter((one) => one.word);
      choice.replaceChildren(alternatives({
        title, onclose: close, items: usable.map((one) => ({ word: one.word, probability: one.probability, isCurrent: one.text.trim() === found.words[index].text })),
        onchoose: (i) => set((beginning + usable[i].text).trimStart()).then(() => words.querySelectorAll(".word")[index]?.focus()),
      }));
      choice.querySelector(".option")?.focus({ preventScroll: true });
    } catch (error) {
      choice.replaceChildren();
      fail(error);
    }
  }

  async function writeOn() {
    if (stopper) return stopper.abort();
    const own = stopper = new AbortController();
    write.textContent = "Stop";
    closeChoice();
    try {
      const body = { text: text.value, max_words: 30, temperature: Number(temperature.value) || 0.7, top_p: Number(topP.value) || 0.9, seed: Number(seed.value) || 0, ...from() };
      for await (const piece of events("/api/generate", body, { signal: own.signal })) {
        text.value += text.value ? piece.text : piece.text.trimStart();
        text.scrollTop = text.scrollHeight;
      }
      announce(`Written: ${text.value}`);
    } catch (error) {
      if (error.name !== "AbortError") fail(error);
    } finally {
      stopper = null;
      write.textContent = "Write on";
      state.set({ text: text.value }, { push: true });
      read();
    }
    return undefined;
  }

  async function save() {
    try {
      const found = await ask("/api/score", { text: text.value, keep: true, ...from() });
      const said = `${base ? `${base.said} ` : ""}${text.value}`.trim();
      if (!said) return;
      states.push({ said, b64: found.state.b64, parent: base });
      goTo(states.at(-1));
      announce("The state is saved; what you write now goes on from it.");
    } catch (error) {
      fail(error);
    }
  }

  function goTo(one) {
    base = one;
    set("");
    drawStates();
    text.focus();
  }

  function drawStates() {
    before.hidden = !base;
    before.textContent = base ? `… ${base.said.slice(-160)}` : "";
    const item = (one, depth) => [
      h("button", { type: "button", class: "option wide state", style: { "--depth": String(depth) }, "aria-current": one === base ? "true" : null, onclick: () => goTo(one) },
        h("span", {}, one ? `${one.parent ? "… " : ""}${one.parent ? one.said.slice(one.parent.said.length).trim() : one.said}` : "the beginning")),
      ...states.filter((each) => each.parent === one).map((each) => item(each, depth + 1)),
    ];
    redraw(saved,
      h("p", { class: "muted small" }, "A state is all that the network remembers of what it has read. Save one, and start several texts from it."),
      h("div", { class: "options", role: "group", "aria-label": "Saved states" }, item(null, 0)));
    roving(saved, ".state");
  }
}

/** Words for blanks. */
function filling(state) {
  const field = h("input", { type: "text", name: "blanks", autocomplete: "off", maxLength: 500, value: state.get("blanks") ?? BLANKS, "aria-label": "Text with blanks, written as ___" });
  const place = h("div", { class: "blanks" });
  const notice = h("p", { class: "muted small" }, "Three underscores are a blank. Choose a word to put it there.");
  const element = h("section", { class: "card stack", "aria-label": "Blanks" }, h("h3", {}, "Fill the blanks"), field, notice, place);
  const question = latest((text, signal) => ask("/api/fill", { text, top: 6 }, { signal }));
  let timer = 0;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(fill, 300); });
  state.onchange(() => { field.value = state.get("blanks") ?? BLANKS; fill(); });
  fill();
  return element;

  async function fill() {
    state.set({ blanks: field.value === BLANKS ? null : field.value });
    try {
      const found = /__/.test(field.value) ? await question(field.value) : { blanks: [] };
      if (!found) return;
      redraw(place, ...found.blanks.map((blank, i) => h("div", { class: "options", role: "group", "aria-label": `Blank ${i + 1}` }, blank.map((one) => h("button", {
        type: "button", class: "option", onclick: () => { let at = -1; field.value = field.value.replace(/__+/g, (whole) => (++at === i ? one.word : whole)); fill(); }, "aria-label": `${one.word}, ${percent(one.probability)}`,
      }, h("b", {}, one.word), bar(one.probability, blank[0].probability), h("span", { class: "figures" }, percent(one.probability)))))));
      place.querySelectorAll(".options").forEach((list) => roving(list, ".option"));
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      place.replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
    }
  }
}

/** The label of a text, and what each word adds to it. */
function classifying(state) {
  const field = h("input", { type: "text", name: "review", autocomplete: "off", maxLength: 1000, value: state.get("review") ?? REVIEWS[0], "aria-label": "Text to label" });
  const place = h("div", { class: "stack", "aria-live": "polite" });
  const element = h("section", { class: "card stack", "aria-label": "Label" }, h("h3", {}, "Praise or blame?"), field,
    h("div", { class: "chips" }, REVIEWS.map((review) => h("button", { type: "button", class: "chip", onclick: () => { field.value = review; classify(); } }, review))), place);
  const question = latest((text, signal) => ask("/api/classify", { text, explain: true }, { signal }));
  let timer = 0;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(classify, 300); });
  state.onchange(() => { field.value = state.get("review") ?? REVIEWS[0]; classify(); });
  classify();
  return element;

  async function classify() {
    state.set({ review: field.value === REVIEWS[0] ? null : field.value });
    if (!field.value.trim()) return place.replaceChildren();
    try {
      const found = await question(field.value);
      if (!found) return;
      const most = Math.max(...found.words.map((word) => Math.abs(word.value)), 1), parts = [];
      let end = 0;
      for (const word of found.words) {
        parts.push(found.text.slice(end, word.start), h("mark", {
          class: word.value >= 0 ? "for" : "against", style: { "--weight": Math.min(1, Math.abs(word.value) / most).toFixed(3) },
          title: `${word.value >= 0 ? "+" : "−"}${Math.abs(word.value).toFixed(2)} to the log-odds`,
        }, found.text.slice(word.start, word.end)));
        end = word.end;
      }
      parts.push(found.text.slice(end));
      place.replaceChildren(
        h("div", { class: "options" }, Object.entries(found.probabilities).map(([label, probability]) => h("div", { class: "option still" }, h("b", {}, label), bar(probability), h("span", { class: "figures" }, percent(probability))))),
        h("p", { class: "marked" }, parts),
        h("p", { class: "muted small" }, `Green words speak for “${found.label}”, orange ones against it (integrated gradients).`));
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      place.replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
    }
    return undefined;
  }
}
