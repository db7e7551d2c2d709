// Grow an outlier: two recorded trainings side by side, on one scale, and a guess of κ to draw first.
(() => {
  "use strict";

  const { make, digits, percent, curves, slider, start, stems } = window.companionExplorable;
  const KINDS = ["silent", "random"]; // the looks of the left and of the right training
  const SIDES = ["left", "right"];
  const [LOW, HIGH] = [2, 250]; // the axis of κ

  start("grow_outlier", (stage, { steps, optimisers, width }) => {
    const shared = optimisers.findIndex(({ title }) => title.includes("shared"));
    const chosen = [0, Math.max(shared, 0)];
    let [seed, frame, guessing, at] = [optimisers[0].seeds[0].seed, 0, false, 1];
    let guess = [];
    const says = make("p", { class: "explorable-says", "aria-live": "polite" });
    const run = (side) => {
      const { seeds } = optimisers[chosen[side]];
      return seeds.find((one) => one.seed === seed) ?? seeds[0]; // the same seed on both sides, where both have it
    };
    const title = (side) => optimisers[chosen[side]].title;

    /** The mean image at a frame: whole numbers of 8 bits, times the frame's unit. */
    const mean = (side, n) => {
      const bytes = Uint8Array.from(atob(run(side).means), (letter) => letter.charCodeAt(0));
      const whole = new Int8Array(bytes.buffer, n * width, width);
      return Float64Array.from(whole, (value) => value * run(side).unit[n]);
    };
    const largest = (values) => Math.max(...values.map(Math.abs));
    const series = (key) => SIDES.map((_, side) => ({ name: title(side), kind: KINDS[side], values: run(side)[key] }));
    const chart = (key, name, options) => curves(name, series(key), { places: steps, what: "steps", ...options });
    const share = (of) => `${Math.round(100 * of)} %`;
    const plots = {
      kurtosis: chart("kurtosis", "κ", { log: true, low: LOW, high: HIGH, ticks: [3, 10, 30, 100], write: digits, tick: String }),
      accuracy: chart("accuracy", "accuracy", { low: 0, high: 0.8, ticks: [0, 0.2, 0.4, 0.6, 0.8], write: percent, tick: share }),
      mean_share: chart("mean_share", "energy in the mean image", { low: 0, high: 1, ticks: [0, 0.5, 1], write: percent, tick: share }),
    };
    const kappa = plots.kurtosis;
    const bars = SIDES.map(() => stems("the mean image", 130));

    const draw = () => {
      const means = SIDES.map((_, side) => mean(side, frame));
      const last = SIDES.map((_, side) => largest(mean(side, steps.length - 1)));
      const most = 1.1 * Math.max(...last, ...means.map(largest)); // one scale for both
      bars.forEach((bar, side) => bar.show(means[side], most));
      names.forEach((name, side) => { name.textContent = title(side); });
      for (const [key, plot] of Object.entries(plots)) plot.show(frame, series(key), key === "kurtosis" ? guess : []);
      const each = SIDES.map((_, side) => `${title(side)}, seed ${run(side).seed}: κ ${digits(run(side).kurtosis[frame])}, ` +
        `accuracy ${percent(run(side).accuracy[frame])}, ${percent(run(side).mean_share[frame])} of the energy in the mean image.`);
      says.textContent = `After ${steps[frame].toLocaleString("en")} steps. ${each.join(" ")}`;
      SIDES.forEach((side, n) => {
        const values = { kurtosis: run(n).kurtosis[frame], accuracy: run(n).accuracy[frame], mean_share: run(n).mean_share[frame], largest: largest(means[n]).toFixed(5) };
        for (const [key, value] of Object.entries(values)) stage.dataset[n ? `${side}_${key}` : key] = value;
      });
      stage.dataset.step = steps[frame];
    };
    const again = () => {
      for (const plot of Object.values(plots)) plot.clear();
      dial.set(0);
    };

    const dial = slider("Train", steps.length - 1, (n) => `${steps[n].toLocaleString("en")} steps`, (n) => {
      frame = n;
      if (n && guessing) guesses(false); // who trains has guessed
      draw();
    });
    const choices = SIDES.map((side, n) => make("select", { "aria-label": `Optimiser on the ${side}`, onchange: (event) => {
      chosen[n] = event.target.selectedIndex;
      draw();
    } }, ...optimisers.map(({ title: name }, of) => make("option", { selected: of === chosen[n] }, name))));
    const next = make("button", { type: "button", onclick: () => {
      const { seeds } = optimisers[chosen[0]];
      seed = seeds[(seeds.indexOf(run(0)) + 1) % seeds.length].seed;
      again();
    } }, "Another seed");

    /** A guess at one place, said by the plot, which is then a slider with two axes. */
    const note = (place, value) => {
      [at, guess[place]] = [place, Math.min(HIGH, Math.max(LOW, value))];
      kappa.node.setAttribute("aria-valuenow", guess[place].toFixed(1));
      kappa.node.setAttribute("aria-valuetext", `κ ${digits(guess[place])} after ${steps[place].toLocaleString("en")} steps`);
      draw();
    };
    const guesses = (on) => {
      guessing = on;
      if (on) guess = [];
      hint.hidden = !on;
      predict.setAttribute("aria-pressed", String(on));
      kappa.node.style.touchAction = on ? "none" : ""; // a swipe scrolls, unless it draws
      const roles = { role: "slider", tabindex: 0, "aria-valuemin": LOW, "aria-valuemax": HIGH, "aria-valuenow": 3, "aria-valuetext": "no guess yet" };
      for (const [name, value] of Object.entries(roles)) {
        if (on) kappa.node.setAttribute(name, value);
        else kappa.node.removeAttribute(name);
      }
      if (!on) kappa.node.setAttribute("role", "img");
    };
    const predict = make("button", { type: "button", "aria-pressed": "false", onclick: () => {
      guesses(!guessing);
      if (guessing) again();
      if (guessing) kappa.node.focus({ preventScroll: true });
    } }, "Guess κ first");
    const hint = make("p", { hidden: true },
      "Draw what you expect Adam to do to κ, from left to right, into its plot; or use the arrow keys there: right and left for the step, up and down for κ. Then press Play.");
    let drawing = false;
    const follow = (event) => {
      if (guessing && drawing) note(...kappa.pointed(event));
    };
    kappa.node.addEventListener("pointerdown", (event) => {
      drawing = true;
      follow(event);
    });
    kappa.node.addEventListener("pointermove", follow);
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      kappa.node.addEventListener(end, () => {
        drawing = false;
      });
    }
    kappa.node.addEventListener("keydown", (event) => {
      const [along, up] = { ArrowRight: [1, 1], ArrowLeft: [-1, 1], ArrowUp: [0, 1.25], ArrowDown: [0, 1 / 1.25] }[event.key] ?? [];
      if (!guessing || along === undefined) return;
      event.preventDefault();
      const value = guess[at] ?? 3;
      const place = Math.min(steps.length - 1, Math.max(0, at + along));
      note(place, along ? guess[place] ?? value : value * up);
    });
    const columns = SIDES.map((_, side) => make("div", {}, choices[side], bars[side].node));
    const names = KINDS.map((kind) => make("span", { class: kind }));
    const key = make("p", { class: "explorable-key" }, ...names, make("span", { class: "drawn" }, "your guess"));
    stage.append(make("div", { class: "explorable-row" }, next, predict), hint,
      make("div", { class: "explorable-both" }, ...columns), key,
      make("div", { class: "explorable-both" }, ...[kappa, plots.accuracy].map(({ node }) => make("div", {}, node))), dial.node,
      make("div", { class: "explorable-wide" }, plots.mean_share.node), says); // a phone has no room for it
    dial.set(0);
  }, { guess: true });
})();
