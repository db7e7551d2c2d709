// Turns slides by keys and clicks; the address has the number of the one that is shown. On a screen
// that is no phone's the text of its figures has at least 18 pixels, which a last row can read, and
// fewer next to notes. An address with ?notes opens with the notes. P opens a window for the speaker,
// ?presenter: the slide, its notes, the next one, and what the clock says; either window turns both.
const slides = [...document.querySelectorAll("section")];
const presents = location.search === "?presenter";
const place = () => Math.max(0, slides.findIndex((s) => "#" + s.id === location.hash));
const LEAST = () => (presents ? 0 : document.body.classList.contains("notes") ? 11 : 18);
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

// The speaker's window, and the projector's: what one shows, the other does, too. The opened window is
// asked as well, since files on a disk may have no channel.
const channel = new BroadcastChannel(`slides ${location.pathname}`);
let partner = presents ? window.opener : null;
let heard = ""; // what the other window showed last
const tell = () => {
  const id = slides[place()].id;
  if (id === heard) return;
  heard = id;
  channel.postMessage(id);
  partner?.postMessage({ slide: id }, "*");
};
const hear = (id) => {
  if (!slides.some((s) => s.id === id) || slides[place()].id === id) return;
  heard = id;
  location.hash = id;
};
channel.addEventListener("message", ({ data }) => hear(data));
addEventListener("message", ({ source, data }) => { if (source && source === partner) hear(data?.slide); });
const open = () => {
  partner = window.open(`${location.pathname}?presenter#${slides[place()].id}`, "presenter", "width=1200,height=800");
};

const make = (name, kind, ...children) => {
  const node = document.createElement(name);
  node.className = kind;
  node.append(...children);
  return node;
};
const [elapsed, planned, told, coming] = ["elapsed", "planned", "told", "coming"].map((kind) => make("div", kind));
let since = null; // when the talk began: at the first turn
const tick = () => {
  const seconds = since === null ? 0 : Math.floor((Date.now() - since) / 1000);
  elapsed.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};
const brief = () => {
  const [now, next] = [slides[place()], slides[place() + 1]];
  planned.textContent = now.querySelector(".clock").textContent;
  told.replaceChildren(...[...now.querySelectorAll("blockquote")].flatMap((q) => [...q.cloneNode(true).childNodes]));
  coming.replaceChildren(next ? next.querySelector(".slide").cloneNode(true) : "The end.");
};
const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
  PageUp: -1, Home: -Infinity, End: Infinity };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in keys) { event.preventDefault(); go(place() + keys[event.key]); }
  if (event.key === "p" && !presents) open();
  if (event.key === "n" && !presents) { document.body.classList.toggle("notes"); show(); }
});
addEventListener("click", (event) => {
  if (!event.target.closest("a")) go(place() + (event.clientX < innerWidth / 4 ? -1 : 1));
});
if (location.search === "?notes") document.body.classList.add("notes");
if (presents) {
  document.body.classList.add("presenter");
  document.body.append(make("aside", "", make("div", "times", elapsed, planned), told, make("h2", "", "Next"), coming));
  setInterval(tick, 500);
  addEventListener("hashchange", () => { since ??= Date.now(); brief(); });
  tick();
  brief();
}
addEventListener("hashchange", tell);
addEventListener("hashchange", show);
addEventListener("resize", show);
show();
