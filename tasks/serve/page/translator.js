// Translator: a text and its translation light up each other; words are shaded by doubt, changed, and written on from; a
// second model beside the first.

import { announce, busy, h, percent, redraw, roving, svg } from "./dom.js";
import { ask, latest, MAX_BEAM, ServerError } from "./server.js";
import { treeCard } from "./tree.js";
import { alternatives, wordRow } from "./words.js";

const CHOICES = 8; // that are shown for a position
const EXAMPLES = {
  de: ["Ein brauner Hund läuft über eine grüne Wiese.", "Können Sie mir bitte sagen, wo der Bahnhof ist?", "Ich habe gestern 12,50 Euro für zwei Bücher bezahlt."],
  en: ["A brown dog runs across a green meadow.", "Can you tell me where the station is, please?", "Yesterday I paid 12.50 euros for two books."],
  fr: ["Un chien brun court dans un pré vert.", "Pouvez-vous me dire où est la gare ?"],
};
const WEAK = 0.08; // attention below it is not drawn

export function mount(panel, state) {
  const text = h("textarea", { name: "text", rows: 2, maxLength: 2000, spellcheck: true, "aria-label": "Text to translate" });
  const chips = h("div", { class: "chips" });
  const columns = h("div", { class: "columns" });
  const compare = h("button", { type: "button", class: "action", onclick: toggle }, "");
  let directions = [], shown = [], timer = 0;

  panel.append(
    h("header", {}, h("h2", {}, "What goes back to what?"),
      h("p", {}, "A recurrent translator reads the whole sentence, then attends to a part of it for each word that it writes. Hover a word on either side; choose one on the right for what else might stand there.")),
    h("section", { class: "card stack", "aria-label": "Text" }, text, h("div", { class: "row spread" }, chips, compare)),
    columns);
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { state.set({ text: text.value, begin: null, begin2: null }); translate(); }, 350);
  });
  state.onchange(restore);
  start();

  async function start() {
    try {
      ({ directions } = await ask("/api/directions", {}));
      if (!directions.length) throw new ServerError("No model that is served translates between languages.");
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      columns.replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
      return;
    }
    restore();
  }

  function modelOf(key) {
    return directions.find((each) => each.model === state.get(key)) ?? null;
  }

  function restore() {
    if (!directions.length) return;
    const first = modelOf("model") ?? directions[0];
    text.value = state.get("text") ?? (EXAMPLES[first.source] ?? [""])[0];
    arrange();
    translate();
  }

  /** One column, or two. */
  function arrange() {
    const first = modelOf("model") ?? directions[0];
    const isCompared = state.get("compare") !== null;
    const column = (suffix, model) => new Column({
      state, suffix, directions, model,
      onmodel: (name) => {
        const before = (modelOf("model") ?? directions[0]).source, now = directions.find((each) => each.model === name);
        const wasExample = Object.values(EXAMPLES).flat().includes(text.value);
        state.set({ [`model${suffix}`]: name, [`begin${suffix}`]: null, ...(!suffix && now.source !== before && wasExample ? { text: null } : {}) }, { push: true });
        restore();
      },
    });
    shown = [column("", first)];
    if (isCompared) {
      const other = modelOf("model2") ?? directions.find((each) => each.source === first.source && each !== first) ?? first;
      shown.push(column("2", other));
    }
    compare.textContent = isCompared ? "Close the comparison" : "Compare two models";
    compare.setAttribute("aria-pressed", String(isCompared));
    columns.className = isCompared ? "columns even" : "alone";
    redraw(columns, ...shown.map((each) => each.element));
    redraw(chips, ...(EXAMPLES[first.source] ?? []).map((example) => h("button", { type: "button", class: "chip", onclick: () => { text.value = example; state.set({ text: example, begin: null, begin2: null }, { push: true }); translate(); } }, example)));
  }

  function toggle() {
    if (!directions.length) return;
    state.set({ compare: state.get("compare") === null ? "1" : null, model2: null, begin2: null }, { push: true });
    arrange();
    translate();
  }

  function translate() {
    shown.forEach((column) => column.translate(text.value));
  }
}

/** The answer of one model. */
class Column {
  constructor({ state, suffix, directions, model, onmodel }) {
    Object.assign(this, { state, suffix, model });
    this.models = h("select", { "aria-label": suffix ? "Second model" : "Model", onchange: () => onmodel(this.models.value) },
      directions.map((each) => h("option", { value: each.model, selected: each.model === model.model }, `${each.source_name} to ${each.target_name} · ${each.model}`)));
    this.notice = h("p", { class: "notice", role: "alert", hidden: true });
    this.parts = h("div", { class: "stack" });
    this.choice = h("div", {});
    this.tree = treeCard({
      beam: this.value("beam"),
      onbeam: (beam) => { this.set({ beam }); this.translate(this.text); },
      onchoose: (rank, words) => { if (words.length && this.answer?.parts.length === 1) this.writeOn(0, joined(words)); },
    });
    this.begin = h("input", { type: "text", autocomplete: "off", maxLength: 500, lang: model.target, placeholder: "the first words, and the rest follows" });
    this.begun = h("form", { class: "row begin", onsubmit: (event) => { event.preventDefault(); this.writeOn(0, this.begin.value); } },
      h("label", { class: "field" }, "Write the beginning yourself", this.begin), h("button", { class: "action" }, "Write on"),
      h("button", { type: "button", class: "action", onclick: () => this.writeOn(0, "") }, "From the start"));
    this.best = h("div", {});
    this.element = h("div", { class: "translated" },
      h("section", { class: "card", "aria-label": suffix ? "Second translation" : "Translation" },
        h("div", { class: "head" }, this.models), this.notice, this.parts, this.choice, this.begun),
      h("div", { class: "column" }, this.best, this.tree.element));
    this.question = latest((body, signal) => ask("/api/translate", body, { signal }));
    this.wordsAsked = latest((body, signal) => ask("/api/translate", body, { signal }));
  }

