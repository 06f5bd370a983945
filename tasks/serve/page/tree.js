// A beam search as a tree: every beginning that it has kept, from left to right.

import { h, percent, roving, svg } from "./dom.js";

const ROW = 25, GAP = 26, LETTER = 7.4, MARGIN = 10;

/** Nodes of the server, in which tokens that only continue a word are one with the tokens before them. */
function merged(nodes) {
  const children = nodes.map(() => []);
  nodes.forEach((node, i) => { if (node.parent >= 0) children[node.parent].push(i); });
  const result = [], index = new Map();
  nodes.forEach((node, i) => {
    const parent = node.parent >= 0 ? nodes[node.parent] : null;
    const joins = parent && !node.begins_word && !node.is_end && children[node.parent].length === 1;
    if (joins) {
      const own = result[index.get(node.parent)];
      own.text += node.text;
      own.probability *= node.probability;
      own.ranks = node.ranks;
      index.set(i, index.get(node.parent));
      return;
    }
    index.set(i, result.length);
    const text = node.is_end ? "end" : node.begins_word || node.parent < 0 ? node.text : `·${node.text}`;
    result.push({ ...node, text, parent: node.parent < 0 ? -1 : index.get(node.parent), children: [] });
  });
  result.forEach((node, i) => { if (node.parent >= 0) result[node.parent].children.push(i); });
  return result;
}

/**
 * Draws a tree.
 *
 * nodes     of the server
 * all       whether beginnings that led to no result are shown too
 * onchoose  called with the rank of a result, and with the words up to the node that is clicked
 */
export function drawTree({ nodes, all, onchoose }) {
  const tree = merged(nodes).map((node) => ({ ...node, kept: node.ranks.length > 0 }));
  const shown = (i) => all || tree[i].kept;
  const best = (i) => tree[i].ranks.length ? Math.min(...tree[i].ranks) : 1000 - tree[i].log_prob;
  const depths = [], widths = [];
  tree.forEach((node, i) => {
    depths[i] = node.parent < 0 ? 0 : depths[node.parent] + 1;
    if (shown(i)) widths[depths[i]] = Math.max(widths[depths[i]] ?? 0, node.text.length * LETTER + 14, 44);
  });
  const xs = [];
  widths.reduce((x, width, depth) => { xs[depth] = x; return x + width + GAP; }, MARGIN);
  let leaves = 0;
  const ys = [];
  const lay = (i) => {
    const below = tree[i].children.filter(shown).sort((a, b) => best(a) - best(b));
    if (below.length === 0) ys[i] = MARGIN + ROW * (leaves++ + 0.5);
    else ys[i] = below.map(lay)[0];
    return ys[i];
  };
  tree.map((node, i) => i).filter((i) => tree[i].parent < 0 && shown(i)).sort((a, b) => best(a) - best(b)).forEach(lay);
  const height = ROW * leaves + 2 * MARGIN, width = (xs.at(-1) ?? 0) + (widths.at(-1) ?? 0) + MARGIN;
  const words = (i) => i < 0 ? [] : [...words(tree[i].parent), ...(tree[i].is_end ? [] : [tree[i].text])];
  const edges = [], groups = [];
  tree.forEach((node, i) => {
    if (!shown(i)) return;
    const x = xs[depths[i]], y = ys[i];
    if (node.parent >= 0) {
      const from = xs[depths[node.parent]] + tree[node.parent].text.length * LETTER + 10, of = ys[node.parent], middle = (from + x) / 2;
      edges.push(svg("path", {
        class: `edge${node.kept ? " kept" : ""}`, "data-ranks": node.ranks.join(" "), style: { "--share": node.probability.toFixed(3) },
        d: `M${from.toFixed(1)} ${of}C${middle.toFixed(1)} ${of} ${middle.toFixed(1)} ${y} ${x} ${y}`,
      }));
    }
    groups.push(svg("g", {
      class: `node${node.kept ? " kept" : ""}`, transform: `translate(${x} ${y})`, role: "button", tabindex: "-1", "data-ranks": node.ranks.join(" "), "data-index": i,
      "aria-label": `${[...words(node.parent), node.text].join(" ")}, ${percent(node.probability)}`,
    },
      svg("rect", { x: -4, y: -ROW / 2 + 1, width: node.text.length * LETTER + 16, height: ROW - 2, rx: 6 }),
      svg("text", { x: 3, y: 1 }, node.text),
      svg("text", { class: "p", x: 3, y: 11 }, percent(node.probability))));
  });
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "The beam as a tree" }, edges, groups);
  const light = (rank) => {
    for (const part of picture.querySelectorAll("[data-ranks]")) {
      part.classList.toggle("lit", rank !== null && part.dataset.ranks.split(" ").includes(String(rank)));
    }
  };
  const chosen = (event) => {
    const group = event.target.closest(".node");
    if (!group) return;
    const node = tree[Number(group.dataset.index)];
    onchoose?.(node.ranks[0] ?? null, words(Number(group.dataset.index)));
  };
  picture.addEventListener("click", chosen);
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    chosen(event);
  });
  picture.addEventListener("pointerover", (event) => {
    const ranks = event.target.closest(".node")?.dataset.ranks;
    if (ranks) light(Number(ranks.split(" ")[0]));
  });
  picture.addEventListener("pointerleave", () => light(null));
  roving(picture, ".node");
  return { element: h("div", { class: "tree" }, picture), light };
}

/** A card that draws the tree of the latest answer. */
export function treeCard({ onchoose, onbeam, beam }) {
  const place = h("div", {});
  const all = h("input", { type: "checkbox", onchange: () => draw() });
  const widths = h("select", { "aria-label": "Beam width", onchange: () => onbeam(widths.value) },
    ["", "1", "2", "4", "5", "8", "10"].map((value) => h("option", { value, selected: value === (beam ?? "") }, value ? `beam ${value}` : "usual beam")));
  const element = h("section", { class: "card" },
    h("div", { class: "head" },
      h("h3", {}, "The beam as a tree"),
      h("span", { class: "row small" }, h("label", { class: "check" }, all, "dropped beginnings too"), widths)),
    h("p", { class: "muted small" }, "Each column is a step of the search. Choose a word to write on from there."),
    place);
  let nodes = [], drawn = null;
  function draw() {
    drawn = nodes.length ? drawTree({ nodes, all: all.checked, onchoose }) : null;
    place.replaceChildren(drawn?.element ?? "");
  }
  return {
    element,
    show(given) { nodes = given; element.hidden = !given.length; draw(); },
    light(rank) { drawn?.light(rank); },
    set beam(value) { widths.value = value ?? ""; },
  };
}
