/* Keys, and the start: everything that draws has said by now what it listens to. */
"use strict";

(() => {
  const { page, get, set, group } = rdbench.explorer;
  const next = (list, now, by) => list[(list.indexOf(now) + by + list.length) % list.length];
  const turn = (key, list, by = 1) => () => list().length && set({ [key]: next(list(), get(key), by) });
  const images = () => Object.keys(page.sizes[get("dataset")]);
  const rates = () => group(get("dataset")).rates.map(String);
  const metrics = () => page.metrics.map(({ key }) => key);

  rdbench.keys([
    ["j", "next image", turn("image", images)],
    ["k", "previous image", turn("image", images, -1)],
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
  ]);

  rdbench.explorer.start();
})();
