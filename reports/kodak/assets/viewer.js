/* Up to three pictures of one image under one pair of zoom and place: side by side, with a swipe, flickering, or as
   differences from the original. Pixels are drawn by the browser alone (a page from a file may not read them), so a
   difference is a blend of two pictures and its gain a filter. */
"use strict";

rdbench.viewer = (() => {
  const { get, set, on, label, group, nearest } = rdbench.explorer;
  const { element } = rdbench;
  const viewer = document.getElementById("viewer");
  const swipe = document.getElementById("swipe");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const FLICKER_MS = 500; // two changes a second, under the three flashes of WCAG 2.3.1
  let playing = !still.matches;
  let seen = 0; // which picture the flicker shows
  let timer = null;

  const of = () => group(get("dataset")).images[get("image")];
  const size = () => rdbench.explorer.page.sizes[get("dataset")][get("image")];

  /** What is known of one picture; without a src there is a reason. */
  const facts = (codec) => {
    const image = of();
    const missing = { reason: "the page was built without pictures of this image (rdbench report --gallery-images)" };
    if (codec === "original") return image?.original ?? missing;
    const made = image?.shown[group(get("dataset")).rates.map(String).indexOf(get("rate"))]?.[codec];
    return made ?? { ...missing, ...nearest(codec, get("image")) };
  };
  const shown = () => ["a", "b", "c"].map((slot) => ({ slot, codec: get(slot) })).filter(({ codec }) => codec !== "none").map((entry) => ({ ...entry, facts: facts(entry.codec) }));
  const name = ({ slot, codec, facts: { bpp } }) => `${slot.toUpperCase()}: ${label(codec)}${bpp ? `, ${rdbench.number(bpp, 3)} bpp` : ""}`;

  /** Below a picture: what it cost and how good it is, and in amber how far its rate is from the chosen one. */
  const TOLERANCE = 0.05;
  const caption = (entry) => {
    const { facts: { bytes, deviation, psnr_rgb_db: psnr, ms_ssim_db: ssim, identical } } = entry;
    const parts = [element("span", {}, name(entry))];
    if (bytes !== undefined) parts.push(`, ${rdbench.bytes(bytes)} bytes`);
    if (identical) parts.push(", lossless");
    else if (psnr !== undefined && psnr !== null) parts.push(`, PSNR ${rdbench.number(psnr, 2)} dB${ssim === null || ssim === undefined ? "" : `, MS-SSIM ${rdbench.number(ssim, 2)} dB`}`);
    if (Math.abs(deviation ?? 0) > TOLERANCE) {
      const percent = `${deviation > 0 ? "+" : "−"}${rdbench.number(100 * Math.abs(deviation), 0)} %`;
      parts.push(" ", element("span", { class: "mark amber", title: "This codec cannot code the image nearer to the chosen rate" }, `${percent} rate`));
    }
    return parts;
  };

  const picture = (entry, className = "") =>
    element("img", { src: rdbench.href(entry.facts.src), class: className, alt: `${get("image")}, ${name(entry)}`, draggable: "false", decoding: "async" });
  const pane = (entries, text, className = "") => {
    const lacking = entries.filter(({ facts: { src } }) => !src);
    const content = lacking.length
      ? lacking.map((entry) => element("p", { class: "missing" }, `No picture of ${label(entry.codec)}: ${entry.facts.reason}.`))
      : entries.map((entry) => element("div", { class: "layer", "data-slot": entry.slot }, picture(entry)));
    return element("figure", { class: `pane ${className}` }, element("div", { class: "frame" }, ...content), element("figcaption", {}, ...[text].flat()));
  };
  const difference = (entry) => {
    const original = { slot: entry.slot, codec: "original", facts: facts("original") };
    if (entry.codec === "original") return pane([entry], name(entry));
    const made = pane([original, entry], `${name(entry)}: |difference from the original| × ${get("gain")}`, "difference");
    made.querySelector(".frame").style.filter = `brightness(${get("gain")})`;
    return made;
  };

  const VIEWS = {
    side: (entries) => entries.map((entry) => pane([entry], caption(entry))),
    difference: (entries) => entries.map(difference),
    swipe: (entries) => {
      const [left, right] = [entries[0], entries[1] ?? entries[0]];
      const made = pane([right, left], `${name(left)} | ${name(right)}`, "swiped");
      made.querySelector(".frame").append(element("div", { class: "handle", "aria-hidden": "true" }, element("span")));
      return [made];
    },
    flicker: (entries) => [pane(entries, "", "flickering")],
  };

  const draw = () => {
    const panes = VIEWS[get("view")](shown());
    viewer.dataset.view = get("view");
    viewer.style.setProperty("--panes", panes.length);
    viewer.replaceChildren(...panes);
    swipe.hidden = get("view") !== "swipe";
    document.getElementById("gain").hidden = get("view") !== "difference";
    document.getElementById("play").hidden = get("view") !== "flicker";
    flicker();
    place();
    tell();
  };

  /* Flicker */
  const flicker = () => {
    clearInterval(timer);
    const layers = viewer.querySelectorAll(".flickering .layer");
    if (!layers.length) return;
    document.getElementById("play").textContent = playing ? "Pause" : "Play";
    turn(0);
    if (playing) timer = setInterval(() => turn(1), FLICKER_MS);
  };
  const turn = (step) => {
    const layers = [...viewer.querySelectorAll(".flickering .layer")];
    if (!layers.length) return;
    seen = (seen + step) % layers.length;
    layers.forEach((layer, index) => (layer.style.visibility = index === seen ? "visible" : "hidden"));
    viewer.querySelector("figcaption").textContent = name(shown()[seen]);
  };
  const play = () => {
    playing = !playing;
    flicker();
  };

  /* Zoom and place */
  const frame = () => viewer.querySelector(".frame");
  const scales = () => {
    const [width, height] = size();
    const { clientWidth, clientHeight } = frame();
    const fit = Math.min(clientWidth / width, clientHeight / height);
    return { width, height, clientWidth, clientHeight, fit, scale: get("zoom") ? get("zoom") / devicePixelRatio : fit };
  };
  const place = () => {
    if (!frame()) return;
    const [width, height] = size();
    for (const each of viewer.querySelectorAll(".frame")) each.style.aspectRatio = `${width} / ${height}`;
    const { clientWidth, clientHeight, scale } = scales();
    const offset = (side, room, share) => {
      const slack = room - side * scale;
      return Math.round((slack >= 0 ? slack / 2 : Math.min(0, Math.max(slack, room / 2 - share * side * scale))) * devicePixelRatio) / devicePixelRatio;
    };
    const transform = `translate(${offset(width, clientWidth, get("x"))}px, ${offset(height, clientHeight, get("y"))}px) scale(${scale})`;
    for (const image of viewer.querySelectorAll("img")) {
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.style.transform = transform;
    }
    viewer.classList.toggle("zoomed", get("zoom") > 0);
    viewer.classList.toggle("pixels", scale * devicePixelRatio >= 2);
    document.getElementById("zoom-tell").textContent = get("zoom") ? `${Math.round(100 * get("zoom"))} %` : "fit";
  };
  /** Zooms by a factor; what is under the point (shares of the frame) stays there. */
  const zoomBy = (factor, [px, py] = [0.5, 0.5]) => {
    const { width, height, clientWidth, clientHeight, fit, scale } = scales();
    const wanted = Math.min(32 / devicePixelRatio, scale * factor);
    if (wanted <= fit) return set({ zoom: 0, x: 0.5, y: 0.5 });
    const keep = (share, at, side, room) => share + ((at - 0.5) * room * (1 / scale - 1 / wanted)) / side;
    const clamp = (share, side, room) => {
      const half = Math.min(0.5, room / (2 * side * wanted));
      return Math.min(1 - half, Math.max(half, share));
    };
    const [x, y] = [clamp(keep(get("x"), px, width, clientWidth), width, clientWidth), clamp(keep(get("y"), py, height, clientHeight), height, clientHeight)];
    set({ zoom: +(wanted * devicePixelRatio).toPrecision(4), x: +x.toFixed(4), y: +y.toFixed(4) });
  };
  const panBy = (dx, dy) => {
    const { width, height, clientWidth, clientHeight, scale } = scales();
    const moved = (share, by, side, room) => {
      const half = Math.min(0.5, room / (2 * side * scale));
      return +Math.min(1 - half, Math.max(half, share - by / (side * scale))).toFixed(4);
    };
    set({ x: moved(get("x"), dx, width, clientWidth), y: moved(get("y"), dy, height, clientHeight) });
  };
  const zoomTo = (zoom) => (zoom ? zoomBy(zoom / devicePixelRatio / scales().scale) : set({ zoom: 0, x: 0.5, y: 0.5 }));

  /* Mouse, finger, wheel */
  const split = (percent) => {
    const share = Math.min(100, Math.max(0, percent));
    swipe.querySelector("input").value = String(share);
    viewer.style.setProperty("--split", `${share}%`);
  };
  const at = (event) => {
    const box = event.target.closest(".frame").getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const fingers = new Map();
  let swiping = false;
  viewer.addEventListener("pointerdown", (event) => {
    const inside = event.target.closest(".frame");
    if (!inside || event.button !== 0) return;
    swiping = get("view") === "swipe" && (!get("zoom") || Boolean(event.target.closest(".handle")));
    fingers.set(event.pointerId, event);
    inside.setPointerCapture(event.pointerId);
    viewer.focus({ preventScroll: true });
    if (swiping) split(100 * at(event)[0]);
    event.preventDefault();
  });
  viewer.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (fingers.size === 2) {
      const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      zoomBy(apart(event) / Math.max(1, apart(before)), at(event));
    } else if (swiping) split(100 * at(event)[0]);
    else panBy(event.clientX - before.clientX, event.clientY - before.clientY);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) viewer.addEventListener(end, (event) => fingers.delete(event.pointerId));
  viewer.addEventListener("dblclick", (event) => event.target.closest(".frame") && (get("zoom") ? zoomTo(0) : zoomBy(2 / devicePixelRatio / scales().scale, at(event))));
  viewer.addEventListener("wheel", (event) => {
    if (!event.target.closest(".frame") || !(event.ctrlKey || viewer.contains(document.activeElement))) return;
    event.preventDefault();
    zoomBy(2 ** (-event.deltaY / (event.deltaMode ? 8 : 240)), at(event));
  }, { passive: false });
  viewer.addEventListener("keydown", (event) => {
    const STEPS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || !get("zoom")) return;
    panBy(...step);
    event.preventDefault();
  });
  swipe.querySelector("input").addEventListener("input", (event) => split(Number(event.target.value)));
  document.getElementById("play").addEventListener("click", play);
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => (button.dataset.zoom.includes("*") ? zoomBy(Number(button.dataset.zoom.slice(1))) : zoomTo(Number(button.dataset.zoom))));
  }
  new ResizeObserver(place).observe(viewer);

  /* The bitstreams behind the pictures */
  const tell = () => {
    const number = (text) => element("td", { class: "n" }, text);
    const decibels = (facts, key) => (facts.identical ? "∞" : rdbench.number(facts[key], 3));
    const rows = shown().filter(({ codec }) => codec !== "original").map((entry) => {
      const found = entry.facts;
      const filters = { dataset: get("dataset"), codec: entry.codec, image: get("image"), point: found.point };
      const hash = found.sha256 ? element("code", { title: found.sha256 }, found.sha256.slice(0, 16)) : "in the record";
      return element("tr", {},
        element("th", { scope: "row" }, `${entry.slot.toUpperCase()}: ${label(entry.codec)}`),
        element("td", {}, found.point ?? "–"),
        number(found.bytes === undefined ? "–" : rdbench.bytes(found.bytes)),
        number(rdbench.number(found.bpp, 4)),
        number(decibels(found, "psnr_rgb_db")),
        number(decibels(found, "ms_ssim_db")),
        element("td", {}, found.bitstream ? element("a", { href: rdbench.href(found.bitstream) }, hash) : hash),
        element("td", {}, found.matched ? "coded for this rate" : element("a", { href: rdbench.recordsLink(filters) }, "record")));
    });
    document.querySelector("#facts tbody").replaceChildren(...rows);
  };

  on(["dataset", "image", "rate", "view", "a", "b", "c", "gain"], draw);
  on(["zoom", "x", "y"], place);
  split(50);
  return { shown, zoomBy, zoomTo, turn, play };
})();
