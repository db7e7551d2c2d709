// Below each result of a search, a piece of the text in which it was found. The texts were written
// when the book was built (searchtexts.js), so that it works from a file, too. If no page has all
// words, those with most of them are found.
(() => {
  "use strict";

  const AROUND = 120; // characters before and after the first word found

  const asked = new URLSearchParams(location.search).get("q") ?? "";
  // A book's own script of the search may read what was asked, and offer more than pages.
  const read = typeof companionQuery === "function" ? companionQuery : (text) => text;
  const offer = typeof companionOffer === "function" ? companionOffer : () => {};
  if (typeof Search !== "undefined") {
    const search = Search.performSearch;
    Search.performSearch = (text) => search(read(text)); // abbreviations in full
    const parse = Search._parseQuery;
    Search._parseQuery = (text) => {
      const parsed = parse(text);
      // What the page found marks wherever it stands in a word: not the b and the 16 of ViT-B-16.
      for (const word of parsed[3]) if (word.length < 3) parsed[3].delete(word);
      localStorage.setItem("sphinx_highlight_terms", [...parsed[3]].join(" "));
      return parsed;
    };
    const byTerms = Search.performTermsSearch;
    Search.performTermsSearch = (terms, excluded) => {
      const every = byTerms(terms, excluded);
      if (every.length || terms.size < 2) return every;
      const found = new Map(); // page → its result, with the scores of all words that it has
      for (const term of terms) {
        for (const result of byTerms(new Set([term]), excluded)) {
          const before = found.get(result[0]);
          if (before) before[4] += result[4];
          else found.set(result[0], result);
        }
      }
      return [...found.values()];
    };
  }

  const words = read(asked)
    .split(/[^\p{L}\p{N}_]+/u)
    .filter(Boolean);

  // A letter or two, as the b of ViT-B, counts where it is a word by itself.
  const alone = (word) => `(?<![\\p{L}\\p{N}])${word}(?![\\p{L}\\p{N}])`;
  const row = new RegExp(words.join("[^\\p{L}\\p{N}]+"), "iu");
  const patterns = [...words]
    .sort((a, b) => b.length - a.length)
    .map((word) => (word.length < 3 ? alone(word) : word));
  const each = patterns.map((pattern) => new RegExp(pattern, "iu"));

  /** How many of the words a text has. */
  const has = (text) => each.filter((word) => word.test(text)).length;
  /** Where all words in a row begin in a text, or else the longest one of the words in it, or -1. */
  const place = (text) => [row, ...each].map((word) => text.search(word)).find((at) => at >= 0) ?? -1;

  /** The text of the section that a result leads to, or of the first one with a word in it. */
  const textBehind = (link) => {
    const url = new URL(link.href);
    const root = new URL(document.documentElement.dataset.content_root ?? "./", location.href);
    const page = url.pathname.slice(root.pathname.length).replace(/\.html$/, "");
    const sections = window.companionTexts?.[page] ?? [];
    const anchor = decodeURIComponent(url.hash.slice(1));
    const own = sections.find(([id]) => id === anchor)?.[1];
    const inRow = sections.find(([, text]) => row.test(text))?.[1];
    const most = Math.max(0, ...sections.map(([, text]) => has(text)));
    const fullest = most && sections.find(([, text]) => has(text) === most)[1];
    return (anchor && own) || inRow || fullest || sections[0]?.[1] || "";
  };

  /** Mark each of the words in a text. */
  const marked = (text) =>
    text.split(new RegExp(`(${patterns.join("|")})`, "iu")).map((piece, number) => {
      if (number % 2 === 0) return piece;
      const mark = document.createElement("mark");
      mark.textContent = piece;
      return mark;
    });

  const addExcerpt = (item) => {
    const link = item.querySelector("a");
    if (!link || item.querySelector(".excerpt") || !words.length) return;
    const text = textBehind(link);
    const at = Math.max(0, place(text) - AROUND);
    const start = at ? text.indexOf(" ", at) + 1 : 0;
    const end = Math.min(text.length, start + 2 * AROUND);
    const piece = text.slice(start, end < text.length ? text.lastIndexOf(" ", end) : end);
    const shown = document.createElement("p");
    shown.className = "excerpt";
    shown.append(...marked(`${start ? "… " : ""}${piece}${end < text.length ? " …" : ""}`));
    if (piece) item.append(shown);
  };

  const start = () => {
    const results = document.getElementById("search-results");
    if (!results) return;
    const look = () => results.querySelectorAll("ul.search > li").forEach(addExcerpt);
    new MutationObserver(look).observe(results, { childList: true, subtree: true });
    look();
    offer(asked, results);
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
