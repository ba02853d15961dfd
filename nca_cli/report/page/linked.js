// The page as an instrument: keys, an address that keeps what is seen, tables that sort, and charts
// to save.
(() => {
  const { $, $$, data, made, hear } = nca;
  const root = document.documentElement;
  const slider = $("#level");
  const boxes = $$("input.entry");
  const picks = $$("input.pick"); // of concepts whose curves are shown
  const perPixel = $("#per-pixel");

  function move(input, by) {
    if (!input) return;
    input.value = Number(input.value) + by;
    input.dispatchEvent(new Event("input"));
    input.dispatchEvent(new Event("change"));
  }

  // --- images by name ----------------------------------------------------------------------------

  const finder = $("#find");
  const seeds = $("#seed");
  const articles = $$("article.image");
  finder?.addEventListener("input", () => {
    const wanted = finder.value.trim().toLowerCase();
    for (const article of articles) article.hidden = !$("h3", article).textContent.toLowerCase().includes(wanted);
    const found = articles.filter((article) => !article.hidden);
    const fold = $("#more");
    if (fold && wanted) fold.open = true;
    if (fold) fold.hidden = found.every((article) => !fold.contains(article));
    $("#found").textContent = wanted ? `${found.length} of ${articles.length} images` : "";
  });

  // --- keys --------------------------------------------------------------------------------------

  const sheet = $("#keys");
  const actions = {
    ArrowLeft: () => move(slider, -1), ArrowRight: () => move(slider, 1),
    ArrowDown: $("#step") && (() => move($("#step"), -1)), ArrowUp: $("#step") && (() => move($("#step"), 1)),
    " ": () => $("#play")?.click(), t: () => $("#theme").click(), d: () => $("#show-difference")?.click(),
    n: () => $("#show-noised")?.click(), "/": finder && (() => finder.focus()), s: () => $("#sheet")?.click(), "?": () => sheet.showModal(),
  };
  for (let k = 1; k <= 9; k++) actions[k] = () => boxes[k - 1]?.click();
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, select, textarea, button, summary, a, dialog, [tabindex], .scroll");
    const act = actions[event.key];
    if (busy || !act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // neither scroll the page
    act();
  });
  $("#help").addEventListener("click", () => sheet.showModal());
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());

  // --- the address: level, series that are off, order, theme, seed, name, the open picture -------

  const chooser = $("#order");
  function state() {
    const kept = new URLSearchParams();
    const level = slider && Number(slider.value);
    if (slider && level !== data.start) kept.set("t", data.levels[level].t);
    const off = boxes.filter((box) => !box.checked).map((box) => box.id.replace("show-", ""));
    if (off.length) kept.set("off", off.join());
    const curves = picks.filter((box) => box.checked).map((box) => box.id.replace("pick-", ""));
    if (curves.length) kept.set("curves", curves.join());
    if (chooser?.value) kept.set("order", chooser.value);
    if (root.dataset.theme) kept.set("theme", root.dataset.theme);
    if ($("#step")) $("#step").value === $("#step").max || kept.set("step", $("#step").value);
    if (perPixel?.checked) kept.set("axis", "256");
    if (seeds && seeds.selectedIndex) kept.set("seed", seeds.value);
    if (finder?.value) kept.set("find", finder.value);
    if (nca.opened()) kept.set("open", nca.opened());
    return kept.toString();
  }
  let restoring = false; // when one part after the other changes, and the address must stay
  let seen = "";
  function keep() {
    const kept = state();
    if (restoring || kept === seen) return; // a link to a section stays until something is chosen
    seen = kept;
    history.replaceState(null, "", kept ? `#${kept}` : location.pathname + location.search);
  }
  function restore() {
    if (!location.hash.includes("=")) return;
    restoring = true;
    const kept = new URLSearchParams(location.hash.slice(1));
    const off = (kept.get("off") ?? "").split(",");
    for (const box of boxes) if (box.checked === off.includes(box.id.replace("show-", ""))) box.click();
    const curves = (kept.get("curves") ?? "").split(",");
    for (const box of picks) if (box.checked !== curves.includes(box.id.replace("pick-", ""))) box.click();
    if (perPixel && perPixel.checked !== (kept.get("axis") === "256")) perPixel.click();
    const theme = { light: "dark", dark: "light" }[kept.get("theme")]; // the other one, then its button
    if (theme) {
      root.dataset.theme = theme;
      $("#theme").click();
    }
    const level = data.levels.findIndex(({ t }) => t === kept.get("t"));
    if (slider && level >= 0) move(slider, level - slider.value);
    if (chooser && ["best", "worst"].includes(kept.get("order"))) {
      chooser.value = kept.get("order");
      chooser.dispatchEvent(new Event("change"));
    }
    if ($("#step") && kept.has("step")) move($("#step"), Number(kept.get("step")) - $("#step").value);
    change(seeds, kept.get("seed") ?? seeds?.options[0].value, "change");
    change(finder, kept.get("find") ?? "", "input");
    if (kept.has("open")) nca.open(kept.get("open"));
    restoring = false;
    seen = state();
  }
  function change(input, value, event) {
    if (!input || input.value === value) return;
    input.value = value;
    input.dispatchEvent(new Event(event));
  }
  restore();
  hear("settled", keep);
  hear("opened", keep);
  finder?.addEventListener("input", keep);
  for (const input of [...boxes, ...picks, chooser, seeds, perPixel, $("#step")].filter(Boolean)) input.addEventListener("change", keep);
  $("#theme").addEventListener("click", keep);
  addEventListener("hashchange", restore);

  // --- tables that sort --------------------------------------------------------------------------

  const SORTED = 2; // rows from which on there is something to sort
  function sortable(table) {
    table.dataset.sortable = "";
    if ($$("tbody tr", table).length < SORTED) return;
    $$("thead th", table).forEach((head, column) => {
      const button = made("button", ...head.childNodes);
      button.type = "button";
      button.className = "sort";
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  }
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = $("data", cell)?.value ?? cell.textContent.trim().replace("−", "-").replaceAll(",", "");
    return text === "" || text === "–" ? null : Number.isNaN(parseFloat(text)) ? text : parseFloat(text);
  };
  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(b);
  }
  function sort(table, head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    $$("th", head.parentElement).forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = $$("tbody tr", table).map((row) => [valueOf(row, column), row]);
    const known = rows.filter(([value]) => value !== null).sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
    const blank = rows.filter(([value]) => value === null); // last either way
    $("tbody", table).append(...[...known, ...blank].map(([, row]) => row));
  }
  const ready = (home) => $$("table:not([data-sortable])", home).filter((table) => table.checkVisibility()).forEach(sortable);
  ready(document);
  document.addEventListener("toggle", ({ target }) => target.open && ready(target), true);

  // --- charts to save ----------------------------------------------------------------------------

  const LOOK = ["fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "stroke-opacity", "opacity", "font-size", "font-family", "text-anchor", "visibility", "display", "clip-path"];
  function drawing(figure) {
    const shown = $(".plot svg", figure);
    const copy = shown.cloneNode(true);
    const [from, to] = [[shown, ...$$("*", shown)], [copy, ...$$("*", copy)]];
    from.forEach((element, k) => {
      const style = getComputedStyle(element);
      to[k].setAttribute("style", LOOK.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    });
    copy.prepend($("#inside").closest("clipPath").cloneNode(true));
    copy.setAttribute("style", `background:${getComputedStyle(document.body).backgroundColor}`);
    return new XMLSerializer().serializeToString(copy);
  }
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  function numbers(figure) {
    const chart = data.charts[figure.dataset.chart].plain ?? data.charts[figure.dataset.chart];
    const lines = chart.series.flatMap(({ name, value }) => chart.logSnr.map((logSnr, k) => value[k] && [chart.t[k], logSnr, name, ...value[k]]));
    const rows = [["t", "log_snr", "series", "mean", "low", "high"], ...lines.filter(Boolean)];
    return rows.map((row) => row.map((cell) => quoted(String(cell ?? ""))).join(",") + "\n").join("");
  }
  const KINDS = { svg: [drawing, "image/svg+xml"], csv: [numbers, "text/csv"] };
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-save]");
    if (!button) return;
    const figure = button.closest("figure");
    const [make, type] = KINDS[button.dataset.save];
    const link = made("a");
    link.href = URL.createObjectURL(new Blob([make(figure)], { type }));
    link.download = `${data.charts[figure.dataset.chart].title.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase()}.${button.dataset.save}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  root.dataset.ready = String(Math.round(performance.now()));
})();
