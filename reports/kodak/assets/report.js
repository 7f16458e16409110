/* What both pages share: data out of the HTML, numbers as text, panels that pickers show and hide. */
"use strict";

const rdbench = {
  data(id) {
    return rdbench.bare(JSON.parse(document.getElementById(id).textContent));
  },

  /** The same with objects that inherit nothing: an image may be called "constructor" or "__proto__". */
  bare(value) {
    if (Array.isArray(value)) return value.some((item) => item !== null && typeof item === "object") ? value.map((item) => rdbench.bare(item)) : value;
    if (value === null || typeof value !== "object") return value;
    return rdbench.table(Object.entries(value).map(([key, item]) => [key, rdbench.bare(item)]));
  },

  /** [key, value] pairs as an object that inherits nothing. */
  table(entries) {
    const found = Object.create(null);
    for (const [key, item] of entries) found[key] = item;
    return found;
  },

  /** The address of a relative path, whose names may have a # or a ? in them. */
  href(path) {
    return path.split("/").map(encodeURIComponent).join("/");
  },

  /** An element with attributes and children; text is never read as HTML. */
  element(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  /** Fills a select with [value, text, group?]; keeps the present choice where it is still offered. Groups come last. */
  fill(select, options, preferred) {
    const before = select.value;
    const groups = new Map([["", []]]);
    for (const [value, text, group = ""] of options) groups.set(group, [...(groups.get(group) ?? []), rdbench.element("option", { value }, text)]);
    select.replaceChildren(...[...groups].flatMap(([name, list]) => (name ? [rdbench.element("optgroup", { label: name }, ...list)] : list)));
    const values = options.map(([value]) => String(value));
    const wanted = [before, String(preferred)].find((value) => values.includes(value));
    if (wanted !== undefined) select.value = wanted;
  },

  number(value, digits) {
    if (value === null || value === undefined) return "–";
    if (value === "inf" || value === Infinity) return "∞";
    return value.toFixed(digits).replace("-", "−");
  },

  bytes(count) {
    return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  },

  recordsLink(filters) {
    return "records.html#" + Object.entries(filters)
      .filter(([, value]) => value)
      .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
      .join("&");
  },

  /** A colour of report.css as the present scheme has it. */
  colour(name) {
    const probe = rdbench.element("i", { hidden: "", style: `color: var(--${name})` });
    document.body.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  },

  dark() {
    return (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  },

  /** Calls `draw` whenever the page turns light or dark, and for paper, which is always light. */
  onTheme(draw) {
    rdbench.themed.push(draw);
  },
  themed: [],
  setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    rdbench.themed.forEach((draw) => draw());
  },
  /** The other scheme, kept for all pages where the browser lets files keep anything. */
  turnTheme() {
    const theme = rdbench.dark() ? "light" : "dark";
    try {
      localStorage.setItem("rdbench-theme", theme);
    } catch {
      /* a browser that keeps nothing for files */
    }
    rdbench.setTheme(theme);
  },
};

(() => {
  try {
    const kept = localStorage.getItem("rdbench-theme");
    if (kept === "light" || kept === "dark") rdbench.setTheme(kept);
  } catch {
    /* as above */
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => rdbench.themed.forEach((draw) => draw()));
  let before;
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    rdbench.setTheme("light");
  });
  addEventListener("afterprint", () => rdbench.setTheme(before));
  document.querySelector("[data-turn-theme]")?.addEventListener("click", rdbench.turnTheme);
})();

/** Shows of every group of panels only those whose data attributes equal the group's selects. */
(() => {
  const apply = (group) => {
    const selects = [...document.querySelectorAll(`select[data-switch="${group}"]`)];
    let shown = 0;
    for (const panel of document.querySelectorAll(`[data-panel="${group}"]`)) {
      panel.hidden = !selects.every((select) => !(select.name in panel.dataset) || panel.dataset[select.name] === select.value);
      shown += panel.hidden ? 0 : 1;
    }
    const empty = document.querySelector(`[data-empty="${group}"]`);
    if (empty) empty.hidden = shown > 0;
  };
  const groups = new Set([...document.querySelectorAll("select[data-switch]")].map((select) => select.dataset.switch));
  for (const group of groups) {
    apply(group);
    for (const select of document.querySelectorAll(`select[data-switch="${group}"]`)) {
      select.addEventListener("change", () => apply(group));
    }
  }
  rdbench.showPanel = (panel) => {
    for (const select of document.querySelectorAll(`select[data-switch="${panel.dataset.panel}"]`)) {
      if (select.name in panel.dataset) select.value = panel.dataset[select.name];
    }
    apply(panel.dataset.panel);
  };
})();

/** Single keys and the list of them behind `?`. keys: [key, what it does, action]; the list is made from them. */
rdbench.keys = (keys) => {
  const help = document.getElementById("help");
  const all = [...keys, ["?", "this list", () => (help.open ? help.close() : help.showModal())]];
  const entry = ([key, meaning]) => [rdbench.element("dt", {}, rdbench.element("kbd", {}, key)), rdbench.element("dd", {}, meaning)];
  document.getElementById("keys").replaceChildren(...all.flatMap(entry));
  document.querySelector("[data-help]").addEventListener("click", () => help.showModal());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (!document.getElementById("single-keys").checked && event.key !== "?") return;
    const [, , act] = all.find(([key]) => key === event.key || (key === "+" && event.key === "=")) ?? [];
    if (!act) return;
    act();
    event.preventDefault();
  });
};
