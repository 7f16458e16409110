/* One line that says what is selected, with a link to exactly this view. */
"use strict";

(() => {
  const { page, get, on, label, metric, measured, visible } = rdbench.explorer;
  const line = document.getElementById("selected");
  const link = document.getElementById("permalink");
  const KEYS = ["dataset", "metric", "anchor", "image", "rate", "a", "b", "c", "view", "on", "off"];
  const VIEWS = { side: "side by side", swipe: "swiped", flicker: "flickering", difference: "as differences" };

  on(KEYS, () => {
    const codecs = measured(get("dataset"));
    const title = page.datasets.find(({ name }) => name === get("dataset")).title;
    const pictures = ["a", "b", "c"].map((slot) => get(slot)).filter((codec) => codec !== "none").map(label);
    line.textContent =
      `${title}, ${metric().label}: ${codecs.filter(visible).length} of ${codecs.length} curves; BD-rates against ${label(get("anchor"))}; ` +
      `${get("image")} at about ${get("rate")} bpp: ${pictures.join(", ")}, ${VIEWS[get("view")]}. `;
  });
  rdbench.explorer.onAddress((hash) => (link.href = hash || "#"));
})();
