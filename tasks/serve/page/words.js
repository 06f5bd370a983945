// Words of an answer as a row of buttons, and the words that might stand in the same position.

import { bar, h, percent, roving } from "./dom.js";

/**
 * A row of words.
 *
 * words     { text, probability?, doubt?, given?, note?, below? } each; doubt, 0 to 1, and the text `below` are drawn
 *           below the word
 * label     of the row, for a screen reader
 * onlight   called with the index of the word that the pointer or the focus is on, or null
 * onchoose  called with the index of a word that is clicked
 *
 * Returns { element, light(weights), choose(index) }: weights, by index, light words up from outside.
 */
export function wordRow({ words, label, onlight, onchoose }) {
  const buttons = words.map((word, i) => h("button", {
    type: "button", class: `word${word.given ? " given" : ""}`, dataset: { index: String(i) },
    style: { "--doubt": (word.doubt ?? 0).toFixed(2) },
    title: word.note ?? (word.probability === undefined ? null : percent(word.probability)),
    "aria-label": word.probability === undefined ? null : `${word.text}, ${percent(word.probability)}`,
    onclick: () => onchoose?.(i),
  }, word.text, word.below === undefined ? null : h("small", { "aria-hidden": "true" }, word.below)));
  const element = h("div", { class: "words", role: "group", "aria-label": label }, buttons);
  const indexOf = (target) => { const found = target.closest?.(".word"); return found ? Number(found.dataset.index) : null; };
  if (onlight) {
    element.addEventListener("pointerover", (event) => onlight(indexOf(event.target)));
    element.addEventListener("pointerleave", () => onlight(null));
    element.addEventListener("focusin", (event) => onlight(indexOf(event.target)));
    element.addEventListener("focusout", () => onlight(null));
  }
  roving(element, ".word");
  return {
    element,
    buttons,
    light(weights) {
      buttons.forEach((button, i) => {
        const weight = weights?.get(i) ?? 0;
        button.classList.toggle("lit", weight > 0);
        if (weight > 0) button.style.setProperty("--weight", weight.toFixed(2));
      });
    },
    choose(index) {
      buttons.forEach((button, i) => button.classList.toggle("chosen", i === index));
    },
  };
}

/**
 * What might stand in a position: words with bars of their probabilities, and how the text goes on from each.
 *
 * items  { word, probability, before, rest, isCurrent } each, the most probable first
 */
export function alternatives({ title, items, onchoose, onclose, busy = false }) {
  const most = Math.max(...items.map((item) => item.probability), 1e-9);
  const list = h("div", { class: "options", role: "group", "aria-label": title }, items.map((item, i) => h("button", {
    type: "button", class: "option", "aria-current": item.isCurrent ? "true" : null, onclick: () => onchoose(i),
    "aria-label": `${item.word}, ${percent(item.probability)}${item.rest ? `: ${item.before ?? ""} ${item.word} ${item.rest}` : ""}`,
  },
    h("b", {}, item.word),
    bar(item.probability, most),
    h("span", { class: "figures" }, percent(item.probability)),
    item.rest === undefined ? null : h("span", { class: "rest" }, item.before ? `${item.before} ` : "", h("em", {}, item.word), item.rest ? ` ${item.rest}` : ""),
  )));
  const panel = h("div", { class: `popover alternatives${busy ? " busy" : ""}` },
    h("div", { class: "head" },
      h("strong", {}, title),
      onclose ? h("button", { type: "button", class: "link small", onclick: onclose }, "Close") : null),
    busy ? h("p", { class: "muted small" }, "Asking the model.") : items.length ? list : h("p", { class: "muted" }, "Nothing else."));
  roving(list, ".option");
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") onclose?.(); });
  return panel;
}
