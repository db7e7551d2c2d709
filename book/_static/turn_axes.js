// Turn the axes: one image's numbers on the way to random axes, and what it finds. Where the data say
// so, each number is drawn as it is stored in few bits. The address has the angle, and the bits where a
// reader chooses them: `#bits=3&turn=90`.
(() => {
  "use strict";

  const { make, unpack, kurtosis, dot, digits, percent, stems, gauge, choice, slider, start } =
    window.companionExplorable;

  start("turn_axes", (stage, { sources }) => {
    const address = () => new URLSearchParams(location.hash.slice(1));
    const stored = sources[0].stored ?? []; // for each number of bits
    let few = stored.find(({ bits }) => bits === 3);
    let [source, example, degrees, vectors, later] = [0, 0, 0, [], 0];
    const chosen = stored.length > 1; // a reader chooses the bits
    const numbers = stems("one image", few ? 144 : 170);
    const axis = make("p", { class: "explorable-axis" });
    const needle = gauge();
    const heading = make("p", { class: "explorable-name" });
    const found = make(few ? "div" : "ol", { class: "explorable-found", "aria-live": few ? "polite" : null });
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

    /** The caption that is found unrounded, the one that is found when rounded, and how many keep theirs. */
    const compare = ({ images, unchanged, words, examples }) => {
      const [exact, now] = [examples[0].captions[0], words[few.finds[degrees]]];
      const keep = (count) => `${count === images ? "All " : ""}${count}${count === images ? "" : ` of ${images}`} keep their caption`;
      const line = (label, text, count, wrong) => make("p", {}, make("span", {}, label),
        make("q", { class: wrong ? "is-wrong" : null }, text), make("small", {}, count));
      found.replaceChildren(
        line("The photograph:", exact, keep(unchanged[degrees])),
        line(`Stored in ${few.bits} bits, CLIP matches it with:`, now, keep(few.unchanged[degrees]), now !== exact));
    };

    /** The five captions that are nearest, and κ. */
    const list = ({ images, kurtosis: means, unchanged, found: own }, captions, image) => {
      needle.show(kurtosis(image), means[degrees]);
      found.replaceChildren(...captions.map((words, n) => {
        const caption = at(n + 1);
        const cosine = dot(image, caption) / Math.sqrt(dot(image, image) * dot(caption, caption));
        return make("li", { "data-cosine": cosine.toFixed(5) }, make("span", {}, words), make("b", {}, cosine.toFixed(2)));
      }));
      const kept = unchanged ? `; ${unchanged[degrees]} of ${images} find the same caption as before, and ${percent(own)} find their own.` : ".";
      says.textContent = `On average over ${images} images κ is ${digits(means[degrees])}${kept}`;
    };

    const draw = () => {
      const from = sources[source];
      const exact = at(0);
      const image = few ? rounded(exact, few.bits) : exact;
      const left = image.filter((x) => x !== 0).length;
      axis.textContent = `the ${image.length} numbers of one photograph; ${left} ${left === 1 ? "is" : "are"} not 0`;
      numbers.show(image, 1.1 * Math.max(...vectors[0].map(Math.abs), ...vectors[1].map(Math.abs)));
      if (few) compare(from);
      else list(from, from.examples[example].captions, exact);
      Object.assign(stage.dataset, { kurtosis: kurtosis(exact).toFixed(4), mean: from.kurtosis[degrees].toFixed(4), degrees });
    };

    const dial = slider("Turn the axes", 90, (value) => `by ${value}°`, (value) => {
      degrees = value;
      draw();
      keep();
    });
    /** The state in the address, as soon as a reader rests: browsers refuse many changes at once. */
    const keep = () => {
      clearTimeout(later);
      if (stage.dataset.moved) later = setTimeout(() => history.replaceState(null, "", `#${chosen ? `bits=${few.bits}&` : ""}turn=${degrees}`), 300);
    };
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
    const models = choice("Features of", sources.map(({ title }) => title), (n) => {
      [source, example] = [n, 0];
      pick();
      dial.set(0); // where each model's numbers stand as it writes them
    });
    const bits = choice("Bits a number", stored.map((one) => `${one.bits} bits`), (n) => {
      few = stored[n];
      draw();
      keep();
    }, stored.indexOf(few));
    /** What the address asks for, when the page opens and when a reader changes it. */
    const go = () => {
      [...bits.children][stored.findIndex((one) => String(one.bits) === address().get("bits"))]?.click();
      dial.set(Math.min(90, Math.max(0, Number.parseInt(address().get("turn"), 10) || 0)));
    };
    const more = few ? [axis, dial.node, found] : [needle.node, dial.node, found, says];
    stage.append(...(few ? [bits] : [make("div", { class: "explorable-row" }, models, next), heading]), numbers.node, ...more);
    bits.hidden = !chosen;
    pick();
    go();
    window.addEventListener("hashchange", () => {
      if (address().has("turn") || address().has("bits")) go(); // and no link to a heading
    });
    for (const kind of ["input", "click"]) stage.addEventListener(kind, () => { stage.dataset.moved = "yes"; }, true);
  });
})();
