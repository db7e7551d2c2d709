// The explorer: every published model as a mark, as a row, and side by side.
// The numbers stand in the page as JSON (companion/chapters/explore.py); effective robustness is
// computed here by the book's equation. Whatever is shown goes into the page as text, never as HTML.
// The choice is kept in the page's address, after "#".
(() => {
  "use strict";

  const { make } = window.companionDrawn;
  const { keyMark, logit, createPlot } = window.companionPlot;
  const MOST_PINS = 4;
  const MOST_ROWS = 100;
  const MOST_FOUND = 20; // models that are shown because they are looked for, whatever is chosen
  const LEAST = { 0: "any", 50: "above 50 %", 60: "above 60 %", 70: "above 70 %" };

  const inverseLogit = (z) => 1 / (1 + Math.exp(-z));
  const minus = (text) => text.replace(/^-/, "\u2212");
  const percent = (a) => (a === null ? "not published" : (100 * a).toFixed(1));
  const points = (a) => (a === null ? "n/a" : minus(`${a < 0 ? "" : "+"}${(100 * a).toFixed(1)}`));
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  const button = (text, onclick, attributes = {}) =>
    make("button", { type: "button", onclick, ...attributes }, text);
  const field = (id, label, control) =>
    make("div", { class: "field" }, make("label", { for: id }, label), control);
  const hint = (text = "") => make("p", { class: "hint" }, text);
  /** A box that scrolls, also with the keyboard. */
  const scrolling = (label, node) =>
    make("div", { class: "box", tabindex: 0, role: "group", "aria-label": label }, node);

  /** The models as objects, from the columns of the page's data. */
  const readModels = (data) =>
    data.model.map((model, index) => {
      const fraction = (name) => (data[name][index] === null ? null : data[name][index] / 1e6);
      const accuracy = { imagenet: fraction("imagenet") };
      for (const shift of Object.keys(data.shifts)) accuracy[shift] = fraction(shift);
      const [source, trained, group] = ["source", "data", "group"].map(
        (name) => data[name].names[data[name].of[index]],
      );
      const weights = data.weights[index];
      const size = data.size[index] ? `${data.size[index]} px` : "";
      const name = [model, weights, size].filter(Boolean).join(" ");
      return {
        index, model, weights, size, name, accuracy, source, trained, group,
        level: data.levels[data.level[index]],
        key: [source, model, weights, data.size[index] || ""].join("/"),
        found: plain(`${name} ${trained} ${group} ${source}`),
        kurtosis: data.kurtosis[index] ?? [],
        command: (data.commands[source] ?? "").replace("{model}", model).replace("{weights}", weights),
      };
    });

  const explore = (root, data) => {
    const models = readModels(data);
    const byKey = new Map(models.map((one) => [one.key, one]));
    const levelNames = data.levels.map((level) => level.name);
    const groups = data.group.names;
    const DEFAULTS = {
      view: "five", pool: "printed", v2: "mean", axes: "logit", levels: ["zero_shot", "finetuned"],
      without: [], least: "50", find: "", sort: "er", order: "descending", pins: [],
    };
    const measured = [["imagenet", "ImageNet"], ...Object.entries(data.shifts)];
    const titles = Object.fromEntries(
      Object.entries(data.views).map(([key, view]) => [key, view.title]),
    );
    let choice = structuredClone(DEFAULTS);
    let shown = []; // the models that are chosen, with `x`, `y`, `er` and their place
    let allRows = false;
    let pinBoxes = new Map(); // the boxes of the rows, by model

    // ------------------------------------------------------------------ numbers
    const findLine = (view, pool, v2) => {
      const fits = data.lines.filter((line) => line.view === view && line.pool === pool);
      return fits.find((line) => line.v2 === v2) ?? fits[0] ?? null;
    };
    /** The line of the choice; where a pool has none for that shift, the testbed's. */
    const lineOf = (view) =>
      findLine(view, choice.pool, choice.v2) ?? findLine(view, "all", choice.v2);
    const shiftedOf = (model, view) => {
      const values = data.views[view].shifts.map((shift) => model.accuracy[shift]);
      if (values.includes(null)) return null;
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const expected = (line, accuracy) => inverseLogit(line.slope * logit(accuracy) + line.intercept);
    const robustness = (model, view) => {
      const shifted = shiftedOf(model, view);
      return shifted === null ? null : shifted - expected(lineOf(view), model.accuracy.imagenet);
    };

    // ------------------------------------------------------------------ the address
    const toHash = () => {
      const changed = Object.entries(choice).filter(
        ([key, value]) => String(value) !== String(DEFAULTS[key]),
      );
      return new URLSearchParams(changed.map(([key, value]) => [key, String(value)])).toString();
    };
    const ALLOWED = {
      view: Object.keys(data.views), pool: Object.keys(data.pools), v2: Object.keys(data.variants),
      axes: ["logit", "linear"], order: ["ascending", "descending"],
      least: Object.keys(LEAST), levels: levelNames, without: groups, pins: [...byKey.keys()],
    };
    /** Read the address; what it does not say, or says wrong, is as in the beginning. */
    const fromHash = () => {
      choice = structuredClone(DEFAULTS);
      for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
        if (!Object.hasOwn(DEFAULTS, key)) continue;
        if (Array.isArray(DEFAULTS[key])) {
          choice[key] = text.split(",").filter((part) => ALLOWED[key].includes(part));
        } else if (!ALLOWED[key] || ALLOWED[key].includes(text)) choice[key] = text;
      }
      choice.pins = choice.pins.slice(0, MOST_PINS);
      if (!columns.some((column) => column.key === choice.sort)) choice.sort = DEFAULTS.sort;
    };
    const keep = () => {
      const hash = toHash();
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    };
    const change = (some) => {
      Object.assign(choice, some);
      keep();
      update();
    };

    // ------------------------------------------------------------------ controls
    const select = (key, label, options) => {
      const id = `explorer-${key}`;
      const box = make("select", { id, onchange: () => change({ [key]: box.value }) });
      box.append(...Object.entries(options).map(([value, title]) => make("option", { value }, title)));
      controls[key] = box;
      return field(id, label, box);
    };
    const check = (key, value, title, level = null) => {
      const flip = () => {
        const on = new Set(choice[key]);
        if (on.has(value)) on.delete(value);
        else on.add(value);
        change({ [key]: ALLOWED[key].filter((one) => on.has(one)) });
      };
      const box = make("input", { type: "checkbox", onchange: flip });
      controls[`${key}:${value}`] = box;
      const mark = level && make("span", { class: "key", "aria-hidden": "true" }, keyMark(level));
      return make("label", { class: "check" }, box, mark, ` ${title}`);
    };
    const controls = {};

    // ------------------------------------------------------------------ pins
    const pin = (key) => {
      const pins = choice.pins.includes(key)
        ? choice.pins.filter((other) => other !== key)
        : [...choice.pins, key].slice(-MOST_PINS);
      change({ pins });
    };
    const comparison = () => {
      const own = choice.pins.map((key) => byKey.get(key));
      if (!own.length) {
        return hint(`Pin up to ${MOST_PINS} models to see them side by side: in the plot, or with the `
          + "boxes in the table.");
      }
      const row = (title, cell) =>
        make("tr", {}, make("th", { scope: "row" }, title), ...own.map((m) => make("td", {}, cell(m))));
      const head = make("tr", {}, make("td", {}), ...own.map((m, n) =>
        make("th", { scope: "col" }, `${n + 1}. ${m.name} `,
          button("unpin", () => pin(m.key), { "aria-label": `Unpin ${m.name}` }))));
      const accuracies = measured.map(([key, title]) =>
        row(`${title} (%)`, (m) => percent(m.accuracy[key])));
      const robust = Object.keys(data.views).map((view) =>
        row(`ER, ${data.views[view].title}`, (m) => points(robustness(m, view))));
      const kappa = (m) =>
        m.kurtosis.map((k) => `${k.value.toFixed(1)} (${k.data})`).join("; ") || "not measured";
      const command = (m) =>
        m.command ? make("code", {}, m.command) : "no weights that open_clip or timm knows by name";
      const body = make("tbody", {},
        row("level", (m) => m.level.title), row("trained on", (m) => m.trained),
        row("published by", (m) => m.source), ...accuracies, ...robust,
        row("κ", kappa), row("to measure κ", command));
      const table = make("table", {}, make("thead", {}, head), body);
      return scrolling("Pinned models side by side", table);
    };

    // ------------------------------------------------------------------ the table
    const numbers = (key, title, value, write = percent) =>
      ({ key, title, value, text: (one) => write(value(one)), numeric: true });
    const columns = [
      { key: "name", title: "model", text: (one) => one.model.name },
      numbers("er", "ER", (one) => one.er, points),
      numbers("shifted", "chosen shift", (one) => one.y),
      ...measured.map(([key, title]) => numbers(key, title, (one) => one.model.accuracy[key])),
      { key: "level", title: "level", text: (one) => one.model.level.title },
      { key: "trained", title: "trained on", text: (one) => one.model.trained },
    ];
    const sorted = () => {
      const column = columns.find((one) => one.key === choice.sort);
      const way = choice.order === "descending" ? -1 : 1;
      const value = column.value ?? column.text;
      return shown.filter((one) => one.hit).sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        if (one === null || other === null) return (one === null) - (other === null);
        return way * (column.numeric ? one - other : one.localeCompare(other));
      });
    };
    const header = (column) => {
      const own = column.key === choice.sort;
      const sort = () => {
        const other = own ? choice.order === "descending" : !column.numeric;
        change({ sort: column.key, order: other ? "ascending" : "descending" });
        root.querySelector(`th[data-key="${column.key}"] button`).focus();
      };
      return make("th", {
        scope: "col", "data-key": column.key, class: column.numeric ? "numeric" : null,
        "aria-sort": own ? choice.order : null,
      }, button(column.title, sort, { title: "Sort by this column" }));
    };
    const drawTable = () => {
      const every = sorted();
      const boxes = new Map();
      const flip = (key) => {
        pin(key);
        pinBoxes.get(key)?.focus(); // the row was made anew
      };
      const rows = (allRows ? every : every.slice(0, MOST_ROWS)).map((one) => {
        const box = make("input", {
          type: "checkbox", "aria-label": `Pin ${one.model.name}`, onchange: () => flip(one.key),
          checked: choice.pins.includes(one.key),
        });
        boxes.set(one.key, box);
        const cell = (column) =>
          make("td", { class: column.numeric ? "numeric" : null }, column.text(one));
        const name = make("th", { scope: "row" }, one.model.name);
        return make("tr", {}, make("td", {}, box), name, ...columns.slice(1).map(cell));
      });
      pinBoxes = boxes;
      const units = "accuracies in per cent, ER in points";
      const caption = make("caption", {}, `${every.length} model${every.length === 1 ? "" : "s"}; ${units}.`);
      const head = make("tr", {}, make("th", { scope: "col" }, "pin"), ...columns.map(header));
      table.replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...rows));
      more.hidden = rows.length === every.length;
      more.textContent = `Show all ${every.length} rows`;
    };
    const toCsv = () => {
      // No spreadsheet takes a text for a formula (`as_cell` of analysis/base/quoting.py).
      const cell = (value) => (/^\s*[=+@＝＋－＠-]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : value);
      const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);
      const line = lineOf(choice.view);
      const names = ["source", "model", "weights", "image_size", "level", "trained_on", "imagenet",
        ...Object.keys(data.shifts), "view", "shifted", "line", "v2_of_line", "er"];
      const lines = sorted().map((one) => {
        const m = one.model;
        const number = (a) => (a === null ? "" : String(Number(a.toFixed(6))));
        return [m.source, m.model, m.weights, m.size.replace(" px", ""), m.level.name, m.trained,
          number(m.accuracy.imagenet), ...Object.keys(data.shifts).map((s) => number(m.accuracy[s])),
          choice.view, number(one.y), line.pool, line.v2, number(one.er)].map(cell).map(quoted).join(",");
      });
      return `${[names.join(","), ...lines].join("\n")}\n`;
    };
    const download = () => {
      const address = URL.createObjectURL(new Blob([toCsv()], { type: "text/csv" }));
      const link = make("a", { href: address, download: "published-models.csv" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    };

    // ------------------------------------------------------------------ all of it
    /** The models of the choice. What is looked for is marked among them, and added if it is not. */
    const chosen = () => {
      const words = plain(choice.find).split(/\s+/).filter(Boolean);
      const hits = new Set(words.length ? models.filter((m) => words.every((word) => m.found.includes(word))) : []);
      const few = hits.size <= MOST_FOUND;
      return models
        .filter((m) => choice.pins.includes(m.key) || (few && hits.has(m))
          || (choice.levels.includes(m.level.name) && 100 * m.accuracy.imagenet >= Number(choice.least)
            && !choice.without.includes(m.group)))
        .map((model) => ({
          model, key: model.key, name: model.name, level: model.level, x: model.accuracy.imagenet,
          y: shiftedOf(model, choice.view), er: robustness(model, choice.view),
          hit: !words.length || hits.has(model),
        }))
        .filter((one) => one.y !== null);
    };
    /** Whether the variants of ImageNet-V2 give several lines. */
    const hasVariants = () =>
      data.views[choice.view].shifts.includes("imagenet_v2")
        && ["all", "standard"].includes(lineOf(choice.view).pool);
    const describeLine = () => {
      const line = lineOf(choice.view);
      const instead = line.pool === choice.pool ? ""
        : `${data.pools[choice.pool]} has no line for this; instead: `;
      const v2 = hasVariants() ? `, ImageNet-V2 of the pool: ${data.variants[line.v2]}` : "";
      const models = line.models ? `, ${line.models} models` : "";
      return minus(`${instead}${data.pools[line.pool]}: slope ${line.slope.toFixed(3)}, intercept `)
        + minus(line.intercept.toFixed(3)) + `, r ${line.r.toFixed(2)}${models}${v2}.`;
    };
    const setControls = () => {
      for (const key of ["view", "pool", "v2", "axes", "least"]) controls[key].value = choice[key];
      for (const option of controls.pool.options) {
        option.disabled = !findLine(choice.view, option.value, choice.v2);
      }
      controls.v2.disabled = !hasVariants();
      for (const name of levelNames) controls[`levels:${name}`].checked = choice.levels.includes(name);
      for (const name of groups) controls[`without:${name}`].checked = choice.without.includes(name);
      if (search.value !== choice.find) search.value = choice.find;
    };
    const drawPlot = () => {
      const title = data.views[choice.view].title;
      const line = lineOf(choice.view);
      plot.draw({
        shown, finding: Boolean(choice.find.trim()), pins: choice.pins, bent: choice.axes === "logit",
        expect: (accuracy) => expected(line, accuracy),
        titles: { x: "ImageNet top-1 (%)", y: `${title} (%)` },
        label: `Scatter plot of ${shown.length} models: ${title} against ImageNet top-1. Arrow keys `
          + "go from model to model, Enter pins one. All numbers are in the table below.",
      });
    };
    const update = () => {
      shown = chosen();
      setControls();
      lineTold.textContent = describeLine();
      drawPlot();
      compared.replaceChildren(comparison());
      drawTable();
    };

    const plot = createPlot({
      pin: (key) => pin(key),
      describe: ({ model, x, y, er }) => ({
        tip: `${model.name}: ER ${points(er)}`,
        told: `${model.name}, ${model.level.title}, ${model.trained}: ImageNet ${percent(x)} %, `
          + `${data.views[choice.view].title} ${percent(y)} %, ER ${points(er)} points.`,
      }),
    });
    const lineTold = hint();
    const compared = make("div", { class: "compared" });
    const table = make("table", { class: "models" });
    const tableBox = scrolling("Table of the models in the plot", table);
    tableBox.classList.add("tall");
    const more = button("", () => {
      allRows = true;
      drawTable();
    });
    const find = () => change({ find: search.value });
    const search = make("input", { id: "explorer-find", type: "search", oninput: find });
    const reset = button("Start again", () => change(structuredClone(DEFAULTS)));

    root.replaceChildren(
      make("div", { class: "controls" },
        select("view", "shift", titles),
        select("pool", "line", data.pools),
        select("v2", "ImageNet-V2 in the line's pool", data.variants),
        select("axes", "axes", { logit: "logit", linear: "linear" }),
        select("least", "ImageNet accuracy", LEAST),
        field("explorer-find", "find a model", search), reset),
      make("fieldset", {}, make("legend", {}, "training regime"),
        ...data.levels.map((level) => check("levels", level.name, level.title, level))),
      make("details", {}, make("summary", {}, "Leave out data families"),
        make("fieldset", {}, make("legend", {}, "leave out"),
          ...groups.map((name) => check("without", name, name)))),
      ...plot.nodes,
      lineTold,
      compared,
      make("div", { class: "controls" }, button("Download these rows as CSV", download), more),
      tableBox,
    );
    window.companionShowEdges?.(tableBox);
    fromHash();
    update();
    window.addEventListener("hashchange", () => { fromHash(); update(); });
    window.addEventListener("resize", drawPlot);
  };

  const start = () => {
    for (const root of document.querySelectorAll(".companion-explorer")) {
      explore(root, JSON.parse(root.querySelector("script").textContent));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
