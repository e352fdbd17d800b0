// @ts-check
/** A worker that fetches photos and masks, keeps a few of them, and paints what it is asked for. */

import { get } from "./api.js";
import { decodePhoto } from "./photo.js";
import { indexed, paintErrors, paintMask, paintPhoto, palette, readHeader, toMask } from "./paint.js";

/** @typedef {import("./paint.js").Indexed} Indexed */
/** @typedef {import("./paint.js").ClassItem} ClassItem */
/** @typedef {{url: string, classes: ClassItem[]}} MaskSource */
/**
 * What to paint. `layer` "image" is the photo; "truth" and "prediction" are one mask over it.
 * @typedef {{layer: "image" | "truth" | "prediction" | "errors", photo: string | null, width: number, height: number,
 *   truth: MaskSource | null, prediction: MaskSource | null, look: import("./painter.js").Look, maxPixels: number}} Work
 */

/** bytes of what is kept decoded */
const KEPT = 96 << 20;

/** @type {Map<string, Promise<any>>} the oldest first */
const cache = new Map();
/** @type {Map<string, number>} */
const sizes = new Map();

/**
 * Return what `load` makes of a URL, once.
 * @template {{width: number, height: number}} T
 * @param {string} url
 * @param {number} bytes of a pixel
 * @param {() => Promise<T>} load
 * @returns {Promise<T>}
 */
function kept(url, bytes, load) {
  const known = cache.get(url);
  const value = known ?? load();
  cache.delete(url);
  cache.set(url, value);
  if (!known) {
    value.then(
      (loaded) => {
        sizes.set(url, loaded.width * loaded.height * bytes);
        forget();
      },
      () => cache.delete(url),
    );
  }
  return value;
}

function forget() {
  let total = 0;
  for (const size of sizes.values()) total += size;
  for (const url of [...cache.keys()]) {
    if (total <= KEPT || cache.size <= 12) return;
    total -= sizes.get(url) ?? 0;
    cache.delete(url);
    sizes.delete(url);
  }
}

/**
 * @param {string} url
 * @param {number} maxPixels
 * @returns {Promise<Indexed>}
 */
function mask(url, maxPixels) {
  return kept(url, 2, async () => {
    const body = await (await get(url)).arrayBuffer();
    const header = readHeader(body);
    check(header, maxPixels);
    const packed = new Blob([new Uint8Array(body, 16)]).stream();
    const plain = packed.pipeThrough(new DecompressionStream("deflate-raw"));
    return indexed(toMask(header, await new Response(plain).arrayBuffer()));
  });
}

/** @param {string} url @param {number} maxPixels */
function photo(url, maxPixels) {
  return kept(url, 4, async () => {
    return decodePhoto(await (await get(url)).blob(), (size) => check(size, maxPixels));
  });
}

/** @param {{width: number, height: number}} size @param {number} maxPixels */
function check({ width, height }, maxPixels) {
  if (width * height > maxPixels) {
    throw new Error(`${width} × ${height} pixels are more than the ${maxPixels.toLocaleString("en")} that are painted`);
  }
}

/** @param {ClassItem[]} classes */
function byId(classes) {
  return new Map(classes.map((item) => [item.id, item]));
}

/** @param {Work} work */
async function paint(work) {
  const { layer, look, maxPixels } = work;
  const source = layer === "truth" ? work.truth : layer === "prediction" ? work.prediction : null;
  const [picture, truth, prediction, one] = await Promise.all([
    work.photo === null ? null : photo(work.photo, maxPixels),
    layer === "errors" && work.truth ? mask(work.truth.url, maxPixels) : null,
    layer === "errors" && work.prediction ? mask(work.prediction.url, maxPixels) : null,
    source ? mask(source.url, maxPixels) : null,
  ]);
  const size = one ?? truth ?? picture ?? work;
  const { width, height } = size;
  const fits = picture && picture.width === width && picture.height === height;
  const under = fits ? picture.data : null;
  /** @type {string[]} */
  const notes = [];
  if (picture && !fits) {
    notes.push(`The mask has ${width} × ${height} pixels, the image ${picture.width} × ${picture.height}: it is shown alone.`);
  }
  let pixels;
  if (one && source) {
    const colors = palette(one, byId(source.classes), look.chosen);
    pixels = paintMask(under, one, colors, look.weight, look.contours);
  } else if (truth && prediction && work.truth && work.prediction) {
    if (truth.width !== prediction.width || truth.height !== prediction.height) {
      throw new Error(
        `The truth has ${truth.width} × ${truth.height} pixels, the prediction ${prediction.width} × ${prediction.height}: ` +
          "they cannot be compared pixel by pixel.",
      );
    }
    const [left, right] = [byId(work.truth.classes), byId(work.prediction.classes)];
    pixels = paintErrors(under, truth, left, prediction, right, look.chosen, look.weight, look.errors);
  } else {
    pixels = paintPhoto(under, width, height);
  }
  return { pixels, width, height, notes };
}

/**
 * The ids of masks under a pixel.
 * @param {{urls: (string | null)[], u: number, v: number, maxPixels: number}} question
 */
async function probe({ urls, u, v, maxPixels }) {
  return Promise.all(
    urls.map(async (url) => {
      if (url === null) return null;
      const { codes, values, width, height } = await mask(url, maxPixels);
      return values[codes[Math.min(height - 1, Math.floor(v * height)) * width + Math.min(width - 1, Math.floor(u * width))]];
    }),
  );
}

self.addEventListener("message", async ({ data }) => {
  const { number, kind, body } = data;
  try {
    if (kind === "paint") {
      const painted = await paint(body);
      self.postMessage({ number, value: painted }, { transfer: [painted.pixels.buffer] });
    } else if (kind === "probe") {
      self.postMessage({ number, value: await probe(body) });
    } else {
      await Promise.all([...body.masks.map((/** @type {string} */ url) => mask(url, body.maxPixels)), body.photo && photo(body.photo, body.maxPixels)]);
      self.postMessage({ number, value: null });
    }
  } catch (error) {
    self.postMessage({ number, error: error instanceof Error ? error.message : String(error) });
  }
});
