// @ts-check
/** The rail: which rows are looked at, and which classes of them are painted. */

import { check, select, slider } from "./controls.js";
import { h } from "./dom.js";
import { classList } from "./classes.js";
import { queryBox } from "./query.js";
import { runColor } from "./model.js";

/** runs that are listed before one has to search */
const LISTED = 200;
/** from how many on there is a search */
const MANY = 8;

/** @param {import("./model.js").Model} model */
export function rail(model) {
  const { state } = model;
  const project = select("Project", (value) => state.set({ project: value, table: null, sql: "", runs: null, range: null, open: null }));
  const table = select("Table", (value) => state.set({ table: value, sql: "", image: null, truth: null, prediction: null, sort: null, range: null, columns: [], open: null, selected: [] }));
  const image = select("Image column", (value) => state.set({ image: value, truth: null, prediction: null }));
  const truth = select("Truth", (value) => state.set({ truth: value }));
  const prediction = select("Prediction", (value) => state.set({ prediction: value }));
  const lack = h("p", { class: "hint" });
  const step = stepSlider(model);
  const runs = runList(model);
  const classes = classList(model);
  const query = queryBox(model);
  const element = h(
    "aside",
    { class: "rail", id: "rail", "aria-label": "What is shown" },
    h("div", { class: "section head" }, h("p", { class: "brand" }, h("b", {}, "maskl view"), h("span", { dir: "auto", title: "the store" }, model.info.store)), project.element, table.element),
    h("section", { class: "section", "aria-label": "Runs" }, h("h2", {}, "Runs"), runs.element),
    h("section", { class: "section", "aria-label": "Masks" }, h("h2", {}, "Masks"), image.element, truth.element, prediction.element, lack, step.element, step.all),
    h("section", { class: "section grow", "aria-label": "Classes" }, classes.element),
    h("section", { class: "section", "aria-label": "SQL" }, query.element),
  );

  function update() {
    const { scene, view } = model;
    element.hidden = !view.rail;
    project.update(scene.projects.length > 1 ? scene.projects.map((name) => [name, name || "no project"]) : [], scene.project ?? "");
    table.update(scene.tables.map(({ name }) => [name, name]), scene.table?.name ?? "");
    const images = scene.table?.images ?? [];
    image.update(images.length > 1 ? images.map(({ column }) => [column, column]) : [], scene.image?.column ?? "");
    const keys = scene.image?.masks ?? [];
    /** @type {[string, string][]} */
    const options = keys.length ? [...keys.map((key) => /** @type {[string, string]} */ ([key, key])), ["", "none"]] : [];
    truth.update(options, scene.truth ?? "");
    prediction.update(options, scene.prediction ?? "");
    lack.textContent = lacks(scene);
    lack.hidden = !lack.textContent;
  }
  model.listen((what, changed) => {
    if (what.has("scene") || changed.has("rail")) update();
  });
  update();
  return { element, query };
}

/** What there is nothing of in a table, in a sentence, or "". @param {import("./model.js").Scene} scene */
function lacks({ table, image, truth, prediction }) {
  if (!table) return "";
  if (!image) return "This table has no images: its rows are shown as text.";
  if (!image.masks.length) return "These images have no masks: they are shown alone.";
  if (truth && prediction) return "";
  const missing = truth ? "prediction" : prediction ? "truth" : "mask";
  const why = image.masks.length > 1 ? `No ${missing} is chosen` : `This table has no ${missing}`;
  return `${why}: there are no errors and no scores.`;
}

/**
 * The number of a step that the slider's places stand for: the last place is each run's last.
 * @param {import("./model.js").Model} model
 */
function stepSlider(model) {
  const text = (/** @type {number} */ value) => (model.scene.steps && value <= model.scene.steps[1] ? String(value) : "last");
  const control = slider("Step", { text }, (value, done) => {
    if (done) model.state.set({ step: model.scene.steps && value <= model.scene.steps[1] ? value : null });
  });
  const all = check("All steps together", (checked) => model.state.set({ step: checked ? "all" : null, range: null }));
  all.element.title = "An incremental table has at each step the rows that were added there: together they are the table.";
  const update = () => {
    const { steps } = model.scene;
    const { step } = model.view;
    control.element.hidden = all.element.hidden = !steps || steps[0] === steps[1];
    all.control.checked = step === "all";
    control.control.disabled = step === "all";
    if (!steps) return;
    const ends = /** @type {[number, number]} */ ([steps[0], steps[1] + 1]);
    control.update(typeof step === "number" ? step : ends[1], ends);
  };
  model.listen((what) => what.has("scene") && update());
  update();
  return { ...control, all: all.element };
}

/** @param {import("./model.js").Model} model */
function runList(model) {
  const search = h("input", { type: "search", placeholder: "Search runs", "aria-label": "Search runs", oninput: () => update() });
  const list = h("ul", { class: "runs" });
  const more = h("p", { class: "hint" });
  let key = "";
  /** @type {Map<string, HTMLInputElement>} */
  let boxes = new Map();

  /** @param {string} run @param {boolean} checked */
  const choose = (run, checked) => {
    const chosen = new Set(model.scene.chosen.map(({ run_id }) => run_id));
    if (checked) chosen.add(run);
    else chosen.delete(run);
    model.state.set({ runs: model.scene.runs.map(({ run_id }) => run_id).filter((id) => chosen.has(id)), range: null });
  };

  /** @param {import("./api.js").RunInfo} run */
  const item = (run) => {
    const swatch = h("i", { class: "dot", "aria-hidden": "true" });
    swatch.style.backgroundColor = runColor(model.scene, run.run_id);
    const started = run.started ? run.started.slice(0, 16).replace("T", " ") : "";
    const { element, control } = check("", (checked) => choose(run.run_id, checked));
    control.value = run.run_id;
    element.append(swatch, h("span", { class: "name", dir: "auto" }, run.name || run.run_id), h("span", { class: "soft", title: started }, run.state === "finished" ? started.slice(5, 10) : run.state));
    element.title = [run.name, run.run_id, started, run.group].filter(Boolean).join("\n");
    boxes.set(run.run_id, control);
    return h("li", {}, element);
  };

  function update() {
    const { runs, chosen } = model.scene;
    const wanted = search.value.trim().toLowerCase();
    const found = runs.filter(({ name, run_id }) => `${name}\n${run_id}`.toLowerCase().includes(wanted));
    const listed = found.slice(0, LISTED);
    // what is chosen is always there to be taken back
    listed.push(...chosen.filter((run) => !listed.includes(run)));
    const now = JSON.stringify(listed.map(({ run_id }) => run_id));
    if (now !== key) {
      key = now;
      boxes = new Map();
      list.replaceChildren(...listed.map(item));
    }
    const ids = new Set(chosen.map(({ run_id }) => run_id));
    for (const [run, box] of boxes) box.checked = ids.has(run);
    search.hidden = runs.length <= MANY;
    more.textContent = found.length > LISTED ? `${(found.length - LISTED).toLocaleString("en")} more: search for them` : found.length || !runs.length ? "" : "No run is called that.";
    more.hidden = !more.textContent;
  }
  model.listen((what) => what.has("scene") && update());
  update();
  return { element: h("div", {}, search, list, more) };
}
