// @ts-check
/**
 * Pixels: masks and errors painted over a photo, as pure functions over typed arrays.
 *
 * No DOM and no fetch: the worker, thumbnails and exported pages paint with the same lines.
 */

/** @typedef {Uint8Array | Uint16Array | Int32Array} Ids */
/** @typedef {{ids: Ids, width: number, height: number}} Mask */
/** @typedef {{mode: "all", names: string[]} | {mode: "only", names: string[]}} Chosen "all" but the names, or "only" them */
/** @typedef {{id: number, name: string, color: string, ignored: boolean}} ClassItem */
/** @typedef {{missed: string, false: string, wrong: string, stripes: string[]}} ErrorColors */
/**
 * A mask whose ids are codes: places in `values`, which has the id of each code.
 * @typedef {{codes: Uint8Array | Uint16Array | Uint32Array, values: Float64Array, present: number[], width: number, height: number}} Indexed
 */
/** What a code is painted in: packed red, green and blue, and whether its class is on.
 * @typedef {{colors: Uint32Array, on: Uint8Array}} Palette */

export const HEADER = 16;
/** what stands for a photo that is not there */
export const GREY = 128;
export const STRIPE_WIDTH = 4;

/**
 * Read the 16 bytes before the ids of a mask.
 * @param {ArrayBuffer} body
 * @returns {{bytes: number, signed: boolean, width: number, height: number}}
 */
export function readHeader(body) {
  if (body.byteLength < HEADER) throw new Error("a mask of this store is cut off");
  const view = new DataView(body);
  const magic = String.fromCharCode(...new Uint8Array(body, 0, 4));
  const bytes = view.getUint8(4);
  const signed = view.getUint8(5) === 1;
  if (magic !== "MKV1" || ![1, 2, 4].includes(bytes) || signed !== (bytes === 4)) {
    throw new Error(`expected a mask of the form MKV1; got ${magic}, ${bytes} bytes`);
  }
  return { bytes, signed, width: view.getUint32(8, true), height: view.getUint32(12, true) };
}

/**
 * Return a mask of its header and its inflated ids.
 * @param {{bytes: number, width: number, height: number}} header
 * @param {ArrayBuffer} inflated
 * @returns {Mask}
 */
export function toMask(header, inflated) {
  const { bytes, width, height } = header;
  if (inflated.byteLength !== bytes * width * height) {
    throw new Error(`expected ${bytes * width * height} bytes of a mask; got ${inflated.byteLength}`);
  }
  const ids = bytes === 1 ? new Uint8Array(inflated) : bytes === 2 ? new Uint16Array(inflated) : new Int32Array(inflated);
  return { ids, width, height };
}

/** ids that are their own codes */
const SAME = Float64Array.from({ length: 65536 }, (_, id) => id);

/**
 * Give each id of a mask a code. Narrow ids are their own codes; wide ones are counted off.
 * @param {Mask} mask
 * @returns {Indexed}
 */
export function indexed({ ids, width, height }) {
  if (!(ids instanceof Int32Array)) {
    const seen = new Uint8Array(ids instanceof Uint8Array ? 256 : 65536);
    for (let at = 0; at < ids.length; at++) seen[ids[at]] = 1;
    const present = [];
    for (let code = 0; code < seen.length; code++) if (seen[code]) present.push(code);
    return { codes: ids, values: SAME.subarray(0, seen.length), present, width, height };
  }
  /** @type {Map<number, number>} */
  const places = new Map();
  const codes = new Uint32Array(ids.length);
  let last = ids[0] ?? 0;
  let code = 0;
  if (ids.length) places.set(last, 0);
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at];
    if (id !== last) {
      const known = places.get(id);
      code = known ?? places.size;
      if (known === undefined) places.set(id, code);
      last = id;
    }
    codes[at] = code;
  }
  return { codes, values: Float64Array.from(places.keys()), present: [...places.values()], width, height };
}

/**
 * The name of an id: its class's, `class_<id>` where it has none.
 * @param {Map<number, ClassItem>} classes
 * @param {number} id
 */
export function nameOf(classes, id) {
  return classes.get(id)?.name ?? `class_${id}`;
}

/**
 * Whether a class is on.
 * @param {Chosen} chosen
 * @param {string} name
 */
