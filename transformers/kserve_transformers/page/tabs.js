// Tabs by the ARIA pattern: one of them is in the tab order, the arrow keys go on from it.

import { element } from "./dom.js";

// Makes a tab of each [name, text]; `onSelect(name)` shows what belongs to it. Returns the function that selects one.
export function makeTabs(list, entries, panelId, onSelect) {
  const tabs = entries.map(([name, text]) =>
    element("button", {
      type: "button",
      role: "tab",
      id: `${panelId(name)}-tab-${name}`,
      textContent: text,
      "aria-controls": panelId(name),
      onclick: () => select(name),
    }),
  );
  list.replaceChildren(...tabs);

  function select(name, focus = false) {
    tabs.forEach((tab, index) => {
      const chosen = entries[index][0] === name;
      tab.ariaSelected = String(chosen);
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) {
        document.getElementById(panelId(name))?.setAttribute("aria-labelledby", tab.id);
        tab.scrollIntoView({ block: "nearest", inline: "nearest" });
        if (focus) tab.focus();
      }
    });
    onSelect(name);
  }

  list.addEventListener("keydown", (event) => {
    const last = tabs.length - 1;
    const at = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at < last ? at + 1 : 0, ArrowLeft: at > 0 ? at - 1 : last, Home: 0, End: last }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    select(entries[next][0], true);
  });
  return select;
}
