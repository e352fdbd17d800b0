// @ts-check
/** A row as the server tells of it, and the same image in the other chosen runs, as the panels take them. */

import { loadRow } from "./api.js";
import { runName } from "./model.js";

/** @typedef {import("./detail.js").Entry} Entry */
/** @typedef {{run: string, table: string, row: string}} Address */

/**
 * The opened row, then the same image of each other chosen run.
 * @param {Address} open
 * @param {import("./model.js").Model} model
 * @param {AbortSignal} signal
 * @returns {Promise<Entry[]>}
 */
export async function entriesOf(open, model, signal) {
  const { scene, view } = model;
  const others = scene.chosen.map(({ run_id }) => run_id).filter((run) => run !== open.run);
  const fields = { image: scene.image?.column ?? null, truth: scene.truth, prediction: scene.prediction };
  const step = view.step === null ? "last" : String(view.step);
  const answer = await loadRow(open, { ...fields, run: others, step }, signal);
  const matches = new Map((answer.matches ?? []).map((/** @type {Address} */ match) => [match.run, match]));
  const rest = others.map(async (run) => {
    const match = matches.get(run);
    if (!match) return nothing(open, run, `${runName(scene, run)} has no row of this image here.`);
    return entryOf(await loadRow(match, fields, signal));
  });
  return [entryOf(answer), ...(await Promise.all(rest))];
}

/** @param {any} answer @returns {Entry} */
function entryOf(answer) {
  return {
    run: answer.run,
    table: answer.table,
    row: answer.row,
    step: answer.step,
    picture: answer.image,
    masks: new Map(answer.masks.map((/** @type {any} */ mask) => [mask.key, { ...mask, url: new URL(mask.url, document.baseURI).href }])),
    boxes: new Map(Object.entries(answer.boxes ?? {})),
    scores: answer.scores,
    values: answer.columns,
    python: answer.python,
    sql: answer.sql,
  };
}

/** @param {Address} open @param {string} run @param {string} missing @returns {Entry} */
function nothing({ table, row }, run, missing) {
  return { run, table, row, step: null, picture: null, masks: new Map(), boxes: new Map(), scores: null, values: {}, python: "", sql: "", missing };
}
