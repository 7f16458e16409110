/* Keys, and the start: everything that draws has said by now what it listens to. */
"use strict";

(() => {
  const { page, get, set, group } = rdbench.explorer;
  const help = document.getElementById("help");
  const next = (list, now, by) => list[(list.indexOf(now) + by + list.length) % list.length];
  const turn = (key, list, by = 1) => () => list().length && set({ [key]: next(list(), get(key), by) });
  const images = () => Object.keys(page.sizes[get("dataset")]);
  const rates = () => group(get("dataset")).rates.map(String);
  const metrics = () => page.metrics.map(({ key }) => key);

  /* [key, what it does, action]; the help lists them from here. */
  const KEYS = [
    ["j", "next image", turn("image", images)],
    ["k", "image before", turn("image", images, -1)],
    [".", "higher rate", turn("rate", rates)],
    [",", "lower rate", turn("rate", rates, -1)],
    ["1", "side by side", () => set({ view: "side" })],
    ["2", "swipe", () => set({ view: "swipe" })],
    ["3", "flicker", () => set({ view: "flicker" })],
    ["4", "difference", () => set({ view: "difference" })],
    ["f", "flicker: the other picture", () => rdbench.viewer.turn(1)],
    ["p", "flicker: play or pause", () => rdbench.viewer.play()],
    ["+", "zoom in", () => rdbench.viewer.zoomBy(2)],
    ["-", "zoom out", () => rdbench.viewer.zoomBy(0.5)],
    ["0", "whole image", () => rdbench.viewer.zoomTo(0)],
    ["m", "next metric", turn("metric", metrics)],
    ["]", "player: more bytes", () => rdbench.player.step(1)],
    ["[", "player: fewer bytes", () => rdbench.player.step(-1)],
    ["d", "dark or light", rdbench.turnTheme],
    ["?", "this list", () => (help.open ? help.close() : help.showModal())],
  ];
  document.getElementById("keys").replaceChildren(...KEYS.flatMap(([key, meaning]) => [rdbench.element("dt", {}, rdbench.element("kbd", {}, key)), rdbench.element("dd", {}, meaning)]));
  document.querySelector("[data-help]").addEventListener("click", () => help.showModal());

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (!document.getElementById("single-keys").checked && event.key !== "?") return;
    const [, , act] = KEYS.find(([key]) => key === event.key || (key === "+" && event.key === "=")) ?? [];
    if (!act) return;
    act();
    event.preventDefault();
  });

  rdbench.explorer.start();
})();
