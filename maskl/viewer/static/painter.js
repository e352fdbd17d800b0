// @ts-check
/** The page's side of a worker that paints. */

/** @typedef {{chosen: import("./paint.js").Chosen, weight: number, contours: boolean,
 *   errors: import("./paint.js").ErrorColors}} Look */
/** @typedef {{pixels: Uint8ClampedArray<ArrayBuffer>, width: number, height: number, notes: string[]}} Painted */

export class Painter {
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  #number = 0;
  /** @type {Error | null} */
  #broken = null;
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

  constructor() {
    this.#worker.addEventListener("message", ({ data }) => {
      const waiting = this.#waiting.get(data.number);
      this.#waiting.delete(data.number);
      if (data.error === undefined) waiting?.resolve(data.value);
      else waiting?.reject(new Error(data.error));
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#broken = new Error("What paints could not be loaded: load this page again.");
      for (const { reject } of this.#waiting.values()) reject(this.#broken);
      this.#waiting.clear();
    });
  }

  /**
   * @param {"paint" | "probe" | "warm"} kind
   * @param {object} body
   * @returns {Promise<any>}
   */
  #ask(kind, body) {
    if (this.#broken) return Promise.reject(this.#broken);
    const number = this.#number++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage({ number, kind, body });
    });
  }

  /**
   * @param {import("./worker.js").Work} work
   * @returns {Promise<Painted>}
   */
  paint(work) {
    return this.#ask("paint", work);
  }

  /**
   * Fetch what will be painted soon.
   * @param {string | null} photo
   * @param {string[]} masks
   * @param {number} maxPixels
   */
  warm(photo, masks, maxPixels) {
    return this.#ask("warm", { photo, masks, maxPixels });
  }

  /**
   * Return the ids of masks at a place, given as fractions of width and height.
   * @param {(string | null)[]} urls
   * @param {number} u
   * @param {number} v
   * @param {number} maxPixels
   * @returns {Promise<(number | null)[]>}
   */
  probe(urls, u, v, maxPixels) {
    return this.#ask("probe", { urls, u, v, maxPixels });
  }
}

/**
 * Put painted pixels into a canvas of exactly their size.
 * @param {HTMLCanvasElement} canvas
 * @param {Painted} painted
 */
export function put(canvas, { pixels, width, height }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d", { willReadFrequently: true })?.putImageData(new ImageData(pixels, width, height), 0, 0);
}
