/* The rate-distortion plots: averaged over a dataset, and of one image. One legend of checkboxes serves both. */
"use strict";

rdbench.plots = (() => {
  const target = document.getElementById("plot");
  if (!target) return null;
  const page = rdbench.data("page-data");
  const select = (name) => document.querySelector(`select[data-switch="plot"][name="${name}"]`);
  const chosen = new Map(); // what the reader switched on or off; all else is as the run and figures.yaml have it
  const measuredVisible = (codec) => chosen.get(codec.name) ?? codec.role === "codec";
  const claimedVisible = (curve) => chosen.get(curve.name) ?? curve.on.includes(metric().key);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  /* Colours are shared with the printed figures. On a dark page their lightness (in OKLab) is turned round, which keeps
     hues and tells apart what was told apart by lightness. */
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const gamma = (c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);
  const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, factor, index) => sum + factor * vector[index], 0));
  const TO_LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]];
  const TO_LAB = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]];
  const FROM_LAB = [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]];
  const FROM_LMS = [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965], [-0.0041960863, -0.7034186147, 1.707614701]];
  const legible = (colour) => {
    if (!dark.matches) return colour;
    const rgb = [1, 3, 5].map((at) => linear(parseInt(colour.slice(at, at + 2), 16) / 255));
    const [l, a, b] = times(TO_LAB, times(TO_LMS, rgb).map(Math.cbrt));
    const light = times(FROM_LMS, times(FROM_LAB, [1.04 - 0.55 * l, a, b]).map((c) => c ** 3));
    return `rgb(${light.map((c) => Math.round(255 * gamma(Math.min(1, Math.max(0, c))))).join(",")})`;
  };

  const metric = () => page.metrics.find((entry) => entry.key === select("metric").value);
  const logarithmic = () => select("scale").value === "log";
  const unit = (entry) => (entry.unit ? ` ${entry.unit}` : "");

  /* Ticks at 1, 2, 5 of each decade, as in the printed figures. */
  const rateAxis = (traces) => {
    const axis = { title: { text: "Rate [bit/pixel]" }, type: logarithmic() ? "log" : "linear", rangemode: "normal" };
    if (!logarithmic()) return axis;
    const rates = traces.flatMap((trace) => trace.x);
    const ticks = [];
    for (let decade = -4; decade <= 2; decade++) for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** decade);
    const within = ticks.filter((tick) => rates.some((rate) => rate >= tick / 2.6) && rates.some((rate) => rate <= tick * 2.6));
    return { ...axis, tickvals: within, ticktext: within.map((tick) => String(+tick.toPrecision(1))) };
  };

  const layout = (traces) => ({
    margin: { l: 56, r: 12, t: 8, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: rdbench.colour("text") },
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: rdbench.colour("muted"), activecolor: rdbench.colour("text") },
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: rdbench.colour("ground"), font: { color: rdbench.colour("text"), size: 13 } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: { ...axisLook(), ...rateAxis(traces) },
    yaxis: { ...axisLook(), title: { text: `${metric().label}${metric().unit ? ` [${metric().unit}]` : ""}` } },
  });
  const axisLook = () => ({
    gridcolor: rdbench.colour("grid"),
    linecolor: rdbench.colour("muted"),
    tickcolor: rdbench.colour("muted"),
    ticks: "outside",
    ticklen: 4,
    zeroline: false,
    automargin: true,
  });
  const settings = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };

  const measuredTrace = (name, points, rates, values, notes) => {
    const look = page.looks[name];
    const colour = legible(look.colour);
    return {
      type: "scatter",
      mode: "lines+markers",
      name: look.label,
      x: rates,
      y: values,
      customdata: points.map((point, index) => [name, point, notes[index]]),
      line: { color: colour, width: 1.8, dash: look.dash },
      marker: { color: colour, symbol: look.marker, size: 7 },
      hovertemplate: `<b>${escapeText(look.label)}</b> %{customdata[1]}<br>%{x:.4f} bpp, %{y:.3f}${unit(metric())}<br>%{customdata[2]}<extra></extra>`,
    };
  };
  const claimedTrace = (curve, values) => {
    const look = page.looks[curve.name];
    return {
      type: "scatter",
      mode: "lines",
      name: look.label,
      x: values.bpp,
      y: values.value,
      line: { color: legible(look.colour), width: 1.5, dash: look.dash === "solid" ? "6px,3px" : look.dash },
      hovertemplate: `<b>${escapeText(look.label)}</b> (claimed)<br>%{x:.4f} bpp, %{y:.3f}${unit(metric())}<br>${escapeText(curve.source)}<extra></extra>`,
    };
  };
  /* plotly reads a little HTML in its texts */
  const escapeText = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const plural = (n) => `${n} image${n === 1 ? "" : "s"}`;

  const averagedTraces = () => {
    const dataset = select("dataset").value;
    const traces = [];
    for (const curve of page.claimed[dataset]) {
      const values = curve.metrics[metric().key];
      if (values && claimedVisible(curve)) traces.push(claimedTrace(curve, values));
    }
    for (const codec of page.codecs) {
      const { name } = codec;
      const curve = page.averaged[dataset][name][metric().key];
      if (!curve.point.length || !measuredVisible(codec)) continue;
      traces.push(measuredTrace(name, curve.point, curve.bpp, curve.value, curve.n.map((n) => `mean of ${plural(n)}`)));
    }
    return traces;
  };

  const draw = () => {
    const traces = averagedTraces();
    Plotly.react(target, traces, layout(traces), settings);
    drawLegend();
    drawImage();
  };

  /* The legend */
  const MARKS = {
    circle: "M0-3.4a3.4 3.4 0 1 0 .01 0Z",
    square: "M-3-3H3V3H-3Z",
    "triangle-up": "M0-3.8 3.6 2.8H-3.6Z",
    "triangle-down": "M0 3.8 3.6-2.8H-3.6Z",
    "triangle-left": "M-3.8 0 2.8-3.6V3.6Z",
    "triangle-right": "M3.8 0-2.8-3.6V3.6Z",
    diamond: "M0-4 4 0 0 4-4 0Z",
    cross: "M-1.2-3.6H1.2V-1.2H3.6V1.2H1.2V3.6H-1.2V1.2H-3.6V-1.2H-1.2Z",
    x: "M-3.4-1.8-1.8-3.4 0-1.6 1.8-3.4 3.4-1.8 1.6 0 3.4 1.8 1.8 3.4 0 1.6-1.8 3.4-3.4 1.8-1.6 0Z",
    pentagon: "M0-3.8 3.6-1.2 2.2 3.1H-2.2L-3.6-1.2Z",
  };
  const swatch = (look, claimed) => {
    const svg = (name, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const colour = legible(look.colour);
    const picture = svg("svg", { width: 30, height: 10, viewBox: "-15 -5 30 10", "aria-hidden": "true" });
    const dashes = look.dash === "solid" ? (claimed ? "6 3" : "") : look.dash.replaceAll("px", "");
    picture.append(svg("line", { x1: -15, x2: 15, y1: 0, y2: 0, stroke: colour, "stroke-width": 1.8, "stroke-dasharray": dashes }));
    if (!claimed) {
      const open = look.marker.endsWith("-open");
      const fill = open ? rdbench.colour("ground") : colour;
      picture.append(svg("path", { d: MARKS[look.marker.replace("-open", "")] || MARKS.circle, fill, stroke: colour, "stroke-width": open ? 1.2 : 0 }));
    }
    return picture;
  };
  const entry = (name, claimed, checked) => {
    const box = rdbench.element("input", { type: "checkbox", value: name });
    box.checked = checked;
    box.addEventListener("change", () => {
      chosen.set(name, box.checked);
      draw();
    });
    return rdbench.element("label", { class: checked ? "" : "off" }, box, swatch(page.looks[name], claimed), page.looks[name].label);
  };
  const measuredEntry = (codec) => entry(codec.name, false, measuredVisible(codec));
  const claimedEntry = (curve) => entry(curve.name, true, claimedVisible(curve));
  const group = (title, entries) => {
    const curves = rdbench.element("div", { class: "curves" }, ...entries);
    return rdbench.element("fieldset", {}, rdbench.element("legend", {}, title), curves);
  };
  const drawLegend = () => {
    const legend = document.getElementById("legend");
    const held = document.activeElement && legend.contains(document.activeElement) ? document.activeElement.value : null;
    const scroll = legend.scrollTop;
    const open = [...legend.querySelectorAll("details")].some((details) => details.open);
    const dataset = select("dataset").value;
    const measured = page.codecs.filter(({ name }) => page.averaged[dataset][name][metric().key].point.length);
    const of = (role) => measured.filter((codec) => codec.role === role).map(measuredEntry);
    const tool = (text, set) => {
      const button = rdbench.element("button", { type: "button", value: text }, text);
      button.addEventListener("click", () => {
        for (const { name } of measured) chosen.set(name, set);
        draw();
      });
      return button;
    };
    const parts = [group("Measured", of("codec"))];
    if (of("validation").length) parts.push(group("Measured, published settings", of("validation")));
    parts[0].append(rdbench.element("div", { class: "tools" }, tool("all", true), tool("none", false)));
    const claimed = page.claimed[dataset].filter((curve) => curve.metrics[metric().key]);
    const on = claimed.filter((curve) => curve.on.includes(metric().key));
    if (on.length) parts.push(group("Claimed", on.map(claimedEntry)));
    const others = claimed.filter((curve) => !on.includes(curve));
    if (others.length) {
      const details = rdbench.element("details", {}, rdbench.element("summary", {}, `${on.length ? "More claimed" : "Claimed"} curves (${others.length})`));
      details.open = open;
      for (const source of new Set(others.map((curve) => curve.source))) {
        const [first, ...rest] = others.filter((curve) => curve.source === source);
        const link = rdbench.element("a", { href: first.url }, source);
        details.append(rdbench.element("p", { class: "source" }, link, `, ${first.licence}`));
        details.append(rdbench.element("div", { class: "curves" }, ...[first, ...rest].map(claimedEntry)));
      }
      parts.push(details);
    }
    legend.replaceChildren(...parts);
    legend.scrollTop = scroll;
    if (held !== null) [...legend.querySelectorAll("input, button")].find((item) => item.value === held)?.focus();
  };

  /* The plot of one image; compare.js says which image and which bitstreams are on show. */
  const imageTarget = document.getElementById("image-plot");
  let shown = null;
  const drawImage = () => {
    if (!imageTarget || !shown) return;
    const traces = [];
    const curves = (page.images[shown.dataset] || {})[shown.image] || {};
    for (const codec of page.codecs) {
      const { name } = codec;
      const curve = curves[name];
      if (!curve || !measuredVisible(codec)) continue;
      const kept = curve.point.map((_, index) => index).filter((index) => curve[metric().column][index] !== null);
      const take = (list) => kept.map((index) => list[index]);
      traces.push(measuredTrace(name, take(curve.point), take(curve.bpp), take(curve[metric().column]), kept.map(() => shown.image)));
    }
    for (const { codec, point } of shown.points) {
      const curve = curves[codec];
      const at = curve ? curve.point.indexOf(point) : -1;
      if (at < 0 || curve[metric().column][at] === null) continue;
      const ring = { symbol: "circle-open", size: 17, color: rdbench.colour("text"), line: { width: 1.6 } };
      traces.push({ type: "scatter", mode: "markers", x: [curve.bpp[at]], y: [curve[metric().column][at]], marker: ring, hoverinfo: "skip" });
    }
    Plotly.react(imageTarget, traces, layout(traces), settings);
  };

  const tellPicked = (id, dataset, image) => (event) => {
    const point = event.points[0];
    if (!point.customdata) return;
    const [codec, name, note] = point.customdata;
    const link = rdbench.recordsLink({ dataset: dataset(), codec, point: name, image: image() });
    const text = `${page.looks[codec].label} ${name}, ${note}: ${rdbench.number(point.x, 4)} bpp, ${rdbench.number(point.y, 3)}${unit(metric())}. `;
    document.getElementById(id).replaceChildren(text, rdbench.element("a", { href: link }, "Records"));
  };

  for (const name of ["dataset", "metric", "scale"]) select(name).addEventListener("change", draw);
  dark.addEventListener("change", draw);
  draw();
  target.on("plotly_click", tellPicked("plot-picked", () => select("dataset").value, () => null));
  return {
    showImage(dataset, image, points) {
      const first = shown === null;
      shown = { dataset, image, points };
      drawImage();
      if (first && imageTarget) imageTarget.on("plotly_click", tellPicked("image-plot-picked", () => shown.dataset, () => shown.image));
    },
  };
})();
