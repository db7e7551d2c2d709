// Texts of the slide shown that are not on the screen or too small, and a figure that is too low to
// be read.
() => {
  const tooSmall = (e) => {
    const at = e.ownerSVGElement && e.getScreenCTM();
    const size = parseFloat(getComputedStyle(e).fontSize);
    return at ? size * Math.hypot(at.a, at.b) < 11 : size < 14;
  };
  return [...document.querySelectorAll(
    "section.shown :is(h1, p, li, td, th, pre, footer, figure, svg text)")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width && (box.top < 0 || box.left < 0 || box.bottom > innerHeight
    || box.right > innerWidth || e.scrollWidth > e.clientWidth + 1 && e.tagName == "PRE"
    || e.tagName == "FIGURE" && box.height < 200 || tooSmall(e));
  }).map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
}
