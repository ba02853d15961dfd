// Axes follow what is chosen. That of values follows the series that are shown, by the rule by which
// it was first drawn: everything that is shown, where references stretch what networks span by half
// at most. That of noise is logSNR, or logSNR per pixel at 256 px, by which every model moves as far
// as its resolution says.
(() => {
  const { $, $$, data, made, tell, hear, isShown } = nca;
  const { left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM, stages: STAGES } = data.plot;
  const [HEIGHT, WIDTH] = [BOTTOM - TOP, RIGHT - LEFT];
  const [ROOM, LEAST, MOST_TICKS, MOST_LEVELS] = [0.06, 1e-3, 5, 7];
  const WIDEST_LETTER = 6.2; // of the names of stages
  const perPixel = $("#per-pixel");
  const PLAIN = "log SNR";
  const CORRECTED = "log SNR per pixel at 256 px";

  const ends = (values) => [Math.min(...values), Math.max(...values)];
  const spread = data.shifts.length ? ends(data.shifts) : [0, 0];
  const corrected = () => Boolean(perPixel?.checked);
  const shiftOf = (shift) => (corrected() ? shift : 0);
  // [cleanest, noisiest] of an axis of noise; every chart has room for every model.
  const noiseSpan = ([high, low]) => (corrected() ? [high + spread[1], low + spread[0]] : [high, low]);

  function valueSpan({ series, range }) {
    const numbers = (one) => one.value.flatMap((point) => (point ? (range.always.length ? point.slice(0, 1) : point) : [])).filter((value) => value !== null);
    const shown = series.filter(({ entry }) => isShown(entry));
    const networks = shown.filter(({ reference }) => !reference);
    const floors = range.floors.filter(([, owners]) => owners.some(isShown)).map(([value]) => value);
    const own = [...floors, ...range.always, ...(networks.length ? networks : shown).flatMap(numbers)];
    if (!own.length) return range.y;
    const [low, high] = ends(own);
    const room = (high - low) / 2;
    const [from, to] = ends([...own, ...shown.flatMap(numbers).map((value) => Math.min(Math.max(value, low - room), high + room))]);
    const margin = (to - from) * ROOM || Math.max(Math.abs(to) * ROOM, LEAST);
    const [least, most] = range.bounds;
    return [Math.max(from - margin, least ?? -Infinity), Math.min(to + margin, most ?? Infinity)];
  }

  // Every number of a path.
  const moved = (path, x, y) => path.replace(/(-?[\d.]+) (-?[\d.]+)|V(-?[\d.]+)/g, (_, across, at, down) => (down === undefined ? `${x(across)} ${y(at)}` : `V${y(down)}`));
  const first = new WeakMap(); // as it was drawn
  function original(element, name) {
    if (!first.has(element)) first.set(element, element.getAttribute(name));
    return first.get(element);
  }
  const rounded = (value) => Number(value.toFixed(1));

  // --- charts ------------------------------------------------------------------------------------

  function draw(figure) {
    const chart = data.charts[figure.dataset.chart];
    const [[low, high], [from, to]] = [valueSpan(chart), chart.range.y];
    const [[clean, noisy], [left, right]] = [noiseSpan(chart.range.x), chart.range.x];
    const state = [low, high, clean, noisy, corrected()].join(" ");
    if (figure.dataset.range === state) return;
    figure.dataset.range = state;
    const across = (value) => LEFT + ((clean - value) / (clean - noisy)) * WIDTH;
    const place = (value) => BOTTOM - ((value - low) / (high - low)) * HEIGHT;
    const y = (at) => rounded(place(from + ((BOTTOM - at) / HEIGHT) * (to - from)));
    const inside = (at) => Math.min(Math.max(y(at), TOP), BOTTOM);
    const x = (shift) => (at) => rounded(across(left - ((at - LEFT) / WIDTH) * (left - right) + shiftOf(shift)));
    for (const part of $$(".plot svg [data-entry]", figure)) {
      const { shift } = chart.series[part.dataset.line];
      const vertical = part.classList.contains("reference") ? y : inside;
      for (const path of part.matches("path") ? [part] : $$(".line, .interval", part)) path.setAttribute("d", moved(original(path, "d"), x(shift), vertical));
      for (const marker of $$(".marker", part)) {
        marker.setAttribute("d", original(marker, "d").replace(nca.POINT, (_, h, v) => `M${x(shift)(h)} ${inside(v)}`));
      }
    }
    for (const floor of $$(".plot .floor", figure)) floor.setAttribute("d", moved(original(floor, "d"), Number, inside));
    const axis = $(".y-axis", figure);
    axis.replaceChildren(...ticks(low, high, MOST_TICKS).flatMap(({ value, text }) => rule(axis.namespaceURI, rounded(place(value)), text)));
    if (perPixel) drawNoise(figure, across, [clean, noisy]);
  }
  function rule(space, y, text) {
    return [shape(space, "path", { class: "rule", d: `M${LEFT} ${y}H${RIGHT}` }), shape(space, "text", { class: "y", x: LEFT - 6, y: y + 3.5 }, text)];
  }
  function shape(space, tag, attributes, text = "") {
    const found = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    found.textContent = text;
    return found;
  }
  // Marks and title of the axis of noise, and the stages.
  function drawAxis(figure, across, [clean, noisy]) {
    const [axis, areas] = [$(".x-axis", figure), $(".stages", figure)];
    const space = axis.namespaceURI;
    axis.replaceChildren(...ticks(noisy, clean, MOST_LEVELS).flatMap(({ value, text }) => {
      const at = rounded(across(value));
      return [shape(space, "path", { class: "mark", d: `M${at} ${BOTTOM}v4` }), shape(space, "text", { class: "x", x: at, y: BOTTOM + 16 }, text)];
    }));
    $(".x.axis", figure).textContent = `${corrected() ? CORRECTED : PLAIN} (less noise ← → more noise)`;
    areas.replaceChildren(...boxes([clean, noisy]).flatMap(({ name, from, to }) => {
      const [start, end] = [from, to].map((value) => rounded(across(value)));
      const box = shape(space, "rect", { class: `stage ${name}`, x: start, y: data.plot.edge, width: rounded(end - start), height: BOTTOM - data.plot.edge });
      const words = shape(space, "text", { class: "stage-name", x: rounded((start + end) / 2), y: data.plot.edge + 11 }, name);
      return end - start > WIDEST_LETTER * name.length ? [box, words] : [box];
    }));
  }
  // A map of a training is of one model: its levels stay, and the axis below them moves.
  function drawMap(figure) {
    const by = shiftOf(Number(figure.dataset.shift));
    const [clean, noisy] = figure.dataset.span.split(" ").map((end) => Number(end) + by);
    drawAxis(figure, (value) => LEFT + ((clean - value) / (clean - noisy)) * WIDTH, [clean, noisy]);
  }
  function drawNoise(figure, across, [clean, noisy]) {
    const chart = data.charts[figure.dataset.chart];
    drawAxis(figure, across, [clean, noisy]);
    const shifts = new Set(chart.series.map(({ shift }) => shift));
    $(".t-axis", figure).style.display = corrected() && shifts.size > 1 ? "none" : ""; // a t is at several places
    Object.assign(chart, corrected() ? regrouped(chart.plain, [clean, noisy], across) : chart.plain);
    $(".reader", figure).max = chart.logSnr.length - 1;
  }
  function boxes([clean, noisy]) {
    const cut = STAGES.map(([name, low, high]) => ({ name, from: Math.min(high ?? Infinity, clean), to: Math.max(low ?? -Infinity, noisy) }));
    return cut.filter(({ from, to }) => from > to).reverse();
  }
  // Levels of every series at their places, those of one place together.
  function regrouped(plain, span, across) {
    const rows = new Map();
    plain.series.forEach((one, place) => plain.logSnr.forEach((level, k) => {
      if (one.text[k] === null) return;
      const at = level + one.shift;
      const row = rows.get(at.toFixed(6)) ?? { at, k, held: [] };
      row.held[place] = k;
      rows.set(at.toFixed(6), row);
    }));
    const sorted = [...rows.values()].sort((a, b) => b.at - a.at);
    const names = ({ held }) => [...new Set(held.filter((k) => k !== undefined).map((k) => plain.t[k]))].join(" / ");
    const series = plain.series.map((one, place) => {
      const taken = (what) => sorted.map(({ held }) => (held[place] === undefined ? null : one[what][held[place]]));
      return { ...one, text: taken("text"), value: taken("value") };
    });
    return {
      series, span, logSnr: sorted.map(({ at }) => at), at: sorted.map(({ k }) => plain.logSnr[k]),
      x: sorted.map(({ at }) => rounded(across(at))), t: sorted.map(names),
      labels: sorted.map((row) => `t = ${names(row)}, log SNR per pixel ${row.at.toFixed(2).replace("-", "−")}`),
    };
  }

  // --- half-levels -------------------------------------------------------------------------------

  const percent = (span, value) => (100 * (span[0] - value)) / (span[0] - span[1]);
  function drawHalves(halves) {
    halves.dataset.plain ??= halves.dataset.span;
    const plain = halves.dataset.plain.split(" ").map(Number);
    const span = noiseSpan(plain);
    halves.dataset.span = span.join(" ");
    for (const lane of $$(".lane", halves)) {
      const shift = shiftOf(data.shifts[lane.dataset.entry] ?? 0);
      const at = (share) => percent(span, plain[0] - (share / 100) * (plain[0] - plain[1]) + shift);
      for (const part of $$(".reach, .point", lane).filter((each) => original(each, "style"))) {
        const [left, width] = original(part, "style").match(/-?[\d.]+/g).map(Number);
        part.style.left = `${at(left)}%`;
        if (width !== undefined) part.style.width = `${at(left + width) - at(left)}%`;
      }
    }
    const shades = boxes(span).map(({ name, from, to }) => `var(--stage-${name}) ${percent(span, from)}% ${percent(span, to)}%`);
    for (const track of $$(".half:not(.axis) .track", halves)) track.style.background = `linear-gradient(to right, ${shades.join(", ")})`;
    $(".axis .what", halves).textContent = corrected() ? "log SNR at 256 px" : PLAIN;
    $(".axis .track", halves).replaceChildren(...ticks(span[1], span[0], 8).map(({ value, text }) => {
      const mark = made("span", text);
      mark.style.left = `${percent(span, value)}%`;
      return mark;
    }));
  }

  // Round numbers: 1, 2 or 5 times a power of ten.
  function ticks(low, high, most) {
    const power = 10 ** Math.floor(Math.log10((high - low) / most));
    const step = [1, 2, 5, 10].map((factor) => power * factor).find((each) => each * most >= high - low);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const [start, end] = [Math.ceil(low / step - 1e-6), Math.floor(high / step + 1e-6)];
    return Array.from({ length: end - start + 1 }, (_, k) => (start + k) * step).map((value) => ({ value, text: value.toFixed(digits).replace(/^-/, "−") }));
  }

  // How far the slider's level moves, where all that are shown move alike; else it has no one place.
  nca.levelShift = (shifts) => (new Set(shifts).size > 1 && corrected() ? NaN : shiftOf(shifts[0] ?? 0));
  const shownCharts = () => $$("figure[data-chart]").filter((figure) => !figure.hidden);
  if (perPixel) data.charts.forEach((chart) => (chart.plain = { ...chart, at: null }));
  hear("series", () => {
    shownCharts().forEach(draw);
    if (corrected()) tell("axes");
  });
  perPixel?.addEventListener("change", () => {
    shownCharts().forEach(draw);
    $$(".halves[data-span]").forEach(drawHalves);
    $$(".map[data-span]").forEach(drawMap);
    tell("axes");
  });
})();
