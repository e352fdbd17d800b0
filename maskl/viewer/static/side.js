// @ts-check
/** Beside the panels: IoU of each class as bars, the row's values, and lines that give this row. */

import { button, copy } from "./controls.js";
import { h, score, shown } from "./dom.js";
import { runColor, runName } from "./model.js";

/** @typedef {import("./detail.js").Entry} Entry */

export class Side {
  /** @param {import("./model.js").Model} model */
  constructor(model) {
    this.model = model;
    this.element = h("aside", { class: "side", "aria-label": "This row" });
  }

  /** @param {Entry[]} entries the opened one first */
  show(entries) {
    const [opened] = entries;
    this.element.replaceChildren(
      ...[this.#scores(entries), this.#values(opened), this.#lines(opened)].filter((part) => part !== null),
    );
    this.mark();
  }

  /** Mark the classes that are on. */
  mark() {
    for (const bar of /** @type {NodeListOf<HTMLElement>} */ (this.element.querySelectorAll("[data-name]"))) {
      bar.classList.toggle("off", !this.model.isOn(bar.dataset.name ?? ""));
    }
  }

  /** @param {Entry[]} entries */
  #scores(entries) {
    const scored = entries.filter((entry) => entry.scores);
    if (!scored.length) return null;
    const { scene } = this.model;
    const means = scored.map((entry) => {
      const dot = h("i", { class: "dot" });
      dot.style.backgroundColor = runColor(scene, entry.run);
      return h("tr", {}, h("th", { scope: "row" }, dot, h("span", { class: "name", dir: "auto" }, runName(scene, entry.run))), ...[entry.scores?.mean_iou, entry.scores?.mean_dice, entry.scores?.pixel_accuracy].map((value) => h("td", {}, score(value))));
    });
    const head = h("tr", {}, h("th", { scope: "col" }, "run"), ...[["mIoU", "mean IoU"], ["mDice", "mean Dice"], ["acc.", "pixel accuracy"]].map(([name, title]) => h("th", { scope: "col", title }, name)));
    return h("section", {}, h("h2", {}, "Scores of this image"), h("table", { class: "scores" }, h("thead", {}, head), h("tbody", {}, ...means)), this.#bars(scored));
  }

  /** @param {Entry[]} scored */
  #bars(scored) {
    const { scene } = this.model;
    const found = new Map(scene.classes.map((item) => [item.name, item.color]));
    const names = [...new Set(scored.flatMap((entry) => entry.scores?.classes.map(({ name }) => name) ?? []))];
    const of = (/** @type {Entry} */ entry, /** @type {string} */ name) => entry.scores?.classes.find((item) => item.name === name)?.iou ?? null;
    const least = (/** @type {string} */ name) => Math.min(...scored.map((entry) => of(entry, name) ?? 2));
    names.sort((a, b) => least(a) - least(b));
    return h("ul", { class: scored.length > 2 ? "ious many" : "ious", "aria-label": "IoU of each class, worst first; click for this class alone" }, ...names.map((name) => {
      const swatch = h("i", { class: "swatch" });
      swatch.style.backgroundColor = found.get(name) ?? "";
      const bars = scored.map((entry) => {
        const iou = of(entry, name);
        const fill = h("i", {});
        fill.style.width = `${100 * (iou ?? 0)}%`;
        fill.style.backgroundColor = scored.length > 1 ? runColor(scene, entry.run) : "";
        return h("span", { class: "track" }, fill);
      });
      const numbers = h("span", { class: "number" }, scored.map((entry) => score(of(entry, name))).join(" "));
      numbers.style.minWidth = `${6 * scored.length - 1}ch`; // so that bars are one below the other
      return h("li", { dataset: { name } }, h("button", { type: "button", class: "quiet iou", onclick: () => this.model.isolate(name), title: `only ${name}` }, swatch, h("span", { class: "name", dir: "auto" }, name), h("span", { class: "tracks" }, ...bars), numbers));
    }));
  }

  /** @param {Entry} opened */
  #values(opened) {
    const fixed = [["run", runName(this.model.scene, opened.run)], ["_row", opened.row], ["_step", shown(opened.step)]];
    if (opened.picture?.width) fixed.push(["image", `${opened.picture.width} × ${opened.picture.height}${opened.picture.format ? ` ${opened.picture.format}` : ""}`]);
    const values = [...fixed, ...Object.entries(opened.values)];
    return h("section", {}, h("h2", {}, "Values"), h("dl", {}, ...values.map(([name, value]) => h("div", {}, h("dt", { dir: "auto" }, name), h("dd", { dir: "auto" }, shown(value))))));
  }

  /** @param {Entry} opened */
  #lines(opened) {
    const line = (/** @type {string} */ title, /** @type {string} */ text) => h("div", { class: "copyable" }, h("div", { class: "heading" }, h("h3", {}, title), button(`Copy ${title}`, () => copy(text, title), { icon: "copy" })), h("pre", { tabindex: 0, "aria-label": title }, text));
    return h("section", {}, h("h2", {}, "This row elsewhere"), line("Python", opened.python), line("SQL", opened.sql));
  }
}
