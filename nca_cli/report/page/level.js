// The chosen level, and what follows it: at once, in one frame, where it is on the screen; elsewhere
// when the slider rests. So who captures or prints the whole page sees one level.
(() => {
  const { data, tell } = nca;
  const RESTED = 150; // ms
  const acts = new Map(); // element → what it does at a new level
  const shown = new Map(); // element → the level that it shows
  const near = new Set(); // those on the screen
  let [level, frame, rest] = [data.start, 0, 0];

  function bring(element) {
    if (shown.get(element) === level) return;
    shown.set(element, level);
    acts.get(element)(level);
  }
  function paint() {
    frame = 0;
    near.forEach(bring);
  }
  function settle() {
    for (const element of acts.keys()) bring(element);
    tell("settled", level);
  }
  const watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      target.classList.toggle("near", isIntersecting);
      near[isIntersecting ? "add" : "delete"](target);
      if (isIntersecting) bring(target);
    }
  }, { rootMargin: "100px" });

  nca.level = () => level;
  nca.follow = (element, act) => {
    acts.set(element, act);
    watcher.observe(element);
  };
  nca.moveTo = (value) => {
    level = value;
    frame ||= requestAnimationFrame(paint);
    clearTimeout(rest);
    rest = setTimeout(settle, RESTED);
  };
  addEventListener("beforeprint", settle);
})();
