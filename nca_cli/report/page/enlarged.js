// One picture enlarged: x0, x_t, x̂0 and their difference, of any image; another picture by swipe.
(() => {
  const { $, $$, data, write, made, tell } = nca;
  const { said, spoken, square, subtract, articles } = nca;
  const zoom = $("#zoom");
  const against = $("#against");
  const swipe = $("#swipe");
  let shown = null; // while the dialog is open: its button, and what `view` made
  const pictureOf = (article, entry) => $(`.stack[data-entry="${entry}"] .picture`, article) ?? $(".stack[data-entry] .picture", article) ?? $(".picture", article);

  function open(button) {
    const [stack, article] = [button.closest(".stack"), button.closest("article")];
    const before = $$(".stack.given", button.closest(".shelf")).filter((each) => each === stack || each.compareDocumentPosition(stack) & Node.DOCUMENT_POSITION_FOLLOWING);
    const given = before[before.length - 1];
    const hat = $("img.x0_hat", stack);
    const kinds = [[$("img.x0", given)], [$("img.x_t", given)], [hat], [hat, true]];
    const views = kinds.filter(([img]) => img).map(([img, difference]) => view(img, difference));
    shown = { button, article, stack, given, hat, views };
    $("#zoom-name").textContent = [$("h3", article).textContent, hat && $(".by", stack).textContent].filter(Boolean).join(" — ");
    $(".views", zoom).replaceChildren(...views.map(({ figure }) => figure));
    if (!zoom.open) zoom.showModal();
    offer();
    compare();
    load(views.map(({ img }) => img));
    tell("opened");
  }
  // Those that no one has seen yet are not there.
  function load(images) {
    images.forEach((img) => (img.loading = "eager"));
    draw();
    Promise.allSettled(images.map((img) => img.decode())).then(draw);
  }
  function nameOf(img) {
    const by = $(".by", img.closest("figure"));
    return by ? by.textContent : $("figcaption .symbol", img.closest("figure")).textContent;
  }
  function view(img, difference) {
    const figure = made("figure");
    const canvas = made("canvas");
    if (difference) canvas.className = "difference";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", difference ? `difference: ${img.alt}` : img.alt);
    const value = made("span");
    const named = difference ? $("#show-difference + span") : $("figcaption .symbol", img.closest("figure"));
    const frame = made("div", canvas);
    frame.className = "frame";
    figure.append(frame, made("figcaption", named.cloneNode(true), " ", value));
    return { img, difference, figure, frame, canvas, value };
  }
  function draw() {
    if (!shown) return;
    for (const { img, difference, canvas, value, over } of shown.views) {
      if (!img.naturalWidth) continue;
      if (difference) subtract(canvas, img);
      else square(canvas, img);
      const own = said(img, !difference);
      write(value, over ? `${own} | ${[nameOf(over.img), said(over.img)].filter(Boolean).join(" ")}` : own);
      if (over?.img.naturalWidth) square(over.canvas, over.img);
    }
    $(".spoken", zoom).textContent = spoken().replace("sigma", "σ");
    sharpen();
  }
  // Pixels larger than those of the screen are shown as such.
  function sharpen() {
    for (const canvas of $$("canvas", zoom)) canvas.classList.toggle("pixels", canvas.clientWidth * devicePixelRatio > canvas.width);
  }

  // --- a second picture over the first, up to the line -------------------------------------------

  // x0 and the reconstructions of the same image by other series.
  function candidates() {
    const hats = $$(".stack[data-entry] img.x0_hat", shown.article).filter((img) => img !== shown.hat && img.closest(".stack").checkVisibility());
    return [[$("img.x0", shown.given), "x0"], ...hats.map((img) => [img, img.closest(".stack").dataset.entry])];
  }
  function offer() {
    const kept = against.value;
    const options = candidates().map(([img, key]) => new Option(nameOf(img), key, false, key === kept));
    against.replaceChildren(new Option("nothing", ""), ...options);
    if (![...against.options].some(({ value }) => value === kept)) against.value = "";
    else against.value = kept;
    against.closest("label").hidden = !shown.hat;
  }
  function compare() {
    const base = shown.views.find(({ img, difference }) => img === shown.hat && !difference);
    $$(".over, .line-of-swipe", zoom).forEach((each) => each.remove());
    if (base) base.over = null;
    const found = shown.hat && candidates().find(([, key]) => key === against.value);
    swipe.closest("label").hidden = !found;
    $(".views", zoom).classList.toggle("swiped", Boolean(found));
    if (!found) return draw();
    const [img] = found;
    const canvas = made("canvas");
    canvas.className = "over";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", img.alt);
    const line = made("span");
    line.className = "line-of-swipe";
    base.frame.append(canvas, line);
    base.over = { img, canvas };
    base.frame.onpointerdown = (event) => {
      base.frame.setPointerCapture(event.pointerId);
      follow(event);
      base.frame.onpointermove = follow;
    };
    base.frame.onpointerup = () => (base.frame.onpointermove = null);
    part();
    load([img]);
    tell("opened");
  }
  function follow(event) {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    swipe.value = (100 * (event.clientX - left)) / width;
    part();
  }
  function part() {
    zoom.style.setProperty("--swipe", `${swipe.value}%`);
    swipe.setAttribute("aria-valuetext", `${swipe.value} % of the first picture`);
  }

  // --- the images before and after ---------------------------------------------------------------

  function turn(by) {
    const all = articles().filter((article) => !article.hidden && $(".picture", article));
    const at = (all.indexOf(shown.article) + by + all.length) % all.length;
    open(pictureOf(all[at], shown.stack.dataset.entry));
  }

  for (const button of $$("button.picture")) {
    button.disabled = false;
    button.title = "Enlarge";
    button.addEventListener("click", () => {
      open(button);
      $("#zoom-level").focus();
    });
  }
  $("#zoom-previous").addEventListener("click", () => turn(-1));
  $("#zoom-next").addEventListener("click", () => turn(1));
  against.addEventListener("change", compare);
  swipe.addEventListener("input", part);
  zoom.addEventListener("keydown", (event) => {
    const act = { "[": () => turn(-1), "]": () => turn(1), " ": () => $("#zoom-play").click() }[event.key];
    if (!act || event.target.closest("button, select") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  zoom.addEventListener("close", () => {
    shown.button.focus({ preventScroll: true });
    shown = null;
    tell("opened");
  });
  zoom.addEventListener("click", (event) => event.target === zoom && zoom.close());
  addEventListener("resize", () => shown && sharpen());
  nca.follow(zoom, draw);

  // For the address: which picture is open, and what lies over it: `image-3,1,x0`.
  nca.opened = () => shown && [shown.article.id, shown.stack.dataset.entry ?? "", against.value].join();
  nca.open = (key) => {
    const [id, entry, over] = key.split(",");
    const article = document.getElementById(id);
    if (!article || !$(".picture", article)) return;
    open(entry ? pictureOf(article, entry) : $(".picture", article));
    against.value = over ?? "";
    if (against.selectedIndex < 0) against.value = "";
    compare();
  };
})();
