// @ts-check
/** Panels of one row: photo, truth, predictions and errors, painted in their own pixels and moved by one transform. */

import { imageUrl } from "./api.js";
import { boxesOver } from "./boxes.js";
import { h } from "./dom.js";
import { runColor, runName } from "./model.js";
import { Painter, put } from "./painter.js";

/** @typedef {import("./detail.js").Entry} Entry */
/** @typedef {"image" | "truth" | "prediction" | "errors"} Kind */
/** @typedef {{key: string, kind: Kind, entry: Entry, figure: HTMLElement, viewport: HTMLElement, stage: HTMLElement,
 *   canvas: HTMLCanvasElement, title: HTMLElement, note: HTMLElement, cross: HTMLElement, boxes: HTMLElement, width: number, height: number,
 *   painting: boolean, again: boolean}} Panel */

const GAP = 8;
const TITLE = 26;
const TITLES = { image: "Image", truth: "Truth", prediction: "Prediction", errors: "Errors" };

export class Panels {
  painter = new Painter();
  /** @type {Panel[]} */
  list = [];
  /** @type {Map<string, Panel>} */
  #known = new Map();

  /** @param {import("./model.js").Model} model */
  constructor(model) {
    this.model = model;
    this.element = h("div", { class: "panels", tabindex: 0, role: "group", "aria-label": "Panels: plus and minus zoom, arrow keys move, shift and arrow keys point" });
    new ResizeObserver(() => this.arrange()).observe(this.element);
  }

  get maxPixels() {
    return this.model.info.limits.max_pixels;
  }

  /**
   * Show other rows, the opened one first.
   * @param {Entry[]} entries
   */
  show(entries) {
    const { hidden } = this.model.view;
    const [opened] = entries;
    /** @type {[Kind, Entry][]} */
    const wanted = [];
    const seen = opened && (opened.picture || opened.masks.size);
    if (seen) wanted.push(["image", opened], ["truth", opened]);
    for (const entry of seen ? entries : []) wanted.push(["prediction", entry], ["errors", entry]);
    this.element.dataset.of = opened?.row ?? "";
    const before = this.#known;
    this.#known = new Map();
    this.list = wanted
      .filter(([kind]) => !hidden.includes(kind))
      .map(([kind, entry]) => {
        const key = kind === "image" || kind === "truth" ? kind : `${kind} ${entry.run}`;
        const panel = before.get(key) ?? this.#make(key, kind, entry);
        panel.entry = entry;
        this.#known.set(key, panel);
        this.#describe(panel);
        return panel;
      });
    /** @type {HTMLElement[]} */
    const figures = this.list.map(({ figure }) => figure);
    if (opened && !figures.length) figures.push(h("p", { class: "hint nothing" }, seen ? "No panel is chosen: check one above." : "This row has no image."));
    if (figures.some((figure, at) => this.element.children[at] !== figure) || this.element.children.length !== figures.length) {
      this.element.replaceChildren(...figures);
    }
    this.arrange();
    return this.paint();
  }

