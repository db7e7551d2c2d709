// How the search orders what it finds: chapters first, then guides and the appendix, then the pages
// of single runs. Otherwise as Sphinx does.
var Scorer = {
  score: ([page, , , , score]) =>
    score + (page.startsWith("runs/") ? 0 : page.includes("/") ? 100 : 200),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
