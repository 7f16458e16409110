/* Every image of the dataset as a card; choosing one changes the image everywhere. */
"use strict";

(() => {
  const { page, get, on, set, label, measured, nearest } = rdbench.explorer;
  const place = document.getElementById("cards");

  const fill = () => {
    const thumbs = page.thumbs[get("dataset")] ?? rdbench.table([]);
    place.replaceChildren(...Object.entries(page.sizes[get("dataset")]).map(([image, [width, height]]) => {
      const picture = thumbs[image]
        ? rdbench.element("img", { src: rdbench.href(thumbs[image]), loading: "lazy", decoding: "async", width: 160, height: Math.round((160 * height) / width), alt: "" })
        : rdbench.element("span", { class: "blank" }, `${width} × ${height}`);
      const card = rdbench.element("button", { type: "button", class: "card", "data-image": image }, picture, rdbench.element("span", { class: "name" }, image), rdbench.element("span", { class: "numbers" }));
      card.addEventListener("click", () => set({ image }));
      return card;
    }));
  };

  const tell = () => {
    const codecs = [get("a"), get("b"), get("c")].filter((name) => measured(get("dataset")).includes(name)).slice(0, 2);
    const { unit, column } = rdbench.explorer.metric();
    for (const card of place.children) {
      card.setAttribute("aria-pressed", String(card.dataset.image === get("image")));
      const lines = codecs.map((codec) => [codec, nearest(codec, card.dataset.image)]).filter(([, found]) => found).map(([codec, { bpp, at }]) => {
        const quality = page.measured[get("dataset")][codec].images[card.dataset.image][column]?.[at];
        const text = quality === undefined || quality === null ? "–" : quality === "inf" ? "∞" : rdbench.number(quality, column === "ms_ssim" ? 4 : 2);
        return rdbench.element("span", {}, `${label(codec)} ${rdbench.number(bpp, 2)} bpp, ${text}${unit && column !== "ms_ssim" ? ` ${unit}` : ""}`);
      });
      card.querySelector(".numbers").replaceChildren(...lines);
    }
  };

  on(["dataset"], fill);
  on(["dataset", "image", "rate", "metric", "a", "b", "c"], tell);
})();
