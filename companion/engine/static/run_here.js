// Write and run in the page: below each exercise an editor and a field for reasons, and the cells of
// teaching notebooks, with Pyodide from the book's own address (`make lite`). What a reader writes
// stays in the browser, also when the page is left. Text goes in as text, never as HTML.
(() => {
  "use strict";

  const STATIC = document.currentScript.src.replace(/[^/]*$/, "");
  const SITE = new URL("..", STATIC).href;
  const MEGABYTES = 27;
  const { files: FILES = [], solved: SOLVED = false } = window.companionLite || {}; // by lite.js
  const SEEDS = 100; // as in check.py
  const PATIENCE = 3000; // milliseconds that Python has to stop by itself

  const ANSWERS = "companion-answers"; // what `check` keeps, under the name of a file: answers.json
  const DRAFT = "companion-draft "; // and a page's address and the name of a field
  const GENERATION = "companion-python"; // how often a Python was left to itself
  const OURS = /^(companion-(answers$|draft )|form )/; // with the forms' fields (forms.js)

  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  };

  const save = (content, type, name) => {
    const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // What is kept in this browser; where a window may keep nothing, it lasts as long as the page

  const held = new Map();

  const kept = (key) => {
    try {
      return held.get(key) ?? localStorage.getItem(key) ?? "";
    } catch {
      return "";
    }
  };

  const keep = (key, text) => {
    try {
      if (text) localStorage.setItem(key, text);
      else localStorage.removeItem(key);
      held.delete(key);
    } catch {
      held.set(key, text);
    }
  };

  const answers = () => {
    try {
      const all = JSON.parse(kept(ANSWERS));
      const whole = Object.entries(all.answers).filter(([, of]) => of?.constructor === Object);
      return { ...all, answers: Object.fromEntries(whole) };
    } catch {
      return { answers: {} };
    }
  };

  const rows = new Set(); // what shows how many there are

  const keepAnswers = (all) => {
    keep(ANSWERS, JSON.stringify(all));
    for (const tell of rows) tell();
  };

  /** What Python found goes in; guesses and sentences are as they were written meanwhile. */
  const takeIn = (text) => {
    const [found, now] = [JSON.parse(text), answers()];
    for (const [label, { sentence, guess }] of Object.entries(now.answers)) {
      found.answers[label] = { ...now.answers[label], ...found.answers[label], ...(sentence && { sentence }), ...(guess && { guess }) };
    }
    keepAnswers({ ...now, ...found });
  };

  /** Keep a text of an exercise in answers.json: its `sentence`, or the `guess` before it. */
  const keepWords = (label, kind, text) => {
    const all = answers();
    const { [kind]: before, ...of } = all.answers[label] ?? {};
    if (text.trim()) all.answers[label] = { ...of, [kind]: text };
    else if (Object.keys(of).length) all.answers[label] = of;
    else delete all.answers[label];
    keepAnswers(all);
  };

  const seed = () => (answers().student ?? 0) % SEEDS;
  const draft = (name) => `${DRAFT}${location.pathname}#${name}`;

  /** All that this browser has of one student goes, here and in Python. */
  const newStudent = () => {
    const ask = "Remove all answers, programs, sentences and forms of this book from this browser? "
      + "Download answers.json first if they are to be handed in.";
    if (!confirm(ask)) return;
    try {
      for (const key of Object.keys(localStorage)) if (OURS.test(key)) localStorage.removeItem(key);
    } catch { /* nothing is kept here */ }
    held.clear();
    python?.postMessage({ kind: "forget" });
    location.reload();
  };

  /** How many exercises were checked, a button that downloads them, and a student's number. */
  const handIn = () => {
    const said = make("span", { role: "status" });
    const download = make("button", { type: "button", onclick: () =>
      save(`${JSON.stringify(answers(), null, 1)}\n`, "application/json", "answers.json") }, "Download answers.json");
    const clear = make("button", { type: "button", onclick: newStudent }, "New student");
    const number = make("input", { inputmode: "numeric", size: "6", "aria-label": "Your number, if your course gave you one" });
    number.addEventListener("change", () => {
      const { student, ...others } = answers();
      const given = number.value.trim();
      if (/^\d{1,15}$/.test(given)) keepAnswers({ ...others, student: Number(given) });
      else if (!given) keepAnswers(others);
      else said.textContent = "A number is made of digits alone. ";
    });
    const tell = () => {
      const { student, answers: all } = answers();
      const every = Object.values(all);
      const checked = every.filter((one) => one.right);
      const right = checked.filter((one) => one.right.every(Boolean)).length;
      const sentences = every.filter((one) => one.sentence).length;
      download.hidden = !every.length;
      const counts = checked.length ? `Checked in this browser: ${checked.length}, right: ${right}. ` : "";
      const reasons = sentences ? `Answers in words: ${sentences}. ` : "";
      const which = student === undefined ? "" : `Write default_rng(${seed()}) for default_rng(0).`;
      said.textContent = counts + reasons + which;
      if (document.activeElement !== number) number.value = student ?? "";
    };
    rows.add(tell);
    tell();
    return make("p", { class: "run-row run-kept" }, said, download, make("label", {}, "Your number (if you have one) ", number), clear);
  };

  // Python

  let python = null; // where messages go
  let end = null; // ends it, whatever it does
  let loaded = false;
  let busy = null; // what runs: how it is shown, and what is called when it ends
  let count = 0;

  const LOADING = `Loading Python, about ${MEGABYTES} MB (once) …`;

  const connect = () => {
    if (python) return python;
    const failed = (event) => {
      const wrong = `Python could not be started: ${event.message || "no answer"}.`;
      [python, loaded] = [null, false];
      if (busy) finish({ pieces: [], wrong, figures: [], ran: true });
    };
    const address = `${STATIC}run_worker.js`;
    if (window.SharedWorker) {
      const name = `python ${kept(GENERATION)}`;
      const worker = new SharedWorker(address, { type: "module", name, extendedLifetime: true });
      worker.addEventListener("error", failed);
      python = worker.port;
      python.addEventListener("message", hear);
      python.start();
      end = () => keep(GENERATION, String(Number(kept(GENERATION)) + 1)); // the next one is another
      addEventListener("pagehide", () => python?.postMessage({ kind: "leave" }));
    } else {
      const worker = new Worker(address, { type: "module" });
      worker.addEventListener("error", failed);
      worker.addEventListener("message", hear);
      python = worker;
      end = () => worker.terminate();
    }
    return python;
  };

  /** Start Python before it is needed. */
  const warm = () => connect().postMessage({ kind: "start", lite: `${SITE}lite/` });

  const wait = (text) => {
    const { status, bar } = busy.shown;
    status.textContent = text;
    bar.hidden = loaded;
  };

  /** Ask what runs to stop; what does not is left to itself, and its names are lost. */
  const stop = () => {
    if (!busy) return;
    const { id, address } = busy;
    URL.revokeObjectURL(address);
    busy.shown.status.textContent = "Stopping …";
    setTimeout(() => {
      if (busy?.id !== id) return;
      python?.postMessage({ kind: "end" });
      end?.();
      [python, loaded] = [null, false];
      finish({ pieces: busy.pieces, wrong: "Stopped. Names of earlier programs are gone: run these again.", figures: [], ran: true });
    }, PATIENCE);
  };

  const write = (place, pieces) => place.replaceChildren(...pieces.map(({ kind, text }) =>
    make("span", kind === "err" ? { class: "run-err" } : {}, text)));

  const finish = ({ pieces, wrong, figures, ran, answers: found }) => {
    if (found) takeIn(found);
    const { shown, done, address } = busy;
    busy = null;
    URL.revokeObjectURL(address);
    shown.status.textContent = "";
    shown.bar.hidden = true;
    if (!ran) pieces = [...shown.pieces, ...pieces]; // a check of what ran before
    else {
      shown.figures.replaceChildren(...figures.map((figure) =>
        make("img", { src: `data:image/png;base64,${figure}`, alt: "The figure that this code draws." })));
      shown.pieces = pieces;
    }
    Object.assign(shown, { wrongText: wrong, drawn: ran ? figures : shown.drawn });
    write(shown.text, pieces);
    shown.wrong.textContent = wrong;
    shown.box.dataset.state = wrong ? "wrong" : "done";
    done(!wrong);
  };

  const hear = ({ data }) => {
    if (data.kind === "ready") loaded = true;
    if (!busy) return;
    if (data.kind === "bytes" && !loaded) {
      const megabytes = data.received / 1e6;
      wait(`Loading Python: ${megabytes.toFixed(0)} of about ${MEGABYTES} MB (once)`);
      busy.shown.bar.value = Math.min(1, megabytes / MEGABYTES);
    } else if (data.kind === "failed" && !loaded) {
      finish({ pieces: [], wrong: `Python could not be started: ${data.wrong}.`, figures: [], ran: true });
    } else if (data.id !== busy.id) {
      return;
    } else if (data.kind === "running") {
      loaded = true;
      wait("Running …");
    } else if (data.kind === "text") {
      busy.pieces = data.pieces;
      write(busy.shown.text, data.pieces);
    } else if (data.kind === "done") finish(data);
  };

  /** Run code, or check its last value if a label is given; one at a time. */
  const run = (code, shown, place, label) => new Promise((done) => {
    if (busy) {
      shown.status.textContent = "Another cell is running: wait, or stop it.";
      return done(false);
    }
    const address = URL.createObjectURL(new Blob([]));
    busy = { id: `${performance.timeOrigin} ${++count}`, shown, done, address, pieces: [] };
    shown.box.dataset.state = "running";
    shown.wrong.textContent = "";
    const worker = connect();
    wait(loaded ? "Running …" : LOADING);
    const [lite, teach] = [`${SITE}lite/`, `${SITE}_downloads/teach/`];
    worker.postMessage({ kind: "run", id: busy.id, lite, teach, files: FILES, code, label, place,
      page: location.pathname, stop: address, answers: JSON.stringify(answers()) });
  });

  // Fields and editors

  /** A field whose text is kept under a name as long as it belongs `to` the same; it has `given` at first. */
  const field = (name, given, to, about, attributes, told = () => {}) => {
    const key = draft(name);
    const before = (() => {
      try {
        return JSON.parse(kept(key));
      } catch {
        return null;
      }
    })();
    const area = make("textarea", { "aria-label": about, ...attributes });
    area.value = before?.to === to ? before.text : given;
    area.addEventListener("input", () => {
      keep(key, area.value === given ? "" : JSON.stringify({ to, text: area.value }));
      told(area.value);
    });
    return area;
  };

  /** An editor with its buttons and what comes out; `place` is an exercise's on the page, or −1. */
  const editor = (code, key, name, place, label) => {
    const restore = make("button", { type: "button", onclick: () => {
      if (!confirm("Put back the code that was here at first?")) return;
      area.value = code;
      area.dispatchEvent(new Event("input"));
    } }, "Restore");
    const told = () => { restore.hidden = area.value === code; };
    const area = field(key, code, label ?? code, name, { spellcheck: "false", autocapitalize: "off", autocomplete: "off" }, told);
    area.rows = Math.min(24, Math.max(4, area.value.split("\n").length + 1));
    told();
    const shown = {
      status: make("span", { role: "status" }),
      bar: make("progress", { "aria-label": "How much of Python is loaded" }),
      text: make("pre", { class: "run-text", "aria-live": "polite" }),
      wrong: make("pre", { class: "run-wrong", role: "alert" }),
      figures: make("div", { class: "run-figures" }),
      pieces: [], drawn: [], wrongText: "",
    };
    shown.bar.hidden = true;
    const go = () => run(area.value, shown, place);
    const buttons = [make("button", { type: "button", onclick: go }, "Run")];
    if (label) buttons.push(make("button", { type: "button", onclick: () => run(area.value, shown, place, label) }, "Check"));
    buttons.push(make("button", { type: "button", onclick: stop }, "Stop"), restore);
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.shiftKey || event.ctrlKey)) {
        event.preventDefault();
        go();
      }
    });
    const row = make("div", { class: "run-row" }, ...buttons, shown.status, shown.bar);
    shown.box = make("div", { class: "run-box", "data-state": "new" }, area, row, shown.text, shown.wrong, shown.figures);
    return { box: shown.box, go, area, shown };
  };

  /** A field for an answer in words, or for a guess, which goes into answers.json. */
  const words = (label, about, kind = "sentence", rows = "3") => {
    const area = make("textarea", { class: "run-words", rows, "aria-label": about, placeholder: about });
    area.value = answers().answers[label]?.[kind] ?? "";
    area.addEventListener("input", () => keepWords(label, kind, area.value));
    return area;
  };

  /** A button below an exercise that opens a field for its answer, and an editor if it computes. */
  const offer = (exercise, place) => {
    const label = exercise.id;
    const computes = /· compute ·/.test(exercise.querySelector(".admonition-title")?.textContent ?? "");
    const drawn = /default_rng\(0\)/.test(exercise.textContent);
    const show = () => {
      const box = make("div", { class: "run-box", "data-state": "new" });
      let first = null;
      if (computes) {
        const rng = drawn ? `rng = np.random.default_rng(${seed()})\n` : "";
        const start = `import numpy as np\n\n${rng}# The last line is your answer: one value, or several with commas between.\n`;
        const own = editor(start, label, `Code for ${label}`, place, label);
        first = words(label, "First, your guess: which result do you expect, and why?", "guess", "2");
        box.dataset.state = "";
        box.append(first, own.box);
      }
      const reasons = words(label, computes ? "Your reason, in a sentence or two" : "Your answer, in words");
      box.append(reasons, handIn());
      box.className = "run-exercise";
      open.replaceWith(box);
      return first ?? reasons;
    };
    const open = make("button", { type: "button", class: "run-open", onclick: () => {
      show().focus();
      if (computes) warm();
    } },
      computes ? "Write and run code here" : "Write your answer here");
    exercise.append(open);
    if (kept(draft(label)) || answers().answers[label]) show();
  };

  /** The cells of a notebook page, and buttons for all of them. */
  const notebook = () => {
    const name = location.pathname.match(/([a-z_]+?)(_blanks|_solved)?\.html$/)?.[1] ?? "notebook";
    const parts = [...document.querySelectorAll("pre.run-cell, .words")].map((place, n) => {
      if (place.matches(".words")) {
        const write = place.querySelector(".run-write");
        const area = write && words(`notebook ${name}`, "Your sentence");
        write?.replaceWith(area);
        return { markdown: place.dataset.source, area };
      }
      const cell = editor(place.textContent, `cell ${n}`, `Cell ${n + 1}`, -1);
      place.replaceWith(cell.box);
      return cell;
    });
    const cells = parts.filter((part) => part.go);
    const all = async () => {
      for (const cell of cells) {
        cell.box.scrollIntoView({ block: "nearest" });
        if (!(await cell.go())) break;
      }
    };
    const download = () => save(`${JSON.stringify(ipynb(name, parts), null, 1)}\n`, "application/x-ipynb+json", `${name}.ipynb`);
    const says = make("span", {}, "Python runs in this page. Shift and Enter run a cell; later cells need the earlier ones. What you write stays in this browser.");
    document.querySelector(".run-bar").append(make("button", { type: "button", onclick: all }, "Run all"),
      make("button", { type: "button", onclick: download }, "Download notebook"), says);
    document.querySelector(".run-bar").after(handIn());
    warm();
  };

  /** A notebook as Jupyter opens it: what was written, and what came out. */
  const ipynb = (name, parts) => ({
    cells: parts.map((part, n) => {
      const about = { id: `${name}-${n}`, metadata: {} };
      if (part.markdown !== undefined) {
        const own = part.area?.value.trim();
        const source = own ? part.markdown.replace("*Write here.*", () => own) : part.markdown;
        return { cell_type: "markdown", ...about, source };
      }
      const { shown, area } = part;
      const streams = shown.pieces.map(({ kind, text }) => ({ output_type: "stream", name: `std${kind}`, text }));
      const drawn = shown.drawn.map((figure) => ({ output_type: "display_data", metadata: {}, data: { "image/png": figure } }));
      const [ename, ...rest] = shown.wrongText.split(": ");
      const wrong = ename ? [{ output_type: "error", ename, evalue: rest.join(": "), traceback: [shown.wrongText] }] : [];
      return { cell_type: "code", ...about, execution_count: null, source: area.value, outputs: [...streams, ...drawn, ...wrong] };
    }),
    metadata: { kernelspec: { display_name: "Python 3", language: "python", name: "python3" }, language_info: { name: "python" } },
    nbformat: 4, nbformat_minor: 5,
  });

  const start = () => {
    if (!window.companionLite || !location.protocol.startsWith("http")) return;
    if (document.body.matches(".run-page")) return notebook();
    document.querySelectorAll(".exercise[id]").forEach(offer);
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
