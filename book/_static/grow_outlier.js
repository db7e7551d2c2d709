// Grow an outlier: recorded trainings to play, and a curve to predict before it is shown.
(() => {
  "use strict";

  const { make, digits, percent, curves, choice, slider, start, stems } = window.companionExplorable;

  start("grow_outlier", (stage, { steps, optimisers, width }) => {
    let [optimiser, seed, frame, covered] = [0, 0, 0, false];
    let predicted = [];
    const bars = stems("mean image");
    const says = make("p", { class: "explorable-says", "aria-live": "polite" });
    const run = () => optimisers[optimiser].seeds[seed];

    /** The mean image at a frame: whole numbers of 8 bits, times the frame's unit. */
    const mean = (n) => {
      const bytes = Uint8Array.from(atob(run().means), (letter) => letter.charCodeAt(0));
      const whole = new Int8Array(bytes.buffer, n * width, width);
      return Float64Array.from(whole, (value) => value * run().unit[n]);
    };
    const series = (key) => [{ name: optimisers[optimiser].title, kind: "silent", values: run()[key] }];
    const chart = (key, title, options) => curves(title, series(key), { places: steps, what: "steps", ...options });
    const kappa = chart("kurtosis", "κ", { log: true, low: 2, high: 250, ticks: [3, 10, 30, 100], write: digits, tick: String });
    const accuracy = chart("accuracy", "accuracy", { low: 0, high: 0.8, ticks: [0, 0.2, 0.4, 0.6, 0.8], write: percent,
      tick: (of) => `${Math.round(100 * of)} %` });
    const shared = chart("mean_share", "energy in the mean image", { low: 0, high: 1, ticks: [0, 0.5, 1], write: percent,
      tick: (of) => `${Math.round(100 * of)} %` });

    const draw = () => {
      const values = mean(frame);
      bars.show(values, 1.1 * Math.max(...mean(steps.length - 1).map(Math.abs), ...values.map(Math.abs)));
      kappa.show(frame, series("kurtosis"), covered, predicted);
      accuracy.show(frame, series("accuracy"));
      shared.show(frame, series("mean_share"));
      const now = `After ${steps[frame].toLocaleString("en")} steps, seed ${run().seed}: `;
      const numbers = `accuracy ${percent(run().accuracy[frame])}, ${percent(run().mean_share[frame])} of the energy ` +
        `in the mean image; path ${digits(run().path[frame])}.`;
      says.textContent = now + (covered ? "" : `κ ${digits(run().kurtosis[frame])}, `) + numbers;
      const shown = { kurtosis: run().kurtosis[frame], accuracy: run().accuracy[frame], mean_share: run().mean_share[frame] };
      Object.assign(stage.dataset, shown, { step: steps[frame], largest: Math.max(...values.map(Math.abs)).toFixed(5) });
    };

    const dial = slider("Train", steps.length - 1, (n) => `${steps[n].toLocaleString("en")} steps`, (n) => {
      frame = n;
      draw();
    });
    const which = choice("Optimiser", optimisers.map(({ title }) => title), (n) => {
      [optimiser, predicted] = [n, []];
      dial.set(0);
    });
    const next = make("button", { type: "button", onclick: () => {
      seed = (seed + 1) % optimisers[optimiser].seeds.length;
      draw();
    } }, "Another seed");
    const predict = make("button", { type: "button", "aria-pressed": "false", onclick: () => {
      covered = !covered;
      if (covered) predicted = [];
      predict.setAttribute("aria-pressed", String(covered));
      predict.textContent = covered ? "Show what happened" : "Predict first";
      hint.hidden = !covered;
      draw();
    } }, "Predict first");
    const hint = make("p", {}, "Draw κ into its plot, from left to right, then show what happened.");
    hint.hidden = true;
    let drawing = false;
    const note = (event) => {
      if (!covered || !drawing) return;
      const [place, value] = kappa.pointed(event);
      predicted[place] = value;
      draw();
    };
    kappa.node.style.touchAction = "none";
    kappa.node.addEventListener("pointerdown", (event) => {
      drawing = true;
      note(event);
    });
    kappa.node.addEventListener("pointermove", note);
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      kappa.node.addEventListener(end, () => {
        drawing = false;
      });
    }
    const both = make("div", { class: "explorable-both" }, ...[kappa, accuracy, shared].map(({ node }) => make("div", {}, node)));
    stage.append(make("div", { class: "explorable-row" }, which, next, predict), hint, bars.node, dial.node, both, says);
    dial.set(0);
  });
})();
