// The three cells: the lines of their equations, with the number that belongs under each term, and their heat maps.
//
// A number is that of one unit at one step. `v` gives it: x(line) = U x + b, s(line) = W s of the step before, gate(name),
// state(name), before(name).

const affine = (line, index) => [
  [`U_${index} x_t`, (v) => v.x(line)], "+", [`W_${index} s_{t−1}`, (v) => v.s(line)],
];

function gate(line, symbol, name, says) {
  return { line, symbol: `${symbol}_t`, name, says, terms: ["σ(", ...affine(line, symbol), ")"], value: (v) => v.gate(line) };
}

const OUTPUT = {
  line: "out", symbol: "o_t", name: "guess", says: "a probability for each letter that may follow", terms: ["softmax(", ["V s_t"], ")"],
};

export const CELLS = {
  simple_rnn: {
    title: "Simple RNN",
    idea: "One line: the state is a squashed sum of the letter and of the state before. The same W multiplies it at every step.",
    back: "Before training W is orthogonal, which keeps a gradient. To use its state the cell bends it by tanh and changes W, and with each step back the gradient is multiplied by both.",
    lines: [
      {
        line: "h", symbol: "s_t", name: "state", says: "all that it remembers of the letters so far",
        terms: ["tanh(", ["U x_t", (v) => v.x("h")], "+", ["W s_{t−1}", (v) => v.s("h")], ")"], value: (v) => v.state("h"),
      },
      OUTPUT,
    ],
    maps: [
      { part: "from_inputs", name: "h", line: "h", symbol: "U x_t", label: "what the letter adds", kind: "sum" },
      { part: "from_states", name: "h", line: "h", symbol: "W s_{t−1}", label: "what the state before adds", kind: "sum" },
      { part: "states", name: "h", line: "h", symbol: "s_t", label: "the state", kind: "state" },
    ],
  },
  gru: {
    title: "GRU",
    idea: "A gate u lets each unit keep its state as it is: u = 1 copies it to the next step, and the gradient back.",
    back: "Before training u is 0.5, so half of a gradient is lost at each step. Training opens the gate of the units that have to remember.",
    lines: [
      gate("u", "u", "update gate", "1 keeps the state, 0 replaces it"),
      gate("r", "r", "reset gate", "how much of the state the candidate sees"),
      {
        line: "g", symbol: "g_t", name: "candidate", says: "what would be new",
        terms: ["tanh(", ["U_g x_t", (v) => v.x("g")], "+", ["r_t", (v) => v.gate("r")], "·", ["W_g s_{t−1}", (v) => v.s("g")], ")"],
        value: (v) => v.gate("g"),
      },
      {
        line: "h", symbol: "s_t", name: "state", says: "a mixture of old and new",
        terms: [["u_t", (v) => v.gate("u")], ["s_{t−1}", (v) => v.before("h")], "+ (1 −", ["u_t", (v) => v.gate("u")], ")", ["g_t", (v) => v.gate("g")]],
        value: (v) => v.state("h"),
      },
      OUTPUT,
    ],
    maps: [
      { part: "gates", name: "u", line: "u", symbol: "u_t", label: "update gate", kind: "gate" },
      { part: "gates", name: "r", line: "r", symbol: "r_t", label: "reset gate", kind: "gate" },
      { part: "gates", name: "g", line: "g", symbol: "g_t", label: "candidate", kind: "state" },
      { part: "states", name: "h", line: "h", symbol: "s_t", label: "the state", kind: "state", large: true },
    ],
  },
  lstm: {
    title: "LSTM",
    idea: "A cell c beside the state: the gate f keeps it, i writes to it, q shows it. Where f = 1 nothing fades.",
    back: "Along the cell a gradient is multiplied by f alone: 0.73 before training, and close to 1 in the units that have learned to remember.",
    lines: [
      gate("i", "i", "input gate", "how much of the new is written"),
      gate("f", "f", "forget gate", "1 keeps the cell, 0 clears it"),
      {
        line: "g", symbol: "g_t", name: "candidate", says: "what would be written",
        terms: ["tanh(", ...affine("g", "g"), ")"], value: (v) => v.gate("g"),
      },
      gate("o", "q", "output gate", "how much of the cell shows; often called o"),
      {
        line: "c", symbol: "c_t", name: "cell", says: "the memory, a sum over time",
        terms: [["f_t", (v) => v.gate("f")], ["c_{t−1}", (v) => v.before("c")], "+", ["i_t", (v) => v.gate("i")], ["g_t", (v) => v.gate("g")]],
        value: (v) => v.state("c"),
      },
      {
        line: "h", symbol: "s_t", name: "state", says: "what of it shows",
        terms: [["q_t", (v) => v.gate("o")], "tanh(", ["c_t", (v) => v.state("c")], ")"], value: (v) => v.state("h"),
      },
      OUTPUT,
    ],
    maps: [
      { part: "gates", name: "i", line: "i", symbol: "i_t", label: "input gate", kind: "gate" },
      { part: "gates", name: "f", line: "f", symbol: "f_t", label: "forget gate", kind: "gate" },
      { part: "gates", name: "g", line: "g", symbol: "g_t", label: "candidate", kind: "state" },
      { part: "gates", name: "o", line: "o", symbol: "q_t", label: "output gate", kind: "gate" },
      { part: "states", name: "c", line: "c", symbol: "c_t", label: "the cell", kind: "cell", large: true },
      { part: "states", name: "h", line: "h", symbol: "s_t", label: "the state", kind: "state", large: true },
    ],
  },
};

/** The numbers of one unit at one step of an answer, as the terms ask for them. */
export function valuesAt(answer, step, unit) {
  const at = (matrix, t = step) => (t < 0 ? 0 : matrix.values[t * matrix.shape[1] + unit] / matrix.scale);
  return {
    x: (line) => at(answer.from_inputs[line]),
    s: (line) => at(answer.from_states[line]),
    gate: (name) => at(answer.gates[name]),
    state: (name) => at(answer.states[name]),
    before: (name) => at(answer.states[name], step - 1),
  };
}
