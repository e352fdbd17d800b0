// @ts-check
/** What the server answers, by route; its refusals are errors that say what it said. */

/** @typedef {{run_id: string, name: string, project: string | null, group: string | null, state: string, started: string | null, tables: string[]}} RunInfo */
/** @typedef {{name: string, type: string, kind: "number" | "text" | "bool" | "time" | "other"}} ColumnInfo */
/** @typedef {{column: string, masks: string[], boxes: string[]}} ImageInfo */
/** @typedef {{name: string, mode: string, runs: string[], rows: number, steps: Record<string, [number, number]>, images: ImageInfo[], columns: ColumnInfo[], classes: Record<string, import("./paint.js").ClassItem[]>}} TableInfo */
/** @typedef {{version: string, store: string, snapshot: {id: string, taken: string}, projects: string[], runs: RunInfo[], tables: TableInfo[], errors: import("./paint.js").ErrorColors, limits: {max_pixels: number}}} Info */
/** @typedef {{edges: number[], counts: number[], missing: number}} Histogram */
/** @typedef {{set: string, total: number, unbrushed: number, histogram: Histogram | null, notes: string[]}} SetInfo */
/** @typedef {{digest: string | null, width: number | null, height: number | null, format: string | null, caption: string | null, reference?: string | null}} Picture */
/** @typedef {{run: string, table: string, row: string, step: number | null, image: Picture | null, score: number | null, values: Record<string, any>, masks: string[], problem?: string}} Row */
/** @typedef {{run_id: string | null, class_name: string, coverage: number | null, iou: number | null}} ClassStat */

const SILENCE = "The server does not answer: is maskl view still running?";

/**
 * The server's answer; a refusal, and silence, are errors that people can read.
 * @param {string} address
 * @param {RequestInit} [how]
 */
export async function get(address, how) {
  const answer = await fetch(address, how).catch((error) => {
    throw error.name === "AbortError" ? error : new Error(SILENCE);
  });
  if (answer.ok) return answer;
  const json = await answer.json().catch(() => null);
  throw new Error(json?.error ?? `The server answered ${answer.status}.`);
}

/**
 * @param {string} path below the page's own address
 * @param {{body?: object, signal?: AbortSignal}} [how]
 * @returns {Promise<any>}
 */
async function ask(path, { body, signal } = {}) {
  const answer = await get(path, {
    signal,
    ...(body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  });
  return answer.json().catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server's answer was cut off.");
  });
}

/** @param {Record<string, string | string[] | null>} fields */
function query(fields) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    // each for itself: a name may hold commas
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null) parameters.append(name, one);
  }
  return parameters.toString();
}

const UNSAFE = /[\x00-\x1f\x7f/\\=%:*?"<>|[\]{}]|^[. ]|[. ]$/g;

/**
 * The name of a run or table as it stands in paths of a store, and that in a URL.
 * @param {string} name
 */
export function inPath(name) {
  const hex = (/** @type {string} */ letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  return encodeURIComponent(name.replace(UNSAFE, hex));
}

/** @returns {Promise<Info>} */
export const loadInfo = () => ask("api/state");

/** @param {object} request @param {AbortSignal} signal @returns {Promise<SetInfo>} */
export const loadSet = (request, signal) => ask("api/set", { body: request, signal });

/**
 * @param {string} id of a set
 * @param {number} from
 * @param {number} to
 * @param {string[]} columns
 * @returns {Promise<{rows: Row[]}>}
 */
export function loadRows(id, from, to, columns) {
  const fields = { from: String(from), to: String(to), column: columns };
  return ask(`api/set/${encodeURIComponent(id)}?${query(fields)}`);
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<any>} */
export const loadClasses = (id, signal) => ask(`api/classes?set=${encodeURIComponent(id)}`, { signal });

/** @param {string} digest @param {number | null} max the longest side, null for all pixels */
export function imageUrl(digest, max = null) {
  return new URL(`api/image/${encodeURIComponent(digest)}${max ? `?max=${max}` : ""}`, document.baseURI).href;
}

/**
 * The address of a mask's ids, of all pixels or of a thumbnail.
 * @param {{run: string, table: string, row: string}} row
 * @param {string} column of the image
 * @param {string} key
 * @param {number | null} max
 */
export function maskUrl({ run, table, row }, column, key, max = null) {
  const name = encodeURIComponent(`${column}__mask__${key}`);
  const path = `${inPath(run)}/${inPath(table)}/${row}/${name}`;
  return new URL(max ? `api/thumb/${path}?max=${max}` : `api/mask/${path}`, document.baseURI).href;
}

/**
 * @param {{run: string, table: string, row: string}} row
 * @param {Record<string, string | string[] | null>} fields
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function loadRow({ run, table, row }, fields, signal) {
  return ask(`api/row/${inPath(run)}/${inPath(table)}/${row}?${query(fields)}`, { signal });
}
