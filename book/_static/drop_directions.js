// Drop what texts never say: κ and captions found, while directions go in which captions barely vary.
(() => {
  "use strict";

  const { make, unpack, kurtosis, dot, digits, percent, stems, curves, choice, slider, start } =
    window.companionExplorable;

  start("drop_directions", (stage, data) => {
    const directions = unpack(data.directions);
    const [vector] = unpack(data.vector);
    let [example, count, alone] = [0, 0, false];
    let image = [];
    const numbers = stems();
    const heading = make("p", { class: "explorable-name" });
    const says = make("p", { class: "explorable-says", "aria-live": "polite" });
    const points = [];
    const pair = (key, title, options) => {
      const point = { name: "one vector", place: 1, value: data.vector[key], shown: false };
      points.push(point);
      return curves(title, [
        { name: "random directions", kind: "random", values: data.random[key] },
        { name: "least varying", kind: "silent", values: data[key] },
      ], { ...options, point });
    };
    const kappa = pair("kurtosis", "mean κ", { log: true, low: 3, high: 120, ticks: [3, 10, 30, 100], write: digits, tick: String });
    const share = pair("found", "captions found", { low: 0, high: 0.7, ticks: [0, 0.2, 0.4, 0.6], write: percent,
      tick: (of) => `${100 * of} %` });

    const draw = () => {
      const left = Float64Array.from(image);
      for (const direction of alone ? [vector] : directions.slice(0, count)) {
        const along = dot(image, direction);
        direction.forEach((x, i) => {
          left[i] -= along * x;
        });
      }
      numbers.show(left, 1.1 * Math.max(...image.map(Math.abs)));
      kappa.show(count);
      share.show(count);
      const [mean, right] = alone
        ? [data.vector.kurtosis, data.vector.found]
        : [data.kurtosis[count], data.found[count]];
      const other = !count ? "Nothing is dropped yet." : `With as many random directions dropped instead, κ is ${digits(data.random.kurtosis[count])}, and ${percent(data.random.found[count])} are found.`;
      const one = `This one vector holds ${percent(data.energy)} of the mean image's energy.`;
      says.textContent =
        `This image's κ is ${digits(kurtosis(left))}, and ${digits(mean)} on average over ${data.images}; ` +
        `${percent(right)} of captions are found. ${alone ? one : other}`;
      Object.assign(stage.dataset, {
        own: kurtosis(left).toFixed(4), kurtosis: mean.toFixed(4), found: right.toFixed(4), count,
      });
    };

    const dial = slider("Drop directions", data.kurtosis.length - 1, String, (value) => {
      count = value;
      if (alone && value) how.querySelector("button").click(); // who drags drops directions again
      draw();
    });
    const pick = () => {
      heading.textContent = data.examples[example].name;
      [image] = unpack(data.examples[example]);
      draw();
    };
    const next = make("button", { type: "button", onclick: () => {
      example = (example + 1) % data.examples.length;
      pick();
    } }, "Another image");
    const how = choice("What goes", ["the least varying first", "one vector alone"], (n) => {
      alone = n === 1;
      for (const point of points) point.shown ||= alone;
      draw();
    });
    const key = make("p", { class: "explorable-key" }, make("span", { class: "silent" }, "least varying"),
      make("span", { class: "random" }, "random directions"));
    const both = make("div", { class: "explorable-both" }, make("div", {}, kappa.node), make("div", {}, share.node));
    stage.append(make("div", { class: "explorable-row" }, how, next), heading, numbers.node, dial.node,
      key, both, says);
    pick();
    dial.set(0);
  }, { guess: true });
})();
