/* The table of records: filtered, sorted, a page at a time. The filters stand in the address, so a view can be linked. */
"use strict";

(() => {
  const PAGE = 100;
  const FILTERS = ["dataset", "codec", "image", "point", "status"];
  const COLUMNS = [
    ["dataset", "Dataset"],
    ["image", "Image"],
    ["codec", "Codec"],
    ["point", "Point"],
    ["status", "Status"],
    ["bytes", "Bytes", 0],
    ["bpp", "Rate [bpp]", 4],
    ["psnr_rgb_db", "PSNR (RGB) [dB]", 3],
    ["ms_ssim_db", "MS-SSIM [dB]", 3],
    ["bitstream_sha256", "Bitstream, sha256"],
  ];
  const SEARCHED = ["bitstream_sha256", "reconstruction_sha256", "image_sha256", "reason", "parameters", "codec_version"];

  /* The rows come in pieces of `size` rows: the first is in the page, the others follow it. */
  const table = rdbench.data("records-data");
  const byName = (piece) => new Map(piece.columns.map((column) => [column.name, column]));
  const columns = byName(table);
  const pieces = [columns];
  const value = (name, row) => {
    const place = Math.floor(row / table.size);
    const column = pieces[place].get(name);
    row -= place * table.size;
    if (!column.codes) return column.values[row];
    return column.codes[row] === null ? null : column.values[column.codes[row]];
  };
  const form = document.getElementById("filters");
  const body = document.querySelector("#records tbody");
  let sort = { name: null, descending: false };
  let rows = [];
  let page = 0;
  let opened = null;

  const read = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const state = Object.fromEntries(FILTERS.map((name) => [name, wanted.get(name) || ""]));
    state.text = wanted.get("text") || "";
    const [name, direction] = (wanted.get("sort") || "").split(".");
    sort = { name: columns.has(name) ? name : null, descending: direction === "desc" };
    return state;
  };

  const write = () => {
    const parts = [...FILTERS, "text"].map((name) => [name, form.elements[name].value]);
    if (sort.name) parts.push(["sort", sort.name + (sort.descending ? ".desc" : "")]);
    const hash = parts.filter(([, text]) => text).map(([key, text]) => `${key}=${encodeURIComponent(text)}`).join("&");
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  };

  const matches = (state, except) => {
    const text = state.text.trim().toLowerCase();
    const found = [];
    for (let row = 0; row < table.rows; row++) {
      if (FILTERS.some((name) => name !== except && state[name] && value(name, row) !== state[name])) continue;
      if (text && !SEARCHED.some((name) => String(value(name, row) ?? "").toLowerCase().includes(text))) continue;
      found.push(row);
    }
    return found;
  };

  /* Each select offers what the other filters leave, in the order of the records. */
  const offer = (state) => {
    for (const name of FILTERS) {
      const left = new Set(matches(state, name).map((row) => value(name, row)).filter((item) => item !== null));
      if (state[name]) left.add(state[name]);
      form.elements[name].replaceChildren(
        rdbench.element("option", { value: "" }, "all"),
        ...[...left].map((item) => rdbench.element("option", { value: item }, item)),
      );
      form.elements[name].value = state[name];
    }
  };

  const order = (found) => {
    if (!sort.name) return found;
    const key = (row) => {
      const item = value(sort.name, row);
      return item === "inf" ? Infinity : item;
    };
    const sign = sort.descending ? -1 : 1;
    return found.sort((p, q) => {
      const [a, b] = [key(p), key(q)];
      if (a === null || b === null) return a === b ? p - q : a === null ? 1 : -1;
      return a === b ? p - q : a < b ? -sign : sign;
    });
  };

  const update = (state, more = false) => {
    offer(state);
    form.elements.text.value = state.text;
    rows = order(matches(state));
    if (!more) page = 0;
    if (!more || opened === null) opened = rows.length === 1 ? rows[0] : null;
    draw();
  };

  /* A script and not a fetch: a page that is opened as a file may read no other. */
  rdbench.piece = (number, piece) => {
    pieces[number] = byName(rdbench.bare(piece));
    table.rows += piece.rows;
  };
  const load = () => {
    const number = pieces.length;
    if (table.rows >= table.total) return;
    const script = rdbench.element("script", { src: `records/${number}.js` });
    script.addEventListener("load", () => {
      update(read(), true);
      load();
    });
    document.head.append(script);
  };

  const cell = (row, [name, , digits]) => {
    const item = value(name, row);
    if (name === "bytes") return rdbench.element("td", { class: "n" }, item === null ? "–" : rdbench.bytes(item));
    if (digits !== undefined) return rdbench.element("td", { class: "n" }, rdbench.number(item, digits));
    if (name === "image") {
      const open = rdbench.element("button", { type: "button", class: "open", "aria-expanded": String(opened === row) }, item ?? "whole dataset");
      return rdbench.element("td", {}, open);
    }
    if (name === "status" && item !== "ok") return rdbench.element("td", {}, rdbench.element("span", { class: `mark ${item === "failed" ? "withheld" : "amber"}` }, item));
    if (name === "bitstream_sha256") return rdbench.element("td", {}, item === null ? (value("reason", row) ?? "–") : bitstream(row, 16));
    return rdbench.element("td", {}, item ?? "–");
  };

  const bitstream = (row, length) => {
    const hash = value("bitstream_sha256", row);
    const code = rdbench.element("code", { title: hash }, hash.slice(0, length));
    const path = value("bitstream", row);
    return table.base !== null && path ? rdbench.element("a", { href: rdbench.href(table.base + path) }, code) : code;
  };

  const details = (row) => {
    const list = rdbench.element("dl");
    for (const { name } of table.columns) {
      const item = value(name, row);
      if (item === null) continue;
      let content = String(item);
      if (name === "bitstream_sha256") content = bitstream(row, 64);
      else if ((name === "log" || name === "bitstream") && table.base !== null) content = rdbench.element("a", { href: rdbench.href(table.base + item) }, item);
      else if (name.endsWith("sha256")) content = rdbench.element("code", {}, item);
      list.append(rdbench.element("dt", {}, name), rdbench.element("dd", {}, content));
    }
    return rdbench.element("tr", {}, rdbench.element("td", { class: "details", colspan: COLUMNS.length }, list));
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    const drawn = rows.slice(page * PAGE, (page + 1) * PAGE).flatMap((row) => {
      const line = rdbench.element("tr", { class: "row", "data-row": row }, ...COLUMNS.map((column) => cell(row, column)));
      return row === opened ? [line, details(row)] : [line];
    });
    body.replaceChildren(...drawn);
    const loaded = table.rows < table.total ? `, ${table.rows} of them read so far` : "";
    document.getElementById("found").textContent = `${rows.length} of ${table.total} rows${loaded}`;
    document.getElementById("page").textContent = `page ${page + 1} of ${pages}`;
    document.getElementById("previous").disabled = page === 0;
    document.getElementById("next").disabled = page >= pages - 1;
    for (const head of document.querySelectorAll("#records thead th")) {
      const mine = head.dataset.name === sort.name;
      head.setAttribute("aria-sort", mine ? (sort.descending ? "descending" : "ascending") : "none");
    }
  };

  const state = () => Object.fromEntries([...FILTERS, "text"].map((name) => [name, form.elements[name].value]));
  const changed = () => {
    write();
    update(state());
  };

  document.querySelector("#records thead tr").append(...COLUMNS.map(([name, title, digits]) => {
    const button = rdbench.element("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      sort = { name, descending: sort.name === name && !sort.descending };
      changed();
    });
    return rdbench.element("th", { scope: "col", class: digits === undefined ? "" : "n", "data-name": name }, button);
  }));
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr.row");
    if (!line || event.target.closest("a") || String(getSelection())) return;
    const row = Number(line.dataset.row);
    opened = opened === row ? null : row;
    draw();
    body.querySelector(`tr[data-row="${row}"] .open`).focus();
  });
  const turn = (step) => () => {
    page += step;
    draw();
  };
  document.getElementById("previous").addEventListener("click", turn(-1));
  document.getElementById("next").addEventListener("click", turn(1));
  document.getElementById("save").addEventListener("click", () => {
    const quoted = (item) => {
      const text = /^'*[=+\-@\t\r]/.test(item) && Number.isNaN(Number(item)) ? `'${item}` : item; // no formula in a spreadsheet
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const names = table.columns.map((column) => column.name);
    const lines = rows.map((row) => names.map((name) => quoted(String(value(name, row) ?? ""))).join(","));
    const blob = new Blob([[names.join(","), ...lines, ""].join("\n")], { type: "text/csv" });
    const link = rdbench.element("a", { href: URL.createObjectURL(blob), download: "records.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  form.addEventListener("change", changed);
  form.elements.text.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    sort = { name: null, descending: false };
    for (const name of [...FILTERS, "text"]) form.elements[name].value = "";
    changed();
  });
  addEventListener("hashchange", () => update(read()));
  update(read());
  load();
})();
