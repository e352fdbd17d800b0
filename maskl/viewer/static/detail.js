// @ts-check
/** One row, whole: its panels, what is under the pointer, its scores and values, and the ways to other rows. */

import { button, check, say } from "./controls.js";
import { h } from "./dom.js";
import { entriesOf } from "./entries.js";
import { rowNumber } from "./grid.js";
import { Gestures } from "./gestures.js";
import { runName } from "./model.js";
import { Panels } from "./panels.js";
import { Side } from "./side.js";
import { Strip } from "./strip.js";

/**
 * A row as the panels take it.
 * @typedef {object} Entry
 * @property {string} run
 * @property {string} table
 * @property {string} row
 * @property {number | null} step
 * @property {import("./api.js").Picture | null} picture
 * @property {Map<string, {url: string, width: number, height: number, classes: import("./paint.js").ClassItem[]}>} masks by key
 * @property {Map<string, import("./boxes.js").Box[]>} boxes by key
 * @property {{mean_iou: number | null, mean_dice: number | null, pixel_accuracy: number | null, classes: {name: string, iou: number | null}[]} | null} scores
 * @property {Record<string, any>} values
 * @property {string} python
 * @property {string} sql
 * @property {string} [missing] why there is nothing of this run
 */

const PANELS = /** @type {const} */ (["image", "truth", "prediction", "errors"]);

/** what another answer of the server is needed for */
const OF_ROW = /** @type {const} */ (["open", "table", "runs", "image", "truth", "prediction", "step", "project"]);

export class Detail {
  /** @type {Entry[]} */
  entries = [];
  #abort = new AbortController();

  /**
   * @param {import("./model.js").Model} model
   * @param {import("./grid.js").Grid} grid
   * @param {HTMLElement} behind what it covers
   */
  constructor(model, grid, behind) {
    this.behind = behind;
    this.model = model;
    this.grid = grid;
    this.panels = new Panels(model);
    this.strip = new Strip(this.panels, model);
    this.side = new Side(model);
    this.gestures = new Gestures(this.panels, this.strip, model);
    this.title = h("h1", { tabindex: -1 });
    this.place = h("span", { class: "soft number" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.toggles = PANELS.map((kind) => ({ kind, ...check(kind[0].toUpperCase() + kind.slice(1), () => this.togglePanel(kind)) }));
    this.boxes = h("span", { class: "box-keys" });
    const full = button("Full screen", () => this.fullScreen(), { icon: "full", title: "Full screen (f)" });
    const bar = h(
      "div",
      { class: "bar" },
      button("Back to the grid", () => this.close(), { icon: "close", title: "Back to the grid (Escape)" }),
      button("Previous row", () => this.go(-1), { icon: "back", title: "Previous row (k)" }),
      button("Next row", () => this.go(1), { icon: "next", title: "Next row (j)" }),
      this.title,
      this.place,
      h("span", { class: "spring" }),
      h("span", { class: "group", role: "group", "aria-label": "Panels" }, ...this.toggles.map(({ element }) => element)),
      this.boxes,
      h("span", { class: "group" }, button("−", () => this.gestures.zoom(1 / 1.5), { title: "Zoom out (-)" }), button("Fit", () => this.gestures.reset(), { title: "Fit (0)" }), button("1:1", () => this.gestures.pixels(), { title: "One pixel of the image is one of the screen (x)" }), button("+", () => this.gestures.zoom(1.5), { title: "Zoom in (+)" })),
      full,
    );
    this.element = h("section", { class: "detail", "aria-label": "Row", hidden: true }, bar, this.problem, h("div", { class: "middle" }, this.panels.element, this.side.element), this.strip.element);
    model.listen((what, changed) => this.#changed(what, changed));
    this.#load();
  }

  get isOpen() {
    return this.model.view.open !== null;
  }

  /** @param {Set<string>} what @param {Set<keyof import("./state.js").View>} changed */
  #changed(what, changed) {
    if (OF_ROW.some((key) => changed.has(key))) this.#load();
    else if (changed.has("hidden")) this.#show();
    else if (["chosen", "opacity", "contours", "boxes"].some((key) => changed.has(/** @type {any} */ (key)))) this.panels.repaint();
    if (changed.has("zoom")) this.gestures.moved();
    if (changed.has("chosen")) this.side.mark();
    if (changed.has("hidden") || changed.has("boxes")) this.#mark();
    if (what.has("set")) this.#count();
  }

  async #load() {
    this.#abort.abort();
    const { open } = this.model.view;
    const opening = this.element.hidden;
    this.element.hidden = open === null;
    this.behind.inert = open !== null;
    if (!open) {
      // nothing of a row is left that the next one would be taken for
      this.entries = [];
      this.#show();
      if (!opening) this.grid.focus(this.#last);
      document.title = `${this.model.scene.table?.name ?? "maskl view"} · maskl view`;
      return;
    }
    this.#last = this.model.view.at;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#count();
    if (opening) this.title.focus({ preventScroll: true });
    try {
      const entries = await (this.#ahead.get(this.#key(open)) ?? entriesOf(open, this.model, signal));
      if (signal.aborted) return;
      this.entries = entries;
      this.problem.hidden = true;
      await this.#show();
      if (!signal.aborted) this.#look(signal).catch(() => this.#ahead.clear());
    } catch (error) {
      if (signal.aborted) return;
      this.entries = [];
      this.problem.hidden = false;
      this.problem.textContent = error instanceof Error ? error.message : String(error);
      this.title.textContent = `row ${rowNumber(open.row)}`;
      this.#show();
    }
  }
  /** @type {number | null} */
  #last = null;
  /** the way that was gone last */
  #way = 1;
  /** rows that were fetched before they are asked for @type {Map<string, Promise<Entry[]>>} */
  #ahead = new Map();

  /** What an answer of the server depends on. @param {{run: string, table: string, row: string}} open */
  #key(open) {
    const { scene, view } = this.model;
    return JSON.stringify([open, scene.image?.column, scene.truth, scene.prediction, view.step, scene.chosen.map(({ run_id }) => run_id)]);
  }

  /** Fetch the row that is next. @param {AbortSignal} signal */
  async #look(signal) {
    const { at } = this.model.view;
    const { rows } = this.grid;
    const index = (at ?? -1) + this.#way;
    if (at === null || !rows || index < 0 || index >= rows.total) return;
    const row = await rows.fetch(index);
    if (signal.aborted || !row) return;
    const next = { run: row.run, table: row.table, row: row.row };
    // it is not given up with the row that is open: it is the next one
    const entries = this.#ahead.get(this.#key(next)) ?? entriesOf(next, this.model, new AbortController().signal);
    this.#ahead = new Map([[this.#key(next), entries]]);
    await this.panels.warm(await entries);
  }

  #show() {
    const [opened] = this.entries;
    const painted = this.panels.show(this.entries);
    this.side.element.hidden = !opened;
    this.strip.show(this.entries);
    if (!opened) return painted;
    const caption = opened.picture?.caption;
    this.title.textContent = caption || `row ${rowNumber(opened.row)}`;
    this.title.dir = "auto";
    this.title.title = `${runName(this.model.scene, opened.run)}, row ${opened.row}`;
    document.title = `${this.title.textContent} · maskl view`;
    this.side.show(this.entries);
    this.#mark();
    return painted;
  }

