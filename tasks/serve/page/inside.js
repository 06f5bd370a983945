// Inside: three cells read the reader's own sentence. Everything that pointing needs is here after one answer for each
// cell, so that nothing is asked while the pointer moves.

import { announce, busy, h } from "./dom.js";
import { GuessCard, ReachCard } from "./inside_cards.js";
import { CELLS } from "./inside_cells.js";
import { Maps } from "./inside_maps.js";
import { letterOf } from "./inside_text.js";
import { ask, decoded, latest } from "./server.js";

const EXAMPLE = "She said that (after all these years) they were friends.";
const EXAMPLES = [EXAMPLE, "The dogs that the man with the hat saw were running.", "In 1998, he moved to New York, where he lived until 2005."];
const COLOURS = { simple_rnn: "var(--warm)", gru: "var(--blue)", lstm: "var(--accent)" };
const MATRICES = ["reach_states", "reach_inputs"], GROUPS = ["states", "gates", "from_inputs", "from_states"];

/** The 16-bit integers of a matrix of the answer. */
function unpack(matrix) {
  const bytes = decoded(matrix.b64);
  return { shape: matrix.shape, scale: matrix.scale, values: new Int16Array(bytes.buffer, 0, bytes.length / 2) };
}

async function read(model, text, trained, signal) {
  const answer = await ask("api/inside/read", { text, model, trained }, { signal });
  for (const name of MATRICES) answer[name] = unpack(answer[name]);
  for (const group of GROUPS) for (const [name, matrix] of Object.entries(answer[group])) answer[group][name] = unpack(matrix);
  return answer;
}

