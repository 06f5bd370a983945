// Letters, symbols and numbers as the tab Inside writes them.

import { h } from "./dom.js";

/** A token as one sign: a space is visible, and so is the end of a line. */
export function letterOf(token) {
  if (token === " ") return "␣";
  if (token === "</s>") return "⏎";
  return /^<0x[0-9A-F]{2}>$/.test(token) ? token.slice(3, 5).toLowerCase() : token;
}

/** The same for a screen reader. */
export function spoken(token) {
  return { " ": "a space", "</s>": "the end of a line" }[token] ?? token;
}

/** 0.4231 -> "0.42", with a true minus sign. */
export function signed(value) {
  const text = value.toFixed(2);
  return text.replace("-", "−").replace("−0.00", "0.00");
}

/** "W_f s_{t−1}" -> elements, with variables in italics and indices below. */
export function math(text) {
  return text.split(" ").map((symbol) => {
    const [, base, index] = symbol.match(/^([^_]+)(?:_\{?([^}]*)\}?)?$/);
    return h("span", { class: "nowrap" }, h("var", { class: /[A-Z]/.test(base) ? "matrix" : "" }, base), index && h("sub", {}, index));
  });
}

/** 10^exponent as a person writes it. */
export function power(exponent) {
  if (exponent >= 1.95) return `${Math.round(10 ** exponent).toLocaleString("en")}`;
  if (exponent >= -2) return (10 ** exponent).toPrecision(2).replace(/\.?0+$/, "");
  return `10${String(Math.round(exponent)).replace("-", "−").replace(/[−\d]/g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻")}`;
}
