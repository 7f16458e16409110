/* The rate-distortion plot and its legend of checkboxes. */
"use strict";

(() => {
  const { page, get, on, set, show, visible, table, metric } = rdbench.explorer;
  const target = document.getElementById("plot");

  const colourOf = (look) => (rdbench.dark() ? look.dark : look.colour);

  const unit = () => (metric().unit ? ` ${metric().unit}` : "");
  const plural = (n) => `${n} image${n === 1 ? "" : "s"}`;
  /* plotly reads a little HTML in its texts */
  const escapeText = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /** What is drawn of one codec: {points, bpp, value, notes}; points are null along a curve between them. */
  const curveOf = (codec) => {
    if (get("average") === "rate") {
      const { bpp, value, n } = rdbench.bd.atEqualRates(table(codec));
      return { points: bpp.map(() => null), bpp, value, notes: bpp.map(() => `mean of ${plural(n)} at this rate`) };
    }
    const image = get("average") === "image";
    const curve = image ? rdbench.bd.imageCurve(table(codec), get("image")) : rdbench.bd.averaged(table(codec));
    const kept = curve.points.map((_, index) => index).filter((index) => Number.isFinite(curve.value[index]));
    const take = (list) => kept.map((index) => list[index]);
    const notes = image ? kept.map(() => get("image")) : take(curve.n).map((n) => `mean of ${plural(n)}`);
    return { points: take(curve.points), bpp: take(curve.bpp), value: take(curve.value), notes };
  };

  const measuredTrace = (name) => {
    const look = page.looks[name];
    const curve = curveOf(name);
    const colour = colourOf(look);
    const along = curve.points[0] === null;
    /* A curve through equal rates has no operating points: its marker stands at every twelfth sample, to tell it apart. */
    const sizes = curve.points.map((point, index) => (point !== null || index % 12 === 6 ? 7 : 0));
    return {
      type: "scatter",
      mode: "lines+markers",
      name: look.label,
      meta: name,
      x: curve.bpp,
      y: curve.value,
      customdata: curve.points.map((point, index) => [name, point, curve.notes[index], point ? ` ${point}` : ""]),
      line: { color: colour, width: 1.8, dash: look.dash },
      marker: { color: colour, symbol: look.marker, size: along ? sizes : 7 },
      hovertemplate: `<b>${escapeText(look.label)}</b>%{customdata[3]}<br>%{x:.4f} bpp, %{y:.3f}${unit()}<br>%{customdata[2]}<extra></extra>`,
    };
  };
  const claimedTrace = (curve) => {
    const look = page.looks[curve.name];
    const values = curve.metrics[metric().key];
    return {
      type: "scatter",
      mode: "lines",
      name: look.label,
      meta: curve.name,
      x: values.bpp,
      y: values.value,
      line: { color: colourOf(look), width: 1.5, dash: look.dash === "solid" ? "6px,3px" : look.dash },
      hovertemplate: `<b>${escapeText(look.label)}</b> (published)<br>%{x:.4f} bpp, %{y:.3f}${unit()}<br>${escapeText(curve.source)}<extra></extra>`,
    };
  };
  /* Rings around the bitstreams whose pictures are compared below. */
  const rings = () => {
    if (get("average") !== "image") return [];
    const shown = rdbench.viewer?.shown().filter(({ facts, codec }) => facts?.point && visible(codec)) ?? [];
    return shown.flatMap(({ codec, facts }) => {
      const curve = curveOf(codec);
      const at = curve.points.indexOf(facts.point);
      if (at < 0) return [];
      const marker = { symbol: "circle-open", size: 17, color: rdbench.colour("text"), line: { width: 1.6 } };
      return [{ type: "scatter", mode: "markers", x: [curve.bpp[at]], y: [curve.value[at]], marker, hoverinfo: "skip" }];
    });
  };

  const here = () => rdbench.explorer.measured(get("dataset")).filter((name) => table(name).images.length);
  const claimedHere = () => page.claimed[get("dataset")].filter((curve) => curve.metrics[metric().key]);
  const traces = () => [
    ...(get("average") === "image" ? [] : claimedHere().filter(({ name }) => visible(name)).map(claimedTrace)),
    ...here().filter(visible).map(measuredTrace).filter((trace) => trace.x.length),
    ...rings(),
  ];

  /* Ticks at 1, 2, 5 of each decade, as in the printed figures. */
  const rateAxis = (drawn) => {
    const logarithmic = get("scale") === "log";
    const axis = { title: { text: "Rate [bit/pixel]" }, type: logarithmic ? "log" : "linear", rangemode: "normal" };
    if (!logarithmic) return axis;
    const rates = drawn.flatMap((trace) => trace.x);
    const ticks = [];
    for (let decade = -4; decade <= 2; decade++) for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** decade);
    const within = ticks.filter((tick) => rates.some((rate) => rate >= tick / 2.6) && rates.some((rate) => rate <= tick * 2.6));
    return { ...axis, tickvals: within, ticktext: within.map((tick) => String(+tick.toPrecision(1))) };
  };
  const axisLook = () => ({
    gridcolor: rdbench.colour("grid"),
    linecolor: rdbench.colour("muted"),
    tickcolor: rdbench.colour("muted"),
    ticks: "outside",
    ticklen: 4,
    zeroline: false,
    automargin: true,
  });
  const layout = (drawn) => ({
    margin: { l: 56, r: 12, t: 8, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: rdbench.colour("text") },
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: rdbench.colour("muted"), activecolor: rdbench.colour("text") },
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: rdbench.colour("ground"), font: { color: rdbench.colour("text"), size: 13 } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: { ...axisLook(), ...rateAxis(drawn) },
    yaxis: { ...axisLook(), title: { text: `${metric().label}${metric().unit ? ` [${metric().unit}]` : ""}` } },
  });
  const settings = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
    toImageButtonOptions: { format: "svg", filename: "rd" },
  };

  const NOTES = {
    point: "Rate and quality averaged over images at each operating point.",
    rate: "Mean over images of each image's own curve (PCHIP over log rate) at equal rates, where all images have one.",
    image: "One image: every point is a bitstream. Rings mark the pictures compared below.",
  };
  const draw = () => {
    const drawn = traces();
    Plotly.react(target, drawn, layout(drawn), settings);
    const claimed = get("average") !== "image" && claimedHere().some(({ name }) => visible(name));
    document.getElementById("plot-note").textContent = NOTES[get("average")] + (claimed ? " Dashed curves were published by others and measured with their tools; no BD-rate here uses them." : "");
    drawLegend();
  };

  const swatch = (look, claimed) => {
    const svg = (name, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const colour = colourOf(look);
    const picture = svg("svg", { width: 30, height: 10, viewBox: "-15 -5 30 10", "aria-hidden": "true" });
    const dashes = look.dash === "solid" ? (claimed ? "6 3" : "") : look.dash.replaceAll("px", "");
    picture.append(svg("line", { x1: -15, x2: 15, y1: 0, y2: 0, stroke: colour, "stroke-width": 1.8, "stroke-dasharray": dashes }));
    if (claimed) return picture;
    const open = look.marker.endsWith("-open");
    const fill = open ? rdbench.colour("ground") : colour;
    picture.append(svg("path", { d: page.marks[look.marker.replace("-open", "")], fill, stroke: colour, "stroke-width": open ? 1.2 : 0 }));
    return picture;
  };
  const entry = (name, claimed) => {
    const box = rdbench.element("input", { type: "checkbox", value: name });
    box.checked = visible(name);
    box.addEventListener("change", () => show([name], box.checked));
    return rdbench.element("label", { class: box.checked ? "" : "off", "data-codec": name }, box, swatch(page.looks[name], claimed), page.looks[name].label);
  };
  const group = (title, entries) =>
    rdbench.element("fieldset", {}, rdbench.element("legend", {}, title), rdbench.element("div", { class: "curves" }, ...entries));
  const drawLegend = () => {
    const legend = document.getElementById("legend");
    const held = document.activeElement && legend.contains(document.activeElement) ? document.activeElement.value : null;
    const scroll = legend.scrollTop;
    const open = [...legend.querySelectorAll("details")].some((details) => details.open);
    const of = (role) => here().filter((name) => page.codecs.find((codec) => codec.name === name).role === role);
    const tool = (text, act) => {
      const button = rdbench.element("button", { type: "button", value: text }, text);
      button.addEventListener("click", act);
      return button;
    };
    const parts = [group("Measured", of("codec").map((name) => entry(name, false)))];
    if (of("validation").length) parts.push(group("Measured, published settings", of("validation").map((name) => entry(name, false))));
    const only = (codecs) => set({ on: codecs.join(","), off: here().filter((name) => !codecs.includes(name)).join(",") });
    const presets = page.presets.map(({ title, codecs }) => tool(title.toLowerCase(), () => only(codecs.filter((name) => here().includes(name)))));
    const tools = [...presets, tool("none", () => show(here(), false)), tool("reset", () => set({ on: "", off: "" }))];
    parts.unshift(rdbench.element("div", { class: "tools" }, ...tools));
    const claimed = get("average") === "image" ? [] : claimedHere();
    const usual = claimed.filter((curve) => curve.on.includes(metric().key));
    if (usual.length) parts.push(group("Published elsewhere", usual.map(({ name }) => entry(name, true))));
    const others = claimed.filter((curve) => !usual.includes(curve));
    if (others.length) {
      const details = rdbench.element("details", {}, rdbench.element("summary", {}, `${usual.length ? "More published" : "Published"} curves (${others.length})`));
      details.open = open;
      for (const source of new Set(others.map((curve) => curve.source))) {
        const own = others.filter((curve) => curve.source === source);
        const link = rdbench.element("a", { href: own[0].url }, source);
        details.append(rdbench.element("p", { class: "source" }, link, `, ${own[0].licence}`));
        details.append(rdbench.element("div", { class: "curves" }, ...own.map(({ name }) => entry(name, true))));
      }
      parts.push(details);
    }
    legend.replaceChildren(...parts);
    legend.scrollTop = scroll;
    if (held !== null) [...legend.querySelectorAll("input, button")].find((item) => item.value === held)?.focus();
  };

  const tellPicked = (event) => {
    const [codec, name, note] = event.points[0].customdata ?? [];
    if (!codec) return;
    const { x, y } = event.points[0];
    const filters = { dataset: get("dataset"), codec, point: name, image: get("average") === "image" ? get("image") : null };
    const text = `${page.looks[codec].label}${name ? ` ${name}` : ""}, ${note}: ${rdbench.number(x, 4)} bpp, ${rdbench.number(y, 3)}${unit()}. `;
    document.getElementById("plot-picked").replaceChildren(text, rdbench.element("a", { href: rdbench.recordsLink(filters) }, "Records"));
  };

  /* The curve of the legend's entry, or of the row of BD-rates, under the mouse or the keyboard stands out. */
  let held;
  const hold = (event) => {
    const name = event.target.closest?.("#legend label, #bd tbody tr")?.dataset.codec;
    if (name === held || !target.data) return;
    held = name;
    const drawn = target.data.map((trace) => trace.meta);
    Plotly.restyle(target, { opacity: drawn.map((one) => (!drawn.includes(name) || one === name ? 1 : 0.15)) });
  };
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, hold);

  let listening = false;
  on(["dataset", "metric", "average", "scale", "on", "off", "image", "rate", "a", "b", "c"], (changed) => {
    const alone = [...changed].every((key) => ["image", "rate", "a", "b", "c"].includes(key));
    if (alone && get("average") !== "image") return;
    draw();
    if (!listening) target.on("plotly_click", tellPicked);
    listening = true;
  });
  rdbench.onTheme(draw);
  /* Paper has a width of its own, which plotly does not learn of. */
  addEventListener("beforeprint", () => Plotly.relayout(target, { width: 680, height: 470 }));
  addEventListener("afterprint", () => Plotly.relayout(target, { width: null, height: null, autosize: true }));
})();
