// @ts-check
/** Above the grid: the layer of the thumbnails, the order of the rows, the columns below each, and their size. */

import { button, check, choice, newId, select, slider } from "./controls.js";
import { counted, h } from "./dom.js";

/**
 * What is shown of a table that was logged more than once, and why.
 * @param {import("./model.js").Model} model
 * @returns {[string, string]}
 */
function part({ scene, view }) {
  if (view.sql) return ["rows of the query", "The query says which rows are shown, of whichever step."];
  if (scene.table?.mode === "MUTABLE") return ["mutable · newest version", "This table was logged again in place of what it was: its newest version is shown."];
  if (!scene.steps || scene.steps[0] === scene.steps[1]) return ["", ""];
  if (view.step === "all") return ["all steps", "The rows of all steps together: of an incremental table, the whole of it."];
  const name = view.step === null ? "last step only" : `step ${view.step} only`;
  return [name, "An incremental table has at each step the rows that were added: check “All steps together” to see the whole of it."];
}

/** @param {import("./model.js").Model} model */
export function toolbar(model) {
  const { state } = model;
  const rail = button("Show or hide the rail", () => state.set({ rail: !state.view.rail }), { icon: "rail", title: "Show or hide the rail (e)" });
  rail.setAttribute("aria-controls", "rail");
  const title = h("h1", { dir: "auto" });
  const mode = h("span", { class: "soft" });
  const count = h("span", { class: "soft number", role: "status" });
  const layer = choice("Layer of the thumbnails", [["image", "Image"], ["truth", "Truth"], ["prediction", "Prediction"], ["errors", "Errors"]], (value) => state.set({ layer: /** @type {any} */ (value) }));
  const sort = select("Sort", (value) => state.set({ sort: value === "" ? null : value, range: null }));
  const order = button("", () => state.set({ descending: !state.view.descending }), { class: "quiet" });
  const size = slider("Size", { min: 96, max: 320, step: 16, text: () => "" }, (value) => state.set({ size: value }, { replace: true }));
  const columns = columnMenu(model);
  const element = h("div", { class: "bar" }, rail, title, mode, count, h("span", { class: "spring" }), layer.element, h("span", { class: "group" }, sort.element, order), columns.element, size.element);

  function update() {
    const { scene, view } = model;
    rail.setAttribute("aria-expanded", String(view.rail));
    title.textContent = scene.table?.name ?? "No table";
    [mode.textContent, mode.title] = part(model);
    layer.element.hidden = !scene.image;
    const { truth, prediction } = scene;
    layer.update(model.layer, [...(scene.image ? [] : ["image"]), ...(truth ? [] : ["truth"]), ...(prediction ? [] : ["prediction"]), ...(truth && prediction ? [] : ["errors"])]);
    sort.update(orders(model), view.sort ?? "");
    order.textContent = view.descending ? "↓" : "↑";
    order.setAttribute("aria-label", view.descending ? "Highest first; change" : "Lowest first; change");
    order.title = view.descending ? "highest first" : "lowest first";
    size.update(view.size);
    columns.update();
  }
  const number = () => {
    const { set, busy } = model;
    if (busy || !set) count.textContent = busy ? "…" : "";
    else count.textContent = set.total === set.unbrushed ? counted(set.total, "row") : `${set.total.toLocaleString("en")} of ${counted(set.unbrushed, "row")}`;
  };
  model.listen((what, changed) => {
    if (what.has("scene") || ["sql", "layer", "size", "columns", "rail"].some((key) => changed.has(/** @type {any} */ (key)))) update();
    if (what.has("set")) number();
  });
  update();
  return { element };
}

/** @param {import("./model.js").Model} model @returns {[string, string][]} */
function orders({ scene, view }) {
  /** @type {[string, string][]} */
  const found = [["", view.sql ? "as the query says" : "as logged"]];
  if (view.sql) found.push(["_row", "as logged"]);
  if (scene.truth && scene.prediction) {
    found.push(["mean_iou", "mean IoU"], ["mean_dice", "mean Dice"]);
    for (const { name, ignored } of scene.classes) if (!ignored) found.push([`iou:${name}`, `IoU of ${name}`]);
  }
  for (const { name, kind } of scene.table?.columns ?? []) if (kind !== "other") found.push([`column:${name}`, name]);
  return found;
}

/** Which columns stand below each thumbnail. @param {import("./model.js").Model} model */
function columnMenu(model) {
  const id = newId("columns");
  const list = h("div", { class: "menu", id, popover: "auto", role: "group", "aria-label": "Columns below each thumbnail" });
  const open = h("button", { type: "button", class: "quiet", popovertarget: id }, "Columns");
  let key = "";
  list.addEventListener("beforetoggle", () => {
    const box = open.getBoundingClientRect();
    list.style.top = `${box.bottom + 4}px`;
    list.style.right = `${document.documentElement.clientWidth - box.right}px`;
  });
  function update() {
    const names = (model.scene.table?.columns ?? []).filter(({ kind }) => kind !== "other").map(({ name }) => name);
    open.hidden = !names.length;
    if (key !== JSON.stringify(names)) {
      key = JSON.stringify(names);
      list.replaceChildren(...names.map((name) => {
        const { element, control } = check(name, (checked) => {
          const others = model.view.columns.filter((other) => other !== name);
          model.state.set({ columns: checked ? [...others, name] : others });
        });
        control.value = name;
        element.dir = "auto";
        return element;
      }));
    }
    for (const control of list.querySelectorAll("input")) control.checked = model.view.columns.includes(control.value);
    open.textContent = model.view.columns.length ? `Columns ${model.view.columns.length}` : "Columns";
  }
  return { element: h("span", { class: "group" }, open, list), update };
}
