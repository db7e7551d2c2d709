// Run Python in the page: an editor below each exercise to compute, and the cells of teaching
// notebooks, with Pyodide from the book's own address (`make lite`). What a reader writes stays in
// the browser. Text goes in as text, never as HTML.
(() => {
  "use strict";

  const STATIC = document.currentScript.src.replace(/[^/]*$/, "");
  const SITE = new URL("..", STATIC).href;
  const MEGABYTES = 27;
  const { files: FILES = [], solved: SOLVED = false } = window.companionLite || {}; // by lite.js

  const ANSWERS = "companion-answers"; // what `check` keeps, under the name of a file: answers.json

  let worker = null;
  let busy = null; // what runs: how it is shown, and what is called when it ends
  let count = 0;
  let loaded = false;

  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  };

  /** End what runs; the names that it defined are lost. */
  const stop = () => {
    worker?.terminate();
    [worker, loaded] = [null, false];
    if (busy) finish({ text: busy.text, wrong: "Stopped. Names of earlier cells are gone: run these again.", figures: [] });
  };

  // What was checked: kept in this browser, to download and hand in

  const SEEDS = 100; // as in check.py
  const rows = new Set(); // what shows how many there are

  let held = ""; // where a window may keep nothing, answers last as long as the page

  const kept = () => {
    try {
      return JSON.parse(held || localStorage.getItem(ANSWERS)) ?? { answers: {} };
    } catch {
      return { answers: {} };
    }
  };

  const keep = (text) => {
    try {
      localStorage.setItem(ANSWERS, text);
    } catch {
      held = text;
    }
    for (const tell of rows) tell();
  };

  const seed = () => (kept().student ?? 0) % SEEDS;

  /** How many exercises were checked, a button that downloads them, and a student's number. */
  const handIn = () => {
    const said = make("span", { role: "status" });
    const download = make("button", { type: "button", onclick: () => {
      const text = `${JSON.stringify(kept(), null, 1)}\n`;
      const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "answers.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    } }, "Download answers.json");
    const number = make("input", { inputmode: "numeric", size: "6", "aria-label": "Your number, if your course gave you one" });
    number.addEventListener("change", () => {
      const { student, ...others } = kept();
      const given = number.value.trim();
      if (/^\d{1,15}$/.test(given)) keep(JSON.stringify({ ...others, student: Number(given) }));
      else if (!given) keep(JSON.stringify(others));
      else said.textContent = "A number is made of digits alone. ";
    });
    const tell = () => {
      const { student, answers } = kept();
      const every = Object.values(answers ?? {});
      const right = every.filter((one) => one.right?.every(Boolean)).length;
      download.hidden = !every.length;
      const which = student === undefined ? "" : ` Write default_rng(${seed()}) for default_rng(0).`;
      said.textContent = (every.length ? `Checked in this browser: ${every.length}, right: ${right}.` : "") + which;
      if (document.activeElement !== number) number.value = student ?? "";
    };
    rows.add(tell);
    tell();
    return make("p", { class: "run-row run-kept" }, said, download, make("label", {}, "Your number (if you have one) ", number));
  };

  const finish = ({ text, wrong, figures, answers }) => {
    if (answers) keep(answers);
    const { shown, done } = busy;
    busy = null;
    shown.status.textContent = "";
    shown.text.textContent = text;
    shown.wrong.textContent = wrong;
    shown.figures.replaceChildren(...figures.map((figure) =>
      make("img", { src: `data:image/png;base64,${figure}`, alt: "The figure that this code draws." })));
    shown.box.dataset.state = wrong ? "wrong" : "done";
    done(!wrong);
  };

  const hear = ({ data }) => {
    if (!busy) return;
    if (data.kind === "bytes" && !loaded) {
      const megabytes = data.received / 1e6;
      busy.shown.status.textContent = `Loading Python: ${megabytes.toFixed(0)} of about ${MEGABYTES} MB (once)`;
      busy.shown.bar.value = Math.min(1, megabytes / MEGABYTES);
      busy.shown.bar.hidden = false;
    } else if (data.kind === "ready") {
      loaded = true;
      busy.shown.bar.hidden = true;
      busy.shown.status.textContent = "Running …";
    } else if (data.kind === "text") {
      busy.text = data.text;
      busy.shown.text.textContent = data.text;
    } else if (data.kind === "done") finish(data);
  };

  /** Run code, and check its last value if a label is given; one at a time. */
  const run = (code, shown, label) => new Promise((done) => {
    if (busy) {
      shown.status.textContent = "Another cell is running: wait, or stop it.";
      return done(false);
    }
    if (!worker) {
      worker = new Worker(`${STATIC}run_worker.js`, { type: "module" });
      worker.addEventListener("message", hear);
      worker.addEventListener("error", (event) => {
        if (busy) finish({ text: "", wrong: `Python could not be started: ${event.message || "no answer"}.`, figures: [] });
        stop();
      });
    }
    busy = { shown, done, text: "" };
    shown.box.dataset.state = "running";
    shown.status.textContent = loaded ? "Running …" : `Loading Python, about ${MEGABYTES} MB (once) …`;
    shown.wrong.textContent = "";
    shown.figures.replaceChildren();
    const [lite, teach] = [`${SITE}lite/`, `${SITE}_downloads/teach/`];
    worker.postMessage({ id: ++count, lite, teach, files: FILES, code, label, answers: JSON.stringify(kept()) });
  });

  /** An editor with its buttons and what comes out. */
  const editor = (code, name, label) => {
    const area = make("textarea", { spellcheck: "false", autocapitalize: "off", autocomplete: "off",
      "aria-label": name, rows: Math.min(24, Math.max(4, code.split("\n").length + 1)) });
    area.value = code;
    const shown = {
      status: make("span", { role: "status" }),
      bar: make("progress", { "aria-label": "How much of Python is loaded" }),
      text: make("pre", { class: "run-text", "aria-live": "polite" }),
      wrong: make("pre", { class: "run-wrong", role: "alert" }),
      figures: make("div", { class: "run-figures" }),
    };
    shown.bar.hidden = true;
    const go = () => run(area.value, shown);
    const buttons = [make("button", { type: "button", onclick: go }, "Run")];
    if (label) buttons.push(make("button", { type: "button", onclick: () => run(area.value, shown, label) }, "Check"));
    buttons.push(make("button", { type: "button", onclick: stop }, "Stop"));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.shiftKey || event.ctrlKey)) {
        event.preventDefault();
        go();
      }
    });
    const row = make("div", { class: "run-row" }, ...buttons, shown.status, shown.bar);
    shown.box = make("div", { class: "run-box", "data-state": "new" }, area, row, shown.text, shown.wrong, shown.figures);
    return { box: shown.box, go, area };
  };

  /** A button below an exercise to compute that opens an editor for it. */
  const offer = (exercise) => {
    const drawn = /default_rng\(0\)/.test(exercise.textContent);
    const open = make("button", { type: "button", class: "run-open", onclick: () => {
      const rng = drawn ? `rng = np.random.default_rng(${seed()})\n` : "";
      const start = `import numpy as np\n\n${rng}# The last line is your answer: one value, or several with commas between.\n`;
      const { box, area } = editor(start, `Code for ${exercise.id}`, exercise.id);
      box.append(handIn());
      open.replaceWith(box);
      area.focus();
    } }, "Write and run code here");
    exercise.append(open);
  };

  /** The cells of a notebook page, and buttons for all of them. */
  const notebook = () => {
    const cells = [...document.querySelectorAll("pre.run-cell")].map((place, n) => {
      const cell = editor(place.textContent, `Cell ${n + 1}`);
      place.replaceWith(cell.box);
      return cell;
    });
    const all = async () => {
      for (const cell of cells) {
        cell.box.scrollIntoView({ block: "nearest" });
        if (!(await cell.go())) break;
      }
    };
    const says = make("span", {}, "Python runs in this page. Shift and Enter run a cell; later cells need the earlier ones.");
    document.querySelector(".run-bar").append(make("button", { type: "button", onclick: all }, "Run all"), says);
    document.querySelector(".run-bar").after(handIn());
  };

  const start = () => {
    if (!window.companionLite || !location.protocol.startsWith("http")) return;
    if (document.body.matches(".run-page")) return notebook();
    for (const exercise of document.querySelectorAll(".exercise[id]")) {
      if (/· compute ·/.test(exercise.querySelector(".admonition-title")?.textContent ?? "")) offer(exercise);
    }
    for (const link of document.querySelectorAll('a.download[href$=".zip"]')) {
      const name = decodeURI(link.getAttribute("href")).match(/([a-z_]+)\.zip$/)?.[1];
      if (!name || name === "check") continue;
      const address = (kind) => `${SITE}lite/${name}${kind}.html`;
      if (name === "lab") {
        link.after(" (", make("a", { href: address("_blanks"), class: "run-link" }, "run it here"), ")");
        continue;
      }
      const solved = SOLVED ? [", ", make("a", { href: address("_solved"), class: "run-link" }, "solved")] : [];
      link.after(" (run it here: ", make("a", { href: address("_blanks"), class: "run-link" }, "with blanks"), ...solved, ")");
    }
  };

  document.addEventListener("DOMContentLoaded", start);
})();
