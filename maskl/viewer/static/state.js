// @ts-check
/** What the page shows, kept in `location.hash` alone: a link, the back button and a reload give the same picture. */

/**
 * @typedef {object} View
 * @property {string | null} project
 * @property {string | null} table
 * @property {string[] | null} runs their ids; null is the newest
 * @property {string | null} image the column
 * @property {string | null} truth a mask's key; "" is none
 * @property {string | null} prediction
 * @property {number | "all" | null} step null is each run's last
 * @property {string} sql
 * @property {string | null} sort null is the rows' own order, or the query's
 * @property {boolean} descending
 * @property {[number, number] | null} range what is brushed of the sorted number
 * @property {import("./paint.js").Chosen} chosen the classes
 * @property {number} opacity percent
 * @property {boolean} contours
 * @property {"image" | "truth" | "prediction" | "errors"} layer of the grid
 * @property {number} size of thumbnails, in CSS pixels
 * @property {string[]} columns that the grid shows
 * @property {{run: string, table: string, row: string} | null} open the row that is looked at
 * @property {number | null} at its place among the rows
 * @property {string[]} hidden panels
 * @property {string[]} boxes keys of boxes that are not drawn
 * @property {{scale: number, x: number, y: number}} zoom times the fit, and the middle as fractions
 * @property {string[]} selected addresses, as `address` writes them
 * @property {"" | "light" | "dark"} theme "" is the system's
 * @property {boolean} rail
 * @property {boolean} keys whether single keys do something
 */

/** @type {Readonly<View>} */
export const INITIAL = {
  project: null,
  table: null,
  runs: null,
  image: null,
  truth: null,
  prediction: null,
  step: null,
  sql: "",
  sort: null,
  descending: false,
  range: null,
  chosen: { mode: "all", names: [] },
  opacity: 50,
  contours: false,
  layer: "prediction",
  size: 176,
  columns: [],
  open: null,
  at: null,
  hidden: [],
  boxes: [],
  zoom: { scale: 1, x: 0.5, y: 0.5 },
  selected: [],
  theme: "",
  rail: true,
  keys: true,
};

const LAYERS = ["image", "truth", "prediction", "errors"];
/** how long changes of one kind wait to be one entry of the address, in ms */
const PAUSE = 200;

/** The address of a row as text. @param {{run: string, table: string, row: string}} row */
export function address({ run, table, row }) {
  return JSON.stringify([run, table, row]);
}

/** @param {string} text @returns {{run: string, table: string, row: string} | null} */
export function parseAddress(text) {
  try {
    const parts = JSON.parse(text);
    if (!Array.isArray(parts) || parts.length !== 3 || parts.some((part) => typeof part !== "string")) return null;
    return /^\d{1,20}$/.test(parts[2]) ? { run: parts[0], table: parts[1], row: parts[2] } : null;
  } catch {
    return null;
  }
}

/** @param {string | null} text @param {number} least @param {number} most @param {number} otherwise */
function number(text, least, most, otherwise) {
  const value = text === null || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
}

/**
 * Read a view from a hash; what is not understood stays as it is at the start.
 * @param {string} hash
 * @returns {View}
 */
export function parse(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  /** @param {string} name */
  const list = (name) => fields.getAll(name).filter((text) => text !== "");
  const range = (fields.get("range") ?? "").split("~").map((text) => (text === "" ? Number.NaN : Number(text)));
  const zoom = (fields.get("zoom") ?? "").split("~");
  const layer = fields.get("layer") ?? "";
  const theme = fields.get("theme") ?? "";
  const step = fields.get("step") ?? "";
  return {
    project: fields.get("project"),
    table: fields.get("table"),
    runs: fields.has("run") ? list("run") : null,
    image: fields.get("image"),
    truth: fields.get("truth"),
    prediction: fields.get("prediction"),
    step: step === "all" ? step : /^-?\d{1,15}$/.test(step) ? Number(step) : null,
    sql: fields.get("sql") ?? "",
    sort: fields.get("sort"),
    descending: fields.has("desc"),
    range: range.length === 2 && range.every(Number.isFinite) ? [range[0], range[1]] : null,
    chosen: fields.has("only") ? { mode: "only", names: list("only") } : { mode: "all", names: list("off") },
    opacity: Math.round(number(fields.get("opacity"), 0, 100, INITIAL.opacity)),
    contours: fields.has("contours"),
    layer: LAYERS.includes(layer) ? /** @type {View["layer"]} */ (layer) : INITIAL.layer,
    size: Math.round(number(fields.get("size"), 96, 320, INITIAL.size)),
    columns: list("column"),
    open: parseAddress(fields.get("open") ?? ""),
    at: /^\d{1,12}$/.test(fields.get("at") ?? "") ? Number(fields.get("at")) : null,
    hidden: list("hide"),
    boxes: list("nobox"),
    zoom: {
      scale: number(zoom[0] ?? null, 0.1, 256, 1),
      x: number(zoom[1] ?? null, 0, 1, 0.5),
      y: number(zoom[2] ?? null, 0, 1, 0.5),
    },
    selected: list("select").filter((text) => parseAddress(text)),
    theme: theme === "light" || theme === "dark" ? theme : "",
    rail: fields.get("rail") !== "0",
    keys: fields.get("keys") !== "0",
  };
}

