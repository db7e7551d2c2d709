// Figures that a reader changes: what they share. A figure's numbers lie in it as JSON; its script
// calls `start` with a function that draws them. Without JavaScript, and on paper, the still drawing
// stays. Text goes in as text, never as HTML; nothing is fetched.
(() => {
  "use strict";

  const { make } = window.companionDrawn;

  /** Vectors as arrays of numbers: 16 or 24 bits each, low byte first, times the vector's factor. */
  const unpack = ({ width, bits, scale, numbers }) => {
    const bytes = Uint8Array.from(atob(numbers), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return scale.map((factor, n) =>
      Float64Array.from({ length: width }, (_, i) => {
        const at = (bits / 8) * (n * width + i);
        return factor * (bits === 24 ? 65536 * view.getInt8(at + 2) + view.getUint16(at, true) : view.getInt16(at, true));
      }));
  };

  /** Activation kurtosis of one vector: the mean fourth power of its standardised numbers. */
  const kurtosis = (h) => {
    const mean = h.reduce((sum, x) => sum + x, 0) / h.length;
    let [second, fourth] = [0, 0];
    for (const x of h) {
      second += (x - mean) ** 2;
      fourth += (x - mean) ** 4;
    }
    return (fourth * h.length) / second ** 2;
  };

  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

  /** κ with three digits, as the book prints it. */
  const digits = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

  /** A number with one decimal and the sign of percent. */
  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

  /** A drawing as wide as its place, drawn again when that changes. */
  const canvas = (height, draw) => {
    const node = make("svg", { role: "img", class: "explorable-drawing" });
    const redraw = () => {
      const width = Math.max(node.parentNode ? node.parentNode.clientWidth : 0, 260);
      node.setAttribute("viewBox", `0 0 ${width} ${height}`);
      node.setAttribute("height", height);
      node.replaceChildren();
      draw(node, width, height);
    };
    new ResizeObserver(redraw).observe(node.parentNode || node);
    return { node, redraw };
  };

  /** A stem at each coordinate; the largest is named. `values` are drawn between −most and most. */
  const stems = (of = "one image", tall = 170) => {
    let [values, most] = [[], 1];
    const drawing = canvas(tall, (node, width, height) => {
      const [left, middle] = [34, height / 2];
      const x = (i) => left + ((i + 0.5) / values.length) * (width - left - 4);
      const y = (value) => middle - (value / most) * (middle - 16);
      let [path, largest] = ["", 0];
      values.forEach((value, i) => {
        path += `M${x(i).toFixed(1)} ${middle}V${y(value).toFixed(1)}`;
        if (Math.abs(value) > Math.abs(values[largest])) largest = i;
      });
      const tick = Number((most / 1.2).toPrecision(1));
      for (const value of [tick, 0, -tick]) {
        node.append(make("line", { x1: left, x2: width, y1: y(value), y2: y(value), class: "grid" }));
        const text = String(value).replace("-", "\u2212");
        node.append(make("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, text));
      }
      node.append(make("path", { d: path, class: "stems" }));
      const above = values[largest] > 0 ? -4 : 13;
      const turn = x(largest) > width - 90 ? "end" : "start";
      node.append(make("text", { x: x(largest), y: y(values[largest]) + above, "text-anchor": turn, class: "name" },
        `coordinate ${largest}`));
      const what = `${values.length} numbers of ${of}; the largest is ${values[largest].toPrecision(3)}`;
      node.setAttribute("aria-label", `${what}, at coordinate ${largest}.`);
    });
    const show = (given, limit) => {
      [values, most] = [given, limit];
      drawing.redraw();
    };
    return { node: drawing.node, show };
  };

  /** κ as a needle on a logarithmic scale, with the Gaussian's 3 and the mean over images. */
  const gauge = () => {
    let [value, mean] = [3, 3];
    const drawing = canvas(62, (node, width) => {
      const [low, high] = [2, 250];
      const at = (k) => 12 + (Math.log(k / low) / Math.log(high / low)) * (width - 24);
      node.append(make("line", { x1: at(low), x2: at(high), y1: 38, y2: 38, class: "axis" }));
      for (const tick of [2, 5, 10, 20, 50, 100, 200]) {
        node.append(make("line", { x1: at(tick), x2: at(tick), y1: 38, y2: 43, class: "axis" }));
        node.append(make("text", { x: at(tick), y: 56, "text-anchor": "middle" }, String(tick)));
      }
      node.append(make("line", { x1: at(3), x2: at(3), y1: 16, y2: 38, class: "gaussian" }));
      node.append(make("text", { x: at(3), y: 12, "text-anchor": "middle" }, "Gaussian"));
      node.append(make("circle", { cx: at(mean), cy: 38, r: 4, class: "mean" }));
      const tip = at(Math.min(Math.max(value, low), high));
      node.append(make("path", { d: `M${tip} 37l-6 -12h12Z`, class: "needle" }));
      const end = tip > width - 70 ? "end" : tip < 130 ? "start" : "middle";
      node.append(make("text", { x: tip + (end === "start" ? 9 : 0), y: end === "start" ? 32 : 21, "text-anchor": end, class: "value" },
        `κ = ${digits(value)}`));
      node.setAttribute("aria-label", `κ of this image is ${digits(value)}, on average ${digits(mean)}.`);
    });
    const show = (own, average) => {
      [value, mean] = [own, average];
      drawing.redraw();
    };
    return { node: drawing.node, show };
  };

  /**
   * Lines over places (0, 1, 2, … unless given), some of them dashed, as far as a reader has come,
   * and a mark on each at the chosen one. `drawn` has a reader's guess for each place that has one.
   */
  const curves = (title, series, options) => {
    const { log = false, low, high, ticks, write, tick: name, places, what = "directions dropped" } = options;
    const { point } = options; // one more mark
    let [place, drawn, reached] = [0, [], 0];
    const bend = log ? Math.log : (x) => x;
    const count = series[0].values.length;
    const at = places ?? Array.from({ length: count }, (_, i) => i);
    let scales = null;
    const drawing = canvas(150, (node, width, height) => {
      const [left, bottom, top] = [44, height - 22, 24];
      const last = count - 1;
      const x = (i) => left + (at[i] / at[last]) * (width - left - 10);
      const y = (v) => bottom - ((bend(v) - bend(low)) / (bend(high) - bend(low))) * (bottom - top);
      node.append(make("text", { x: 0, y: 12, class: "title" }, title));
      for (const tick of ticks) {
        node.append(make("line", { x1: left, x2: width, y1: y(tick), y2: y(tick), class: "grid" }));
        node.append(make("text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end" }, name(tick)));
      }
      scales = { x, low, high, bend, bottom, top, width };
      for (const value of [0, at[last] / 2, at[last]]) {
        const end = value === at[last] ? "end" : "middle";
        const where = left + (value / at[last]) * (width - left - 10);
        node.append(make("text", { x: where, y: height - 6, "text-anchor": end }, value.toLocaleString("en")));
      }
      const own = drawn.map((v, i) => [i, v]).filter(([, v]) => v !== undefined);
      const line = own.map(([i, v], n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`);
      node.append(make("path", { d: line.join(""), class: "curve drawn" }));
      for (const { values, kind } of series) {
        const path = values.slice(0, reached + 1).map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`);
        node.append(make("path", { d: path.join(""), class: `curve ${kind}` }));
        node.append(make("circle", { cx: x(place), cy: y(values[place]), r: 4.5, class: `mark ${kind}` }));
      }
      if (point?.shown) {
        const [px, py] = [x(point.place), y(point.value)];
        node.append(make("circle", { cx: px, cy: py, r: 5.5, class: "mark one" }));
        node.append(make("text", { x: px - 3, y: py + 18, class: "one" }, `${point.name}: ${write(point.value)}`));
      }
      const said = series.map(({ values, name: of }) => `${of} ${write(values[place])}`);
      node.setAttribute("aria-label", `${title}, ${at[place]} ${what}: ${said.join(", ")}.`);
    });
    const show = (chosen, given = series, own = []) => {
      [place, series, drawn] = [chosen, given, own];
      reached = Math.max(reached, chosen);
      drawing.redraw();
    };
    /** Forget how far a reader has come. */
    const clear = () => {
      reached = 0;
    };
    /** The place that is nearest to a pointer, and the value at its height. */
    const pointed = (event) => {
      const box = drawing.node.getBoundingClientRect();
      const [px, py] = [event.clientX - box.left, event.clientY - box.top];
      const gaps = at.map((_, i) => Math.abs(scales.x(i) - px));
      const along = Math.min(1, Math.max(0, (scales.bottom - py) / (scales.bottom - scales.top)));
      const height = bend(low) + along * (bend(high) - bend(low));
      return [gaps.indexOf(Math.min(...gaps)), log ? Math.exp(height) : height];
    };
    return { node: drawing.node, show, clear, pointed };
  };

  /** Buttons of which one is pressed. */
  const choice = (label, names, choose, pressed = 0) => {
    const buttons = names.map((name, n) =>
      make("button", { type: "button", "aria-pressed": String(n === pressed), onclick: () => {
        buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === n)));
        choose(n);
      } }, name));
    return make("div", { role: "group", "aria-label": label, class: "explorable-choice" }, ...buttons);
  };

  /** Say nothing to a screen reader while a figure moves; what stands there at the end is said. */
  const hush = (node, quiet) => {
    const stage = node.closest(".explorable-stage");
    for (const says of stage?.querySelectorAll("[aria-live]") ?? []) {
      says.setAttribute("aria-live", quiet ? "off" : "polite");
    }
  };

  /** A slider with its name, and a button that moves it from end to end, and stops it on the way. */
  const slider = (name, most, write, move) => {
    const id = `explorable-${Math.random().toString(36).slice(2)}`;
    const says = make("output", { for: id });
    const input = make("input", { type: "range", id, min: 0, max: most, step: 1, value: 0 });
    let frame = 0;
    const rest = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      button.textContent = "▶ Play";
      hush(node, false);
    };
    const set = (value) => {
      input.value = String(Math.round(value));
      says.textContent = write(Number(input.value));
      input.setAttribute("aria-valuetext", says.textContent);
      move(Number(input.value));
    };
    const play = () => {
      if (frame) return rest();
      const [from, to] = Number(input.value) < most ? [Number(input.value), most] : [most, 0];
      if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return set(to);
      const begin = performance.now();
      button.textContent = "❚❚ Pause";
      hush(node, true);
      const step = (now) => {
        const along = Math.min(1, (now - begin) / 3000);
        if (along === 1) rest();
        else frame = requestAnimationFrame(step);
        set(from + (to - from) * along);
      };
      frame = requestAnimationFrame(step);
    };
    input.addEventListener("input", () => {
      if (frame) rest();
      hush(node, true);
      set(Number(input.value));
    });
    input.addEventListener("change", () => {
      hush(node, false);
      set(Number(input.value));
    });
    const button = make("button", { type: "button", class: "play", onclick: play }, "▶ Play");
    const node = make("div", { class: "explorable-slider" }, make("label", { for: id }, name), input, says, button);
    return { node, set, value: () => Number(input.value) };
  };

  /**
   * Draw each figure of a script, in the place that it has on the page. Where a reader is asked to
   * guess first, the caption, which says what comes out, shows once something was moved or pressed.
   */
  const start = (script, draw, { guess = false } = {}) => {
    for (const place of document.querySelectorAll(`.explorable-place[data-script="${script}"]`)) {
      const numbers = place.querySelector("script");
      if (!numbers || place.dataset.live) continue;
      place.dataset.live = "yes";
      const stage = make("div", { class: "explorable-stage" });
      place.append(stage);
      const figure = place.closest("figure");
      figure.classList.add("is-live");
      draw(stage, JSON.parse(numbers.textContent));
      if (!guess) continue;
      figure.classList.add("is-unseen");
      figure.querySelector(".caption-text")?.before(make("span", { class: "explorable-later" }, "Guess first. The caption shows as soon as you move the slider."));
      for (const kind of ["input", "click"]) {
        stage.addEventListener(kind, ({ target }) => {
          if (target.closest(".explorable-slider")) figure.classList.remove("is-unseen");
        });
      }
    }
  };

  window.companionExplorable = {
    make, unpack, kurtosis, dot, digits, percent, stems, gauge, curves, choice, slider, start,
  };
})();
