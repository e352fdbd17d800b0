// @ts-check
/** The list of classes: what each covers and scores in the selection, and whether it is painted. */

import { check, slider } from "./controls.js";
import { h, percent, score } from "./dom.js";

/** classes that are listed before one has to search */
const LISTED = 300;
const MANY = 12;

/** @param {import("./model.js").Model} model */
export function classList(model) {
  const search = h("input", { type: "search", placeholder: "Search classes", "aria-label": "Search classes", oninput: () => build() });
  const list = h("ul", { class: "classes" });
  const more = h("p", { class: "hint" });
  const all = h("button", { type: "button", class: "quiet small", onclick: () => model.state.set({ chosen: { mode: "all", names: [] } }) }, "All");
  const none = h("button", { type: "button", class: "quiet small", onclick: () => model.state.set({ chosen: { mode: "only", names: [] } }) }, "None");
  const opacity = slider("Opacity", { text: (value) => `${value}%` }, (value, done) => model.state.set({ opacity: value }, { replace: !done }));
  const contours = check("Contours", (checked) => model.state.set({ contours: checked }));
  const header = h("div", { class: "columns", "aria-hidden": "true" }, h("span", {}, "class"), h("span", {}, "coverage"), h("span", {}, "IoU"));
  const whose = h("p", { class: "hint" });
  const empty = h("p", { class: "hint" }, "No mask is chosen: there are no classes.");
  /** @type {Map<string, {element: HTMLElement, box: HTMLInputElement, coverage: HTMLElement, iou: HTMLElement}>} */
  let rows = new Map();

  /** @param {import("./model.js").ClassRow} item */
  const row = (item) => {
    const box = h("input", { type: "checkbox", class: "eye", onchange: () => model.toggle(item.name) });
    const swatch = h("i", { class: "swatch", "aria-hidden": "true" });
    swatch.style.backgroundColor = item.color;
    const name = h(item.ignored ? "s" : "span", { class: "name", dir: "auto", title: item.ignored ? `${item.name}: ignored, its pixels do not count` : item.name }, item.name);
    const label = h("label", {}, box, swatch, name);
    const only = h("button", { type: "button", class: "quiet small only", onclick: () => model.isolate(item.name), "aria-label": `only ${item.name}` }, "only");
    const coverage = h("span", { class: "number" });
    const iou = h("span", { class: "number" });
    const isolate = (/** @type {MouseEvent} */ event) => {
      if (!event.altKey) return;
      event.preventDefault();
      model.isolate(item.name);
    };
    const element = h("li", { dataset: { class: item.name }, onclick: isolate, title: "Alt-click: only this class" }, label, only, coverage, iou);
    rows.set(item.name, { element, box, coverage, iou });
    return element;
  };

  function build() {
    const { classes } = model.scene;
    const wanted = search.value.trim().toLowerCase();
    const found = classes.filter(({ name }) => name.toLowerCase().includes(wanted));
    rows = new Map();
    list.replaceChildren(...found.slice(0, LISTED).map(row));
    search.hidden = classes.length <= MANY;
    more.textContent = found.length > LISTED ? `${found.length - LISTED} more: search for them` : found.length || !classes.length ? "" : "No class is called that.";
    more.hidden = !more.textContent;
    empty.hidden = classes.length > 0;
    list.hidden = header.hidden = !found.length;
    mark();
    number();
  }

  function mark() {
    for (const [name, { element, box }] of rows) {
      box.checked = model.isOn(name);
      element.classList.toggle("off", !box.checked);
    }
    opacity.update(model.view.opacity);
    contours.control.checked = model.view.contours;
  }

  function number() {
    const total = model.stats.get("") ?? new Map();
    const runs = model.scene.chosen.length;
    whose.textContent = [runs > 1 ? `Coverage and IoU of ${runs} runs together` : "", ...model.notes].filter(Boolean).join(". ");
    whose.hidden = !whose.textContent;
    for (const [name, { coverage, iou }] of rows) {
      coverage.textContent = percent(total.get(name)?.coverage);
      iou.textContent = score(total.get(name)?.iou);
    }
  }

  let key = "";
  const update = () => {
    const now = JSON.stringify(model.scene.classes);
    if (now === key) return mark();
    key = now;
    return build();
  };
  model.listen((what, changed) => {
    if (what.has("scene")) update();
    else if (changed.has("chosen") || changed.has("opacity") || changed.has("contours")) mark();
    if (what.has("stats")) number();
  });
  update();
  const head = h("div", { class: "heading" }, h("h2", {}, "Classes"), all, none);
  return { element: h("div", { class: "fill" }, head, opacity.element, contours.element, search, whose, header, list, more, empty) };
}
