// Type a checkpoint's name, and read what is published and recorded of it, or the command that
// measures it. The numbers stand in the page as JSON (companion/chapters/explore.py, `lookup`). Text
// goes in as text, never as HTML.
(() => {
  "use strict";

  const { make } = window.companionDrawn;
  const MOST = 8; // names that are offered
  const plain = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, " ").trim();
  const points = (value) => `${value < 0 ? "" : "+"}${value.toFixed(1)} points`.replace(/^-/, "\u2212");

  const answer = (data, n) => {
    const shifts = data.five[n] ? "five shifts" : "four shifts, without ObjectNet";
    const robust = {
      true: "yes: above nearly all supervised models of its accuracy",
      false: "no: within the spread of supervised models of its accuracy",
      null: "not decided: too few supervised models of its accuracy, or too close",
    }[String(data.robust[n])];
    const source = data.source.names[data.source.of[n]];
    const command = (data.commands[source] ?? "").replace("{model}", data.model[n]).replace("{weights}", data.weights[n]);
    const kappa = (data.kurtosis[n] ?? []).map((k) => `${k.value.toFixed(1)} on ${k.data}`).join("; ");
    const excess = data.excess[n] === null ? ""
      : ` (${points(data.excess[n])} above their fit; 97.5 % of them lie below ${points(data.limit[n])})`;
    const rows = [
      ["training", data.titles[data.level[n]]],
      ["ImageNet accuracy", `${data.imagenet[n].toFixed(1)} %`],
      ["effective robustness", data.er[n] === null ? "not published" : `${points(data.er[n])}, on ${shifts}`],
      ["robust at equal accuracy", robust + excess],
      ["κ", kappa || "not measured by this book"],
    ];
    const list = make("dl", {}, ...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
    if (!kappa) {
      const how = command ? make("code", {}, command) : "companion probe FILE --architecture NAME --images pictures/";
      list.append(make("dt", {}, "to measure κ"), make("dd", {}, how));
    }
    return [make("p", {}, make("strong", {}, nameOf(data, n)), `, published by ${source}`), list];
  };
  const nameOf = (data, n) => [data.model[n], data.weights[n], data.size[n] ? `${data.size[n]} px` : ""].filter(Boolean).join(" ");

  const look = (root, data) => {
    const names = data.model.map((_, n) => plain(nameOf(data, n)));
    const told = make("div", { role: "status" });
    const offers = make("ul", {});
    const choose = (n) => {
      offers.replaceChildren();
      input.value = nameOf(data, n);
      told.replaceChildren(...answer(data, n));
    };
    const search = () => {
      const words = plain(input.value).split(" ").filter(Boolean);
      const hits = words.length ? names.map((name, n) => [name, n]).filter(([name]) => words.every((word) => name.includes(word))) : [];
      const whole = (name) => words.filter((word) => name.split(" ").includes(word)).length;
      hits.sort(([a], [b]) => whole(b) - whole(a) || a.length - b.length);
      told.replaceChildren();
      if (hits.length === 1) return choose(hits[0][1]);
      offers.replaceChildren(...hits.slice(0, MOST).map(([, n]) =>
        make("li", {}, make("button", { type: "button", onclick: () => choose(n) }, nameOf(data, n)))));
      if (hits.length > MOST) told.textContent = `${hits.length} models have these words; type more of the name.`;
      else if (words.length && !hits.length) {
        told.textContent = "No published model has this name here. The command below measures any checkpoint.";
      }
    };
    const input = make("input", { type: "search", id: "lookup", placeholder: "ViT-B-16 laion2b", autocomplete: "off", oninput: search });
    root.replaceChildren(make("label", { for: "lookup" }, "I have a checkpoint: "), input, offers, told);
  };

  const start = () => {
    for (const root of document.querySelectorAll(".companion-lookup")) {
      look(root, JSON.parse(root.querySelector("script").textContent));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
