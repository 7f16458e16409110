/* What the explorer shows, in one place: read from the address, written to it, told to the parts that draw. The address holds
   only what differs from the defaults; a value that this run does not have is taken for the default. */
"use strict";

rdbench.explorer = (() => {
  const page = rdbench.data("page-data");
  const ALIGNED = ["point", "rate", "image"];
  const VIEWS = ["side", "swipe", "flicker", "difference"];

  const measured = (dataset) => page.codecs.map(({ name }) => name).filter((name) => page.measured[dataset]?.[name]);
  const group = (dataset) => page.gallery[dataset] ?? { rates: [], images: rdbench.table([]) };
  const compared = (dataset) => measured(dataset).filter((name) => page.codecs.find((codec) => codec.name === name).role === "codec");
  const embedded = (now) => Object.keys(page.player[now.dataset]?.codecs ?? {});
  const firstImage = (dataset) => Object.keys(group(dataset).images)[0] ?? Object.keys(page.sizes[dataset])[0];
  const oneOf = (options, fallback = (list) => list[0]) => (text, now) => {
    const list = options(now);
    return list.includes(text) ? text : fallback(list, now);
  };
  const within = (low, high, fallback) => (text) => (text !== null && text !== "" && Number.isFinite(+text) ? Math.min(high, Math.max(low, +text)) : fallback);
  const names = (text) => (text ? text.split(",").filter((name) => name in page.looks) : []);
  /* Each setting's reader: the text of the address and the settings before it give the value. The order matters. */
  const READERS = {
    dataset: oneOf(() => page.datasets.map(({ name }) => name)),
    metric: oneOf(() => page.metrics.map(({ key }) => key)),
    average: oneOf(() => ALIGNED),
    scale: oneOf(() => ["log", "linear"]),
    anchor: oneOf((now) => measured(now.dataset), (_, now) => page.anchors[now.dataset]),
    on: names,
    off: names,
    image: oneOf((now) => Object.keys(page.sizes[now.dataset]), (_, now) => firstImage(now.dataset)),
    rate: oneOf((now) => group(now.dataset).rates.map(String)),
    view: oneOf(() => VIEWS),
    a: oneOf((now) => ["original", ...compared(now.dataset)]),
    b: oneOf((now) => ["original", ...compared(now.dataset)], (list, now) => (list.includes(now.anchor) ? now.anchor : (list[1] ?? list[0]))),
    c: oneOf((now) => ["none", "original", ...compared(now.dataset)], (list, now) => list.slice(2).find((name) => name !== now.b) ?? "none"),
    zoom: within(0, 32, 0), // pixels of the screen for one of the image; 0: all of it
    x: within(0, 1, 0.5), // what is in the middle, as a share of width and height
    y: within(0, 1, 0.5),
    gain: within(1, 32, 8),
    left: oneOf(embedded, (list) => page.player_first.find((name) => list.includes(name)) ?? list[0]),
    right: oneOf(embedded, (list, now) => [...page.player_first, ...list].find((name) => list.includes(name) && name !== now.left) ?? list[0]),
    bytes: within(0, Infinity, 0), // 0: the fewest that both have
  };

  const texts = new Map(); // as in the address
  let values = {};
  const listeners = [];
  const followers = [];

  const resolve = () => {
    const before = values;
    values = {};
    for (const [key, reader] of Object.entries(READERS)) values[key] = reader(texts.get(key) ?? null, values);
    const changed = Object.keys(values).filter((key) => String(values[key]) !== String(before[key]));
    return new Set(changed);
  };
  const tell = (changed) => {
    if (changed.size) listeners.forEach(({ keys, draw }) => keys.some((key) => changed.has(key)) && draw(changed));
  };
  const read = () => {
    texts.clear();
    for (const [key, text] of new URLSearchParams(location.hash.slice(1))) if (key in READERS) texts.set(key, text);
    tell(resolve());
  };
  /* Browsers slow down pages that change their address at every move of the mouse. */
  let waiting = null;
  const write = () => {
    clearTimeout(waiting);
    waiting = setTimeout(writeNow, 120);
  };
  const writeNow = () => {
    const parts = Object.keys(READERS).filter((key) => texts.has(key)).map((key) => `${key}=${encodeURIComponent(texts.get(key)).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
    const hash = parts.length ? `#${parts.join("&")}` : "";
    history.replaceState(null, "", hash || location.pathname + location.search);
    followers.forEach((follow) => follow(hash));
  };

  /** Changes settings and redraws what depends on them; what equals its default leaves the address. */
  const set = (changes) => {
    for (const [key, value] of Object.entries(changes)) texts.set(key, String(value));
    const changed = resolve();
    const held = { ...values };
    for (const key of Object.keys(changes)) {
      const text = texts.get(key);
      texts.delete(key);
      resolve();
      if (String(values[key]) !== String(held[key])) texts.set(key, text);
    }
    resolve();
    for (const [key, text] of texts) if (String(values[key]) !== text) texts.delete(key); // not of this dataset
    write();
    tell(changed);
  };

  addEventListener("hashchange", read);
  const metrics = Object.fromEntries(page.metrics.map((metric) => [metric.key, metric]));
  const tables = new Map();
  return {
    page,
    set,
    get: (key) => values[key],
    start: () => {
      read();
      followers.forEach((follow) => follow(location.hash));
    },
    /** Calls `follow` with the part of the address that stores the selection, whenever that changes. */
    onAddress: (follow) => followers.push(follow),
    /** Calls `draw` whenever one of `keys` changes, and once at the start. */
    on: (keys, draw) => listeners.push({ keys, draw }),
    measured,
    compared,
    group,
    embedded,
    /** Of one codec on one image the bitstream whose rate is nearest, as a ratio, to the chosen one: {point, bytes, bpp,
        at}, `at` its place in the columns of page.measured; null if it was not measured. */
    nearest: (codec, image) => {
      const own = page.measured[values.dataset][codec]?.images[image];
      const [width, height] = page.sizes[values.dataset][image];
      if (!own) return null;
      const bpp = own.bytes.map((bytes) => (8 * bytes) / (width * height));
      const gaps = bpp.map((rate, at) => (own.bytes[at] === null ? Infinity : Math.abs(Math.log(rate / Number(values.rate)))));
      const at = gaps.indexOf(Math.min(...gaps));
      return { point: page.measured[values.dataset][codec].points[at], bytes: own.bytes[at], bpp: bpp[at], at };
    },
    metric: () => metrics[values.metric],
    label: (name) => (name === "original" ? "Original" : (page.looks[name]?.label ?? name)),
    /** The curve table of one codec on the chosen dataset, made once. */
    table: (codec) => {
      const { dataset, metric } = values;
      const key = [dataset, codec, metric].join("\n");
      if (!tables.has(key)) {
        const pixels = rdbench.table(Object.entries(page.sizes[dataset]).map(([image, [width, height]]) => [image, width * height]));
        tables.set(key, rdbench.bd.curveTable(page.measured[dataset][codec], metrics[metric], pixels));
      }
      return tables.get(key);
    },
    /** Whether a curve is drawn: as the reader said, else every codec, and the claimed curves of this metric's figures. */
    visible: (name) => {
      if (values.on.includes(name)) return true;
      if (values.off.includes(name)) return false;
      const codec = page.codecs.find((entry) => entry.name === name);
      return codec ? codec.role === "codec" : page.claimed[values.dataset].some((curve) => curve.name === name && curve.on.includes(values.metric));
    },
    show: (curves, wanted) => {
      const rest = (list) => list.filter((name) => !curves.includes(name));
      set({ on: rest(values.on).concat(wanted ? curves : []).join(","), off: rest(values.off).concat(wanted ? [] : curves).join(",") });
    },
  };
})();

/** Every select and slider whose name is a setting follows it and sets it. */
(() => {
  const { page, set, get, on, measured, compared, group, embedded, label } = rdbench.explorer;
  const validation = new Set(page.codecs.filter(({ role }) => role === "validation").map(({ name }) => name));
  const named = (list) => list.map((name) => [name, label(name), validation.has(name) ? "Published settings" : ""]);
  const OPTIONS = {
    dataset: () => page.datasets.map(({ name, title }) => [name, title]),
    metric: () => page.metrics.map((metric) => [metric.key, metric.label]),
    anchor: () => named(measured(get("dataset"))),
    image: () => Object.keys(page.sizes[get("dataset")]).map((name) => [name, name]),
    rate: () => group(get("dataset")).rates.map((rate) => [String(rate), `about ${rate} bpp`]),
    a: () => named(["original", ...compared(get("dataset"))]),
    b: () => named(["original", ...compared(get("dataset"))]),
    left: () => named(embedded({ dataset: get("dataset") })),
    right: () => named(embedded({ dataset: get("dataset") })),
    c: () => [["none", "none"], ...named(["original", ...compared(get("dataset"))])],
  };
  for (const control of document.querySelectorAll("[data-setting]")) {
    const key = control.name;
    control.addEventListener(control.type === "range" ? "input" : "change", () => set({ [key]: control.value }));
    on([key, "dataset", "image"], () => {
      if (OPTIONS[key]) rdbench.fill(control, OPTIONS[key](), get(key));
      control.value = String(get(key));
      if (key === "dataset") control.closest("label").hidden = page.datasets.length < 2;
    });
  }
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
})();