export function isOn(chosen, name) {
  return chosen.names.includes(name) === (chosen.mode === "only");
}

/** @param {string} text `#rrggbb` as one number */
export function parseColor(text) {
  return Number.parseInt(text.slice(1), 16);
}

/**
 * The weight of a colour over the photo, 0 to 255.
 * @param {number} percent
 */
export function weightOf(percent) {
  return Math.floor((255 * percent) / 100 + 0.5);
}

/**
 * Return the colours of a mask's codes, and which are on.
 * @param {Indexed} mask
 * @param {Map<number, ClassItem>} classes
 * @param {Chosen} chosen
 * @returns {Palette}
 */
export function palette(mask, classes, chosen) {
  const rgb = new Uint32Array(mask.values.length);
  const on = new Uint8Array(mask.values.length);
  const names = chosenSet(chosen);
  for (const code of mask.present) {
    const id = mask.values[code];
    const color = classes.get(id)?.color;
    rgb[code] = color ? parseColor(color) : classColor(id);
    on[code] = names(nameOf(classes, id)) ? 1 : 0;
  }
  return { colors: rgb, on };
}

/** @param {Chosen} chosen @returns {(name: string) => boolean} */
function chosenSet(chosen) {
  const names = new Set(chosen.names);
  return (name) => names.has(name) === (chosen.mode === "only");
}

/** Divide by 255, rounding down: exact below 65,535. @param {number} value */
function by255(value) {
  return (value + 1 + (value >> 8)) >> 8;
}

/**
 * Paint a mask over a photo: `(photo * (255 - a) + colour * a + 127) // 255`, a class that is off leaves the photo.
 * @param {Uint8ClampedArray | null} photo RGBA of the mask's size; grey where there is none
 * @param {Indexed} mask
 * @param {Palette} look
 * @param {number} weight
 * @param {boolean} contours
 */
export function paintMask(photo, mask, look, weight, contours) {
  const { codes, width, height } = mask;
  const { colors, on } = look;
  const out = new Uint8ClampedArray(codes.length * 4);
  const rest = 255 - weight;
  // neighbours mostly have one id: what depends on it is worked out where it changes
  let [last, shown, red, green, blue] = [-1, 0, 0, 0, 0];
  for (let at = 0, to = 0; at < codes.length; at++, to += 4) {
    const code = codes[at];
    if (code !== last) {
      const color = colors[code];
      [last, shown] = [code, on[code]];
      red = (color >> 16) * weight + 127;
      green = ((color >> 8) & 255) * weight + 127;
      blue = (color & 255) * weight + 127;
    }
    const r = photo ? photo[to] : GREY;
    const g = photo ? photo[to + 1] : GREY;
    const b = photo ? photo[to + 2] : GREY;
    out[to] = shown ? by255(r * rest + red) : r;
    out[to + 1] = shown ? by255(g * rest + green) : g;
    out[to + 2] = shown ? by255(b * rest + blue) : b;
    out[to + 3] = 255;
  }
  if (contours) outline(out, codes, look, width, height);
  return out;
}

/**
 * Paint what borders on another id, to the right or below, in its full colour.
 * @param {Uint8ClampedArray} out
 * @param {Indexed["codes"]} codes
 * @param {Palette} look
 * @param {number} width
 * @param {number} height
 */
function outline(out, codes, { colors, on }, width, height) {
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const code = codes[at];
      const edge = (x + 1 < width && codes[at + 1] !== code) || (y + 1 < height && codes[at + width] !== code);
      if (!edge || !on[code]) continue;
      const color = colors[code];
      out[4 * at] = color >> 16;
      out[4 * at + 1] = (color >> 8) & 255;
      out[4 * at + 2] = color & 255;
    }
  }
}

/** kinds of pixels of an error layer, by their places in its colours */
const [RIGHT, MISSED, FALSE, WRONG, SKIPPED] = [0, 1, 2, 3, 4];

/**
 * Paint where a prediction is wrong over a photo. Classes match by name; a pixel counts where the truth's class is not
 * ignored. Missed is painted in diagonal lines, false in dots, wrong class whole; between lines and dots at half the
 * weight. What does not count is striped.
 * @param {Uint8ClampedArray | null} photo RGBA of the masks' size
 * @param {Indexed} truth
 * @param {Map<number, ClassItem>} truthClasses
 * @param {Indexed} prediction
 * @param {Map<number, ClassItem>} predictionClasses
 * @param {Chosen} chosen
 * @param {number} weight
 * @param {ErrorColors} colors
 */
