// Turn the axes: one image's numbers on the way to random axes, with κ, and with what it finds.
(() => {
  "use strict";

  const { make, unpack, kurtosis, dot, digits, percent, stems, gauge, choice, slider, start } =
    window.companionExplorable;

  start("turn_axes", (stage, { sources }) => {
    let [source, example, degrees, coarse] = [0, 0, 0, false];
    let vectors = [];
    const numbers = stems();
    const needle = gauge();
    const heading = make("p", { class: "explorable-name" });
    const found = make("ol", { class: "explorable-found" });
    const says = make("p", { class: "explorable-says", "aria-live": "polite" });

    /** A vector at the chosen angle, in the plane of itself and what a quarter turn makes of it. */
    const at = (n) => {
      const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
      return vectors[2 * n].map((x, i) => c * x + s * vectors[2 * n + 1][i]);
    };

    /** Rounded to few levels, evenly spaced up to the largest magnitude. */
    const rounded = (h, bits) => {
      const step = Math.max(...h.map(Math.abs)) / (2 ** (bits - 1) - 1);
      return h.map((x) => step * Math.round(x / step));
    };

    const draw = () => {
      const from = sources[source];
      const { captions } = from.examples[example];
      bits.hidden = !from.coarse;
      const few = coarse && from.coarse;
      const image = few ? rounded(at(0), from.coarse.bits) : at(0);
      const most = Math.max(...vectors[0].map(Math.abs), ...vectors[1].map(Math.abs));
      numbers.show(image, 1.1 * most);
      const [own, mean] = [kurtosis(at(0)), from.kurtosis[degrees]]; // of the unrounded numbers
      needle.show(own, mean);
      const exact = captions.map((words, n) => {
        const caption = at(n + 1);
        return [words, dot(image, caption) / Math.sqrt(dot(image, image) * dot(caption, caption))];
      });
      const now = few ? from.coarse.best[degrees][example].map(([n, cosine]) => [from.coarse.words[n], cosine]) : exact;
      found.replaceChildren(...now.map(([words, cosine]) => {
        return make("li", { "data-cosine": cosine.toFixed(5) }, make("span", {}, words),
          make("b", {}, cosine.toFixed(2)));
      }));
      const average = `On average over ${from.images} images κ is ${digits(mean)}${few ? " before rounding" : ""}`;
      const kept = from.unchanged
        ? `; ${(few ? from.coarse : from).unchanged[degrees]} of ${from.images} find the same caption as before, and ${percent(few ? from.coarse.found[degrees] : from.found)} find their own.`
        : ".";
      says.textContent = average + kept;
      Object.assign(stage.dataset, { kurtosis: own.toFixed(4), mean: mean.toFixed(4), degrees });
    };

    const dial = slider("Turn the axes", 90, (value) => `by ${value}°`, (value) => {
      degrees = value;
      draw();
    });
    const pick = () => {
      const one = sources[source].examples[example];
      vectors = unpack(one);
      heading.textContent = one.name;
      draw();
    };
    const next = make("button", { type: "button", onclick: () => {
      example = (example + 1) % sources[source].examples.length;
      pick();
    } }, "Another image");
    const bits = make("button", { type: "button", "aria-pressed": "false", onclick: () => {
      coarse = !coarse;
      bits.setAttribute("aria-pressed", String(coarse));
      draw();
    } }, "Round to 4 bits");
    const models = choice("Features of", sources.map(({ title }) => title), (n) => {
      [source, example] = [n, 0];
      pick();
      dial.set(0); // where each model's numbers stand as it writes them
    });
    stage.append(make("div", { class: "explorable-row" }, models, next, bits), heading, numbers.node,
      needle.node, dial.node, found, says);
    pick();
    dial.set(0);
  });
})();
