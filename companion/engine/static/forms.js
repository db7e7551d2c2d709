// Forms that students fill in: the empty cells of a table in a box of class "companion-form" can be
// written in. What is written stays in this browser, is printed with the page, and goes nowhere.
(() => {
  "use strict";
  const keep = (key, text) => {
    try {
      if (text === undefined) return localStorage.getItem(key) ?? "";
      localStorage.setItem(key, text);
    } catch { /* a browser that keeps nothing: the page can be printed all the same */ }
    return "";
  };
  const start = () => document.querySelectorAll(".companion-form table").forEach((table, form) => {
    const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0].rows) {
      for (const cell of [...row.cells].slice(1)) {
        if (cell.textContent.trim()) continue;
        const name = `${row.cells[0].textContent.trim()}: ${headings[cell.cellIndex]}`;
        const key = `form ${location.pathname} ${form} ${name}`;
        const box = document.createElement("div");
        box.contentEditable = "plaintext-only";
        box.setAttribute("role", "textbox");
        box.setAttribute("aria-label", name);
        box.textContent = keep(key);
        box.addEventListener("input", () => keep(key, box.textContent));
        cell.append(box);
      }
    }
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