export function paintErrors(photo, truth, truthClasses, prediction, predictionClasses, chosen, weight, colors) {
  const { width, height } = truth;
  const on = chosenSet(chosen);
  /** @type {Map<string, number>} */
  const numbers = new Map();
  const left = sides(truth, truthClasses, numbers, on, true);
  const right = sides(prediction, predictionClasses, numbers, on, false);
  const paints = [0, colors.missed, colors.false, colors.wrong].map((text) => (text ? parseColor(String(text)) : 0));
  const stripes = colors.stripes.map(parseColor);
  const out = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const t = truth.codes[at];
      const p = prediction.codes[at];
      const to = 4 * at;
      const r = photo ? photo[to] : GREY;
      const g = photo ? photo[to + 1] : GREY;
      const b = photo ? photo[to + 2] : GREY;
      let kind = RIGHT;
      if (left.skipped[t]) kind = SKIPPED;
      else if (left.numbers[t] !== right.numbers[p]) kind = (left.on[t] ? MISSED : RIGHT) | (right.on[p] ? FALSE : RIGHT);
      let color = paints[kind] ?? 0;
      let a = weight;
      if (kind === RIGHT) a = 0;
      else if (kind === SKIPPED) color = stripes[((x + y) / STRIPE_WIDTH) & 1];
      else if (kind === MISSED && ((x + y) & 7) >= 4) a = weight >> 1;
      else if (kind === FALSE && !((x & 3) < 2 && (y & 3) < 2)) a = weight >> 1;
      out[to] = a ? by255(r * (255 - a) + (color >> 16) * a + 127) : r;
      out[to + 1] = a ? by255(g * (255 - a) + ((color >> 8) & 255) * a + 127) : g;
      out[to + 2] = a ? by255(b * (255 - a) + (color & 255) * a + 127) : b;
      out[to + 3] = 255;
    }
  }
  return out;
}

/**
 * What an error layer asks of each code of one side.
 * @param {Indexed} mask
 * @param {Map<number, ClassItem>} classes
 * @param {Map<string, number>} numbers of names, which are added to
 * @param {(name: string) => boolean} chosen
 * @param {boolean} truth
 */
function sides(mask, classes, numbers, chosen, truth) {
  const found = {
    numbers: new Int32Array(mask.values.length),
    on: new Uint8Array(mask.values.length),
    skipped: new Uint8Array(mask.values.length),
  };
  for (const code of mask.present) {
    const id = mask.values[code];
    const name = nameOf(classes, id);
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    found.numbers[code] = numbers.get(name) ?? 0;
    found.on[code] = chosen(name) ? 1 : 0;
    found.skipped[code] = truth && classes.get(id)?.ignored ? 1 : 0;
  }
  return found;
}

/**
 * A photo alone, or grey: what a panel without a mask shows.
 * @param {Uint8ClampedArray | null} photo
 * @param {number} width
 * @param {number} height
 */
export function paintPhoto(photo, width, height) {
  const out = photo ? new Uint8ClampedArray(photo) : new Uint8ClampedArray(width * height * 4).fill(GREY);
  for (let at = 3; at < out.length; at += 4) out[at] = 255;
  return out;
}

const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5));
const TONES = [[0.66, 0.18], [0.55, 0.19], [0.74, 0.16], [0.51, 0.13], [0.38, 0.14]];
const FIRST_HUE = 2.9;

/**
 * The colour of an id that has none: the same rule as `class_color` of maskl/drawing/overlay.py.
 * @param {number} id
 */
export function classColor(id) {
  const [lightness, chroma] = TONES[((id % 5) + 5) % 5];
  const angle = FIRST_HUE + id * GOLDEN_ANGLE;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const red = gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short);
  const green = gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short);
  const blue = gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short);
  return (red << 16) | (green << 8) | blue;
}

/** @param {number} linear */
function gamma(linear) {
  const light = Math.min(Math.max(linear, 0), 1);
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
}
