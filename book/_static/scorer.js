// How the search orders what it finds: chapters first, then guides and the appendix, then the pages
// of single runs. Before them all come the counterpart of a figure or table of the paper that was
// asked for by its number, and the glossary's entry or the page that was asked for by its name.
// Abbreviations of the field are searched for in full, and what may be a model's name leads to the
// explorer. A page that answers a common question comes
// first, and the report of six pages, which has a word of everything, after the chapters. Otherwise as
// Sphinx does.
var companionAnswers = {
  "run it": "guide/use_this_book",
  run: "guide/use_this_book",
  build: "guide/use_this_book",
  "make book": "guide/use_this_book",
  "why outliers": "choose_the_axes",
  "why outlier features": "choose_the_axes",
  install: "guide/use_this_book",
  installation: "guide/use_this_book",
  "rotation invariance": "what_kurtosis_measures",
  "outlier features": "outlier_features",
  pdf: "guide/use_this_book",
  emoji: "guide/pocket_lab",
};
var companionQuery = (text) =>
  text
    .toLowerCase()
    .replace(/\bllms?\b/g, "language models")
    .replace(/\bvlms?\b/g, "vision language models")
    .replace(/\bfig\.?(?= ?\d)/g, "figure")
    .replace(/\bood\b/g, "distribution shift")
    .replace(/\bdatasets?\b/g, "data sets")
    .replace(/[^\p{L}\p{N}-]+/gu, " ")
    .replace(/^((what (is|are)|how (do|can) (i|you|we)) )?(an? |the )?/, "")
    .trim();
/** A link to the explorer, if a model may be meant: letters with a number, or a known maker. */
var companionOffer = (asked, results) => {
  if (!/[a-z]+[-/ ]?\d|clip\b/i.test(asked)) return;
  const link = document.createElement("a");
  link.href = `guide/explore.html#${new URLSearchParams({ find: asked.replace(/\//g, "-"), least: "0" })}`;
  link.textContent = `“${asked}” among all published models`;
  const line = document.createElement("p");
  line.className = "companion-explorer-link";
  line.append(link);
  results.before(line);
};
var Scorer = {
  score: ([page, heading, anchor, , score]) => {
    const title = heading.replace(/<[^>]*>/g, ""); // a chapter's number is in a span
    const query = companionQuery(new URLSearchParams(location.search).get("q") ?? "");
    const asked = query.replace(/-/g, " ");
    const name = (anchor || "").replace(/^#(term-)?/, "").replace(/-/g, " ").toLowerCase();
    const entry = page === "appendix/glossary" && `${name}s`.startsWith(asked);
    const counterpart = page === "appendix/paper" && name === asked;
    const titled = !anchor && title.toLowerCase().replace(/^\w+\. /, "") === query;
    if (asked && (entry || counterpart || titled || companionAnswers[asked] === page)) return score + 1000;
    const chapter = Number.parseInt(title, 10) || 99; // of equals, in the order of the book
    return score - chapter / 1000 + (page.startsWith("runs/") ? 0 : page.includes("/") || page === "summary" ? 100 : 200);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