/**
 * Write a view as a hash; what is as at the start is left out.
 * @param {View} view
 */
export function format(view) {
  const fields = new URLSearchParams();
  /** @param {string} name @param {string | number | null} value */
  const put = (name, value) => value !== null && fields.append(name, String(value));
  /** @param {string} name @param {string[]} values */
  const each = (name, values) => values.forEach((value) => fields.append(name, value));
  put("project", view.project);
  put("table", view.table);
  if (view.runs) each("run", view.runs.length ? view.runs : [""]);
  put("image", view.image);
  put("truth", view.truth);
  put("prediction", view.prediction);
  put("step", view.step);
  put("sql", view.sql || null);
  put("sort", view.sort);
  put("desc", view.descending ? 1 : null);
  put("range", view.range && view.range.join("~"));
  if (view.chosen.mode === "only") each("only", view.chosen.names.length ? view.chosen.names : [""]);
  else each("off", view.chosen.names);
  put("opacity", view.opacity === INITIAL.opacity ? null : view.opacity);
  put("contours", view.contours ? 1 : null);
  put("layer", view.layer === INITIAL.layer ? null : view.layer);
  put("size", view.size === INITIAL.size ? null : view.size);
  each("column", view.columns);
  put("open", view.open && address(view.open));
  put("at", view.at);
  each("hide", view.hidden);
  each("nobox", view.boxes);
  const { scale, x, y } = view.zoom;
  if (scale !== 1 || x !== 0.5 || y !== 0.5) put("zoom", [scale, x, y].map((part) => +part.toFixed(5)).join("~"));
  each("select", view.selected);
  put("theme", view.theme || null);
  put("rail", view.rail ? null : 0);
  put("keys", view.keys ? null : 0);
  const text = fields.toString();
  return text ? `#${text}` : "";
}

/** @typedef {(changed: Set<keyof View>, view: View) => void} Listener */

/** The one place that reads and writes the address. */
export class State {
  /** @type {View} */
  #view = parse(location.hash);
  /** @type {Set<Listener>} */
  #listeners = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #waiting;

  constructor() {
    addEventListener("popstate", () => this.#read());
    addEventListener("hashchange", () => this.#read());
    addEventListener("pagehide", () => this.#write());
  }

  /** @returns {Readonly<View>} */
  get view() {
    return this.#view;
  }

  /** @param {Listener} listener */
  listen(listener) {
    this.#listeners.add(listener);
  }

  /**
   * Change the view. What comes in floods, as of a slider, replaces the entry of the history that is there.
   * @param {Partial<View>} change
   * @param {{replace?: boolean}} [how]
   */
  set(change, { replace = false } = {}) {
    const view = { ...this.#view, ...change };
    const changed = differences(this.#view, view);
    if (!changed.size) return;
    if (!replace) this.#write();
    this.#view = view;
    if (replace) {
      clearTimeout(this.#waiting);
      this.#waiting = setTimeout(() => this.#write(), PAUSE);
    } else {
      history.pushState(null, "", this.#address());
    }
    this.#tell(changed);
  }

  #address() {
    return location.pathname + location.search + format(this.#view);
  }

  #write() {
    if (this.#waiting === undefined) return;
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    history.replaceState(null, "", this.#address());
  }

  #read() {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    const view = parse(location.hash);
    const changed = differences(this.#view, view);
    this.#view = view;
    if (changed.size) this.#tell(changed);
  }

  /** @param {Set<keyof View>} changed */
  #tell(changed) {
    for (const listener of this.#listeners) listener(changed, this.#view);
  }
}

/** @param {View} before @param {View} after */
function differences(before, after) {
  const keys = /** @type {(keyof View)[]} */ (Object.keys(INITIAL));
  return new Set(keys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key])));
}
