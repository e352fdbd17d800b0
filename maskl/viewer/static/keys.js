// @ts-check
/** Single keys, and the page that lists them. Who speaks to the computer turns them off there. */

import { button, check } from "./controls.js";
import { h } from "./dom.js";

/** @typedef {{keys: string[], shown: string, what: string, act: () => void}} Key */

/**
 * @param {import("./model.js").Model} model
 * @param {import("./detail.js").Detail} detail
 * @param {import("./grid.js").Grid} grid
 * @param {{query: {focus: () => void}}} rail
 * @returns {[string, Key[]][]}
 */
function table(model, detail, grid, rail) {
  const { state } = model;
  /** @param {string} shown @param {string} what @param {() => void} act @param {string[]} keys @returns {Key} */
  const key = (shown, what, act, keys = [shown]) => ({ keys, shown, what, act });
  const opacity = (/** @type {number} */ way) => state.set({ opacity: Math.min(100, Math.max(0, state.view.opacity + way)) }, { replace: true });
  const layer = (/** @type {import("./panels.js").Kind} */ name) => () => (detail.isOpen ? detail.togglePanel(name) : state.set({ layer: name }));
  const step = (/** @type {number} */ way) => {
    const { steps } = model.scene;
    if (!steps) return;
    const { step: now } = state.view;
    const next = (typeof now === "number" ? now : steps[1] + 1) + way;
    state.set({ step: next > steps[1] ? null : Math.max(steps[0], next) });
  };
  const run = (/** @type {number} */ way) => {
    const { runs, chosen } = model.scene;
    const at = runs.findIndex(({ run_id }) => run_id === chosen[0]?.run_id);
    const next = runs[Math.min(runs.length - 1, Math.max(0, at + way))];
    if (next) state.set({ runs: [next.run_id], range: null });
  };
  const isolate = () => {
    const name = detail.isOpen ? detail.strip.pointed : null;
    if (name !== null) model.isolate(name);
  };
  const all = () => {
    state.set({ chosen: { mode: "all", names: [] }, opacity: 50, contours: false, boxes: [], hidden: [], zoom: { scale: 1, x: 0.5, y: 0.5 } });
  };
  return [
    ["Rows", [
      key("j", "next row", () => detail.isOpen && detail.go(1), ["j", "n"]),
      key("k", "previous row", () => detail.isOpen && detail.go(-1), ["k", "p"]),
      key("Escape", "back to the grid", () => detail.isOpen && detail.close()),
      key("g", "focus the grid", () => !detail.isOpen && grid.focus(null)),
    ]],
    ["Steps and runs", [
      key(",", "earlier step", () => step(-1)),
      key(".", "later step", () => step(1)),
      key("[", "newer run alone", () => run(-1)),
      key("]", "older run alone", () => run(1)),
    ]],
    ["Layers: of the grid, or panels of a row", [
      key("1", "image", layer("image"), ["1"]),
      key("2", "truth", layer("truth")),
      key("3", "prediction", layer("prediction")),
      key("4", "errors", layer("errors")),
      key("c", "contours", () => state.set({ contours: !state.view.contours })),
      key("b", "boxes", () => detail.isOpen && detail.toggleBoxes()),
      key("o", "more opacity", () => opacity(10)),
      key("u", "less opacity", () => opacity(-10)),
      key("i", "isolate the class under the pointer", isolate),
    ]],
    ["Zoom of a row", [
      key("+", "zoom in", () => detail.isOpen && detail.gestures.zoom(1.5), ["+", "="]),
      key("-", "zoom out", () => detail.isOpen && detail.gestures.zoom(1 / 1.5)),
      key("0", "fit", () => detail.isOpen && detail.gestures.reset()),
      key("x", "one pixel on one pixel", () => detail.isOpen && detail.gestures.pixels()),
    ]],
    ["Page", [
      key("r", "all classes, layers and zoom as at the start", all),
      key("s", "write SQL", () => {
        state.set({ rail: true });
        rail.query.focus();
      }, ["s", "/"]),
      key("e", "show or hide the rail", () => state.set({ rail: !state.view.rail })),
      key("f", "full screen", () => detail.isOpen && detail.fullScreen()),
      key("?", "these keys", () => {}),
    ]],
  ];
}

/**
 * @param {import("./model.js").Model} model
 * @param {import("./detail.js").Detail} detail
 * @param {import("./grid.js").Grid} grid
 * @param {{query: {focus: () => void}}} rail
 */
export function keyboard(model, detail, grid, rail) {
  const groups = table(model, detail, grid, rail);
  const on = check("Single keys do what is listed here", (checked) => model.state.set({ keys: checked }));
  const dialog = h(
    "dialog",
    { class: "sheet keys", "aria-label": "Keys" },
    h("div", { class: "heading" }, h("h2", {}, "Keys"), button("Close", () => dialog.close(), { icon: "close" })),
    h("div", { class: "key-groups" }, ...groups.map(([title, keys]) => h("section", {}, h("h3", {}, title), h("dl", {}, ...keys.map(({ shown, what }) => h("div", {}, h("dt", {}, h("kbd", {}, shown)), h("dd", {}, what))))))),
    h("section", {}, h("h3", {}, "With the focus on the grid"), h("p", {}, "Arrow keys move, Enter opens, Space selects, Shift with arrow keys selects on.")),
    h("section", {}, h("h3", {}, "With the focus on the panels"), h("p", {}, "Arrow keys move the part that is seen, Shift with arrow keys moves the pointer by pixels.")),
    on.element,
  );
  document.body.append(dialog);
  const help = () => {
    on.control.checked = model.view.keys;
    if (!dialog.open) dialog.showModal();
  };
  const acts = new Map(groups.flatMap(([, keys]) => keys.flatMap(({ keys: names, act }) => names.map((name) => [name, act]))));
  acts.set("?", help);

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const writing = target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])");
    if (event.key === "Escape" && writing) return target.blur();
    if (writing || (!model.view.keys && event.key !== "Escape")) return;
    const act = acts.get(event.key);
    if (!act) return;
    event.preventDefault();
    act();
  });
  return { help };
}
