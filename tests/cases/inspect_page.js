// What is wrong with a page once it has settled: sideways scrolling; main headings beyond one;
// images that are broken or have no words; equations that were not rendered; and, of what a screen
// reader's user jumps to, rows without a header and landmarks without a name. Last, with all boxes
// open: words in figures that leave their figure, or that cover others.
() => ({
  headings: [...document.querySelectorAll("h1")].filter((h) => h.checkVisibility()).length - 1,
  overflow: Math.max(
    0, document.documentElement.scrollWidth - document.documentElement.clientWidth),
  broken: [...document.images].filter((i) => !i.complete || i.naturalWidth === 0)
    .map((i) => i.src),
  silent: [
    ...[...document.querySelectorAll("img")].filter((i) => !i.hasAttribute("alt")),
    ...[...document.querySelectorAll("article img")].filter((i) => !i.alt.trim()),
    ...[...document.querySelectorAll("article figure svg, article svg[role=img]")].filter(
      (s) => !s.closest("mjx-container, [aria-hidden=true]") &&
        !(s.getAttribute("aria-label") || s.querySelector("title")?.textContent || "").trim()),
  ].map((e) => e.outerHTML.slice(0, 120)),
  equations: document.querySelectorAll("article .math").length,
  unrendered: Math.max(0, document.querySelectorAll("article .math").length -
    document.querySelectorAll("article mjx-container").length),
  headless: [...document.querySelectorAll("article table:has(> thead) > tbody > tr")].filter(
    (row) => !row.querySelector("th[scope=row]")).length,
  unnamed: [...document.querySelectorAll("nav, body > footer, [role=contentinfo]")].filter(
    (mark) => !mark.closest("dialog") && !mark.getAttribute("aria-label") &&
      !document.getElementById(mark.getAttribute("aria-labelledby"))).map((m) => m.outerHTML),
  unreadable: (document.querySelectorAll("details").forEach((box) => { box.open = true; }),
    [...document.querySelectorAll("article figure svg")].flatMap((figure) => {
      const edge = figure.getBoundingClientRect();
      const words = [...figure.querySelectorAll("text")].filter((t) => t.textContent.trim())
        .map((t) => [t.textContent.trim(), t.getBoundingClientRect()]);
      const shared = (a, b) => [
        Math.min(a.right, b.right) - Math.max(a.left, b.left),
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      const cut = words.filter(([, r]) => r.left < edge.left - 2 || r.right > edge.right + 2);
      const covered = words.filter(([, r], i) => words.slice(0, i).some(([, other]) => {
        const [width, height] = shared(r, other);
        return width > 3 && height > 0.45 * Math.min(r.height, other.height);
      }));
      return [...cut, ...covered].map(([text]) => `${figure.closest("figure").id}: ${text}`);
    })),
})
