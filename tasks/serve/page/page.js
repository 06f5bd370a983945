// The page: a tab for each application, loaded when it is first shown.
//
// A tab is a module with `mount(panel, state)`, which is called once. `panel` is an empty element; `state` (state.js) has
// what the tab shows, in the address. What the server answers comes by `ask` and `events` of server.js.

import { announce, h, roving } from "./dom.js";
import { isStatic } from "./server.js";
import { State, tabOfAddress } from "./state.js";

const TABS = [
  { name: "captioner", title: "Captioner", load: () => import("./captioner.js"), isLocal: true },
  { name: "translator", title: "Translator", load: () => import("./translator.js") },
  { name: "recognizer", title: "Recognizer", load: () => import("./recognizer.js"), isLocal: true },
  { name: "language-model", title: "Language model", load: () => import("./language_model.js") },
  { name: "chain", title: "Chain", load: () => import("./chain.js") },
  { name: "inside", title: "Inside", load: () => import("./inside.js") },
].filter((tab) => tab.isLocal || !isStatic);

const bar = document.querySelector("[role=tablist]");
const main = document.querySelector("main");
main.replaceChildren();

for (const tab of TABS) {
  tab.state = new State(tab.name);
  tab.button = h("button", {
    role: "tab", id: `tab-${tab.name}`, "aria-controls": `panel-${tab.name}`, "aria-selected": "false",
    onclick: () => open(tab),
  }, tab.title);
  tab.panel = h("section", {
    role: "tabpanel", id: `panel-${tab.name}`, class: `panel ${tab.name}`, "aria-labelledby": `tab-${tab.name}`, hidden: true,
  });
  bar.append(tab.button);
  main.append(tab.panel);
}
roving(bar, "[role=tab]", { onmove: (button) => button.click() });

function open(tab) {
  if (tabOfAddress() !== tab.name) history.pushState(null, "", tab.state.address);
  show(tab);
}

async function show(tab) {
  for (const each of TABS) {
    each.panel.hidden = each !== tab;
    each.button.setAttribute("aria-selected", String(each === tab));
    each.button.tabIndex = each === tab ? 0 : -1;
  }
  document.title = `${tab.title} · Quatrain`;
  tab.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (tab.mounted) return;
  tab.mounted = true;
  try {
    (await tab.load()).mount(tab.panel, tab.state);
  } catch (error) {
    tab.panel.append(h("p", { class: "notice", role: "alert" }, `This tab cannot be shown: ${error.message}`));
    announce("This tab cannot be shown.");
  }
}

const tabOf = (name) => TABS.find((tab) => tab.name === name) ?? TABS[0];

addEventListener("popstate", () => {
  const tab = tabOf(tabOfAddress()), wasMounted = tab.mounted;
  show(tab);
  if (wasMounted) tab.state.changed();
});

document.querySelector(".skip").addEventListener("click", (event) => { // the address is the state's, not an anchor's
  event.preventDefault();
  main.focus();
});

const first = tabOf(tabOfAddress());
if (tabOfAddress() !== first.name) history.replaceState(null, "", first.state.address);
show(first);
