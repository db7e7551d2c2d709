// Tables that sort, by mouse and keyboard. vendor/sortable/sortable.js sorts a table of class
// "sortable" when a header cell is clicked; this script makes the headers real buttons and tells
// it the number behind a cell: "−1.5 ± 0.2" is -1.5, and a cell without a number comes last.
// Above a long table it puts a box that shows only the rows with what is typed in it, and, where a
// column's values can be chosen from, a list of them. Cells of tables whose rows are cards on a
// phone carry their column's name, and say that they are cells, which such a look would hide.
// Terms of the glossary, and headings of columns that a list below their table defines, show their
// definition where a reader points, tabs or taps. Buttons that show a solution name its exercise.
// A link to the card of a claim unfolds it. At the edge of a box that scrolls is a shadow. On a phone a tap on a figure opens its drawing alone.
(() => {
  "use strict";

  const NUMBER = /^[+\u2212-]?\d[\d,\u2009\u202f]*(?:\.\d+)?(?:e[+\u2212-]?\d+)?/i;

  /** The number that a text begins with, or null. */
  const leadingNumber = (text) => {
    const match = text.trim().match(NUMBER);
    return match ? Number(match[0].replace(/\u2212/g, "-").replace(/[,\u2009\u202f]/g, "")) : null;
  };

  /** Whether a cell says that there is no value. */
  const isMissing = (text) => /^(|[–—-]|n\/a|not (measured|published|known).*)$/i.test(text.trim());

  /** Mark a column of sentences or phrases, which need room, or of short names, not to be broken. */
  const markTexts = (header, cells) => {
    const longest = Math.max(...cells.map((cell) => cell.textContent.trim().length));
    if (longest > 60) [header, ...cells].forEach((cell) => cell.classList.add("sentences"));
    else if (longest > 20) header.classList.add("phrases");
    if (longest <= 16) cells.forEach((cell) => cell.classList.add("name"));
  };

  /** Give each cell of a numeric column (nothing but numbers and gaps) its number. */
  const markNumbers = (header, cells) => {
    const present = cells.filter((cell) => !isMissing(cell.textContent));
    if (!present.length || present.some((cell) => leadingNumber(cell.textContent) === null)) return;
    if (present.some((cell) => /^\d+, \d/.test(cell.textContent.trim()))) return; // lists
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

  /** Give the headings of a table the definitions that are listed below it. */
  const defineColumns = (list) => {
    const headers = [...(list.previousElementSibling?.querySelectorAll("thead th") ?? [])];
    for (const term of list.querySelectorAll("dt")) {
      const header = headers.find((cell) => cell.textContent.trim() === term.textContent);
      const words = document.createElement("abbr");
      words.title = term.nextElementSibling.textContent;
      const place = header?.querySelector(":scope > p:only-child") ?? header;
      words.append(...(place?.childNodes ?? []));
      place?.append(words);
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
      if (!header.querySelector("abbr")) button.title = "Sort by this column";
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
  };

  /** Show a shadow at those edges of a table's box behind which there is more of it. */
  const showEdges = (box) => {
    const frame = document.createElement("div");
    frame.className = "companion-edges";
    box.before(frame);
    frame.append(box);
    const look = () => {
      const left = Math.abs(box.scrollLeft);
      frame.classList.toggle("more-before", left > 1);
      frame.classList.toggle("more-after", left + box.clientWidth < box.scrollWidth - 1);
    };
    box.addEventListener("scroll", look, { passive: true });
    const sizes = new ResizeObserver(look);
    for (const sized of [box, ...box.children]) sizes.observe(sized);
    look();
  };
  window.companionShowEdges = showEdges; // also of tables that other scripts make

  /** The address of a figure's drawing: of its file if the page names one, else of what is drawn. */
  const drawing = (figure) => {
    const menu = figure.nextElementSibling?.closest(".companion-menu");
    const file = menu?.querySelector('a[href$=".svg"]');
    if (file) return file.href;
    const svg = figure.querySelector("svg").cloneNode(true);
    const style = getComputedStyle(document.documentElement);
    svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    svg.style.background = style.getPropertyValue("--companion-paper");
    const text = new XMLSerializer().serializeToString(svg);
    const plain = text.replace(/var\((--companion-\w+)\)/g, (_, name) => style.getPropertyValue(name));
    return URL.createObjectURL(new Blob([plain], { type: "image/svg+xml" }));
  };

  /** On a phone let a tap on a figure open its drawing alone, to be enlarged with two fingers. */
  const makeZoom = (figure) => {
    const drawings = [...figure.querySelectorAll(":scope > svg")];
    if (!drawings.length) return;
    const link = document.createElement("a");
    link.className = "companion-zoom";
    link.target = "_blank";
    link.setAttribute("aria-label", "Open this figure alone");
    const narrow = matchMedia("(max-width: 600px)");
    const fit = () => {
      if (narrow.matches === (drawings[0].parentElement === link)) return;
      if (narrow.matches) {
        link.href = drawing(figure);
        drawings[0].before(link);
        link.append(...drawings);
      } else link.replaceWith(...drawings);
    };
    narrow.addEventListener("change", fit);
    fit();
  };

  /** Letters alone decide: no case, no accents. */
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  /** A list of the values in a column, to choose one, and what a row's value is; or nothing. */
  const makeChoice = (table, rows, name) => {
    const headers = [...table.tHead.rows[0].cells];
    const column = headers.findIndex((header) => header.textContent.trim() === name);
    if (!name || column < 0) return [];
    const value = (row) => {
      const cell = row.cells[column];
      return (cell.querySelector("p > :first-child, :scope > span") ?? cell).textContent.trim();
    };
    const select = document.createElement("select");
    select.append(new Option("all", ""));
    const values = rows.map(value);
    for (const one of new Set(values)) {
      select.append(new Option(`${one} (${values.filter((other) => other === one).length})`, one));
    }
    const label = document.createElement("label");
    label.append(`${name}: `, select);
    return [select, value];
  };

  /** Name the cells of a table whose rows are cards on a phone, and keep their roles there. */
  const markCards = (table) => {
    const headers = [...table.tHead.rows[0].cells].map((header) => header.textContent.trim());
    table.setAttribute("role", "table");
    for (const row of table.rows) {
      row.setAttribute("role", "row");
      for (const cell of row.cells) {
        cell.setAttribute("role", cell.tagName === "TH" && row.parentElement === table.tHead
          ? "columnheader" : cell.tagName === "TH" ? "rowheader" : "cell");
        if (cell.tagName === "TD") cell.dataset.label = headers[cell.cellIndex];
      }
    }
  };

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
    const [select, value] = makeChoice(own, rows, place.dataset.choose);
    const show = () => {
      const words = plain(input.value).split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const chosen = !select?.value || value(row) === select.value;
        row.hidden = !chosen || !words.every((word) => texts.get(row).includes(word));
      }
      const shown = rows.filter((row) => !row.hidden).length;
      const all = `${rows.length} rows`;
      count.value = words.length || select?.value ? `${shown} of ${all}` : all;
    };
    input.addEventListener("input", show);
    select?.addEventListener("change", show);
    place.replaceChildren(label, ...(select ? [select.parentElement] : []), count);
    show();
  };

  /** One box for all definitions: it shows that of what is pointed at, focused or tapped. */
  const makeTips = () => {
    const tip = document.createElement("div");
    tip.id = "companion-tip";
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    document.body.append(tip);
    let own = null;
    const hide = () => {
      own?.removeAttribute("aria-describedby");
      own = null;
      tip.hidden = true;
    };
    const show = (of, text) => {
      hide();
      own = of;
      tip.textContent = text;
      tip.hidden = false;
      of.setAttribute("aria-describedby", tip.id);
      const at = of.getClientRects()[0] ?? of.getBoundingClientRect();
      const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(at.left, room)) + window.scrollX}px`;
      const above = at.bottom + tip.offsetHeight + 8 > window.innerHeight && at.top > tip.offsetHeight;
      tip.style.top = `${(above ? at.top - tip.offsetHeight - 4 : at.bottom + 4) + window.scrollY}px`;
    };
    for (const defined of document.querySelectorAll("article a[title]:has(.std-term), article abbr[title]")) {
      const of = defined.closest("button") ?? defined;
      const text = defined.title;
      defined.removeAttribute("title"); // the browser's own box would lie over this one
      if (defined.tagName === "ABBR" && of === defined) of.tabIndex = 0;
      of.addEventListener("pointerenter", (e) => e.pointerType === "mouse" && show(of, text));
      of.addEventListener("pointerleave", (e) => {
        // to be read at leisure, the box may be pointed at as well
        if (e.pointerType === "mouse" && e.relatedTarget !== tip) hide();
      });
      of.addEventListener("focus", () => own === of || show(of, text));
      of.addEventListener("blur", hide);
      let before = false; // whether the box was open when the finger came down
      of.addEventListener("pointerdown", () => (before = own === of));
      of.addEventListener("click", (e) => {
        if (e.pointerType !== "touch" || before || of.tagName === "BUTTON") return;
        e.preventDefault(); // the first tap shows the definition, the second follows the link
        show(of, text);
      });
    }
    tip.addEventListener("pointerleave", hide);
    document.addEventListener("keydown", (e) => e.key === "Escape" && hide());
    document.addEventListener("pointerdown", (e) => {
      if (own && e.target !== tip && !own.contains(e.target)) hide();
    });
  };

  /** Name the button of each hidden box: by what it hides, and of which exercise. */
  const nameToggles = () => {
    for (const button of document.querySelectorAll(".admonition > .admonition-title > .toggle-button")) {
      const box = button.closest(".admonition");
      let before = box.previousElementSibling;
      while (before && !before.matches(".exercise[id]")) before = before.previousElementSibling;
      const of = before && box.matches(".solution, .hint") ? ` of ${before.id}` : "";
      button.setAttribute("aria-label", `${button.parentElement.textContent.trim()}${of}`);
    }
  };

  /** Unfold the card of a claim to which the address leads. */
  const openCard = () => {
    const card = document.getElementById(location.hash.slice(1)); // may hold anything
    if (!card?.matches(".claim-card")) return;
    for (const details of card.querySelectorAll("details")) details.open = true;
  };

  /** Bring the current page's line of the contents into view, whichever door led here. */
  const showCurrent = () => {
    const line = [...document.querySelectorAll(".bd-sidebar-primary a.current")].pop();
    let box = line?.parentElement;
    const scrolls = (of) => of.scrollHeight > of.clientHeight && /auto|scroll/.test(getComputedStyle(of).overflowY);
    while (box && !scrolls(box)) box = box.parentElement;
    if (!box || box === document.body || box === document.documentElement) return;
    const [of, inside] = [line.getBoundingClientRect(), box.getBoundingClientRect()];
    if (of.top > inside.top && of.bottom < Math.min(inside.bottom, window.innerHeight)) return;
    box.scrollTop += of.top - inside.top - (box.clientHeight - of.height) / 2;
  };

  const start = () => {
    openCard();
    window.addEventListener("load", showCurrent); // after the theme has put back where the last page was
    window.addEventListener("hashchange", openCard);
    document.querySelectorAll("table.cards").forEach(markCards);
    document.querySelectorAll(".companion-search").forEach(makeSearch);
    document.querySelectorAll(".companion-columns").forEach(defineColumns);
    for (const table of document.querySelectorAll("table.sortable")) {
      if (!table.tHead?.rows.length) continue;
      // The library's names for "cells without a value last" and "upwards at the first click".
      table.classList.add("n-last", "asc");
      markColumns(table);
      makeButtons(table);
    }
    document.querySelectorAll(".pst-scrollable-table-container").forEach(showEdges);
    document.querySelectorAll("figure.companion-figure").forEach(makeZoom);
    makeTips();
    findScrollable();
    window.addEventListener("resize", findScrollable);
    window.addEventListener("load", nameToggles);
    window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(findScrollable));
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
