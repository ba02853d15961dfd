// Axes of values follow the series that are shown, by the rule by which they were first drawn:
// everything that is shown, where references stretch what networks span by half at most.
(() => {
  const { $, $$, data, hear, isShown } = nca;
  const { left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM } = data.plot;
  const HEIGHT = BOTTOM - TOP;
  const [ROOM, LEAST, MOST_TICKS] = [0.06, 1e-3, 5];

  const ends = (values) => [Math.min(...values), Math.max(...values)];
  function span({ series, range }) {
    const numbers = (one) => one.value.flatMap((point) => (point ? (range.always.length ? point.slice(0, 1) : point) : [])).filter((value) => value !== null);
    const shown = series.filter(({ entry }) => isShown(entry));
    const networks = shown.filter(({ reference }) => !reference);
    const floors = range.floors.filter(([, owners]) => owners.some(isShown)).map(([value]) => value);
    const own = [...floors, ...range.always, ...(networks.length ? networks : shown).flatMap(numbers)];
    if (!own.length) return null;
    const [low, high] = ends(own);
    const room = (high - low) / 2;
    const [from, to] = ends([...own, ...shown.flatMap(numbers).map((value) => Math.min(Math.max(value, low - room), high + room))]);
    const margin = (to - from) * ROOM || Math.max(Math.abs(to) * ROOM, LEAST);
    const [least, most] = range.bounds;
    return [Math.max(from - margin, least ?? -Infinity), Math.min(to + margin, most ?? Infinity)];
  }

  // Every number of a path that is a y.
  const moved = (path, y) => path.replace(/(-?[\d.]+) (-?[\d.]+)|V(-?[\d.]+)/g, (_, x, at, down) => (down === undefined ? `${x} ${y(at)}` : `V${y(down)}`));
  const first = new WeakMap(); // as it was drawn
  function original(element, name) {
    if (!first.has(element)) first.set(element, element.getAttribute(name));
    return first.get(element);
  }
  function draw(figure) {
    const chart = data.charts[figure.dataset.chart];
    const found = span(chart);
    const [low, high] = found ?? chart.range.y;
    const [from, to] = chart.range.y;
    if (figure.dataset.range === `${low} ${high}`) return;
    figure.dataset.range = `${low} ${high}`;
    const place = (value) => BOTTOM - ((value - low) / (high - low)) * HEIGHT;
    const valueAt = (y) => from + ((BOTTOM - y) / HEIGHT) * (to - from);
    const shift = (y) => Number(place(valueAt(y)).toFixed(1));
    const inside = (y) => Math.min(Math.max(shift(y), TOP), BOTTOM);
    for (const path of $$(".plot .line, .plot .band, .plot .interval, .plot .floor", figure)) {
      path.setAttribute("d", moved(original(path, "d"), path.closest(".reference") ? shift : inside));
    }
    for (const marker of $$(".plot .marker", figure)) {
      const [x, y] = original(marker, "transform").match(/-?[\d.]+/g);
      marker.setAttribute("transform", `translate(${x} ${inside(y)})`);
    }
    const axis = $(".y-axis", figure);
    axis.replaceChildren(...ticks(low, high).flatMap(({ value, text }) => tick(axis.namespaceURI, place(value), text)));
  }

  // Round numbers: 1, 2 or 5 times a power of ten.
  function ticks(low, high) {
    const power = 10 ** Math.floor(Math.log10((high - low) / MOST_TICKS));
    const step = [1, 2, 5, 10].map((factor) => power * factor).find((each) => each * MOST_TICKS >= high - low);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const [start, end] = [Math.ceil(low / step - 1e-6), Math.floor(high / step + 1e-6)];
    return Array.from({ length: end - start + 1 }, (_, k) => (start + k) * step).map((value) => ({ value, text: value.toFixed(digits).replace(/^-/, "−") }));
  }
  function tick(space, at, text) {
    const y = Number(at.toFixed(1));
    const [rule, label] = ["path", "text"].map((tag) => document.createElementNS(space, tag));
    for (const [name, value] of Object.entries({ class: "rule", d: `M${LEFT} ${y}H${RIGHT}` })) rule.setAttribute(name, value);
    for (const [name, value] of Object.entries({ class: "y", x: LEFT - 6, y: y + 3.5 })) label.setAttribute(name, value);
    label.textContent = text;
    return [rule, label];
  }
  hear("series", () => $$("figure[data-chart]").filter((figure) => !figure.hidden).forEach(draw));
})();
