// What the parts of the page's script share: the data, the chosen level, and which series are shown.
// Everything is in the page already; scripts only show and hide it. No name gets into HTML: text is
// set as text. Without a script the strips of all levels stay, as a grid.
"use strict";
const nca = (() => {
  const $ = (selector, home = document) => home.querySelector(selector);
  const $$ = (selector, home = document) => [...home.querySelectorAll(selector)];
  const data = JSON.parse($("#data").textContent);
  const root = document.documentElement;
  root.classList.add("js");
  for (const box of $$("input[type=checkbox][id]")) {
    const show = () => root.classList.toggle(`off-${box.id}`, !box.checked);
    box.addEventListener("change", show);
    show();
  }

  // Changes letters without adding a node, after which all rules with :has() would be matched anew.
  function write(element, text) {
    if (!element.firstChild) element.append("");
    if (element.firstChild.nodeValue !== text) element.firstChild.nodeValue = text;
  }
  // An element of a class that holds text or nodes.
  function made(tag, ...content) {
    const element = document.createElement(tag);
    element.append(...content);
    return element;
  }
  // The parts tell one another of changes: "settled" (the slider rests), "series" (others are
  // shown), "opened" (a picture is enlarged), "axes" (what is drawn has moved).
  const tell = (what, detail) => document.dispatchEvent(new CustomEvent(`nca-${what}`, { detail }));
  const hear = (what, act) => document.addEventListener(`nca-${what}`, ({ detail }) => act(detail));
  // A reference goes with the last series that it belongs to.
  const isShown = (entry) => ($(`#show-${entry}`)?.checked ?? true) && (data.owners[entry]?.some(isShown) ?? true);
  const POINT = /^M(-?[\d.]+) (-?[\d.]+)/; // where a marker stands
  return { $, $$, POINT, data, write, made, tell, hear, isShown };
})();
