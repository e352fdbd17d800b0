// @ts-check
/** The SQL box: any query that returns run_id, table_name and _row, and queries to begin with. */

import { button } from "./controls.js";
import { h } from "./dom.js";

/** A text as SQL has it. @param {string | null | undefined} value */
export const quoted = (value) => `'${String(value ?? "").replaceAll("'", "''")}'`;

/** runs that a query to begin with names */
const LISTED = 20;

/** @typedef {import("./model.js").Model} Model */

/**
 * Queries to begin with.
 * @param {Model} model
 * @param {string} name of a class
 * @returns {[string, string][]} titles and SQL
 */
function presets(model, name) {
  const { scene, view } = model;
  const table = quoted(scene.table?.name);
  const step = view.step === null ? "'last'" : view.step === "all" ? "'each'" : String(view.step);
  const masks = `truth := ${quoted(scene.truth)}, prediction := ${quoted(scene.prediction)}, step := ${step}`;
  const runs = `run_id IN (${scene.chosen.slice(0, LISTED).map(({ run_id }) => quoted(run_id)).join(", ") || "''"})`;
  const steps = scene.chosen.slice(0, LISTED).map(({ run_id }) => {
    const last = scene.table?.steps[run_id]?.[1] ?? 0;
    return `(${quoted(run_id)}, ${Math.min(last, typeof view.step === "number" ? view.step : last)})`;
  });
  const shown = view.step === "all" ? runs : `(run_id, _step) IN (${steps.join(", ") || "('', 0)"})`;
  const of = `class_pixels WHERE table_name = ${table} AND ${shown}\n  AND class_name = ${quoted(name)}`;
  const other = scene.classes.find((item) => item.name !== name && !item.ignored)?.name ?? name;
  /** @type {[string, string][]} */
  const found = [];
  const truth = scene.truth ?? scene.prediction;
  if (scene.truth && scene.prediction) {
    found.push(
      ["Worst images", `FROM row_iou(${table}, ${masks})\nWHERE ${runs}\nORDER BY mean_iou LIMIT 100`],
      ["Worst of a class", `FROM row_class_iou(${table}, ${masks})\nWHERE ${runs}\n  AND class_name = ${quoted(name)} AND iou IS NOT NULL\nORDER BY iou LIMIT 100`],
      ["One class taken for another", `FROM confusion WHERE table_name = ${table} AND ${shown}\n  AND truth_key = ${quoted(scene.truth)} AND prediction_key = ${quoted(scene.prediction)}\n  AND truth_class = ${quoted(name)} AND prediction_class = ${quoted(other)} AND pixels > 0\nORDER BY pixels DESC LIMIT 100`],
    );
  }
  if (truth) {
    found.push(
      ["Without a class", `FROM ${of}\n  AND mask_key = ${quoted(truth)} AND pixels = 0`],
      ["A class over 5 %", `FROM ${of}\n  AND mask_key = ${quoted(truth)} AND coverage > 0.05\nORDER BY coverage DESC`],
    );
  }
  return found;
}

/** @param {Model} model */
export function queryBox(model) {
  const { state } = model;
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const area = h("textarea", { id: "sql", rows: 5, spellcheck: "false", autocomplete: "off", placeholder: "SELECT run_id, table_name, _row FROM …", "aria-describedby": "sql-help" });
  const help = h("p", { class: "hint", id: "sql-help" }, "A query that returns run_id, table_name and _row. Ctrl + Enter runs it.");
  const preset = h("select", { "aria-label": "A query to begin with", onchange: () => take() });
  const run = () => state.set({ sql: area.value.trim(), sort: null, range: null });
  const clear = button("Clear", () => {
    area.value = "";
    run();
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
  });

  /** the class that presets begin with: the one that is alone, else the first that counts */
  const named = () => {
    const { mode, names } = model.view.chosen;
    return (mode === "only" && names[0]) || model.scene.classes.find((item) => !item.ignored)?.name || "";
  };
  const take = () => {
    const chosen = presets(model, named()).find(([title]) => title === preset.value);
    preset.value = "";
    if (!chosen) return;
    area.value = chosen[1];
    area.focus();
  };
  area.value = model.view.sql;
  const update = () => {
    preset.replaceChildren(h("option", { value: "" }, "Presets…"), ...presets(model, named()).map(([title]) => h("option", { value: title }, title)));
    clear.hidden = !model.view.sql;
  };
  model.listen((what, changed) => {
    // what is being written is not lost when something else changes
    if (changed.has("sql")) area.value = model.view.sql;
    if (what.has("scene")) update();
    if (what.has("set")) {
      problem.hidden = !(model.problem && model.view.sql);
      problem.textContent = problem.hidden ? "" : model.problem;
      if (!problem.hidden) problem.scrollIntoView({ block: "nearest" });
    }
  });
  update();
  const buttons = h("div", { class: "buttons" }, button("Run", run, { class: "primary" }), clear, preset);
  const element = h("div", {}, h("h2", {}, h("label", { for: "sql" }, "SQL")), area, problem, buttons, help);
  return { element, focus: () => area.focus() };
}
