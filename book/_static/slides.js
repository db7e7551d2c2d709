// Turns slides by keys and clicks; the number of the one that is shown stands in the address.
const slides = [...document.querySelectorAll("section")];
const place = () => Math.max(0, slides.findIndex((s) => "#" + s.id === location.hash));
const show = () => slides.forEach((s, i) => s.classList.toggle("shown", i === place()));
const go = (to) => { location.hash = slides[Math.min(Math.max(to, 0), slides.length - 1)].id; };
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
  PageUp: -1, Home: -Infinity, End: Infinity };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in keys) { event.preventDefault(); go(place() + keys[event.key]); }
  if (event.key === "n") document.body.classList.toggle("notes");
});
addEventListener("click", (event) => {
  if (!event.target.closest("a")) go(place() + (event.clientX < innerWidth / 4 ? -1 : 1));
});
addEventListener("hashchange", show);
show();