  /** @param {string} key @param {Kind} kind @param {Entry} entry @returns {Panel} */
  #make(key, kind, entry) {
    const canvas = h("canvas", { role: "img" });
    const boxes = h("div", { class: "boxes" });
    const stage = h("div", { class: "stage" }, canvas, boxes);
    const cross = h("div", { class: "cross", hidden: true });
    const viewport = h("div", { class: "viewport" }, stage, cross);
    const title = h("figcaption", {});
    const note = h("p", { class: "note", hidden: true });
    const figure = h("figure", { class: "panel" }, title, viewport, note);
    return { key, kind, entry, figure, viewport, stage, canvas, title, note, cross, boxes, width: 0, height: 0, painting: false, again: false };
  }

  /** @param {Panel} panel */
  #describe(panel) {
    const { kind, entry, title, canvas } = panel;
    const { scene } = this.model;
    const ofRun = kind === "prediction" || kind === "errors";
    const dot = h("i", { class: "dot", "aria-hidden": "true" });
    dot.style.backgroundColor = runColor(scene, entry.run);
    const score = kind === "prediction" ? entry.scores?.mean_iou : null;
    title.replaceChildren(
      h("b", {}, TITLES[kind]),
      ...(ofRun ? [dot, h("span", { class: "name", dir: "auto" }, runName(scene, entry.run))] : []),
      ...(score !== null && score !== undefined ? [h("span", { class: "soft number", title: "mean IoU of this image" }, score.toFixed(3))] : []),
    );
    canvas.setAttribute("aria-label", [TITLES[kind], ofRun && runName(scene, entry.run), entry.picture?.caption].filter(Boolean).join(", "));
    if (canvas.dataset.row !== entry.row || canvas.dataset.run !== entry.run) delete canvas.dataset.painted;
    Object.assign(canvas.dataset, { panel: kind, run: entry.run, row: entry.row });
  }

  /** Why a panel has nothing to paint, or "". @param {Panel} panel */
  #lack({ kind, entry }) {
    const { truth, prediction } = this.model.scene;
    const has = (/** @type {string | null} */ key) => key !== null && entry.masks.has(key);
    if (entry.missing) return entry.missing;
    if (kind === "image" && !entry.picture?.digest) {
      return entry.picture?.reference ? `The pixels are not in the store: ${entry.picture.reference}` : "This row has no image.";
    }
    if ((kind === "truth" || kind === "errors") && !has(truth)) return truth === null ? "No truth is chosen." : `This row has no mask “${truth}”.`;
    if ((kind === "prediction" || kind === "errors") && !has(prediction)) return prediction === null ? "No prediction is chosen." : `This row has no mask “${prediction}”.`;
    return "";
  }

  /** @returns {Promise<any>} when all is painted */
  paint() {
    return Promise.all(this.list.map((panel) => this.#paint(panel)));
  }

  /** Paint in another look, which a photo alone does not have. */
  repaint() {
    for (const panel of this.list) {
      if (panel.kind === "image") boxesOver(panel, this.model);
      else this.#paint(panel);
    }
  }

  /** Paint a panel; what is asked for meanwhile is painted after it, once. @param {Panel} panel */
  async #paint(panel) {
    delete panel.canvas.dataset.painted;
    if (panel.painting) {
      panel.again = true;
      return;
    }
    const { canvas } = panel;
    panel.painting = true;
    do {
      panel.again = false;
      const lack = this.#lack(panel);
      if (lack) {
        this.#say(panel, lack);
        canvas.remove();
        continue;
      }
      try {
        const painted = await this.painter.paint(this.#work(panel));
        if (panel.again) continue;
        put(canvas, painted);
        if (!canvas.isConnected) panel.stage.prepend(canvas);
        [panel.width, panel.height] = [painted.width, painted.height];
        this.#say(panel, painted.notes.join(" "));
        boxesOver(panel, this.model);
        this.#place(panel);
        canvas.dataset.painted = "";
      } catch (error) {
        if (panel.again) continue;
        canvas.remove();
        this.#say(panel, error instanceof Error ? error.message : String(error));
      }
    } while (panel.again);
    panel.painting = false;
  }

  /** @param {Panel} panel @param {string} text */
  #say({ note }, text) {
    note.textContent = text;
    note.hidden = !text;
  }

  /** @param {Panel} panel @returns {import("./worker.js").Work} */
  #work({ kind, entry }) {
    const { scene, look } = this.model;
    const source = (/** @type {string | null} */ key) => {
      const mask = key === null ? undefined : entry.masks.get(key);
      return mask ? { url: mask.url, classes: mask.classes } : null;
    };
    return {
      layer: kind,
      photo: entry.picture?.digest ? imageUrl(entry.picture.digest) : null,
      width: entry.picture?.width ?? 1,
      height: entry.picture?.height ?? 1,
      truth: source(scene.truth),
      prediction: source(scene.prediction),
      look,
      maxPixels: this.maxPixels,
    };
  }

  /** Fetch the pixels of rows that are likely to be next. @param {Entry[]} entries */
  async warm(entries) {
    const { truth, prediction } = this.model.scene;
    const photo = entries[0]?.picture?.digest;
    const masks = entries.flatMap(({ masks: of }, at) => [...(at ? [] : [truth]), prediction].map((key) => of.get(key ?? "")?.url));
    // what cannot be fetched is said when it is to be painted
    await this.painter.warm(photo ? imageUrl(photo) : null, masks.filter((url) => url !== undefined), this.maxPixels).catch(() => {});
  }

  /** Choose as many columns as make the panels largest. */
  arrange() {
    const room = [this.element.clientWidth, this.element.clientHeight];
    const count = this.list.length;
    if (!count || !room[0] || !room[1]) return;
    const sized = this.list.find(({ width }) => width) ?? { width: 4, height: 3 };
    const aspect = Math.min(4, Math.max(0.25, sized.width / sized.height));
    let best = { columns: 1, shown: 0, height: 0 };
    for (let columns = 1; columns <= count; columns++) {
      const lines = Math.ceil(count / columns);
      const width = (room[0] - GAP * (columns + 1)) / columns;
      const height = (room[1] - GAP * (lines + 1)) / lines - TITLE;
      const shown = Math.min(width, height * aspect);
      if (shown > best.shown) best = { columns, shown, height: Math.min(height, width / aspect) };
    }
    this.element.style.gridTemplateColumns = `repeat(${best.columns}, minmax(0, 1fr))`;
    this.element.style.gridAutoRows = `${Math.floor(Math.max(120, best.height)) + TITLE}px`;
    this.place();
  }

  place() {
    for (const panel of this.list) this.#place(panel);
  }

  /** Pixels of the screen for one of the panel's. @param {Panel} panel */
  scaleOf({ viewport, width, height }) {
    const fit = Math.min(viewport.clientWidth / width, viewport.clientHeight / height);
    return fit * this.model.view.zoom.scale;
  }

  /** @param {Panel} panel */
  #place(panel) {
    const { viewport, stage, canvas, width, height } = panel;
    if (!width || !viewport.clientWidth) return;
    const { x, y } = this.model.view.zoom;
    const scale = this.scaleOf(panel);
    const left = viewport.clientWidth / 2 - x * width * scale;
    const top = viewport.clientHeight / 2 - y * height * scale;
    stage.style.width = `${width}px`;
    stage.style.height = `${height}px`;
    stage.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    canvas.classList.toggle("pixelated", scale * devicePixelRatio > 1);
  }

  /**
   * The panel and the fractions of its picture under a point of the screen.
   * @param {number} clientX
   * @param {number} clientY
   */
  under(clientX, clientY) {
    for (const panel of this.list) {
      const box = panel.viewport.getBoundingClientRect();
      if (clientX < box.left || clientX >= box.right || clientY < box.top || clientY >= box.bottom || !panel.width) continue;
      const { x, y } = this.model.view.zoom;
      const scale = this.scaleOf(panel);
      const u = (clientX - box.left - panel.viewport.clientWidth / 2) / (panel.width * scale) + x;
      const v = (clientY - box.top - panel.viewport.clientHeight / 2) / (panel.height * scale) + y;
      return { panel, u, v };
    }
    return null;
  }

  /** Mark a place in every panel, or none. @param {{u: number, v: number} | null} at */
  point(at) {
    for (const panel of this.list) {
      panel.cross.hidden = !at || !panel.width;
      if (!at || !panel.width) continue;
      const { x, y } = this.model.view.zoom;
      const scale = this.scaleOf(panel);
      const left = panel.viewport.clientWidth / 2 + (at.u - x) * panel.width * scale;
      const top = panel.viewport.clientHeight / 2 + (at.v - y) * panel.height * scale;
      panel.cross.style.transform = `translate(${left}px, ${top}px)`;
    }
  }
}
