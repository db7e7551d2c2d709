// How the search orders what it finds: by relevance. First comes the counterpart of a figure or table of
// the paper that was asked for by its number, the page or the glossary's entry that has the words as its
// name, and the page that answers a common question. Then what has every word in its title or heading, or
// among the terms of the page. Words of two spellings are searched for in the book's.
// Chapters and guides are a little ahead of the pages of single runs. Abbreviations of the field are
// searched for in full, and what may be a model's name leads to the explorer.
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
  cite: "guide/use_this_book",
  "to cite": "guide/use_this_book",
  checkpoint: "guide/your_checkpoint",
  "my checkpoint": "guide/your_checkpoint",
  "run on my checkpoint": "guide/your_checkpoint",
  kurtosis: "appendix/glossary",
  exercise: "guide/teach",
  exercises: "guide/teach",
  "data sets": "appendix/datasets",
};
/** What a page is about and does not say in its title; such a term counts as a heading. */
var companionTerms = {
  a_tower: "outlier features, dominant coordinate, activation kurtosis",
  turn_the_axes: "rotation, random basis, privileged basis, importance of coordinates",
  choose_the_axes: "adam, adam second moment, optimiser, outlier features origin, training dynamics",
  robust_without_a_tower: "eva-clip, siglip, dinov2, self-supervised, robustness without outlier features",
  what_the_tower_costs: "quantisation, embeddings, compression, vector search, text-embedding-ada-002",
  measuring_robustness: "effective robustness, accuracy on the line, distribution shift, baseline",
  privileged_directions: "privileged direction, importance, singular vectors",
  concepts: "concept, network dissection, polysemantic",
  bits: "quantisation, vector search, faiss, qdrant, embeddings",
  where_outlier_features_come_from: "outlier features origin, adam, relearn, training dynamics",
  robustness_atlas: "all published models, open_clip, timm",
  "guide/your_checkpoint": "run this on my own checkpoint, own checkpoint, own model, fine-tuned",
};
/** Whether each word asked for is one of a term's, in the singular or the plural. */
var companionIsTerm = (page, asked) => {
  const one = (text) => companionWords(text).split(" ").map((word) => word.replace(/s$/, ""));
  return (companionTerms[page] ?? "").split(", ").some((term) => one(asked).every((word) => one(term).includes(word)));
};
var companionQuery = (text) =>
  text
    .toLowerCase()
    .replace(/\bllms?\b/g, "language models")
    .replace(/\bvlms?\b/g, "vision language models")
    .replace(/\bfig\.?(?= ?\d)/g, "figure")
    .replace(/\bood\b/g, "distribution shift")
    .replace(/\b(quanti|normali|standardi|optimi|generali|regulari|recogni|organi|summari|analy)z(?=e|i|a)/g, "$1s")
    .replace(/\b(cent)er\b/g, "$1re")
    .replace(/\b(col|behavi|neighb)or/g, "$1our")
    .replace(/\bgray/g, "grey")
    .replace(/\blabeled/g, "labelled")
    .replace(/\bdatasets?\b|\bdownload(ing)? (the )?data\b/g, "data sets")
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
/** Words as they are compared: those of a query or of a title, without hyphens. */
var companionWords = (text) => companionQuery(text).replace(/-/g, " ");
var Scorer = {
  score: ([page, heading, anchor, , score]) => {
    const title = companionWords(heading.replace(/<[^>]*>/g, "").replace(/^\s*\w+\. /, "")); // no number
    const asked = companionWords(new URLSearchParams(location.search).get("q") ?? "");
    const name = (anchor || "").replace(/^#(term-)?/, "").replace(/-/g, " ").toLowerCase();
    const entry = page === "appendix/glossary" && `${name}s`.startsWith(asked);
    const counterpart = page === "appendix/paper" && name === asked;
    const titled = !anchor && title === asked;
    if (asked && (entry || counterpart || titled || companionAnswers[asked] === page)) return score + 1000;
    const named =
      asked && (asked.split(" ").every((word) => title.split(" ").includes(word)) || (!anchor && companionIsTerm(page, asked)));
    return score + (named ? 300 : 0) + (page.startsWith("runs/") ? 0 : page.includes("/") ? 10 : 20);
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
