/* Curves out of the records and Bjontegaard numbers of them, as bench/rd/curves.py, bench/rd/interpolate.py, bench/rd/bjontegaard.py
   and bench/rd/bd_table.py compute them (PCHIP only). Nothing here touches the page. */
"use strict";

rdbench.bd = (() => {
  const AMBER_OVERLAP = 0.75;
  const LEAST_OVERLAP = 0.5;
  const DRAWS = 10_000;
  const sum = (list) => list.reduce((total, value) => total + value, 0);
  const mean = (list) => (list.length ? sum(list) / list.length : null);
  const toUnit = (value, metric) => (metric.of_mean ? -10 * Math.log10(1 - value) : value);
  const number = (cell) => (cell === "inf" ? Infinity : cell);

  /** One codec on one dataset: {images, points, bpp, value, saturated}, the last three images x points and whole.
      `measured` is {points, images: {name: {bytes, saturated?, <column>: [..]}}}, `sizes` gives each image's pixels. */
  const curveTable = (measured, metric, sizes) => {
    const { column } = metric;
    const cells = Object.entries(measured?.images ?? {}).filter(([, row]) => row[column]);
    const known = (row, point) => row.bytes[point] !== null && row[column][point] !== null;
    const points = (measured?.points ?? []).map((_, index) => index).filter((point) => cells.some(([, row]) => known(row, point)));
    const whole = cells.filter(([, row]) => points.every((point) => known(row, point)));
    return {
      images: whole.map(([name]) => name),
      points: points.map((point) => measured.points[point]),
      bpp: whole.map(([name, row]) => points.map((point) => (8 * row.bytes[point]) / sizes[name])),
      value: whole.map(([, row]) => points.map((point) => number(row[column][point]))),
      saturated: whole.map(([, row]) => points.map((point) => Boolean(row.saturated?.includes(point)))),
      metric,
    };
  };

  const only = (table, images) => {
    const rows = images.map((image) => table.images.indexOf(image));
    const take = (list) => rows.map((row) => list[row]);
    return { ...table, images, bpp: take(table.bpp), value: take(table.value), saturated: take(table.saturated) };
  };

  const imageCurve = (table, image) => {
    const row = table.images.indexOf(image);
    if (row < 0) return { points: [], bpp: [], value: [] };
    return { points: table.points, bpp: table.bpp[row], value: table.value[row].map((value) => toUnit(value, table.metric)) };
  };

  /** The mean at each operating point that every image reached; infinite where all images are identical. */
  const averaged = (table) => {
    const reached = table.points.map((_, point) => point).filter((point) => table.images.length && !table.saturated.some((row) => row[point]));
    const curve = { points: reached.map((point) => table.points[point]), bpp: [], value: [], n: [] };
    for (const point of reached) {
      const finite = table.images.map((_, image) => image).filter((image) => Number.isFinite(table.value[image][point]));
      const rows = finite.length ? finite : table.images.map((_, image) => image);
      curve.bpp.push(mean(rows.map((image) => table.bpp[image][point])));
      curve.value.push(finite.length ? toUnit(mean(finite.map((image) => table.value[image][point])), table.metric) : Infinity);
      curve.n.push(finite.length);
    }
    return curve;
  };

  /** The mean of the images' own curves (PCHIP over the log of the rate) at `samples` equal rates, evenly spread in the
      log over what all images reach; empty where there is no such range. */
  const atEqualRates = (table, samples = 60) => {
    const curves = table.images.map((image) => imageCurve(table, image)).map(({ bpp, value }) => ordered(bpp, value));
    const low = Math.max(...curves.map((curve) => curve.logRate[0]));
    const high = Math.min(...curves.map((curve) => curve.logRate[curve.logRate.length - 1]));
    if (!curves.length || curves.some((curve) => curve.logRate.length < 2) || !(high > low)) return { bpp: [], value: [], n: 0 };
    const grid = Array.from({ length: samples }, (_, index) => low + ((high - low) * index) / (samples - 1));
    const linear = (value) => (table.metric.of_mean ? 1 - 10 ** (-value / 10) : value);
    const values = curves.map((curve) => pchipValues(curve.logRate, curve.quality, grid).map(linear));
    return { bpp: grid.map(Math.exp), value: grid.map((_, at) => toUnit(mean(values.map((row) => row[at])), table.metric)), n: curves.length };
  };

  /** Points by rising rate and quality: those without a finite number left out, those another one beats dropped. */
  const ordered = (bpp, quality) => {
    const usable = bpp.map((rate, index) => [rate, quality[index]]).filter(([rate, value]) => Number.isFinite(value) && Number.isFinite(rate) && rate > 0);
    usable.sort((p, q) => p[0] - q[0] || q[1] - p[1]);
    const distinct = usable.filter(([rate, value], index) => !index || rate !== usable[index - 1][0] || value !== usable[index - 1][1]);
    let best = -Infinity;
    const kept = distinct.filter(([, value]) => value > best && ((best = value), true));
    return { logRate: kept.map(([rate]) => Math.log(rate)), quality: kept.map(([, value]) => value), repaired: distinct.length - kept.length };
  };

  /** Slopes of the monotone cubic (Fritsch and Butland 1984), three-point rule at the ends. */
  const pchipSlopes = (x, y) => {
    const step = x.slice(1).map((value, index) => value - x[index]);
    const secant = step.map((width, index) => (y[index + 1] - y[index]) / width);
    if (x.length === 2) return [secant[0], secant[0]];
    const end = (h, next, s, t) => {
      let slope = ((2 * h + next) * s - h * t) / (h + next);
      if (Math.sign(s) !== Math.sign(t) && Math.abs(slope) > 3 * Math.abs(s)) slope = 3 * s;
      return Math.sign(slope) === Math.sign(s) ? slope : 0;
    };
    const last = step.length - 1;
    const inner = secant.slice(1).map((after, index) => {
      const before = secant[index];
      const [w, v] = [2 * step[index + 1] + step[index], step[index + 1] + 2 * step[index]];
      return before * after > 0 ? (w + v) / (w / before + v / after) : 0;
    });
    return [end(step[0], step[1], secant[0], secant[1]), ...inner, end(step[last], step[last - 1], secant[last], secant[last - 1])];
  };

  const pchipValues = (x, y, at) => {
    const slopes = pchipSlopes(x, y);
    return at.map((position) => {
      let left = x.length - 2;
      while (left > 0 && x[left] > position) left -= 1;
      const h = x[left + 1] - x[left];
      const t = (position - x[left]) / h;
      return y[left] * (1 + 2 * t) * (1 - t) ** 2 + y[left + 1] * t ** 2 * (3 - 2 * t) + h * slopes[left] * t * (1 - t) ** 2 - h * slopes[left + 1] * t ** 2 * (1 - t);
    });
  };

  const pchipIntegral = (x, y, low, high) => {
    const slopes = pchipSlopes(x, y);
    let total = 0;
    for (let i = 0; i + 1 < x.length; i++) {
      const h = x[i + 1] - x[i];
      const inside = (bound) => Math.min(1, Math.max(0, (bound - x[i]) / h));
      const antiderivative = (t) =>
        y[i] * (t ** 4 / 2 - t ** 3 + t) + y[i + 1] * (t ** 3 - t ** 4 / 2) +
        h * slopes[i] * (t ** 4 / 4 - (2 * t ** 3) / 3 + t ** 2 / 2) + h * slopes[i + 1] * (t ** 4 / 4 - t ** 3 / 3);
      total += h * (antiderivative(inside(high)) - antiderivative(inside(low)));
    }
    return total;
  };

  const overlapNote = (overlap) => (overlap === null || overlap < LEAST_OVERLAP ? "withheld" : overlap < AMBER_OVERLAP ? "amber" : "");

  /** Mean of curve - anchor over the range of x that both reach: {value, reason, overlap}. */
  const gap = (anchorX, anchorY, x, y) => {
    if (Math.min(x.length, anchorX.length) < 2) return { value: null, reason: "too_few_points", overlap: null };
    const low = Math.max(anchorX[0], x[0]);
    const ends = [anchorX[anchorX.length - 1], x[x.length - 1]];
    const common = Math.max(Math.min(...ends), low) - low;
    if (common === 0) return { value: null, reason: "no_overlap", overlap: 0 };
    const overlap = common / Math.min(ends[0] - anchorX[0], ends[1] - x[0]);
    if (overlap < LEAST_OVERLAP) return { value: null, reason: "overlap_under_half", overlap };
    const value = (pchipIntegral(x, y, low, low + common) - pchipIntegral(anchorX, anchorY, low, low + common)) / common;
    return { value, reason: "", overlap };
  };

  /** BD-rate in percent and BD-quality in the metric's unit of one curve {bpp, value} against another. */
  const pair = (anchorCurve, curve) => {
    const [a, b] = [anchorCurve, curve].map(({ bpp, value }) => ordered(bpp, value));
    const rate = gap(a.quality, a.logRate, b.quality, b.logRate);
    const quality = gap(a.logRate, a.quality, b.logRate, b.quality);
    return {
      rate: rate.value === null ? null : 100 * Math.expm1(rate.value),
      reason: rate.reason,
      overlap: rate.overlap,
      quality: quality.value,
      repaired: a.repaired + b.repaired,
    };
  };

  /* mulberry32: small, seeded, good enough for percentiles; not numpy's draws, so bounds differ in the last digits. */
  const random = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  /** 95 % percentile interval of the mean over resampled images; the seed makes every table's draws the same. */
  const interval = (values) => {
    if (values.length < 2) return [null, null];
    const next = random(20_250_101);
    const means = new Float64Array(DRAWS);
    for (let draw = 0; draw < DRAWS; draw++) {
      let total = 0;
      for (let i = 0; i < values.length; i++) total += values[(next() * values.length) | 0];
      means[draw] = total / values.length;
    }
    means.sort();
    const quantile = (share) => {
      const at = share * (DRAWS - 1);
      const left = Math.floor(at);
      return means[left] + (at - left) * (means[Math.min(left + 1, DRAWS - 1)] - means[left]);
    };
    return [quantile(0.025), quantile(0.975)];
  };

  /** The two averagings of one codec against an anchor, over the images that both have whole; `known` is the interval
      where it has been computed before. */
  const compare = (anchor, codec, known) => {
    const common = anchor.images.filter((image) => codec.images.includes(image));
    if (!common.length) {
      const reason = !anchor.images.length ? "anchor_missing" : !codec.images.length ? "codec_missing" : "no_common_images";
      const none = { rate: null, low: null, high: null, quality: null, overlap: null, note: "withheld", reason, images: 0, without: 0, repaired: 0 };
      return { perImage: { ...none, ofImages: rdbench.table([]) }, averaged: none };
    }
    const pairs = common.map((image) => pair(imageCurve(anchor, image), imageCurve(codec, image)));
    const rates = pairs.map(({ rate }) => rate).filter((rate) => rate !== null);
    const qualities = pairs.map(({ quality }) => quality).filter((quality) => quality !== null);
    const enough = 2 * rates.length >= pairs.length;
    const reasons = [...new Set(pairs.map(({ reason }) => reason))];
    const overlap = mean(pairs.map((one) => one.overlap).filter((one) => one !== null));
    const without = pairs.length - rates.length;
    const [low, high] = enough ? (known ?? interval(rates)) : [null, null];
    const perImage = {
      rate: enough ? mean(rates) : null, low, high, overlap, without,
      quality: 2 * qualities.length >= pairs.length ? mean(qualities) : null,
      note: !enough ? "withheld" : without ? "amber" : overlapNote(overlap),
      reason: enough ? "" : reasons.length === 1 ? reasons[0] : "most_images_without_value",
      images: rates.length,
      repaired: sum(pairs.map(({ repaired }) => repaired)),
      ofImages: rdbench.table(common.map((image, index) => [image, pairs[index]])),
    };
    const whole = pair(averaged(only(anchor, common)), averaged(only(codec, common)));
    return { perImage, averaged: { ...whole, note: overlapNote(whole.overlap), images: common.length, without: 0 } };
  };

  return { curveTable, imageCurve, averaged, atEqualRates, pair, compare, interval };
})();
