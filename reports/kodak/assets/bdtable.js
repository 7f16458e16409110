/* The BD table of the chosen dataset and metric against any anchor, computed from the records in the page. */
"use strict";

(() => {
  const { page, get, on, label, measured, metric, table } = rdbench.explorer;
  const body = document.querySelector("#bd tbody");
  const cell = (content, attributes = { class: "n" }) => rdbench.element("td", attributes, content ?? "–");
  const signed = (value, digits) => (value > 0 ? "+" : "") + rdbench.number(value, digits);
  const reason = (code) => page.reasons[code] ?? code.replaceAll("_", " ");

  const percent = (one) => {
    if (one.rate === null) return rdbench.element("span", { class: "mark withheld", title: reason(one.reason) }, one.note === "withheld" && one.overlap ? "withheld" : "none");
    return rdbench.element("data", { value: one.rate, title: `${one.rate} %` }, `${signed(one.rate, 1)}\u00a0%`);
  };
  const overlap = (one) => {
    const text = rdbench.number(one.overlap, 2);
    return one.note && one.overlap !== null ? rdbench.element("span", { class: `mark ${one.note}` }, text) : text;
  };

  const number = (content, href) => rdbench.element("a", { class: "number", href }, content);

  const forest = (one, [low, high]) => {
    const at = (value) => ((140 * (value - low)) / (high - low)).toFixed(1);
    const parts = [`<line class="zero" x1="${at(0)}" x2="${at(0)}" y1="0" y2="18"/>`];
    if (one.low !== null) parts.push(`<line class="whisker" x1="${at(one.low)}" x2="${at(one.high)}" y1="9" y2="9"/>`);
    if (one.rate !== null) parts.push(`<circle cx="${at(one.rate)}" cy="9" r="3.2"/>`);
    const holder = rdbench.element("div");
    holder.innerHTML = `<svg class="forest" viewBox="0 0 140 18" width="140" height="18" aria-hidden="true">${parts.join("")}</svg>`;
    return holder.firstChild;
  };

  /* null last, validation settings below the codecs */
  const order = (p, q) => p.validation - q.validation || (p.key === null) - (q.key === null) || p.key - q.key;

  const rowOf = (row, scale) => {
    const { perImage, averaged } = row;
    const ofImage = perImage.ofImages[get("image")];
    const interval = perImage.low === null ? "" : `[${signed(perImage.low, 1)}, ${signed(perImage.high, 1)}]`;
    const link = rdbench.recordsLink({ dataset: get("dataset"), codec: row.codec });
    const linkOfImage = rdbench.recordsLink({ dataset: get("dataset"), codec: row.codec, image: get("image") });
    const head = rdbench.element("th", { scope: "row" }, rdbench.element("a", { href: link }, label(row.codec)));
    if (row.validation) head.append(" ", rdbench.element("small", {}, "validation"));
    const note = perImage.without ? ` (${perImage.without} without)` : "";
    return rdbench.element("tr", { "data-codec": row.codec }, head,
      cell(number(percent(perImage), link), { class: "n strong", "data-column": "per_image" }),
      cell(rdbench.element("span", { class: "interval" }, interval), { "data-interval": perImage.low === null ? null : `${perImage.low} ${perImage.high}` }),
      cell(forest(perImage, scale), {}),
      cell(number(percent(averaged), link), { class: "n", "data-column": "averaged_curve" }),
      cell(ofImage ? number(percent({ ...ofImage, note: ofImage.rate === null ? "withheld" : "" }), linkOfImage) : "–", { class: "n", "data-column": "image" }),
      cell(perImage.quality === null ? "–" : signed(perImage.quality, 2)),
      cell(overlap(perImage)),
      cell(`${perImage.images}${note}`));
  };

  const draw = () => {
    const anchor = table(get("anchor"));
    const intervals = page.intervals[get("dataset")]?.[metric().key]?.[get("anchor")];
    const rows = measured(get("dataset")).filter((codec) => codec !== get("anchor")).map((codec) => {
      const result = rdbench.bd.compare(anchor, table(codec), intervals?.[codec]);
      const validation = page.codecs.find(({ name }) => name === codec).role === "validation";
      return { codec, validation: Number(validation), key: result.perImage.rate ?? result.averaged.rate, ...result };
    });
    rows.sort(order);
    const known = rows.flatMap(({ perImage }) => [perImage.rate, perImage.low, perImage.high]).filter((value) => value !== null);
    const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
    const margin = 0.04 * (high - low || 1);
    body.replaceChildren(...rows.map((row) => rowOf(row, [low - margin, high + margin])));
    const unit = metric().unit ? ` [${metric().unit}]` : "";
    document.getElementById("bd-quality").textContent = `${metric().key.startsWith("psnr") ? "BD-PSNR" : "BD-quality"}${unit}`;
    document.getElementById("bd-image").textContent = get("image");
    document.getElementById("bd-caption").textContent = `Rate against ${label(get("anchor"))} at equal ${metric().label}; negative means fewer bits. PCHIP, computed in this page from the records. ${intervals ? "Intervals are those of the report." : "Intervals by 10,000 draws of images made here; the report has none against this anchor."}`;
  };

  on(["dataset", "metric", "anchor", "image"], draw);
})();
