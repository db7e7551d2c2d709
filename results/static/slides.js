// Turns slides by keys and clicks; the address has the number of the one that is shown. On a screen
// that is no phone's the text of its figures has at least 18 pixels, which a last row can read, and
// fewer next to notes. An address with ?notes opens with the notes.
const slides = [...document.querySelectorAll("section")];
const place = () => Math.max(0, slides.findIndex((s) => "#" + s.id === location.hash));
const LEAST = () => (document.body.classList.contains("notes") ? 11 : 18);
const show = () => {
  slides.forEach((s, i) => s.classList.toggle("shown", i === place()));
  for (const text of slides[place()].querySelectorAll("svg text")) {
    text.dataset.drawn ??= getComputedStyle(text).fontSize;
    const { a, b } = text.getScreenCTM(), size = parseFloat(text.dataset.drawn);
    const least = (1.01 * LEAST()) / Math.hypot(a, b);
    text.style.fontSize = `${innerWidth > 600 ? Math.max(size, least) : size}px`;
  }
};
const go = (to) => { location.hash = slides[Math.min(Math.max(to, 0), slides.length - 1)].id; };
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
  PageUp: -1, Home: -Infinity, End: Infinity };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in keys) { event.preventDefault(); go(place() + keys[event.key]); }
  if (event.key === "n") { document.body.classList.toggle("notes"); show(); }
});
addEventListener("click", (event) => {
  if (!event.target.closest("a")) go(place() + (event.clientX < innerWidth / 4 ? -1 : 1));
});
if (location.search === "?notes") document.body.classList.add("notes");
addEventListener("hashchange", show);
addEventListener("resize", show);
show();
