// What is wrong with the slide that is shown: texts that are not on the screen or too small for a
// last row, a figure that is too low, axes without numbers or words where panels end, and
// more than five named rows.
() => {
  const LEAST = 18, slide = "section.shown .slide", found = [];
  const say = (what, e) => found.push(`${what}: ${e.tagName} ${e.textContent.trim().slice(0, 60)}`);
  const size = (e) => {
    const at = e.ownerSVGElement && e.getScreenCTM();
    return parseFloat(getComputedStyle(e).fontSize) * (at ? Math.hypot(at.a, at.b) : 1);
  };
  const texts = `${slide} :is(h1, p, li, td, th, pre, figure, svg text), section.shown footer`;
  for (const e of document.querySelectorAll(texts)) {
    const box = e.getBoundingClientRect();
    if (!box.width) continue;
    if (box.top < 0 || box.left < 0 || box.bottom > innerHeight || box.right > innerWidth) {
      say("off the screen", e);
    }
    if (e.tagName === "PRE" && e.scrollWidth > e.clientWidth + 1) say("cut off", e);
    if (e.tagName === "FIGURE" ? box.height < 160 : size(e) < LEAST) say("too small", e);
  }
  for (const figure of document.querySelectorAll(`${slide} figure`)) {
    const panels = [...figure.querySelectorAll('g.axes')].map((panel) => {
      const { left, top } = (panel.querySelector("path") ?? panel).getBoundingClientRect();
      const axes = [...panel.querySelectorAll('g.axis')].map((axis) => {
        const written = [...axis.querySelectorAll("text")];
        const ticks = axis.querySelectorAll('g:is(.xtick, .ytick)').length;
        const words = written.filter((e) => /[a-z]{2}/i.test(e.textContent)).length;
        const numbers = written.filter((e) => e.closest('g:is(.xtick, .ytick)')).length;
        return { ticks, words, numbers, name: written.length - numbers };
      });
      const above = [...panel.querySelectorAll("text")].filter((e) =>
        !e.closest('g.axis') && e.getBoundingClientRect().left < left + 20);
      if (axes[1]) axes[1].above = above.length >= axes[1].ticks;  // each row's name stands above it
      return { panel, left: Math.round(left), top: Math.round(top), x: axes[0], y: axes[1] };
    }).filter(({ x }) => x && x.ticks);  // what has no axes is a picture
    for (const { panel, left, top, x, y } of panels) {
      const lowest = !panels.some((o) => o.left === left && o.top > top);
      const first = !panels.some((o) => o.top === top && o.left < left);
      if (lowest && !(x.numbers && (x.name || x.words))) say("an x axis without numbers or a name", panel);
      if (first && !(y.numbers || y.name || y.above)) say("a y axis without a word", panel);
      const rows = [...panel.querySelectorAll('g.ytick')].filter((e) => /[a-z]{2}/i.test(
        e.textContent));
      if (rows.length > 5) say("more than five rows", panel);
    }
  }
  return found;
}
