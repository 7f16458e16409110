/* The progressive player: every embedded codec's picture from its first bytes, as many as the slider says. */
"use strict";

rdbench.player = (() => {
  const { page, get, set, on, label } = rdbench.explorer;
  const { element } = rdbench;
  const section = document.getElementById("player");
  const slider = document.getElementById("bytes");
  const panes = document.getElementById("player-panes");
  const STEP_MS = 700;
  const here = () => page.player[get("dataset")];

  const shown = () => [...new Set([get("left"), get("right")])];
  const steps = () => shown().map((codec) => here().codecs[codec]);
  /* The slider's stops: the numbers of bytes at which a shown codec has a step, so that both can be shown at equal bytes. */
  const stops = () => [...new Set(steps().flatMap((own) => own.map(({ bytes }) => bytes)))].sort((p, q) => p - q);
  /* At first the fewest bytes from which each has something to show. */
  const first = () => Math.max(...steps().map(([{ bytes }]) => bytes));
  const nearest = (list, bytes) => list.reduce((best, stop, index) => (Math.abs(stop - bytes) < Math.abs(list[best] - bytes) ? index : best), 0);

  const layOut = () => {
    section.hidden = !here();
    if (!here()) return;
    const [width, height] = page.sizes[get("dataset")][here().image];
    slider.max = String(stops().length - 1);
    document.getElementById("embedded").hidden = Object.keys(here().codecs).length < 3;
    panes.replaceChildren(...shown().map((codec) =>
      element("figure", { class: "pane", "data-codec": codec },
        element("img", { width, height, loading: "lazy", decoding: "async", alt: "" }),
        element("figcaption", {}))));
    document.getElementById("player-image").textContent = here().image;
  };

  const show = () => {
    if (!here()) return;
    const list = stops();
    const place = nearest(list, get("bytes") || first());
    const bytes = list[place];
    const [width, height] = page.sizes[get("dataset")][here().image];
    slider.value = String(place);
    slider.setAttribute("aria-valuetext", `${bytes} bytes`);
    document.getElementById("bytes-tell").textContent = `${rdbench.bytes(bytes)} bytes, ${rdbench.number((8 * bytes) / (width * height), 3)} bpp`;
    for (const pane of panes.children) {
      const step = here().codecs[pane.dataset.codec].findLast((one) => one.bytes <= bytes);
      const image = pane.querySelector("img");
      const caption = pane.querySelector("figcaption");
      const quality = (one) => (one.identical ? "identical" : `${rdbench.number(one.psnr_rgb_db, 2)} dB`);
      if (step?.src) {
        if (image.getAttribute("src") !== rdbench.href(step.src)) image.src = rdbench.href(step.src);
        image.alt = `${here().image}, first ${step.bytes} bytes of ${label(pane.dataset.codec)}`;
      } else image.removeAttribute("src");
      const hash = step && element("code", { title: step.sha256 }, step.sha256.slice(0, 12));
      const told = step ? [`${rdbench.bytes(step.bytes)} bytes, ${quality(step)} `, step.bitstream ? element("a", { href: rdbench.href(step.bitstream) }, hash) : hash] : ["no step with so few bytes"];
      if (step && !step.src) told.push(` (${step.reason})`);
      caption.replaceChildren(element("strong", {}, label(pane.dataset.codec)), " ", ...told);
    }
  };

  /* Plays from where it stands, from the start if it stands at the end; stops there. */
  const button = document.getElementById("play-bytes");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  const play = () => {
    if (!here()) return;
    if (timer !== null) return stop();
    if (Number(slider.value) === stops().length - 1) set({ bytes: stops()[0] });
    button.textContent = "Stop";
    timer = setInterval(() => {
      step(1);
      if (Number(slider.value) === stops().length - 1) stop();
    }, STEP_MS);
  };
  button.addEventListener("click", play);

  slider.addEventListener("input", () => set({ bytes: stops()[Number(slider.value)] }));
  on(["dataset", "left", "right"], layOut);
  on(["dataset", "left", "right", "bytes"], show);
  const step = (by) => here() && set({ bytes: stops()[Math.min(stops().length - 1, Math.max(0, Number(slider.value) + by))] });
  return { step };
})();
