/* Triplet questions: which of two pictures differs more from the original. Answers stay in localStorage until they are
   downloaded as CSV. What a picture is stands nowhere here; the key is not part of the page. */
"use strict";

(() => {
  const COLUMNS = ["study", "participant", "order", "question", "left", "right", "answer", "seconds", "mode", "changes",
    "visible", "pixel_ratio", "window"];
  const SCROLL = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] }; // with shift
  const FASTEST_MS = 300; // what comes sooner is the last answer's key
  const study = JSON.parse(document.getElementById("study").textContent);
  const $ = (id) => document.getElementById(id);
  const panes = [...document.querySelectorAll(".pane")];
  const store = `rdbench-blind-${study.study}`;
  let state = null; // { participant, mode, offset, back, swaps, answers }
  let now = null; // the question on the screen: { id, left, right, since, changes }
  let held = false; // the original is shown in place of the versions
  let flickering = false;

  const tell = (text) => ($("told").textContent = text);
  const random = (count) => crypto.getRandomValues(new Uint8Array(count));

  const save = () => {
    try {
      localStorage.setItem(store, JSON.stringify(state));
    } catch {
      tell("This browser does not keep the answers: leave the page open until you have downloaded them.");
    }
  };
  const kept = () => {
    try {
      const found = JSON.parse(localStorage.getItem(store));
      return Array.isArray(found?.answers) && found.swaps?.length === study.questions.length ? found : null;
    } catch {
      return null;
    }
  };
  const fresh = () => {
    const hex = [...random(8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const [high, low, back] = random(3);
    const count = study.questions.length;
    const swaps = [...random(count)].map((byte) => byte & 1);
    return { participant: `p${hex}`, mode: "", offset: (high * 256 + low) % count, back: back & 1, swaps, answers: [] };
  };

  /** The question that comes at a place: everyone starts at another one, half go backwards. */
  const at = (place) => {
    const count = study.questions.length;
    const index = (((state.back ? -place : place) + state.offset) % count + count) % count;
    const [id, one, two, original] = study.questions[index];
    const [left, right] = state.swaps[index] ? [two, one] : [one, two];
    return { id, left, right, original };
  };
  const file = (name) => `pictures/${name}.png`;
  const show = (name) => {
    for (const part of ["start", "stage", "end"]) $(part).hidden = part !== name;
    document.querySelector(`#${name} h1`).focus();
  };

  /* Pictures, one of their pixels on one of the screen's */
  const size = () => {
    for (const image of document.querySelectorAll(".pane img")) {
      if (!image.naturalWidth) continue;
      image.style.width = `${image.naturalWidth / devicePixelRatio}px`;
      image.style.height = `${image.naturalHeight / devicePixelRatio}px`;
    }
    $("partly").hidden = visible() > 0.999;
  };
  const visible = () => {
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = panes[0];
    return Math.min(1, clientWidth / scrollWidth) * Math.min(1, clientHeight / scrollHeight);
  };
  const next = async () => {
    const place = state.answers.length;
    now = null;
    if (place >= study.questions.length) return finish();
    const it = at(place);
    flickering = false;
    turn(false);
    const sources = [it.left, it.original, it.original, it.right, it.original];
    const images = [...document.querySelectorAll(".pane img")];
    images.forEach((image, index) => (image.src = file(sources[index])));
    try {
      await Promise.all(images.map((image) => image.decode()));
    } catch {
      tell("A picture cannot be shown. Is the folder complete? Reload the page to try again.");
      return;
    }
    show("stage");
    size();
    $("which").textContent = `Question ${place + 1} of ${study.questions.length}`;
    now = { ...it, since: performance.now(), changes: 0 };
    flickering = state.mode === "flicker";
    if (flickering) requestAnimationFrame(flicker);
    $("pause").hidden = state.mode !== "flicker";
    $("pause").textContent = "Stop the flicker (space)";
    if (state.answers.length + 1 < study.questions.length) { // the next one's, so that nothing waits
      const { left, right, original } = at(place + 1);
      for (const name of [left, right, original]) new Image().src = file(name);
    }
  };

  /* The original in place of the versions, by itself or by hand */
  const turn = (original) => {
    if (original !== held && now) now.changes += 1;
    held = original;
    panes.forEach((pane) => pane.classList.toggle("turned", held && pane.children.length > 1));
  };
  const flicker = (time) => {
    if (!flickering || !now) return;
    turn(Math.floor(time / study.changeMs) % 2 === 1);
    requestAnimationFrame(flicker);
  };
  const pause = () => {
    flickering = !flickering;
    $("pause").textContent = flickering ? "Stop the flicker (space)" : "Go on with the flicker (space)";
    if (flickering) requestAnimationFrame(flicker);
    else turn(false);
  };

  const answer = (said) => {
    if (!now || performance.now() - now.since < FASTEST_MS) return;
    const seconds = ((performance.now() - now.since) / 1000).toFixed(3);
    state.answers.push([study.study, state.participant, state.answers.length + 1, now.id, now.left, now.right, said,
      seconds, state.mode, now.changes, visible().toFixed(3), devicePixelRatio, `${innerWidth}x${innerHeight}`]);
    save();
    next();
  };

  const download = () => {
    const text = [COLUMNS, ...state.answers].map((row) => row.join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `answers-${study.study}-${state.participant}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    tell(`Saved ${link.download}.`);
  };
  const finish = () => {
    flickering = false;
    show("end");
  };

  const prepare = () => {
    state = kept() ?? fresh();
    $("count").textContent = study.questions.length;
    if (state.answers.length >= study.questions.length) return finish();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const mode = state.mode || (still ? "by hand" : "flicker");
    for (const input of document.querySelectorAll("[name=mode]")) {
      input.checked = input.value === mode;
      input.disabled = state.answers.length > 0; // one way of looking for all of a participant's answers
    }
    $("begin").textContent = state.answers.length ? `Go on with question ${state.answers.length + 1}` : "Start";
    show("start");
  };

  $("begin").addEventListener("click", () => {
    state.mode = document.querySelector("[name=mode]:checked").value;
    save();
    next();
  });
  $("answers").addEventListener("click", (event) => {
    const button = event.target.closest("[data-answer]");
    if (button) answer(button.dataset.answer);
  });
  $("pause").addEventListener("click", pause);
  $("so-far").addEventListener("click", download);
  $("download").addEventListener("click", download);
  $("again").addEventListener("click", () => {
    localStorage.removeItem(store);
    tell("");
    prepare();
  });
  document.addEventListener("keydown", (event) => {
    if ($("stage").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
    const way = SCROLL[event.key];
    if (event.shiftKey && way) {
      panes[0].scrollBy(...way);
      event.preventDefault();
      return;
    }
    if (event.repeat || event.shiftKey) return;
    const said = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "not sure" }[event.key];
    if (said) answer(said);
    else if (event.key === " " && !event.target.closest("button")) {
      if (state.mode === "flicker") pause();
      else turn(true);
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && state.mode !== "flicker") turn(false);
  });
  addEventListener("resize", size);
  for (const pane of panes) {
    pane.addEventListener("scroll", () => panes.forEach((other) => {
      if (other === pane) return;
      [other.scrollLeft, other.scrollTop] = [pane.scrollLeft, pane.scrollTop];
    }));
  }
  prepare();
})();
