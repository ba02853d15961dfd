// Trainings: a second slider, over steps. One training, measure, image, step and level are chosen;
// the level is that of the page, told by its event and set by the section's own slider.
(() => {
  const { $, $$, data, made, hear } = nca;
  const home = $("#trainings");
  const trainings = data.learned;
  const [stepSlider, levelSlider] = [$("#step"), $("#step-level")];
  const choosers = { training: $("#training"), measure: $("#learned-measure"), image: $("#learned-image") };
  let step = trainings[0].start;

  const chosen = (what) => choosers[what]?.value ?? "0";
  const training = () => trainings[Number(chosen("training"))];
  const block = () => $(`.training[data-training="${chosen("training")}"]`, home);
  const level = () => training().nearest[nca.level()];
  const measured = () => training().measures[Number(chosen("measure"))];

  // --- pictures: frames out of a sheet of steps × levels -----------------------------------------

  const films = { steps: $("#over-steps"), levels: $("#over-levels") };
  const sheet = () => $(`.sheet-of-steps[data-image="${CSS.escape(chosen("image"))}"] img`, block());

  // A square of the sheet: row 0 is x0 and x_t, column 0 stands before the levels.
  function square(canvas, img, row, column) {
    const { levels, steps } = training();
    const [width, height] = [img.naturalWidth / (levels.length + 1), img.naturalHeight / (steps.length + 1)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.drawImage(img, column * width, row * height, width, height, 0, 0, width, height);
  }
  const columnOf = (at) => training().levels.indexOf(at) + 1;

  function frame(words, choose) {
    const button = made(choose ? "button" : "span", made("canvas"), made("span", words));
    if (choose) {
      button.type = "button";
      button.addEventListener("click", choose);
    }
    return made("li", button);
  }
  const symbol = (kind) => $(`.sheet-of-steps figcaption .symbol:nth-of-type(${kind})`, home).cloneNode(true);

  function build() {
    if (!films.steps) return;
    const { steps, levels, t, position: places } = training();
    films.steps.replaceChildren(frame(symbol(1)), frame(symbol(2)), ...steps.map((words, at) => frame(words, () => setStep(at))));
    films.levels.replaceChildren(...levels.map((at) => frame(`t = ${t[at]}`, () => setLevel(places[at]))));
  }
  function drawFilms() {
    const img = films.steps && sheet();
    if (!img) return films.steps?.parentElement.parentElement.toggleAttribute("hidden", true);
    films.steps.parentElement.parentElement.hidden = false;
    img.loading = "eager";
    if (!img.complete || !img.naturalWidth) return img.decode().then(drawFilms, () => {});
    const { steps, levels, t } = training();
    const column = columnOf(level());
    $$("canvas", films.steps).forEach((canvas, k) => square(canvas, img, Math.max(0, k - 1), k ? column : 0));
    $$("canvas", films.levels).forEach((canvas, k) => square(canvas, img, step + 1, k + 1));
    mark(films.steps, step + 2);
    mark(films.levels, levels.indexOf(level()));
    $("#over-steps-name").textContent = `Over training steps, at t = ${t[level()]}`;
    $("#over-levels-name").textContent = `Over noise levels, at step ${steps[step]}`;
  }
  function mark(film, index) {
    [...film.children].forEach((item, k) => (k === index ? item.setAttribute("aria-current", "true") : item.removeAttribute("aria-current")));
  }

  // --- charts: cursors at the chosen step and level ----------------------------------------------

  function drawCharts() {
    const one = measured();
    const shown = $(`.measure[data-measure="${chosen("measure")}"]`, block());
    place($(".map .level-cursor", shown), right, one.map.x[level()]);
    place($(".map .step-cursor", shown), down, one.map.y[step]);
    place($(".learning .step-cursor", shown), right, one.x[step]);
    for (const line of $$(".level-line", shown)) line.classList.toggle("chosen", Number(line.dataset.level) === level());
  }
  function place(cursor, shift, at) {
    const known = at !== null && at !== undefined; // step 0 has no logarithm
    cursor.classList.toggle("shown", known);
    if (known) cursor.setAttribute("transform", shift(at));
  }
  const right = (x) => `translate(${x} 0)`;
  const down = (y) => `translate(0 ${y})`;

  // What is learned first at the level: rows in the order of their learning steps.
  function drawFirsts() {
    const rows = $$(".firsts .half[data-measure]", block());
    const half = (row) => training().measures[Number(row.dataset.measure)].half[level()];
    const rank = (row) => half(row).value ?? { earlier: -1, later: 1e15 }[half(row).beyond] ?? Infinity;
    const axis = $(".firsts .axis", block());
    rows.sort((a, b) => rank(a) - rank(b) || a.dataset.measure - b.dataset.measure).forEach((row) => axis.before(row));
    for (const row of rows) {
      const { at, low, high, text, why, beyond } = half(row);
      row.classList.toggle("blank", at === undefined);
      row.hidden = at === undefined && !beyond; // named in one line below
      $(".reach", row).style.cssText = `left:${low ?? 0}%;width:${(high ?? 0) - (low ?? 0)}%`;
      $(".point", row).style.left = `${at ?? 0}%`;
      $(".said", row).textContent = text ? `half is learned at step ${text}` : why;
      $(".lane", row).title = $(".said", row).textContent;
      $(".beyond", row).className = `beyond ${beyond ?? ""}`;
      $(".beyond", row).textContent = { earlier: "◂ earlier", later: "later ▸" }[beyond] ?? "";
    }
    $(".nothing", block()).textContent = blanks(rows.filter((row) => row.hidden), half);
    const now = training().place[step];
    nca.place($(".firsts .level-cursor", block()), now === null ? NaN : now / 100);
    $(".pairs", block()).textContent = training().pairs[level()];
    $(".at-level", block()).textContent = `t = ${training().t[level()]}`;
  }

  // Measures without a learning step, by their reason: `No gain over the baseline: gaze, smile.`
  function blanks(rows, half) {
    const named = Object.groupBy(rows, (row) => half(row).why);
    const title = (row) => training().measures[Number(row.dataset.measure)].title;
    const said = Object.entries(named).map(([why, some]) => `${why[0].toUpperCase()}${why.slice(1)}: ${some.map(title).join(", ")}.`);
    return said.join(" ");
  }

  // Which of two is learned first: measures of the family that is chosen (concepts, else octave
  // bands, where it is a single one), and the levels of the chosen measure.
  function drawOrders() {
    const { measures, orders, levels, t } = training();
    const here = orders[level()];
    const paired = (name) => here.some(([one]) => measures[one].family === name);
    const family = [measured().family, "concept", "coherence"].find(paired);
    const alike = here.filter(([one]) => measures[one].family === family);
    const learned = ({ value, beyond }) => value ?? { earlier: -1, later: 1e15 }[beyond] ?? Infinity;
    const soonest = (all, half) => all.toSorted((a, b) => learned(half(a)) - learned(half(b)));
    const kin = soonest([...new Set(alike.flatMap(([a, b]) => [a, b]))], (k) => measures[k].half[level()]);
    const known = soonest(levels.filter((at) => measured().orders.some(([a, b]) => a === at || b === at)), (at) => measured().half[at]);
    const tables = [
      matrix(`Order at t = ${t[level()]}`, kin, alike, (k) => measures[k].title),
      matrix(`Order of levels, ${measured().title}`, known, measured().orders, (at) => `t = ${t[at]}`),
    ];
    $(".learned-orders", block()).replaceChildren(...tables.filter(Boolean));
  }
  const CERTAIN = 0.95;
  function matrix(words, items, pairs, title) {
    if (items.length < 2) return null;
    const chance = new Map(pairs.flatMap(([a, b, p]) => [[`${a} ${b}`, p], [`${b} ${a}`, 1 - p]]));
    const cell = (one, other, below) => {
      const p = below ? undefined : chance.get(`${one} ${other}`);
      const found = made("td", p === undefined ? "" : (100 * p).toFixed(0));
      if (Math.max(p, 1 - p) >= CERTAIN) found.className = "certain";
      return found;
    };
    const head = (text, scope, ...more) => {
      const found = made("th", ...more, text);
      found.scope = scope;
      return found;
    };
    const numbered = (at) => {
      const found = made("span", `${at + 1} `);
      found.className = "unit";
      return found;
    };
    const heads = items.slice(1).map((item, k) => {
      const found = head(`${k + 2}`, "col");
      found.title = title(item);
      return found;
    });
    const corner = head("", "col", made("span", "learned first"));
    corner.className = "word";
    corner.firstChild.className = "hidden";
    const rows = items.map((one, k) => {
      const name = head(title(one), "row", numbered(k));
      name.className = "word";
      return made("tr", name, ...items.slice(1).map((other, j) => cell(one, other, j + 1 <= k)));
    });
    const table = made("table", made("caption", words), made("thead", made("tr", corner, ...heads)), made("tbody", ...rows));
    table.className = "order";
    table.dataset.sortable = ""; // as it stands
    const scroll = made("div", table);
    Object.assign(scroll, { className: "scroll", tabIndex: 0, ariaLabel: words });
    scroll.setAttribute("role", "region");
    return scroll;
  }

  function read() {
    const { steps, t, seen } = training();
    const { title, value, half } = measured();
    const found = half[level()];
    const when = found.text ? `half is learned at step ${found.text}` : found.why;
    $("#learned-reading").textContent = `${title} at t = ${t[level()]}, step ${steps[step]}: ${value[level()][step]}; ${when}.`;
    $("#step-now").textContent = steps[step];
    $("#seen").hidden = !seen[step];
    $("#seen dd").textContent = seen[step];
    stepSlider.setAttribute("aria-valuetext", `step ${steps[step]}`);
  }

  // --- choosing ----------------------------------------------------------------------------------

  let waiting = 0;
  function paint() {
    waiting ||= requestAnimationFrame(draw);
  }
  function draw() {
    waiting = 0;
    read();
    drawCharts();
    drawFirsts();
    drawFilms();
  }
  function setStep(value) {
    step = Math.max(0, Math.min(training().steps.length - 1, value));
    stepSlider.value = step;
    paint();
  }
  function setLevel(value) {
    levelSlider.value = value;
    levelSlider.dispatchEvent(new Event("input"));
    levelSlider.dispatchEvent(new Event("change"));
  }
  function choose() {
    for (const each of $$(".training", home)) each.hidden = each !== block();
    for (const each of $$(".measure", block())) each.hidden = each.dataset.measure !== chosen("measure");
    stepSlider.max = training().steps.length - 1;
    build();
    setStep(step);
    drawOrders();
  }
  // Another training has its own measures and images; what both have stays chosen.
  function change() {
    const kept = $("option:checked", choosers.measure).textContent;
    const options = training().measures.map(({ title }, k) => new Option(title, k, false, title === kept));
    choosers.measure.replaceChildren(...options);
    step = training().start;
    choose();
  }
  choosers.training?.addEventListener("change", change);
  choosers.measure.addEventListener("change", choose);
  choosers.image?.addEventListener("change", choose);
  stepSlider.addEventListener("input", () => setStep(Number(stepSlider.value)));
  nca.follow(home, draw);
  hear("settled", drawOrders);
  home.addEventListener("click", ({ target }) => {
    const cell = target.closest(".map .cell");
    if (!cell) return;
    setLevel(training().position[Number(cell.dataset.level)]);
    setStep(Number(cell.dataset.row) + training().steps.length - rowsOf());
  });
  const rowsOf = () => measured().map.y.filter((y) => y !== null).length;
  choose();
})();