  value(name) {
    return this.state.get(name + this.suffix);
  }

  set(changes) {
    this.state.set(Object.fromEntries(Object.entries(changes).map(([name, value]) => [name + this.suffix, value])), { push: true });
  }

  get common() {
    const beam = Number(this.value("beam")) || null;
    return { model: this.model.model, ...(beam ? { beam } : {}) };
  }

  async translate(text) {
    this.text = text;
    this.answer = null; // what is still shown belongs to another text
    this.closeChoice();
    const done = busy(this.parts);
    try {
      const found = await this.question({ ...this.common, text, n_best: MAX_BEAM, tree: true });
      if (!found) return;
      this.notice.hidden = true;
      const begin = this.value("begin");
      this.begun.hidden = found.parts.length !== 1;
      this.begin.value = "";
      if (begin && found.parts.length === 1 && !(await this.continue(found, 0, begin))) return;
      this.answer = found;
      this.draw();
      announce(`Translation: ${found.text}`);
    } catch (error) {
      this.fail(error);
    } finally {
      done();
    }
  }

  closeChoice() {
    this.wordsAsked.cancel();
    this.choice.replaceChildren();
  }

  fail(error) {
    if (!(error instanceof ServerError)) throw error;
    this.answer = null;
    [this.parts, this.choice, this.best].forEach((each) => each.replaceChildren());
    this.tree.show([]);
    this.notice.textContent = error.message;
    this.notice.hidden = false;
  }

  /** Replaces a part by one that begins with given words; false if something else was asked meanwhile. */
  async continue(answer, index, begin) {
    const part = answer.parts[index];
    const found = await this.question({ ...this.common, text: part.source, prefix: begin, n_best: MAX_BEAM, tree: true });
    if (!found) return false;
    answer.parts[index] = { ...found.parts[0], given: begin };
    if (index === 0) this.begin.value = begin;
    return true;
  }

  async writeOn(index, words) {
    const begin = words.trim();
    if (!this.answer || this.answer.parts.length === 1) this.set({ begin: begin || null });
    this.closeChoice();
    if (!begin || !this.answer) return this.translate(this.text);
    try {
      if (!(await this.continue(this.answer, index, begin))) return undefined;
      this.draw();
      announce(this.answer.parts[index].translations[0].text);
    } catch (error) {
      this.fail(error);
    }
    return undefined;
  }

  draw() {
    const { parts } = this.answer;
    this.closeChoice();
    this.rows = parts.map((part, i) => this.drawPart(part, i, 0));
    this.parts.replaceChildren(...this.rows.map((row) => row.element), parts.some((part) => part.translations[0]?.words.length)
      ? h("p", { class: "muted small" }, "A line below a word: the model doubts it.") : "");
    const only = parts.length === 1 ? parts[0] : null;
    this.tree.show(only?.tree ?? []);
    const others = only && only.translations.length > 1 ? only.translations : [];
    this.best.replaceChildren(others.length ? h("section", { class: "card" }, h("h3", {}, "Translations of the beam"),
      h("ol", { class: "options" }, others.map((each, rank) => h("li", {}, h("button", {
        type: "button", class: "option plain", lang: this.model.target, "aria-current": rank === 0 ? "true" : null,
        onpointerenter: () => this.tree.light(rank), onpointerleave: () => this.tree.light(null), onfocus: () => this.tree.light(rank),
        onclick: (event) => {
          this.best.querySelectorAll(".option").forEach((one) => one.toggleAttribute("aria-current", false));
          event.currentTarget.setAttribute("aria-current", "true");
          this.closeChoice();
          this.rows = [this.drawPart(only, 0, rank)];
          this.parts.replaceChildren(this.rows[0].element);
        },
      }, h("span", {}, each.text), h("span", { class: "figures" }, each.score.toFixed(2))))))) : "");
    roving(this.best, ".option");
  }

