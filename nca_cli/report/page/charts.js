// Charts: a cursor that reads them.
(() => {
  const { $, $$, data, made, tell, hear, isShown } = nca;
  const NEAR = 1e-6; // logSNR of levels that are one

  for (const figure of $$("figure[data-chart]")) {
    const chart = data.charts[figure.dataset.chart];
    const [plot, reader, tip, cursor] = [$(".plot", figure), $(".reader", figure), $(".tip", figure), $(".cursor.read", figure)];
    const groups = $$("svg g[data-entry]", figure);
    const lines = (k) => chart.series.filter((one) => one.text[k] && isShown(one.entry));
    const words = (k) => [chart.labels[k], ...lines(k).map((one) => `${one.name}: ${one.text[k]}`)].join("; ");

    function read(k) {
      reader.value = k;
      reader.setAttribute("aria-valuetext", words(k));
      cursor.setAttribute("transform", `translate(${chart.x[k]} 0)`);
      figure.classList.add("reading");
      tip.replaceChildren(made("b", chart.labels[k]), ...lines(k).map((one) => row(one, k)));
      tip.hidden = false;
    }
    function row(one, k) {
      return made("span", sample(groups[chart.series.indexOf(one)]), made("i", one.name), made("span", one.text[k]));
    }
    // Its line and marker, as in the legend.
    function sample(group) {
      const svg = $("svg", figure).cloneNode();
      for (const [name, value] of Object.entries({ class: `sample ${group.getAttribute("class")}`, viewBox: "0 0 34 12", width: 34, height: 12, "aria-hidden": true })) svg.setAttribute(name, value);
      svg.removeAttribute("role");
      svg.removeAttribute("aria-label");
      const line = $(".line", group).cloneNode();
      line.setAttribute("d", "M1 6H33");
      svg.append(line);
      const marker = $(".marker", group)?.cloneNode();
      marker?.setAttribute("d", marker.getAttribute("d").replace(nca.POINT, "M17 6"));
      if (marker) svg.append(marker);
      return svg;
    }
    // The slider goes to the level that is read, where it has it.
    function choose() {
      const read = (chart.at ?? chart.logSnr)[reader.value];
      const at = data.levels.findIndex((level) => level.at !== null && Math.abs(level.at - read) < NEAR);
      if (at >= 0) tell("choose", at);
    }
    const leave = () => {
      tip.hidden = true;
      figure.classList.remove("reading");
    };
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 360;
      return chart.x.reduce((best, at, k) => (Math.abs(at - x) < Math.abs(chart.x[best] - x) ? k : best), 0);
    };
    const middle = chart.x.reduce((best, at, k) => (Math.abs(at - 190) < Math.abs(chart.x[best] - 190) ? k : best), 0);
    reader.value = middle;
    reader.setAttribute("aria-valuetext", words(middle));
    reader.addEventListener("input", () => read(Number(reader.value)));
    reader.addEventListener("focus", () => read(Number(reader.value)));
    reader.addEventListener("blur", leave);
    reader.addEventListener("pointermove", (event) => read(nearest(event)));
    reader.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the level is where the pointer is, and levels are not evenly spaced
      reader.focus();
      read(nearest(event));
      choose();
    });
    reader.addEventListener("pointerleave", () => document.activeElement !== reader && leave());
    reader.addEventListener("keydown", ({ key }) => key === "Escape" && leave());
    reader.addEventListener("keydown", ({ key }) => key === "Enter" && choose());
  }

  // The slider's level, in every chart and table.
  const share = ([low, high], at, shifts) => (at === null ? NaN : (at + nca.levelShift(shifts) - low) / (high - low));
  // A line at a part of the width of what it lies over: the right edge of a box as wide, which moves
  // to the left, so that no page gets wider. It is moved, and nothing is painted anew.
  nca.place = (cursor, part) => {
    const inside = part >= 0 && part <= 1;
    cursor.classList.toggle("shown", inside);
    if (inside) cursor.style.transform = `translateX(${100 * (part - 1)}%)`;
  };
  const cursors = new Map(); // the line → where it stands
  for (const figure of $$("figure[data-chart]")) {
    cursors.set($(".level-cursor", figure), (at) => {
      const { span, series } = data.charts[figure.dataset.chart];
      return share(span, at, series.filter(({ entry }) => isShown(entry)).map(({ shift }) => shift));
    });
  }
  for (const halves of $$(".halves[data-span]")) {
    cursors.set($(".level-cursor", halves), (at) =>
      share(halves.dataset.span.split(" ").map(Number), at, data.shifts.filter((_, entry) => isShown(entry))));
  }
  const move = (cursor) => nca.place(cursor, cursors.get(cursor)(data.levels[nca.level()].at));
  for (const cursor of cursors.keys()) nca.follow(cursor, () => move(cursor));
  hear("axes", () => {
    $$(".tip").forEach((tip) => (tip.hidden = true)); // what it says stands elsewhere now
    $$("figure.reading").forEach((figure) => figure.classList.remove("reading"));
    if (data.levels.length) [...cursors.keys()].forEach(move);
  });
  hear("settled", (level) => {
    const { at } = data.levels[level];
    for (const row of $$("tr[data-at]")) row.classList.toggle("now", at !== null && Math.abs(row.dataset.at - at) < NEAR);
  });

  // A chart of references alone is no chart.
  const drawn = (figure) => data.charts[figure.dataset.chart].series.some(({ entry, reference }) => !reference && isShown(entry));
  // Nor is a row of half-levels without a mark.
  const marked = (row) => $$(".lane", row).some(({ dataset }) => isShown(dataset.entry));
  hear("series", () => {
    $$("figure[data-chart]").forEach((figure) => (figure.hidden = !drawn(figure)));
    $$(".halves[data-span] .half:not(.axis)").forEach((row) => (row.hidden = !marked(row)));
  });
})();
