// What the page shows, in the address: #tab?name=value&... A link to it, and the way back, show the same.

function parse() {
  const [tab, ...query] = location.hash.slice(1).split("?"); // a text may have another question mark
  return { tab, values: new URLSearchParams(query.join("?")) };
}

const kept = new Map(); // the values of tabs that are not shown

/** The values of one tab. */
export class State {
  constructor(tab) {
    this.tab = tab;
    this.listeners = [];
  }

  /** The values, of the address if this tab is shown. */
  get values() {
    const { tab, values } = parse();
    if (tab === this.tab) kept.set(tab, values);
    return kept.get(this.tab) ?? new URLSearchParams();
  }

  /** The value of a name, a text; `otherwise` without one. */
  get(name, otherwise = null) {
    return this.values.get(name) ?? otherwise;
  }

  /** The whole number of a name, made to lie between 0 and `most`; 0 without one. */
  index(name, most = Infinity) {
    return Math.min(most, Math.max(0, Math.trunc(Number(this.get(name))) || 0));
  }

  /** Sets some values; null removes one. With `push` the way back leads to what was before. */
  set(changes, { push = false } = {}) {
    const values = new URLSearchParams(this.values);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") values.delete(name);
      else values.set(name, String(value));
    }
    kept.set(this.tab, values);
    if (parse().tab === this.tab) history[push ? "pushState" : "replaceState"](null, "", this.address);
  }

  /** The address of what this tab shows. */
  get address() {
    const query = (kept.get(this.tab) ?? "").toString();
    return `#${this.tab}${query ? `?${query}` : ""}`;
  }

  /** Calls `listener` when the address has changed by the way back, or by a link. */
  onchange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    this.listeners.forEach((listener) => listener());
  }
}

/** The tab that the address names. */
export function tabOfAddress() {
  return parse().tab;
}
