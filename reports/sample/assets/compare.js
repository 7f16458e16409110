/* Two pictures under one another, the upper one cut off at a line that the mouse, a finger or the keyboard moves. */
"use strict";

(() => {
  const form = document.getElementById("compare-form");
  if (!form) return;
  const page = rdbench.data("page-data");
  const stage = document.getElementById("stage");
  const viewport = document.getElementById("viewport");
  const slider = document.getElementById("swipe");
  const control = (name) => form.elements[name];
  const label = (codec) => page.looks[codec].label;
  let group, image;

  const codecsHere = () => [...new Set(image.shown.flatMap((shown) => Object.keys(shown)))];

  const chooseDataset = () => {
    group = page.gallery[control("dataset").value];
    rdbench.fill(control("image"), Object.keys(group.images).map((name) => [name, name]));
    rdbench.fill(control("rate"), group.rates.map((rate, index) => [index, `about ${rate} bpp`]), 0);
    document.getElementById("left-out").textContent = group.left_out ? ` ${group.left_out} more images of this dataset are in the records.` : "";
    chooseImage();
  };

  const chooseImage = () => {
    image = group.images[control("image").value];
    const codecs = codecsHere();
    rdbench.fill(control("a"), codecs.map((codec) => [codec, label(codec)]), codecs[0]);
    rdbench.fill(control("b"), codecs.map((codec) => [codec, label(codec)]), codecs[1] ?? codecs[0]);
    show();
  };

  const facts = (codec) => image.shown[Number(control("rate").value)][codec];

  const show = () => {
    const a = control("a").value;
    const b = control("b").value;
    const sides = { ab: [a, b], oa: [null, a], ob: [null, b] }[control("mode").value];
    const pictures = sides.map((codec) => (codec === null ? image.original : facts(codec)));
    const names = sides.map((codec) => (codec === null ? "original" : label(codec)));
    const rate = (codec, picture) => (codec === null ? "" : `, ${rdbench.number(picture.bpp, 3)} bpp`);
    const captions = names.map((name, index) => `${name}${rate(sides[index], pictures[index])}`);
    const lacking = pictures.flatMap((picture, index) => (picture.src ? [] : [`No picture of ${names[index]}: ${picture.reason}.`]));
    const missing = document.getElementById("missing");
    missing.textContent = lacking.join(" ");
    missing.hidden = !lacking.length;
    stage.hidden = lacking.length > 0;
    slider.disabled = stage.hidden;
    ["over", "under"].forEach((id, index) => {
      const element = document.getElementById(id);
      element.alt = `${control("image").value}, ${captions[index]}`;
      if (pictures[index].src) element.src = encodeURI(pictures[index].src);
      else element.removeAttribute("src");
    });
    document.getElementById("left-name").textContent = captions[0];
    document.getElementById("right-name").textContent = captions[1];
    size();
    tell([["A", a], ["B", b]]);
    const points = [a, b].map((codec) => ({ codec, point: facts(codec).point }));
    rdbench.plots?.showImage(control("dataset").value, control("image").value, points);
  };

  const size = () => {
    const zoom = control("zoom").value;
    const { width, height } = image.original;
    stage.classList.toggle("zoomed", zoom !== "fit");
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.width = zoom === "fit" ? `min(100%, ${width}px, ${(75 * width) / height}vh)` : `${width * Number(zoom)}px`;
  };

  const tell = (rows) => {
    const body = document.querySelector("#facts tbody");
    body.replaceChildren(...rows.map(([side, codec]) => {
      const shown = facts(codec);
      const filters = { dataset: control("dataset").value, codec, image: control("image").value, point: shown.point };
      const hash = rdbench.element("code", { title: shown.sha256 }, shown.sha256.slice(0, 16));
      const link = shown.bitstream ? rdbench.element("a", { href: encodeURI(shown.bitstream) }, hash) : hash;
      const decibels = (value) => (shown.identical ? "∞" : rdbench.number(value, 3));
      const number = (text) => rdbench.element("td", { class: "n" }, text);
      return rdbench.element("tr", {},
        rdbench.element("th", { scope: "row" }, `${side}: ${label(codec)}`),
        rdbench.element("td", {}, shown.point),
        number(rdbench.bytes(shown.bytes)),
        number(rdbench.number(shown.bpp, 4)),
        number(decibels(shown.psnr_rgb_db)),
        number(decibels(shown.ms_ssim_db)),
        rdbench.element("td", {}, link),
        rdbench.element("td", {}, rdbench.element("a", { href: rdbench.recordsLink(filters) }, "record")));
    }));
  };

  const split = (percent) => {
    slider.value = String(Math.min(100, Math.max(0, percent)));
    stage.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % ${document.getElementById("left-name").textContent}`);
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    split((100 * (event.clientX - box.left)) / box.width);
  };
  stage.addEventListener("pointerdown", (event) => {
    const zoomed = stage.classList.contains("zoomed");
    if (event.button !== 0 || (zoomed && event.pointerType === "touch" && !event.target.closest("#handle"))) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  slider.addEventListener("input", () => split(Number(slider.value)));

  control("dataset").addEventListener("change", chooseDataset);
  control("image").addEventListener("change", chooseImage);
  for (const name of ["a", "b", "rate", "mode"]) control(name).addEventListener("change", show);
  control("zoom").addEventListener("change", () => {
    size();
    viewport.scrollLeft = (viewport.scrollWidth - viewport.clientWidth) / 2;
    viewport.scrollTop = (viewport.scrollHeight - viewport.clientHeight) / 2;
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  chooseDataset();
  split(50);
})();
