// The explorer's scatter plot: marks that are pointed at, tapped, or reached with the arrow keys.
// It draws what it is told to draw; explorer.js knows what that is. Text goes in as text, never as
// HTML.
(() => {
  "use strict";

  const { make } = window.companionDrawn;
  const MOST_NAMES = 6; // models that bear their name in the plot
  const REACH = 26; // pixels around a mark in which a pointer finds it
  const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
  const EVEN = Array.from({ length: 11 }, (_, n) => n / 10);
  const SHAPES = {
    o: (r) => `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`,
    "^": (r) => `M0 ${-1.2 * r}L${1.15 * r} ${r}L${-1.15 * r} ${r}Z`,
    s: (r) => `M${-0.9 * r} ${-0.9 * r}H${0.9 * r}V${0.9 * r}H${-0.9 * r}Z`,
    D: (r) => `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z`,
    x: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
  };

  const logit = (a) => Math.log(a) - Math.log1p(-a);

  /** A level's mark at a place. */
  const mark = (level, x, y, r) => {
    const look = level.marker === "x"
      ? { stroke: level.colour, "stroke-width": 1.3, fill: "none" }
      : { fill: level.colour, "fill-opacity": 0.75 };
    return make("path", { d: SHAPES[level.marker](r), transform: `translate(${x} ${y})`, ...look });
  };

  /** A level's mark alone, for a legend. */
  const keyMark = (level) =>
    make("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14 }, mark(level, 0, 0, 4.5));

  /** A scale from accuracies to pixels, with its ticks. */
  const makeScale = (values, bend, steps, from, to) => {
    let [low, high] = [Math.min(...values), Math.max(...values)].map(bend);
    if (!Number.isFinite(low + high)) [low, high] = [0.1, 0.9].map(bend);
    const room = 0.05 * (high - low || 1);
    [low, high] = [low - room, high + room];
    const at = (a) => from + ((bend(a) - low) / (high - low)) * (to - from);
    const inside = steps.filter((tick) => bend(tick) >= low && bend(tick) <= high);
    const every = Math.ceil(inside.length / Math.max(3, Math.floor(Math.abs(to - from) / 42)));
    return { at, ticks: inside.filter((_, n) => n % every === 0) };
  };

  /** What is not looked for stays, small and pale. */
  const small = (one) => mark(one.level, one.left, one.top, 3);

  /** The name of what is looked for, on the side on which there is room. */
  const named = (edge) => (one) => {
    const right = one.left > (edge.left + edge.right) / 2;
    const place = { x: one.left + (right ? -10 : 10), y: one.top - 6, "text-anchor": right ? "end" : "start" };
    return make("text", place, one.name);
  };

  /** Lines and numbers of both axes. */
  const drawAxes = (x, y, edge, height, titles) => {
    const axes = make("g", { class: "axes" });
    const number = (tick, place) => make("text", place, `${Math.round(100 * tick)}`);
    for (const tick of x.ticks) {
      const at = x.at(tick);
      axes.append(make("line", { x1: at, x2: at, y1: edge.top, y2: edge.bottom }));
      axes.append(number(tick, { x: at, y: edge.bottom + 16, "text-anchor": "middle" }));
    }
    for (const tick of y.ticks) {
      const at = y.at(tick);
      axes.append(make("line", { x1: edge.left, x2: edge.right, y1: at, y2: at }));
      axes.append(number(tick, { x: edge.left - 6, y: at + 4, "text-anchor": "end" }));
    }
    const [across, down] = [(edge.left + edge.right) / 2, (edge.top + edge.bottom) / 2];
    const upwards = { x: 12, y: down, "text-anchor": "middle", transform: `rotate(-90 12 ${down})` };
    axes.append(
      make("text", { x: across, y: height - 6, "text-anchor": "middle" }, titles.x),
      make("text", upwards, titles.y),
    );
    return axes;
  };

  /**
   * A plot: `pin(key)` and `describe(one)`, which gives its `tip` and sentence, are the caller's.
   * What is drawn are objects with `key`, `level`, `x` and `y`.
   */
  const createPlot = ({ pin, describe }) => {
    let shown = [];
    let pins = [];
    let current = null; // what is pointed at

    const pinned = make("g", { class: "pins" });
    const focus = make("g", { class: "focus" });

    /** Point at a model: say what it is, below the plot and beside its mark. */
    const point = (one) => {
      current = one;
      focus.replaceChildren();
      tip.hidden = !one;
      button.hidden = !one;
      if (!one) {
        told.textContent = "Point at a mark, or tap it, to see which model it is.";
        return;
      }
      focus.append(make("circle", { cx: one.left, cy: one.top, r: 10 }));
      const words = describe(one);
      tip.textContent = words.tip;
      told.textContent = words.told;
      button.textContent = pins.includes(one.key) ? "Unpin" : "Pin";
      const half = tip.offsetWidth / 2;
      tip.style.left = `${Math.min(Math.max(one.left, half), box.clientWidth - half)}px`;
      tip.style.top = `${one.top}px`;
      tip.classList.toggle("below", one.top < tip.offsetHeight + 20);
    };
    const nearest = (event) => {
      const at = svg.getBoundingClientRect();
      const [x, y] = [event.clientX - at.left, event.clientY - at.top];
      const away = (one) => Math.hypot(one.left - x, one.top - y);
      const best = shown.reduce((a, b) => (a && away(a) <= away(b) ? a : b), null);
      return best && away(best) <= REACH ? best : null;
    };
    /** Left and right go along the x axis, up and down along the y axis. */
    const step = (key) => {
      const axis = ["ArrowUp", "ArrowDown"].includes(key) ? "y" : "x";
      const order = shown.filter((one) => one.hit).sort((a, b) => a[axis] - b[axis]);
      const [place, last] = [order.indexOf(current), order.length - 1];
      const back = place - 1;
      const next = { Home: 0, End: last, ArrowLeft: back, ArrowDown: back }[key] ?? place + 1;
      point(order[Math.min(last, Math.max(0, next))] ?? null);
    };
    const onKey = (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) step(event.key);
      else if (event.key === "Escape") point(null);
      else if (["Enter", " "].includes(event.key) && current) pin(current.key);
      else return;
      event.preventDefault();
    };

    /** Draw models; `expect` gives the line's accuracy, `bent` whether the axes are logit ones. */
    const draw = (what) => {
      const key = current?.key;
      ({ shown, pins } = what);
      const width = Math.max(240, box.clientWidth);
      const height = Math.round(Math.min(520, Math.max(300, 0.72 * width)));
      const edge = { left: 46, right: width - 10, top: 10, bottom: height - 42 };
      const [bend, steps] = what.bent ? [logit, TICKS] : [(a) => a, EVEN];
      const drawable = shown.filter((one) => !what.bent || one.y > 0);
      const ends = drawable.map((one) => one.x);
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      const x = makeScale(ends, bend, steps, edge.left, edge.right);
      const heights = [...drawable.map((one) => one.y), ...[low, high].map(what.expect)];
      const y = makeScale(heights, bend, steps, edge.bottom, edge.top);
      for (const one of shown) {
        one.left = x.at(one.x);
        one.top = Math.min(edge.bottom, y.at(one.y)); // never right: at the lower edge
      }
      const line = Array.from({ length: 81 }, (_, n) => low + (n / 80) * (high - low))
        .map((accuracy) => [x.at(accuracy), y.at(what.expect(accuracy))])
        .filter(([, top]) => top >= edge.top && top <= edge.bottom)
        .map((place, n) => `${n ? "L" : "M"}${place}`);
      pinned.replaceChildren(...pins.flatMap((own, n) => {
        const one = shown.find((other) => other.key === own);
        return one ? [
          make("circle", { cx: one.left, cy: one.top, r: 8 }),
          make("text", { x: one.left + 10, y: one.top - 7 }, `${n + 1}`),
        ] : [];
      }));
      const found = shown.filter((one) => one.hit);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("aria-label", what.label);
      svg.replaceChildren(
        drawAxes(x, y, edge, height, what.titles),
        make("path", { class: "line", d: line.join("") }),
        make("g", { class: "faint" }, ...(what.finding ? shown.filter((one) => !one.hit) : []).map(small)),
        make("g", { class: "marks" }, ...found.map((one) => mark(one.level, one.left, one.top, what.finding ? 6 : 4))),
        make("g", { class: "found" }, ...(what.finding && found.length <= MOST_NAMES ? found : []).map(named(edge))),
        pinned,
        focus,
      );
      point(shown.find((one) => one.key === key) ?? null);
    };

    const svg = make("svg", {
      tabindex: 0, role: "application", "aria-roledescription": "scatter plot", onkeydown: onKey,
      onpointermove: (event) => event.pointerType === "mouse" && point(nearest(event)),
      onclick: (event) => point(nearest(event)),
      onfocus: () => !current && shown.length && svg.matches(":focus-visible") && step("Home"),
    });
    const tip = make("div", { class: "tip", "aria-hidden": "true", hidden: true });
    const box = make("div", { class: "plot" }, svg, tip);
    const told = make("output", { "aria-live": "polite" });
    const button = make("button", { type: "button", hidden: true, onclick: () => pin(current.key) });
    return { nodes: [box, make("div", { class: "told" }, told, button)], draw };
  };

  window.companionPlot = { keyMark, logit, createPlot };
})();