export async function mount(panel, state) {
  document.head.append(h("link", { rel: "stylesheet", href: "inside.css" }));
  const notice = h("p", { class: "notice", role: "alert", hidden: true });
  const input = h("input", { type: "text", id: "inside-text", maxlength: "200", autocomplete: "off", spellcheck: "false" });
  panel.append(
    h("header", {},
      h("h2", {}, "Inside a recurrent network"),
      h("p", {}, "A recurrent layer reads one letter at a time. All that it knows of the letters before is its state, a few dozen numbers. Three cells learned to guess the next letter from the same text; here they read yours.")),
    h("div", { class: "card stack" },
      h("label", { class: "field", for: "inside-text" }, "Your sentence", input),
      h("div", { class: "chips" }, EXAMPLES.map((text) => h("button", { class: "chip", type: "button", onclick: () => write(text) }, text)))),
    notice);

  let models;
  try {
    ({ models } = await ask("api/inside/models", {}));
  } catch (error) {
    return fail(error);
  }
  const names = Object.keys(CELLS).filter((name) => models.some((model) => model.cell === name));
  const modelOf = Object.fromEntries(names.map((name) => [name, models.find((model) => model.cell === name)]));
  const answers = { true: {}, false: {} };
  const chosen = { step: 0, unit: 0, line: "h", isPinned: false };

  const maps = new Maps(choose);
  const tabs = Object.fromEntries(names.map((name) => [name, h("button", { class: "segment", type: "button", onclick: () => showCell(name) }, CELLS[name].title)]));
  const trained = segments("Weights", [["after training", "true"], ["before training", "false"]], () => state.get("trained", "true"), (value) => { state.set({ trained: value === "true" ? null : value }); update(); });
  const order = segments("Units", [["slow first", "slow"], ["as stored", "stored"]], () => state.get("order", "slow"), (value) => { state.set({ order: value === "slow" ? null : value }); showCell(cell()); });
  const idea = h("p", { class: "muted idea" });
  const where = h("p", { class: "where figures", "aria-live": "off" });
  const unitText = h("p", { class: "letters" });
  const unitTitle = h("p", { class: "small muted" });
  const guesses = names.map((name) => new GuessCard(CELLS[name], COLOURS[name], choose));
  const reaches = names.map((name) => new ReachCard(CELLS[name], COLOURS[name], choose));
  const stage = h("div", { class: "stack inside-stage", hidden: true },
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h3", {}, "The equations, with the numbers of one unit at one letter"), h("div", { class: "segmented", role: "group", "aria-label": "Cell" }, Object.values(tabs))),
      idea,
      h("div", { class: "inside-columns" },
        h("div", { class: "inside-left" }, where, maps.equations, h("div", { class: "unit-over" }, unitTitle, unitText)),
        h("div", { class: "inside-right" },
          h("div", { class: "row spread" }, h("p", { class: "legend small muted" }, "−1 ", h("span", { class: "ramp" }), " 1 · gates 0 ", h("span", { class: "ramp gate" }), " 1"), order.element),
          maps.scroller,
          h("p", { class: "small muted" }, "A column is a letter, a row is a unit. Point at one: the equations show its numbers, and the marked line is where it comes from. Click to keep it; arrow keys move.")))),
    heading("Three cells guess the next letter", "The darker a letter, the more it surprised the cell, in bits. Point at a letter to see what each cell expects after it.", trained.element),
    h("div", { class: "three" }, guesses.map((card) => card.element)),
    heading("How far back does a guess reach?", h("span", {}, "Training changes what was written to the state long ago only as far as the gradient reaches. Point at a letter: the shades show how much of the gradient of the guess after it arrives at each earlier letter, four powers of ten from full to none. The curves show its size at the state, ", h("b", {}, "for this letter"), ", ", h("span", { class: "key mean" }, "on average"), " and ", h("span", { class: "key before" }, "on average before training"), ".")),
    h("div", { class: "three" }, reaches.map((card) => card.element)));
  panel.append(stage);

  function heading(title, text, control) {
    return h("div", { class: "section-head" }, h("div", {}, h("h3", {}, title), h("p", { class: "muted" }, text)), control);
  }

  const cell = () => (names.includes(state.get("cell")) ? state.get("cell") : names.includes("lstm") ? "lstm" : names[0]);
  const isTrained = () => state.get("trained", "true") === "true";

  /** Marks what the reader points at; a click keeps it until the next click, a key until it is clicked. */
  function choose({ step = chosen.step, unit = chosen.unit, line = chosen.line, pinned, byKey = false }) {
    if (!pinned && chosen.isPinned) return;
    if (pinned) chosen.isPinned = byKey || !(chosen.isPinned && step === chosen.step && unit === chosen.unit);
    Object.assign(chosen, { step, unit, line });
    mark();
    if (pinned) state.set({ step: chosen.isPinned ? step : null, unit: chosen.isPinned ? unit : null });
  }

  function mark() {
    const answer = answers[isTrained()][cell()];
    if (!answer) return;
    chosen.step = Math.min(chosen.step, answer.read.length - 1);
    chosen.unit = Math.min(chosen.unit, answer.states.h.shape[1] - 1);
    maps.mark(chosen.step, chosen.unit, chosen.line);
    for (const card of [...guesses, ...reaches]) card.mark(chosen.step);
    where.replaceChildren("Unit ", h("b", {}, String(chosen.unit)), ", after ", h("b", { class: "letter" }, letterOf(answer.read[chosen.step])),
      ", letter ", h("b", {}, String(chosen.step)), chosen.isPinned ? h("span", { class: "pin" }, "kept") : "");
    drawUnit(answer);
  }

  /** The sentence with each letter in the colour of the unit's state after it. */
  function drawUnit(answer) {
    const { values, shape, scale } = answer.states.h;
    if (unitText.childElementCount !== answer.read.length) unitText.replaceChildren(...answer.read.map(() => h("span")));
    answer.read.forEach((token, step) => {
      const value = values[step * shape[1] + chosen.unit] / scale, span = unitText.children[step];
      span.textContent = token === " " ? " " : letterOf(token);
      span.style.setProperty("--shade", Math.abs(value));
      span.className = step === chosen.step ? "at" : "";
      span.style.setProperty("--cell", value < 0 ? "var(--blue)" : "var(--warm)");
    });
    unitTitle.textContent = `The state of unit ${chosen.unit} after each letter:`;
  }

  function showCell(name) {
    if (name !== cell()) state.set({ cell: name === "lstm" ? null : name });
    for (const [each, button] of Object.entries(tabs)) button.setAttribute("aria-pressed", String(each === name));
    idea.textContent = CELLS[name].idea;
    order.refresh();
    trained.refresh();
    const answer = answers[isTrained()][name];
    if (!answer) return;
    if (!CELLS[name].lines.some(({ line }) => line === chosen.line)) chosen.line = "h";
    maps.show(CELLS[name], answer, { sorted: state.get("order", "slow") === "slow" });
    mark();
  }

  /** Shows all answers that there are for the weights that are chosen. */
  function update() {
    for (const [i, name] of names.entries()) {
      const answer = answers[isTrained()][name];
      if (!answer) continue;
      guesses[i].show(answer, isTrained() ? modelOf[name] : { ...modelOf[name], bits: null });
      reaches[i].show(answer);
      reaches[i].compare(isTrained() ? answers[false][name] : null);
    }
    showCell(cell());
  }

  const readAll = latest(async (text, signal) => {
    const done = busy(stage);
    notice.hidden = true;
    try {
      for (const weights of isTrained() ? [true, false] : [false, true]) {
        for (const name of [cell(), ...names.filter((each) => each !== cell())]) {
          const answer = await read(modelOf[name].name, text, weights, signal);
          if (answers.text !== text) Object.assign(answers, { text, true: {}, false: {} });
          answers[weights][name] = answer;
          if (!stage.hidden) continue;
          stage.hidden = false;
          showCell(cell());
        }
        if (weights === isTrained()) {
          if (!chosen.isPinned) chosen.step = Math.min(chosen.step || Math.round(text.length * 0.6), text.length);
          update();
          announce("The three cells have read the sentence.");
        }
      }
      update();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      fail(error);
    } finally {
      done();
    }
  });

  function fail(error) {
    notice.textContent = error.message;
    notice.hidden = false;
  }

  let waiting;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => write(input.value), 150);
  });

  function write(text) {
    if (input.value !== text) input.value = text;
    if (!text) return;
    chosen.isPinned = false;
    state.set({ text: text === EXAMPLE ? null : text, step: null, unit: null });
    readAll(text);
  }

  function fromAddress() {
    input.value = state.get("text", EXAMPLE);
    chosen.isPinned = state.get("step") !== null;
    chosen.step = state.index("step");
    chosen.unit = state.index("unit");
    readAll(input.value);
  }
  state.onchange(fromAddress);
  fromAddress();
  return undefined;
}

/** Buttons of which one is pressed. */
function segments(label, options, get, set) {
  const buttons = options.map(([text, value]) => h("button", { class: "segment", type: "button", dataset: { value }, onclick: () => { set(value); refresh(); } }, text));
  const refresh = () => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === get())));
  refresh();
  return { element: h("div", { class: "segmented", role: "group", "aria-label": label }, buttons), refresh };
}
