// @ts-check
/** Thumbnails: painted by a worker of their own, only while they are seen, the latest first. */

import { imageUrl, maskUrl } from "./api.js";
import { classItems } from "./model.js";
import { Painter, put } from "./painter.js";

/** the longest side that is asked for, in pixels */
export const SIDE = 256;
/** how many are painted at a time */
const AT_ONCE = 6;
const MAX_PIXELS = SIDE * SIDE * 4;

export class Thumbnails {
  #painter = new Painter();
  /** @type {Map<HTMLCanvasElement, () => Promise<void>>} */
  #queue = new Map();
  #running = 0;

  /** @param {import("./model.js").Model} model */
  constructor(model) {
    this.model = model;
  }

  /** Forget what is no more seen. @param {HTMLCanvasElement} canvas */
  forget(canvas) {
    this.#queue.delete(canvas);
  }

  /**
   * Paint a row's thumbnail when its turn comes.
   * @param {HTMLCanvasElement} canvas
   * @param {import("./api.js").Row} row
   * @param {(problem: string, note: string) => void} done what is wrong, and what is to be said of what is painted
   */
  paint(canvas, row, done) {
    delete canvas.dataset.done;
    const work = this.#work(row);
    this.#queue.delete(canvas);
    this.#queue.set(canvas, async () => {
      try {
        const painted = await this.#painter.paint(work);
        if (!canvas.isConnected) return;
        put(canvas, painted);
        canvas.dataset.done = "";
        done("", painted.notes[0] ?? "");
      } catch (error) {
        canvas.width = canvas.height = 4; // empty: nothing of another row or look is left
        canvas.dataset.done = "";
        done(error instanceof Error ? error.message : String(error), "");
      }
    });
    this.#next();
  }

  #next() {
    while (this.#running < AT_ONCE && this.#queue.size) {
      const [canvas, job] = /** @type {[HTMLCanvasElement, () => Promise<void>]} */ (this.#queue.entries().next().value);
      this.#queue.delete(canvas);
      this.#running++;
      job().finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  /** @param {import("./api.js").Row} row @returns {import("./worker.js").Work} */
  #work(row) {
    const { scene, layer, look } = this.model;
    const column = scene.image?.column ?? "";
    const source = (/** @type {string | null} */ key) =>
      key !== null && row.masks.includes(key) ? { url: maskUrl(row, column, key, SIDE), classes: classItems(scene, key) } : null;
    const [truth, prediction] = [source(scene.truth), source(scene.prediction)];
    const missing = layer === "errors" && !(truth && prediction);
    const { width, height } = row.image ?? { width: null, height: null };
    const shrunk = Math.min(1, SIDE / Math.max(width ?? 4, height ?? 3));
    return {
      layer: missing ? "image" : layer,
      photo: row.image?.digest ? imageUrl(row.image.digest, SIDE) : null,
      width: Math.max(1, Math.round((width ?? 4) * shrunk)),
      height: Math.max(1, Math.round((height ?? 3) * shrunk)),
      truth,
      prediction,
      look: { ...look, contours: false },
      maxPixels: MAX_PIXELS,
    };
  }
}