  #count() {
    const { at } = this.model.view;
    const total = this.model.set?.total;
    this.place.textContent = at === null || !total ? "" : `${(at + 1).toLocaleString("en")} of ${total.toLocaleString("en")}`;
  }

  #mark() {
    const { hidden, boxes } = this.model.view;
    for (const { kind, control } of this.toggles) control.checked = !hidden.includes(kind);
    const keys = [...new Set(this.entries.flatMap((entry) => [...entry.boxes.keys()]))];
    if (this.boxes.dataset.keys !== JSON.stringify(keys)) {
      this.boxes.dataset.keys = JSON.stringify(keys);
      this.boxes.replaceChildren(...(keys.length ? [h("span", { class: "soft" }, "Boxes")] : []), ...keys.map((key) => {
        const { element, control } = check(key, () => this.toggleBoxes(key));
        control.value = key;
        return element;
      }));
    }
    for (const control of this.boxes.querySelectorAll("input")) control.checked = !boxes.includes(control.value);
  }

  /** @param {string} kind */
  togglePanel(kind) {
    const { hidden } = this.model.view;
    this.model.state.set({ hidden: hidden.includes(kind) ? hidden.filter((other) => other !== kind) : [...hidden, kind] });
  }

  /** @param {string} [key] by default all keys */
  toggleBoxes(key) {
    const { boxes } = this.model.view;
    const keys = [...new Set(this.entries.flatMap((entry) => [...entry.boxes.keys()]))];
    if (key === undefined) this.model.state.set({ boxes: boxes.length ? [] : keys });
    else this.model.state.set({ boxes: boxes.includes(key) ? boxes.filter((other) => other !== key) : [...boxes, key] });
  }

  close() {
    this.model.state.set({ open: null, at: null, zoom: { scale: 1, x: 0.5, y: 0.5 } });
  }

  /** Go to the row that is so many further on. @param {number} way */
  async go(way) {
    this.#way = Math.sign(way);
    const at = await this.model.attempt(() => this.#index());
    if (at === undefined) return;
    const total = this.grid.rows?.total ?? 0;
    if (at === null || at + way < 0 || at + way >= total) {
      say(at === null ? "This row is not among the rows of the grid" : way > 0 ? "This is the last row" : "This is the first row");
      return;
    }
    await this.grid.open(at + way);
  }

  /** Where the row is among those of the grid. */
  async #index() {
    const { open, at } = this.model.view;
    const { rows } = this.grid;
    if (!open || !rows) return null;
    const same = (/** @type {import("./api.js").Row | undefined} */ row) => row?.run === open.run && row.row === open.row;
    if (at !== null && at < rows.total && same(await rows.fetch(at))) return at;
    for (let index = 0; index < Math.min(rows.total, 500); index++) if (same(await rows.fetch(index))) return index;
    return null;
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    else this.element.requestFullscreen().catch(() => say("This browser does not go full screen here"));
  }
}
