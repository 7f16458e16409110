/* What both pages share: data out of the HTML, numbers as text, panels that pickers show and hide. */
"use strict";

const rdbench = {
  data(id) {
    return JSON.parse(document.getElementById(id).textContent);
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

  /** Fills a select with [value, text] pairs; keeps the present choice where it is still offered. */
  fill(select, options, preferred) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => rdbench.element("option", { value }, text)));
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

  colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  },
};

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
  addEventListener("beforeprint", () => document.querySelectorAll("section > details, [data-panel] > details").forEach((details) => (details.open = true)));
})();
