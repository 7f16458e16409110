/* The report's first screen: which curves are in colour, the table's order, folded parts that links open, keys. */
"use strict";

(() => {
  const headline = document.querySelector(".headline");
  if (!headline) return;
  const curves = [...headline.querySelectorAll(".curve")];
  const buttons = [...headline.querySelectorAll("[data-preset]")];
  const rows = () => [...headline.querySelectorAll("tbody tr")];
  const narrow = matchMedia("(max-width: 48rem)");
  let chosen = new Set(curves.filter((curve) => curve.classList.contains("chosen")).map((curve) => curve.dataset.codec));

  /** The labels of the chosen curves apart from each other, near the ends of their curves. */
  const placeLabels = () => {
    const gap = narrow.matches ? 20 : 14; // between two labels; the latter is that of bench/report/sketch.py
    const tags = curves.filter((curve) => chosen.has(curve.dataset.codec)).map((curve) => curve.querySelector(".tag")).filter(Boolean);
    tags.sort((p, q) => p.dataset.y - q.dataset.y);
    const places = [];
    for (const tag of tags) places.push(places.length ? Math.max(Number(tag.dataset.y), places.at(-1) + gap) : Math.max(Number(tag.dataset.y), 10));
    let limit = headline.querySelector(".sketch").viewBox.baseVal.height - 6;
    for (let at = places.length - 1; at >= 0; at--) limit = (places[at] = Math.min(places[at], limit)) - gap;
    tags.forEach((tag, at) => {
      const text = tag.querySelector("text");
      text.dataset.full ??= text.textContent;
      text.textContent = narrow.matches ? text.dataset.plain : text.dataset.full;
      text.setAttribute("y", places[at] + 4);
      tag.querySelector("path").setAttribute("d", `M${Number(tag.dataset.x) + 5} ${tag.dataset.y}L${text.getAttribute("x") - 3} ${places[at]}`);
    });
  };

  const show = (codecs) => {
    chosen = new Set(codecs);
    for (const curve of curves) curve.classList.toggle("chosen", chosen.has(curve.dataset.codec));
    for (const curve of curves.filter((it) => chosen.has(it.dataset.codec))) curve.parentNode.append(curve); // on top
    for (const row of rows()) {
      row.classList.toggle("chosen", chosen.has(row.dataset.codec));
      row.querySelector(".swatch").setAttribute("aria-pressed", String(chosen.has(row.dataset.codec)));
    }
    let preset = "";
    for (const button of buttons) {
      const own = button.dataset.preset.split(" ");
      const same = own.length === chosen.size && own.every((codec) => chosen.has(codec));
      button.setAttribute("aria-pressed", String(same));
      if (same) preset = `${button.textContent}: `;
    }
    document.getElementById("chosen").textContent = `${preset}${chosen.size} of ${curves.length} curves in colour. A row's line in the table adds or removes its curve.`;
    placeLabels();
  };
  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.preset.split(" ")));
  for (const row of rows()) {
    row.querySelector(".swatch").addEventListener("click", () => {
      const codec = row.dataset.codec;
      show(chosen.has(codec) ? [...chosen].filter((it) => it !== codec) : [...chosen, codec]);
    });
  }
  show(chosen);
  narrow.addEventListener("change", placeLabels);

  /* A row and its curve stand out together under the mouse and the keyboard. */
  const hold = (event) => {
    const codec = event.target.closest?.("[data-codec]")?.dataset.codec;
    headline.classList.toggle("held", Boolean(codec));
    for (const part of headline.querySelectorAll("[data-codec]")) part.classList.toggle("on", part.dataset.codec === codec);
  };
  for (const kind of ["mouseover", "focusin", "mouseleave", "focusout"]) headline.addEventListener(kind, hold);

  /* A column of BD-rates sorts the table; the first order is that of the mean ranks. */
  const heads = [...headline.querySelectorAll("th[aria-sort]")];
  for (const head of heads) {
    const column = [...head.parentNode.children].indexOf(head);
    const button = rdbench.element("button", { type: "button", title: "Sort by this column" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const value = (row) => Number(row.children[column].dataset.value ?? Infinity);
      for (const other of heads) other.setAttribute("aria-sort", other === head ? "ascending" : "none");
      headline.querySelector("tbody").append(...rows().sort((p, q) => value(p) - value(q)));
    });
  }
})();

/** A link to a claim, a figure or a table opens what it is folded into. */
(() => {
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const panel = target.closest("[data-panel]");
    if (panel?.hidden) rdbench.showPanel(panel);
    for (let it = target; it; it = it.parentElement?.closest("details")) if (it.tagName === "DETAILS") it.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
  for (const button of document.querySelectorAll("[data-unfold]")) {
    button.addEventListener("click", () => {
      const all = [...button.closest("[data-panel]").querySelectorAll("details.claim")];
      const wanted = !all.every((details) => details.open);
      all.forEach((details) => (details.open = wanted));
      button.textContent = wanted ? "Fold all" : "Unfold all";
    });
  }
})();

(() => {
  const go = (id) => () => (location.hash = id);
  const presets = [...document.querySelectorAll("[data-preset]")];
  rdbench.keys([
    ["r", "result", go("overview")],
    ["c", "curves", go("curves")],
    ["p", "pictures", go("pictures")],
    ["l", "claims", go("claims")],
    ["s", "speed and cost", go("cost")],
    ["e", "explorer", () => (location.href = "explore.html")],
    ...presets.map((button, index) => [String(index + 1), `plot: ${button.textContent.trim().toLowerCase()}`, () => button.click()]),
    ["d", "dark or light", rdbench.turnTheme],
  ]);
})();
