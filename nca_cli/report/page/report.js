// Pictures: a slider over noise levels, their order, and a closer look.
(() => {
  const { $, $$, data, write, made, tell, hear, isShown, level, moveTo, follow } = nca;
  const root = document.documentElement;

  // --- theme: the system's, until the button is pressed -----------------------------------------

  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = $("#theme");
  const showTheme = () => {
    theme.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  showTheme();

  const dock = $("#dock");
  new ResizeObserver(() => root.style.setProperty("--dock", `${dock.offsetHeight}px`)).observe(dock);

  // --- the scrubber -----------------------------------------------------------------------------

  const MOST_RANKED = 3;
  const MOST_FRAMES = 9; // of the film at the top
  const FRAMES_OF_PHONE = 4; // where there is room for no more
  const sliders = $$("input.level");
  const differences = new Map(); // x̂0 → its canvas
  const strips = $$("img[data-strip]").filter((img) => data.strips[img.dataset.strip].t.length);
  const info = (img) => data.strips[img.dataset.strip];
  const sheet = $("#sheet");
  const seeds = $("#seed");
  const cells = $$("[data-read]");

  // A strip without a level shows the nearest that it has.
  const has = (img, at) => !info(img).off?.[at];

  // What stands below a picture: its number, and of which level or seed it is where that is another
  // one than chosen.
  function said(img, number = true) {
    const { at, t, text, seed } = info(img);
    const k = at[level()];
    const other = t.length && !has(img, level()) ? `at t = ${t[k]}` : "";
    const drawn = seeds && seed !== undefined && `${seed}` !== seeds.value ? `seed ${seed}` : "";
    return [number && text ? text[k] : "", other, drawn].filter(Boolean).join(" · ");
  }

  // Shows one square of a strip, by moving it behind a window: nothing is painted anew.
  function move(img) {
    img.style.setProperty("--at", info(img).at[level()]);
    write($(".now", img.closest("figure")), said(img));
    if (differences.has(img)) subtract(differences.get(img), img);
  }

  const spoken = () => {
    const { t, snr, logSnr, sigma } = data.levels[level()];
    return `t = ${t}, SNR ${snr}, log SNR ${logSnr}, sigma ${sigma}`;
  };

  function setLevel(value, announce = false) {
    moveTo(Math.max(0, Math.min(data.levels.length - 1, value)));
    for (const slider of sliders) {
      slider.value = level();
      slider.setAttribute("aria-valuetext", spoken());
    }
    for (const cell of cells) write(cell, data.levels[level()][cell.dataset.read]);
    if (announce) $("#announced").textContent = spoken();
  }

  // Grey + (x̂0 - x0)/2, by adding half of the negative; CSS contrast doubles it as often as asked.
  const negatives = new Map();
  function negative(original) {
    if (!negatives.has(original)) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [original.naturalWidth, original.naturalHeight];
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.globalCompositeOperation = "difference";
      pen.drawImage(original, 0, 0);
      negatives.set(original, canvas);
    }
    return negatives.get(original);
  }
  function subtract(canvas, img) {
    const original = originalOf(img);
    if (!original || !original.naturalWidth || !img.naturalWidth) return;
    square(canvas, img);
    const pen = canvas.getContext("2d");
    pen.globalAlpha = 0.5;
    pen.drawImage(negative(original), 0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 1;
  }

  // Draws what a strip shows at a level, at its own size.
  function square(canvas, img, at = level()) {
    const squares = info(img).at;
    const count = Math.max(1, info(img).t.length);
    const [width, height] = [img.naturalWidth / count, img.naturalHeight];
    if (canvas.width !== width) [canvas.width, canvas.height] = [width, height];
    const k = count > 1 ? squares[at] : 0;
    canvas.getContext("2d").drawImage(img, k * width, 0, width, height, 0, 0, width, height);
  }

  // x0 stands before the x̂0 that belong to it.
  function originalOf(img) {
    let stack = img.closest(".stack");
    while (stack && !stack.classList.contains("given")) stack = stack.previousElementSibling;
    return stack && $("img.x0", stack);
  }

  // The experiment at a glance: x0, then x_t above x̂0 of one image and series, at their levels.
  function drawFilm(film) {
    const shelf = document.getElementById(film.dataset.shelf);
    const [original, noised] = ["img.x0", "img.x_t"].map((kind) => $(kind, shelf));
    const answer = $(`.stack[data-entry="${film.dataset.series}"] img.x0_hat`, shelf);
    const rows = [noised, answer].filter(Boolean);
    const shared = data.levels.map((_, at) => at).filter((at) => rows.every((img) => has(img, at)));
    const frames = spread(shared, MOST_FRAMES);
    const narrow = new Set(spread(frames, FRAMES_OF_PHONE));
    const given = filmed([original], 0, $("figcaption .symbol", original.closest("figure")).cloneNode(true));
    $("ol", film).replaceChildren(given, ...frames.map((at) => {
      const item = filmed(rows, at, `t = ${data.levels[at].t}`, made("span", `SNR ${data.levels[at].snr}`));
      item.classList.toggle("spare", !narrow.has(at));
      return item;
    }));
    if (frames.length < shared.length) write($(".of-levels", film), ` (${frames.length} of ${shared.length} levels)`);
    film.hidden = !frames.length;
  }
  function filmed(images, at, name, ...more) {
    const item = document.createElement("li");
    const caption = document.createElement("span");
    caption.append(name);
    item.append(...images.map((img) => {
      const canvas = document.createElement("canvas");
      img.decode().then(() => square(canvas, img, at), () => {});
      return canvas;
    }), caption, ...more);
    return item;
  }
  // At most so many of them, evenly spaced, both ends among them.
  function spread(all, most) {
    const count = Math.min(most, all.length);
    return Array.from({ length: count }, (_, k) => all[Math.round((k * (all.length - 1)) / Math.max(1, count - 1))]);
  }
  if ($("#film")) drawFilm($("#film"));

  // A canvas for the difference below every x̂0, drawn with the level, and when a picture comes late.
  for (const img of strips.filter((each) => each.classList.contains("x0_hat"))) {
    const tile = document.createElement("figure");
    tile.className = "tile difference";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "picture";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `difference: ${img.alt.split(", at ")[0]}`);
    button.append(canvas);
    const caption = document.createElement("figcaption");
    caption.textContent = "difference";
    tile.append(button, caption);
    img.closest(".stack").append(tile);
    differences.set(img, canvas);
    for (const each of [img, originalOf(img)]) each?.addEventListener("load", () => subtract(canvas, img));
  }
  strips.forEach((img) => follow(img, () => move(img)));

  hear("choose", (value) => {
    setLevel(value, true);
    order();
  });
  for (const slider of sliders) {
    slider.addEventListener("input", () => setLevel(Number(slider.value)));
    slider.addEventListener("change", order); // not while it is dragged: pictures would jump
  }

  // Whoever captures the whole page gets all of it: what is outside the window is laid out and loaded
  // when there is time.
  const later = window.requestIdleCallback ?? ((act) => setTimeout(act, 50));
  function complete(articles) {
    const [first, ...others] = articles;
    if (!first) return;
    first.classList.add("whole");
    $$("img", first).forEach((img) => (img.loading = "eager"));
    later(() => complete(others), { timeout: 200 }); // a busy machine may never be idle
  }
  const [folded, unfolded] = ["#others", "#images"].map((place) => $$(`${place} article`));
  later(() => complete(unfolded));
  $("#more")?.addEventListener("toggle", () => complete(folded), { once: true });

  // --- play: there and back, four levels a second ----------------------------------------------

  const plays = $$(".play");
  let timer = 0;
  let step = 1;
  function showPlay(on) {
    for (const play of plays) {
      play.setAttribute("aria-pressed", on);
      $(".label", play).textContent = on ? "Pause" : "Play";
    }
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    showPlay(false);
    setLevel(level(), true);
    order();
  }
  function start() {
    timer = setInterval(() => {
      if (level() + step < 0 || level() + step >= data.levels.length) step = -step;
      setLevel(level() + step);
    }, 400);
    showPlay(true);
  }
  for (const play of plays) play.addEventListener("click", () => (timer ? stop() : start()));
  for (const slider of sliders) slider.addEventListener("pointerdown", () => timer && stop());

  // --- what is shown ---------------------------------------------------------------------------

  sheet?.addEventListener("change", () => root.classList.toggle("sheet", sheet.checked));
  $("#gain")?.addEventListener("change", (event) => root.style.setProperty("--gain", event.target.value));
  const chooser = $("#order");
  chooser?.addEventListener("change", order);
  for (const box of $$("input.entry")) box.addEventListener("change", () => tell("series"));
  hear("series", order);

  // Another seed: every strip that has it takes its pictures over; what has not keeps its own, and
  // says so.
  const COPIED = ["src", "data-strip", "alt", "style", "width", "height"];
  function takeSeed() {
    for (const tile of $$("figure.tile:has(> template)")) {
      keepOwn(tile);
      const kept = $$(":scope > template", tile);
      const drawn = kept.find(({ dataset }) => dataset.seed === seeds.value);
      if (drawn) wear(tile, drawn.content);
    }
    strips.forEach((img) => (img.loading = "eager"));
    strips.forEach(move);
    Promise.allSettled(strips.map((img) => img.decode())).then(() => $("#film") && drawFilm($("#film")));
    order();
  }
  function keepOwn(tile) {
    if (tile.dataset.kept) return;
    tile.dataset.kept = "";
    const own = made("template");
    own.dataset.seed = info($("img", tile)).seed;
    own.content.append($("img", tile).cloneNode(), $(".scale", tile).cloneNode(true));
    tile.append(own);
  }
  function wear(tile, content) {
    const [img, other] = [$("img", tile), $("img", content)];
    for (const name of COPIED) img.setAttribute(name, other.getAttribute(name));
    $(".scale", tile).replaceWith($(".scale", content).cloneNode(true));
    const seed = $(".of-seed", tile);
    if (seed) write(seed, `seed ${info(img).seed}`);
  }
  seeds?.addEventListener("change", takeSeed);

  // Series that are shown → PSNR of an image at the level of the slider, where they have that level.
  function closeness(article) {
    const found = new Map();
    for (const img of $$("img.x0_hat", article)) {
      const { entry } = img.closest(".stack").dataset;
      const text = info(img).text[info(img).at[level()]];
      if (text && has(img, level()) && isShown(entry)) found.set(entry, text.startsWith("∞") ? 999 : parseFloat(text.replace("−", "-")));
    }
    return found;
  }

  // Images by their mean PSNR over the series that all of them have: others would order the models.
  const articles = $$("article.image");
  const pictured = articles.filter((article) => $("img.x0_hat", article));
  const places = articles.map((article) => article.parentElement);
  let inOrder = articles;
  function order() {
    if (!chooser) return;
    const sign = { best: -1, worst: 1 }[chooser.value];
    const found = new Map(pictured.map((article) => [article, closeness(article)]));
    const shared = [...(found.get(pictured[0])?.keys() ?? [])].filter((entry) => pictured.every((article) => found.get(article).has(entry)));
    const mean = (article) => shared.reduce((sum, entry) => sum + found.get(article).get(entry), 0) / shared.length;
    const sorted = sign && shared.length ? pictured.toSorted((a, b) => sign * (mean(a) - mean(b))) : pictured;
    const all = [...sorted, ...articles.filter((article) => !found.has(article))];
    if (all.some((article, index) => article !== inOrder[index])) all.forEach((article, index) => places[index].append(article));
    inOrder = all;
    const where = `at t = ${data.levels[level()].t}`;
    write($("#ordered"), sign ? (shared.length ? where : `no series has all images ${where}`) : "");
    rank(shared, mean);
  }

  // Best and worst images at the level of the slider, by what stands below their pictures.
  const ranking = $(".ranking");
  function rank(shared, mean) {
    if (!ranking) return;
    const { t, snr } = data.levels[level()];
    const where = `t = ${t} (SNR ${snr})`;
    if (!shared.length) return ranking.replaceChildren(`No series has all images at ${where}.`);
    const sorted = pictured.toSorted((a, b) => mean(b) - mean(a));
    const [best, worst] = [sorted.slice(0, MOST_RANKED), sorted.slice(MOST_RANKED).slice(-MOST_RANKED).reverse()];
    const named = (some, end) => some.flatMap((article, k) => [ranked(article), ` ${mean(article).toFixed(1)} dB${k < some.length - 1 ? ", " : end}`]);
    const over = shared.length === 1 ? "the only series" : `the ${shared.length} series`;
    ranking.replaceChildren(
      `By PSNR at ${where}, mean over ${over} with all images: best `,
      ...named(best, worst.length ? "; worst " : "."), ...named(worst, "."),
    );
  }
  function ranked(article) {
    const link = made("a", $("h3", article).textContent);
    link.href = `#${article.id}`;
    return link;
  }

  // A link to an image opens what it is folded into.
  function reveal() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const fold = target && target.closest("details");
    if (fold) {
      fold.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", reveal);

  // For the enlarged view.
  Object.assign(nca, { info, said, spoken, square, subtract, originalOf, articles: () => inOrder });

  addEventListener("beforeprint", () => strips.forEach((img) => (img.loading = "eager")));
  if (data.levels.length) setLevel(level());
  order();
  reveal();
})();
