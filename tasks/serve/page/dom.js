// Elements of HTML and SVG, built from their attributes and children.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in element && typeof value !== "string" && !(element instanceof SVGElement)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** h("button", { class: "word", onclick: choose }, "dog") */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replaces what `container` has; the focus stays on what is in the same place among its kind. */
export function redraw(container, ...children) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  const alike = () => [...container.querySelectorAll(`${focused.tagName}${focused.className && `.${focused.classList[0]}`}:enabled`)];
  const at = focused && alike().indexOf(focused);
  container.replaceChildren(...children);
  if (!focused) return;
  const now = alike();
  now[Math.min(at, now.length - 1)]?.focus({ preventScroll: true });
}

/** Says a sentence to a screen reader. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** Lets the arrow keys, Home and End move the focus among the elements of `selector` within `container`; the tab key
 *  reaches the one that was focused last. Call it again after the elements have changed. */
export function roving(container, selector, { onmove } = {}) {
  const items = () => [...container.querySelectorAll(selector)];
  const settle = (current) => items().forEach((item) => { item.tabIndex = item === current ? 0 : -1; });
  const all = items();
  if (all.length && !all.includes(document.activeElement)) settle(all.find((item) => item.tabIndex === 0) ?? all[0]);
  if (container.dataset.roving) return;
  container.dataset.roving = selector;
  container.addEventListener("focusin", ({ target }) => { const item = target.closest(selector); if (item) settle(item); });
  container.addEventListener("keydown", (event) => {
    const present = items(), at = present.indexOf(event.target.closest(selector));
    const moves = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: present.length - 1 };
    const to = present[moves[event.key]];
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    to?.focus();
    if (to) onmove?.(to);
  });
}

const working = new WeakMap();

/** Shows that an element is being computed, until the function that is returned is called; several may do so at once. */
export function busy(element) {
  const change = (by) => {
    working.set(element, (working.get(element) ?? 0) + by);
    element.classList.toggle("busy", working.get(element) > 0);
  };
  change(1);
  return () => change(-1);
}

/** 0.4231 -> "42 %", and small ones with as many digits as they need. */
export function percent(value) {
  const hundred = 100 * value;
  return hundred >= 9.95 || hundred === 0 ? `${hundred.toFixed(0)} %` : hundred >= 0.095 ? `${hundred.toFixed(1)} %` : "< 0.1 %";
}

/** A figure beside its name: a bar of a probability. */
export function bar(value, most = 1) {
  return h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { "--size": String(Math.min(1, value / most)) } }));
}
