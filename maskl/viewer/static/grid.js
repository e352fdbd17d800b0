// @ts-check
/** The grid: thumbnails of the set's rows, of which only those that are seen are there. */

import { button } from "./controls.js";
import { h, score, shown } from "./dom.js";
import { runColor, runName } from "./model.js";
import { Rows } from "./rows.js";
import { address } from "./state.js";
import { Thumbnails } from "./thumbs.js";
import { VirtualGrid } from "./virtual.js";

const GAP = 8;
/** heights below a thumbnail: the line of its score and caption, and of each column */
const LINE = 22;
const COLUMN = 17;
/** columns that are shown where there is no image */
const INSTEAD = 6;
/** rows that can be selected: they are in the address */
const SELECTED = 500;

/** @typedef {{element: HTMLElement, canvas: HTMLCanvasElement, note: HTMLElement, index: number}} Card */

export class Grid {
  /** @type {Rows | null} */
  rows = null;
  /** @type {Map<number, Card>} */
  #cards = new Map();
  #active = 0;
  #anchor = 0;
  #shape = "";
  #stale = false;

  /** @param {import("./model.js").Model} model */
  constructor(model) {
    this.model = model;
    this.thumbnails = new Thumbnails(model);
    this.body = h("div", { class: "cards" });
    this.empty = h("div", { class: "empty" });
    this.element = h("div", { class: "grid", tabindex: 0, "aria-label": "Rows", "aria-multiselectable": "true" }, this.body);
    this.wrap = h("div", { class: "grid-wrap" }, this.element, this.empty);
    this.virtual = new VirtualGrid(this.element, this.body, {
      make: (index) => this.#make(index),
      drop: (element, index) => this.#drop(element, index),
      window: (from, to) => this.#want(from, to),
    }, GAP);
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.element.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
    model.listen((what, changed) => this.#changed(what, changed));
  }

  /** What stands below each thumbnail, and instead of it in a table without images. */
  get #columns() {
    const { view, scene } = this.model;
    if (scene.image || view.columns.length) return view.columns;
    return (scene.table?.columns ?? []).slice(0, INSTEAD).map(({ name }) => name);
  }

