// Charts: a cursor that reads them.
(() => {
  const { $, $$, data, made, hear, isShown } = nca;

  for (const figure of $$("figure[data-chart]")) {
    const chart = data.charts[figure.dataset.chart];
    const [plot, reader, tip, cursor] = [$(".plot", figure), $(".reader", figure), $(".tip", figure), $(".cursor", figure)];
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
      marker?.setAttribute("transform", "translate(17 6)");
      if (marker) svg.append(marker);
      return svg;
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
    });
    reader.addEventListener("pointerleave", () => document.activeElement !== reader && leave());
    reader.addEventListener("keydown", (event) => event.key === "Escape" && leave());
  }

  // A chart of references alone is no chart.
  const drawn = (figure) => data.charts[figure.dataset.chart].series.some(({ entry, reference }) => !reference && isShown(entry));
  hear("series", () => $$("figure[data-chart]").forEach((figure) => (figure.hidden = !drawn(figure))));
})();