  /** A sentence above its translation, with the attention between their words. */
  drawPart(part, index, rank) {
    const best = part.translations[rank];
    if (!best) return { element: h("p", { class: "muted" }, "Nothing to translate.") };
    const given = part.given ? part.given.split(/\s+/).filter(Boolean).length : 0;
    const kept = new Map(best.kept.map((one) => [one.target, one.text]));
    const light = (source, target) => {
      const sourceWeights = target === null ? null : new Map(best.attention[target].slice(0, -1).map((weight, i) => [i, weight]).filter(([, weight]) => weight >= WEAK));
      const targetWeights = source === null ? null : new Map(best.attention.map((row, i) => [i, row[source]]).filter(([, weight]) => weight >= WEAK));
      sources.light(source === null ? sourceWeights : new Map([[source, 0.6]]));
      targets.light(target === null ? targetWeights : new Map([[target, 0.6]]));
      lines.light(source, target);
    };
    const sources = wordRow({
      label: "Words of the text", words: part.source_words.map((word) => ({ text: word, note: best.unknown.includes(word) ? "unknown to the model" : "" })),
      onlight: (i) => light(i, null),
    });
    const targets = wordRow({
      label: "Words of the translation",
      words: best.words.map((word, i) => ({
        text: word.text, probability: word.probability, doubt: 1 - word.probability, given: i < given,
        note: kept.has(i) ? `kept from the text; ${percent(word.probability)}` : `${percent(word.probability)} after the words before it`,
      })),
      onlight: (i) => light(null, i), onchoose: (i) => this.openWord(index, rank, i),
    });
    sources.element.lang = this.model.source;
    targets.element.lang = this.model.target;
    const lines = new Lines(sources, targets, best.attention);
    return { element: h("div", { class: "pair" }, sources.element, lines.element, targets.element), targets };
  }

  async openWord(index, rank, at) {
    if (!this.answer) return;
    const part = this.answer.parts[index], words = part.translations[rank].words.map((word) => word.text), before = words.slice(0, at).join(" ");
    const row = this.rows[index] ?? this.rows[0];
    const close = () => { this.choice.replaceChildren(); row.targets.choose(null); row.targets.buttons[at]?.focus(); };
    const title = before ? `After “${before}”` : "The first word";
    row.targets.choose(at);
    this.choice.replaceChildren(alternatives({ title, items: [], onclose: close, busy: true }));
    try {
      const found = await this.wordsAsked({ ...this.common, text: part.source, prefix: before, alternatives: CHOICES });
      if (!found) return;
      const begun = ({ word, text }) => {
        if (!word) return before;
        return text.startsWith(before) ? before + text.slice(before.length).match(/^\s*\S+/)[0] : `${before} ${word}`;
      };
      const items = found.alternatives.map((one) => {
        const shared = before && one.text.startsWith(before) ? one.text.slice(before.length) : one.text;
        return { word: one.word || "the end", probability: one.probability, isCurrent: one.word === words[at], before: before && "…", rest: shared.trim().slice(one.word.length).trim() };
      });
      this.choice.replaceChildren(alternatives({
        title, items, onclose: close,
        onchoose: (i) => this.writeOn(index, begun(found.alternatives[i])).then(() => this.rows[index]?.targets?.buttons[at]?.focus()),
      }));
      this.choice.querySelector(".option")?.focus({ preventScroll: true });
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.choice.replaceChildren();
      this.notice.textContent = error.message;
      this.notice.hidden = false;
    }
  }
}

/** The words of a path of the tree as text; a token that continues a word begins with a dot. */
function joined(words) {
  return words.reduce((text, word) => text + (word.startsWith("·") ? word.slice(1) : `${text && " "}${word}`), "");
}

/** Curves between two rows of words, as strong as the attention; drawn when the rows have their size. */
class Lines {
  constructor(sources, targets, attention) {
    Object.assign(this, { sources, targets, attention });
    this.element = svg("svg", { class: "lines", "aria-hidden": "true", height: 46 });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  draw() {
    const area = this.element.getBoundingClientRect();
    if (!area.width) return;
    const middle = (button) => { const box = button.getBoundingClientRect(); return { x: box.left + box.width / 2 - area.left, isNear: box }; };
    const lowest = Math.max(...this.sources.buttons.map((button) => button.getBoundingClientRect().top), 0);
    const highest = Math.min(...this.targets.buttons.map((button) => button.getBoundingClientRect().top));
    const paths = [];
    this.targets.buttons.forEach((target, t) => this.sources.buttons.forEach((source, i) => {
      const weight = this.attention[t]?.[i] ?? 0;
      if (weight < WEAK) return;
      const from = middle(source), to = middle(target);
      const isOutside = from.isNear.top < lowest - 4 || to.isNear.top > highest + 4; // in another line of the row
      paths.push(svg("path", {
        "data-source": i, "data-target": t, class: isOutside ? "far" : null, style: { "--weight": weight.toFixed(3) },
        d: `M${from.x.toFixed(1)} 0C${from.x.toFixed(1)} 24 ${to.x.toFixed(1)} 22 ${to.x.toFixed(1)} 46`,
      }));
    }));
    this.element.replaceChildren(...paths);
  }

  light(source, target) {
    const isLit = source !== null || target !== null;
    this.element.classList.toggle("some", isLit);
    for (const path of this.element.children) {
      const own = source === null ? Number(path.dataset.target) === target : Number(path.dataset.source) === source;
      path.classList.toggle("lit", isLit && own);
    }
  }
}