  /** @param {number} total */
  #start(total) {
    const picture = this.model.scene.image ? 0.75 : 0;
    const below = LINE + COLUMN * this.#columns.length + 2;
    this.body.classList.toggle("bare", !picture);
    this.virtual.reset(total, this.model.view.size, (width) => Math.round(width * picture) + below);
  }

  /** @param {Set<string>} what @param {Set<keyof import("./state.js").View>} changed */
  #changed(what, changed) {
    if (what.has("set")) this.#reset();
    if (what.has("again")) this.virtual.render();
    if (changed.has("columns")) this.#reset();
    else if (changed.has("size")) this.virtual.resize(this.model.view.size);
    this.#stale ||= ["layer", "chosen", "opacity"].some((key) => changed.has(/** @type {any} */ (key)));
    // what a row covers is painted when it is seen again
    if (this.#stale && !this.model.view.open) this.#repaint();
    if (changed.has("selected")) this.#mark();
  }

  #reset() {
    const { set, busy } = this.model;
    this.wrap.setAttribute("aria-busy", String(busy));
    if (busy) return;
    const columns = this.#columns;
    const shape = `${set?.set}\n${columns.join("\n")}`;
    const other = shape !== this.#shape;
    this.#shape = shape;
    if (!other && this.rows) return this.#repaint();
    this.rows = set ? new Rows(set.set, set.total, columns) : null;
    this.#active = this.#anchor = 0;
    const total = set?.total ?? 0;
    if (total) this.element.setAttribute("role", "listbox");
    else this.element.removeAttribute("role");
    this.element.hidden = !total;
    this.#start(total);
    this.#describe();
  }

  #describe() {
    const { scene, set, problem, view, info } = this.model;
    this.empty.hidden = Boolean(set?.total);
    if (this.empty.hidden) return;
    this.empty.replaceChildren(...emptiness({ scene, problem, view, info }));
    if (problem) this.empty.append(button("Try again", () => this.model.again()));
  }

  /** @param {number} from @param {number} to */
  #want(from, to) {
    const rows = this.rows;
    this.model.attempt(async () => {
      await rows?.want(from, to);
      if (rows !== this.rows) return;
      for (const card of this.#cards.values()) if (!card.element.dataset.row) this.#fill(card);
    });
  }

  /** @param {number} index */
  #make(index) {
    const canvas = h("canvas", { width: 4, height: 3, "aria-hidden": "true" });
    const note = h("span", { class: "badge", hidden: true });
    const element = h(
      "div",
      { class: "card", role: "option", id: `item-${index}`, "aria-posinset": index + 1, "aria-setsize": this.rows?.total, "aria-selected": "false", "aria-label": "not fetched yet" },
      h("div", { class: "picture" }, canvas, note),
    );
    const card = { element, canvas, note, index };
    this.#cards.set(index, card);
    this.#fill(card);
    element.classList.toggle("active", index === this.#active);
    return element;
  }

  /** @param {Card} card */
  #fill(card) {
    const row = this.rows?.get(card.index);
    if (!row) return;
    const { scene, view } = this.model;
    const { element } = card;
    element.dataset.row = row.row;
    element.dataset.run = row.run;
    const dot = h("i", { class: "dot", title: runName(scene, row.run) });
    dot.style.backgroundColor = runColor(scene, row.run);
    const caption = row.image?.caption ?? "";
    element.append(
      h("div", { class: "line" }, scene.chosen.length > 1 && dot, row.score !== null && h("b", { class: "number" }, score(row.score)), h("span", { class: "name", dir: "auto", title: caption }, caption || `row ${rowNumber(row.row)}`), view.step === "all" && h("span", { class: "soft number" }, `step ${row.step}`)),
      ...this.#columns.map((name) => h("div", { class: "value", title: `${name}: ${shown(row.values[name])}` }, h("span", { class: "soft", dir: "auto" }, name), h("span", { dir: "auto" }, shown(row.values[name])))),
    );
    element.setAttribute("aria-label", [caption || `row ${rowNumber(row.row)}`, runName(scene, row.run), row.score !== null && `${score(row.score)}`].filter(Boolean).join(", "));
    this.#select(card, new Set(view.selected));
    this.#paint(card);
  }

  /** @param {Card} card */
  #paint(card) {
    const row = this.rows?.get(card.index);
    if (!row || !this.model.scene.image) return;
    const { layer } = this.model;
    const { truth, prediction } = this.model.scene;
    if (row.problem) {
      card.note.textContent = "cannot be read";
      card.note.title = row.problem;
      card.note.hidden = false;
      card.canvas.dataset.done = "";
      return;
    }
    const lacks = row.image === null ? "no image here" : lacking(layer, row.masks, truth, prediction);
    this.thumbnails.paint(card.canvas, row, (problem, note) => {
      card.note.textContent = problem ? "cannot be shown" : note ? "another size" : row.image && !row.image.digest ? "not in the store" : lacks;
      card.note.title = problem || note;
      card.note.hidden = !card.note.textContent;
    });
  }

  #repaint() {
    this.#stale = false;
    for (const card of this.#cards.values()) this.#paint(card);
  }

  /** @param {HTMLElement} element @param {number} index */
  #drop(element, index) {
    const card = this.#cards.get(index);
    if (card) this.thumbnails.forget(card.canvas);
    this.#cards.delete(index);
  }

  /** @param {Card} card @param {Set<string>} selected */
  #select(card, selected) {
    const row = this.rows?.get(card.index);
    card.element.setAttribute("aria-selected", String(Boolean(row && selected.has(address(row)))));
  }

  #mark() {
    const selected = new Set(this.model.view.selected);
    for (const card of this.#cards.values()) this.#select(card, selected);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const element = event.target instanceof Element ? event.target.closest(".card") : null;
    if (!element) return;
    const index = Number(element.id.slice("item-".length));
    if (event.shiftKey) this.#extend(index);
    else if (event.ctrlKey || event.metaKey) this.#toggle(index);
    else this.open(index);
    this.#activate(index);
  }

  /** @param {number} index */
  async open(index) {
    const row = await this.model.attempt(() => this.rows?.fetch(index));
    if (row) this.model.state.set({ open: { run: row.run, table: row.table, row: row.row }, at: index });
  }

  /** Select from the last one to this one. @param {number} index */
  async #extend(index) {
    const { view } = this.model;
    const from = view.selected.length ? Math.min(index, this.#anchor) : index;
    const to = Math.min(view.selected.length ? Math.max(index, this.#anchor) : index, from + SELECTED - 1);
    if (!(await this.model.attempt(() => this.rows?.want(from, to + 1)))) return;
    const found = new Set(this.model.view.selected);
    for (let at = from; at <= to; at++) {
      const row = this.rows?.get(at);
      if (row && found.size < SELECTED) found.add(address(row));
    }
    this.#anchor = index;
    this.model.state.set({ selected: [...found] });
  }

  /** @param {number} index */
  async #toggle(index) {
    const row = await this.model.attempt(() => this.rows?.fetch(index));
    if (!row) return;
    const { selected } = this.model.view;
    const name = address(row);
    this.#anchor = index;
    const others = selected.filter((other) => other !== name);
    this.model.state.set({ selected: others.length < selected.length ? others : [...selected, name].slice(0, SELECTED) });
  }

  /** @param {number} index */
  #activate(index) {
    const total = this.rows?.total ?? 0;
    if (!total) return;
    this.#cards.get(this.#active)?.element.classList.remove("active");
    this.#active = Math.min(total - 1, Math.max(0, index));
    this.virtual.show(this.#active);
    this.#cards.get(this.#active)?.element.classList.add("active");
    this.element.setAttribute("aria-activedescendant", `item-${this.#active}`);
  }

  /** Go back to the grid, at a row. @param {number | null} index */
  focus(index) {
    this.element.focus({ preventScroll: true });
    this.#activate(index ?? this.#active);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { columns, lines } = this.virtual;
    const total = this.rows?.total ?? 0;
    /** @type {Record<string, number>} */
    const ways = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -columns * lines, PageDown: columns * lines, Home: -total, End: total };
    if (event.key in ways) {
      const to = this.#active + ways[event.key];
      if (event.shiftKey) this.#extend(Math.min(total - 1, Math.max(0, to)));
      this.#activate(to);
    } else if (event.key === "Enter") this.open(this.#active);
    else if (event.key === " ") this.#toggle(this.#active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/**
 * What a row does not have of the layer that is shown.
 * @param {string} layer @param {string[]} masks @param {string | null} truth @param {string | null} prediction
 */
function lacking(layer, masks, truth, prediction) {
  const has = (/** @type {string | null} */ key) => key !== null && masks.includes(key);
  if ((layer === "truth" || layer === "errors") && !has(truth)) return "no truth";
  return (layer === "prediction" || layer === "errors") && !has(prediction) ? "no prediction" : "";
}

/** The number of a row in its writer, which is what people count by. @param {string} row */
export function rowNumber(row) {
  return row.length > 12 ? `…${row.slice(-6)}` : row;
}

/**
 * What is said where there are no rows: why, and what to do.
 * @param {{scene: import("./model.js").Scene, problem: string | null, view: Readonly<import("./state.js").View>, info: import("./api.js").Info}} what
 */
function emptiness({ scene, problem, view, info }) {
  const say = (/** @type {string} */ title, /** @type {string} */ text) => [h("h2", {}, title), h("p", {}, text)];
  if (problem && view.sql) return say("The query cannot be answered", view.rail ? "The reason stands below it, on the left." : problem);
  if (problem) return say("The rows cannot be read", problem);
  if (!info.tables.length) return say("This store has no tables yet", "Log images with run.log(), and load this page again.");
  if (!scene.table) return say("This project has no tables", "Choose another project in the rail.");
  if (!scene.chosen.length) return say("No run is chosen", "Check a run in the rail.");
  if (view.range) return say("No row is in the brushed range", "Clear the range above.");
  if (view.sql) return say("The query returns no rows of these runs", "Change the query, or choose other runs in the rail.");
  return say("These runs have no rows here", "Choose another step or other runs in the rail.");
}
