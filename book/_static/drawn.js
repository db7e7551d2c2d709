// What scripts of figures and tables share: elements of HTML and of SVG. Text goes in as text, never as
// HTML.
(() => {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const DRAWN = ["svg", "g", "path", "line", "text", "circle", "rect"];

  /** An element with attributes, listeners ("onclick") and children, which are nodes or text. */
  const make = (name, attributes = {}, ...children) => {
    const node = DRAWN.includes(name) ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };

  window.companionDrawn = { make };
})();
