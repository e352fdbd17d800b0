// @ts-check
/** The strip under the panels: the pixel that is pointed at, its class in the truth and in every run. */

import { h } from "./dom.js";
import { runColor, runName } from "./model.js";
import { nameOf } from "./paint.js";
import { rowNumber } from "./grid.js";

/** @typedef {import("./detail.js").Entry} Entry */

export class Strip {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {{u: number, v: number} | null} */
  #at = null;
  /** @type {import("./panels.js").Panel | null} */
  #panel = null;
  #asking = false;
  #again = false;
  /** the classes at the place: of the truth, then of each run @type {(string | null)[]} */
  names = [];

  /** @param {import("./panels.js").Panels} panels @param {import("./model.js").Model} model */
  constructor(panels, model) {
    this.panels = panels;
    this.model = model;
    this.element = h("p", { class: "strip" });
    this.#rest();
  }

  #rest() {
    this.names = [];
    this.element.replaceChildren(h("span", { class: "soft" }, "Point at a pixel to read its classes; click a panel and use Shift + arrow keys to do so by keyboard."));
  }

  /** @param {Entry[]} entries */
  show(entries) {
    if (entries.length !== this.#entries.length) this.element.style.minHeight = "";
    this.element.hidden = !entries.some(({ picture, masks }) => picture || masks.size);
    this.#entries = entries;
    if (this.#at && entries.length) this.#ask();
    else this.#rest();
  }

  /** The view moved below the pointer. */
  moved() {
    this.panels.point(this.#at);
  }

  /** @param {{u: number, v: number, panel?: import("./panels.js").Panel} | null} at */
  point(at) {
    this.#at = at;
    this.#panel = at?.panel ?? this.#panel;
    this.panels.point(at);
    if (at) this.#ask();
    else this.#rest();
  }

  /** Point so many pixels further on. @param {number} dx @param {number} dy */
  step(dx, dy) {
    const [width, height] = this.#size();
    if (!width) return;
    const { u, v } = this.#at ?? this.#middle();
    const x = Math.min(width - 1, Math.max(0, Math.floor(u * width) + (this.#at ? dx : 0)));
    const y = Math.min(height - 1, Math.max(0, Math.floor(v * height) + (this.#at ? dy : 0)));
    this.point({ u: (x + 0.5) / width, v: (y + 0.5) / height });
  }

  #middle() {
    const { x, y } = this.model.view.zoom;
    return { u: x, v: y };
  }

  /** @returns {[number, number]} */
  #size() {
    const panel = this.panels.list.find((one) => one === this.#panel && one.width) ?? this.panels.list.find(({ width }) => width);
    return panel ? [panel.width, panel.height] : [0, 0];
  }

  /** the class that is pointed at: in the panel's own mask, else in the truth */
  get pointed() {
    if (!this.#at) return null;
    const run = this.#panel?.kind === "prediction" ? this.#entries.findIndex((entry) => entry === this.#panel?.entry) : -1;
    return this.names[run + 1] ?? this.names[0] ?? this.names.find((name) => name !== null) ?? null;
  }

  async #ask() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    do {
      this.#again = false;
      const at = this.#at;
      const entries = this.#entries;
      if (!at || !entries.length) break;
      const { truth, prediction } = this.model.scene;
      const url = (/** @type {Entry} */ entry, /** @type {string | null} */ key) => (key === null ? null : (entry.masks.get(key)?.url ?? null));
      const urls = [url(this.#entries[0], truth), ...this.#entries.map((entry) => url(entry, prediction))];
      const ids = await this.panels.painter.probe(urls, at.u, at.v, this.panels.maxPixels).catch((error) => String(error.message));
      // of a row that was left meanwhile nothing is told
      if (!this.#at || entries !== this.#entries) continue;
      if (typeof ids === "string") this.element.replaceChildren(h("span", { class: "soft" }, `The pixel cannot be read: ${ids}`));
      else this.#tell(at, ids);
    } while (this.#again);
    this.#asking = false;
  }

  /** @param {{u: number, v: number}} at @param {(number | null)[]} ids */
  #tell({ u, v }, ids) {
    const { scene } = this.model;
    const [width, height] = this.#size();
    const of = (/** @type {Entry} */ entry, /** @type {string | null} */ key) => entry.masks.get(key ?? "")?.classes ?? [];
    const classes = [of(this.#entries[0], scene.truth), ...this.#entries.map((entry) => of(entry, scene.prediction))];
    this.names = ids.map((id, at) => (id === null ? null : nameOf(new Map(classes[at].map((item) => [item.id, item])), id)));
    const label = (/** @type {number} */ at) => {
      const name = this.names[at];
      if (name === null) return [h("span", { class: "soft" }, "no mask")];
      const item = classes[at].find(({ id }) => id === ids[at]);
      const swatch = h("i", { class: "swatch", "aria-hidden": "true" });
      if (item) swatch.style.backgroundColor = item.color;
      return [swatch, h("b", { dir: "auto", title: name }, name), h("span", { class: "soft number" }, ids[at])];
    };
    const counts = !classes[0].find(({ id }) => id === ids[0])?.ignored;
    const parts = this.#entries.map((entry, at) => {
      const dot = h("i", { class: "dot", "aria-hidden": "true" });
      dot.style.backgroundColor = runColor(scene, entry.run);
      const wrong = counts && this.names[0] !== null && this.names[at + 1] !== null && this.names[0] !== this.names[at + 1];
      return h("span", { class: wrong ? "part wrong" : "part" }, dot, h("span", { class: "name", dir: "auto" }, runName(scene, entry.run)), ...label(at + 1), wrong && h("span", { class: "sign" }, "≠"));
    });
    this.element.replaceChildren(
      h("span", { class: "part soft number" }, `row ${rowNumber(this.#entries[0].row)}`),
      h("span", { class: "part number" }, `(${Math.min(width - 1, Math.floor(u * width))}, ${Math.min(height - 1, Math.floor(v * height))})`),
      h("span", { class: "part" }, h("span", { class: "soft" }, "truth"), ...label(0), !counts && h("span", { class: "soft" }, "ignored")),
      h("span", { class: "soft", "aria-hidden": "true" }, "→"),
      ...parts,
    );
    // it does not get lower again: the panels would move under the pointer
    this.element.style.minHeight = `${this.element.offsetHeight}px`;
  }
}
