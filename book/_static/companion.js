// Tables that sort, by mouse and keyboard. vendor/sortable/sortable.js sorts a table of class
// "sortable" when a header cell is clicked; this script makes the headers real buttons and tells
// it the number behind a cell: "−1.5 ± 0.2" is -1.5, and a cell without a number comes last.
// Above a long table it puts a box that shows only the rows with what is typed in it.
(() => {
  "use strict";

  const NUMBER = /^[+\u2212-]?\d[\d,\u2009\u202f]*(?:\.\d+)?(?:e[+\u2212-]?\d+)?/i;

  /** The number that a text begins with, or null. */
  const leadingNumber = (text) => {
    const match = text.trim().match(NUMBER);
    return match ? Number(match[0].replace(/\u2212/g, "-").replace(/[,\u2009\u202f]/g, "")) : null;
  };

  /** Whether a cell says that there is no value. */
  const isMissing = (text) => /^(|[–—-]|n\/a|not measured.*|not published.*)$/i.test(text.trim());

  /** Mark a column of sentences, which need room, or of short names, not to be broken. */
  const markTexts = (header, cells) => {
    const longest = Math.max(...cells.map((cell) => cell.textContent.trim().length));
    if (longest > 60) [header, ...cells].forEach((cell) => cell.classList.add("sentences"));
    if (longest <= 16) cells.forEach((cell) => cell.classList.add("name"));
  };

  /** Give each cell of a numeric column (nothing but numbers and gaps) its number. */
  const markNumbers = (header, cells) => {
    const present = cells.filter((cell) => !isMissing(cell.textContent));
    if (!present.length || present.some((cell) => leadingNumber(cell.textContent) === null)) return;
    header.classList.add("numeric");
    for (const cell of cells) {
      const value = leadingNumber(cell.textContent);
      cell.classList.add("numeric");
      cell.dataset.sort ??= value === null ? "" : String(value);
    }
  };

  /** Look at a table column by column. */
  const markColumns = (table) => {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    for (const header of table.tHead.rows[0].cells) {
      const cells = rows.map((row) => row.cells[header.cellIndex]).filter(Boolean);
      markTexts(header, cells);
      markNumbers(header, cells);
    }
  };

  /** Put a button into each header cell, so that Tab and Enter work too. */
  const makeButtons = (table) => {
    for (const header of table.tHead.rows[0].cells) {
      if (header.classList.contains("no-sort") || !header.textContent.trim()) {
        header.classList.add("no-sort");
        continue;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      const paragraph = header.querySelector(":scope > p:only-child");
      button.append(...(paragraph ?? header).childNodes);
      header.replaceChildren(button);
    }
  };

  /** Let a box whose content is wider than itself be scrolled with the keyboard. */
  const makeScrollable = (box, name) => {
    if (!box || box.scrollWidth <= box.clientWidth || box.hasAttribute("tabindex")) return;
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", name);
  };

  /** Find what is too wide for the window as it is now. */
  const findScrollable = () => {
    for (const table of document.querySelectorAll("article table")) {
      const caption = table.caption?.textContent.replace(/#$/, "").trim();
      makeScrollable(table.parentElement, caption ? `Table: ${caption}` : "Table");
    }
    for (const box of document.querySelectorAll("article div.math, article mjx-container")) {
      makeScrollable(box, "Equation");
    }
    for (const figure of document.querySelectorAll("figure.companion-figure")) {
      const caption = figure.querySelector("figcaption")?.textContent.replace(/#$/, "").trim();
      makeScrollable(figure, caption ?? "Figure");
    }
  };

  /** Letters alone decide: no case, no accents. */
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  /** Fill a place for a search box: only rows that contain every word typed stay in the table. */
  const makeSearch = (place) => {
    const table = place.parentElement?.querySelectorAll("table.searchable");
    const own = [...(table ?? [])].find(
      (t) => place.compareDocumentPosition(t) & Node.DOCUMENT_POSITION_FOLLOWING,
    );
    if (!own) return;
    const rows = [...own.tBodies].flatMap((body) => [...body.rows]);
    const texts = new Map(rows.map((row) => [row, plain(row.textContent)]));
    const input = Object.assign(document.createElement("input"), { type: "search" });
    const label = document.createElement("label");
    label.append(`${place.dataset.label}: `, input);
    const count = Object.assign(document.createElement("output"), { className: "found" });
    const show = () => {
      const words = plain(input.value).split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => texts.get(row).includes(word));
      const shown = rows.filter((row) => !row.hidden).length;
      count.value = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    };
    input.addEventListener("input", show);
    place.replaceChildren(label, count);
    show();
  };

  const start = () => {
    document.querySelectorAll(".companion-search").forEach(makeSearch);
    for (const table of document.querySelectorAll("table.sortable")) {
      if (!table.tHead?.rows.length) continue;
      table.classList.add("n-last"); // the library's name for "cells without a value last"
      markColumns(table);
      makeButtons(table);
    }
    findScrollable();
    window.addEventListener("resize", findScrollable);
    window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(findScrollable));
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
