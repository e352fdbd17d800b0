// @ts-check
/** What the view means in this store: tables, runs, masks and classes, and the set of rows that answers it. */

import { loadClasses, loadSet } from "./api.js";
import { isOn } from "./paint.js";

/** @typedef {import("./api.js").Info} Info */
/** @typedef {import("./api.js").RunInfo} RunInfo */
/** @typedef {import("./state.js").View} View */
/** @typedef {{name: string, color: string, ignored: boolean}} ClassRow */
/** @typedef {{coverage: number | null, iou: number | null}} Stat */
/**
 * @typedef {object} Scene
 * @property {string[]} projects
 * @property {string | null} project
 * @property {import("./api.js").TableInfo[]} tables of the project
 * @property {import("./api.js").TableInfo | null} table
 * @property {RunInfo[]} runs that have the table, newest first
 * @property {RunInfo[]} chosen
 * @property {import("./api.js").ImageInfo | null} image
 * @property {string | null} truth the key
 * @property {string | null} prediction
 * @property {string} sort
 * @property {ClassRow[]} classes of both masks, by name
 * @property {[number, number] | null} steps from the first to the last of the chosen runs
 */

/** colours of runs, for all kinds of colour vision (Okabe and Ito) */
const RUN_COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c8c8c"];

/** what changes another set of rows is needed for */
const OF_SET = /** @type {const} */ ([
  ...["project", "table", "runs", "image", "truth", "prediction", "step", "sql", "sort", "descending", "range"],
]);

/** @param {string[]} keys @param {RegExp} like */
const first = (keys, like) => keys.find((key) => like.test(key)) ?? null;

/**
 * The keys of truth and prediction where none is chosen.
 * @param {string[]} masks
 * @returns {[string | null, string | null]}
 */
export function pair(masks) {
  const prediction = masks.includes("predictions") ? "predictions" : first(masks, /pred|output|guess/i);
  const others = masks.filter((key) => key !== prediction);
  const truth = others.includes("ground_truth") ? "ground_truth" : first(others, /truth|gt|label|target|annot/i);
  return [truth ?? others[0] ?? null, prediction ?? others.find((key) => key !== (truth ?? others[0])) ?? null];
}

/**
 * @param {Readonly<View>} view
 * @param {Info} info
 * @returns {Scene}
 */
export function sceneOf(view, info) {
  const projects = [...new Set(info.runs.map((run) => run.project ?? ""))];
  const named = info.tables.find((table) => table.name === (view.table ?? view.open?.table));
  const asked = view.runs?.length ? view.runs : [view.open?.run];
  const wanted = info.runs.find((run) => asked.includes(run.run_id));
  const holder = named && info.runs.find((run) => named.runs.includes(run.run_id));
  const project = projects.includes(view.project ?? "\0") ? view.project : ((wanted ?? holder ?? info.runs[0])?.project ?? "");
  const inProject = info.runs.filter((run) => (run.project ?? "") === project);
  const ids = new Set(inProject.map((run) => run.run_id));
  const tables = info.tables.filter((table) => table.runs.some((run) => ids.has(run)));
  const newest = inProject.flatMap((run) => tables.filter((table) => table.runs.includes(run.run_id)));
  const table = tables.find(({ name }) => name === named?.name) ?? newest.find(({ images }) => images.length) ?? newest[0] ?? null;
  const of = new Set(table?.runs ?? []);
  const runs = inProject.filter((run) => of.has(run.run_id));
  const chosen = view.runs ? runs.filter((run) => view.runs?.includes(run.run_id)) : runs.slice(0, 1);
  const image = table?.images.find(({ column }) => column === view.image) ?? table?.images[0] ?? null;
  const [truth, prediction] = pair(image?.masks ?? []);
  const key = (/** @type {string | null} */ asked, /** @type {string | null} */ otherwise) =>
    asked === "" ? null : asked !== null && image?.masks.includes(asked) ? asked : otherwise;
  const scene = { projects, project, tables, table, runs, chosen, image, truth: key(view.truth, truth), prediction: key(view.prediction, prediction) };
  return { ...scene, sort: view.sort ?? (view.sql ? "sql" : "_row"), classes: classesOf(scene), steps: stepsOf(scene) };
}

/** @param {{table: Scene["table"], chosen: RunInfo[]}} scene @returns {[number, number] | null} */
function stepsOf({ table, chosen }) {
  const spans = chosen.map((run) => table?.steps[run.run_id]).filter((span) => span !== undefined && span !== null);
  return spans.length ? [Math.min(...spans.map(([low]) => low)), Math.max(...spans.map(([, high]) => high))] : null;
}

/** @param {{table: Scene["table"], image: Scene["image"], truth: string | null, prediction: string | null}} scene */
function classesOf(scene) {
  /** @type {Map<string, ClassRow>} */
  const found = new Map();
  for (const item of [...classItems(scene, scene.truth), ...classItems(scene, scene.prediction)]) {
    if (!found.has(item.name)) found.set(item.name, { name: item.name, color: item.color, ignored: item.ignored });
  }
  return [...found.values()];
}

/**
 * The classes of a mask.
 * @param {{table: Scene["table"], image: Scene["image"]}} scene
 * @param {string | null} key
 */
export function classItems({ table, image }, key) {
  return (key !== null && table?.classes[`${image?.column}/${key}`]) || [];
}

/** @param {Scene} scene @param {string} run */
export function runColor(scene, run) {
  const place = scene.runs.findIndex(({ run_id }) => run_id === run);
  return RUN_COLORS[(place < 0 ? RUN_COLORS.length - 1 : place) % RUN_COLORS.length];
}

/** @param {Scene} scene @param {string} run */
export function runName(scene, run) {
  return scene.runs.find(({ run_id }) => run_id === run)?.name ?? run;
}

/** @typedef {"view" | "scene" | "set" | "stats" | "trouble" | "again"} What */

export class Model {
  /** @type {Set<(what: Set<What>, changed: Set<keyof View>) => void>} */
  #listeners = new Set();
  #abort = new AbortController();
  /** @type {import("./api.js").SetInfo | null} */
  set = null;
  /** @type {string | null} */
  problem = null;
  busy = false;
  /** @type {Map<string, Map<string, Stat>>} by run, then class; "" is all chosen runs */
  stats = new Map();
  /** @type {string[]} what is to be said of the classes */
  notes = [];
  /** what could not be done last, "" where it could */
  trouble = "";

  /**
   * @param {import("./state.js").State} state
   * @param {Info} info
   */
  constructor(state, info) {
    this.state = state;
    this.info = info;
    this.scene = sceneOf(state.view, info);
    state.listen((changed) => this.#changed(changed));
  }

  get view() {
    return this.state.view;
  }

  /** @param {(what: Set<What>, changed: Set<keyof View>) => void} listener */
  listen(listener) {
    this.#listeners.add(listener);
  }

  /** @param {What[]} what @param {Set<keyof View>} changed */
  #tell(what, changed = new Set()) {
    for (const listener of this.#listeners) listener(new Set(what), changed);
  }

  /**
   * Do what asks the server, and say it where that fails; what is there already stays.
   * @template T
   * @param {() => Promise<T> | undefined} work
   * @returns {Promise<T | undefined>}
   */
  async attempt(work) {
    try {
      const done = await work();
      this.#say("");
      return done;
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  /** Ask once more for what could not be fetched. */
  again() {
    if (this.problem) this.load();
    else this.#tell(["again"]);
  }

  /** @param {string} trouble */
  #say(trouble) {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.#tell(["trouble"]);
  }

  /** @param {Set<keyof View>} changed */
  #changed(changed) {
    if (OF_SET.some((key) => changed.has(key))) {
      this.scene = sceneOf(this.view, this.info);
      this.#tell(["view", "scene"], changed);
      this.load();
    } else {
      this.#tell(["view"], changed);
    }
  }

  /** Ask for the set of rows that the view is of, and for what is known of its classes. */
  async load() {
    this.#abort.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.busy = true;
    this.#tell(["set"]);
    try {
      const set = this.scene.table && this.scene.chosen.length ? await loadSet(this.#request(), signal) : null;
      if (signal.aborted) return;
      this.#say("");
      this.set = set;
      this.problem = null;
      this.busy = false;
      this.#tell(["set"]);
      const answer = set ? await loadClasses(set.set, signal) : { classes: [], together: [], notes: [] };
      if (signal.aborted) return;
      this.stats = statsOf(answer);
      this.notes = answer.notes.length ? answer.notes : this.#uncompared();
      this.#tell(["stats"]);
    } catch (error) {
      if (signal.aborted) return;
      const said = error instanceof Error ? error.message : String(error);
      if (this.busy) [this.set, this.problem, this.busy] = [null, said, false];
      this.stats = new Map();
      this.notes = this.set ? [said] : [];
      this.#tell(["set", "stats"]);
    }
  }

  /** The chosen runs of which nothing can be compared, and why. */
  #uncompared() {
    const { truth, prediction, chosen } = this.scene;
    if (!this.set?.total || !truth || !prediction) return [];
    return chosen.flatMap(({ run_id, name }) => {
      const known = [...(this.stats.get(run_id)?.values() ?? [])];
      if (known.some(({ iou }) => iou !== null)) return [];
      const missing = known.some(({ coverage }) => coverage !== null) ? prediction : truth;
      return [`Run ${name} has no mask “${missing}” here: nothing of it is compared`];
    });
  }

  #request() {
    const { table, project, chosen, image, truth, prediction, sort } = this.scene;
    return {
      table: table?.name,
      project,
      runs: chosen.map((run) => run.run_id),
      image: image?.column ?? null,
      truth,
      prediction,
      step: this.view.step ?? "last",
      sql: this.view.sql || undefined,
      sort: { by: sort, descending: this.view.descending },
      range: this.view.range,
      bins: 40,
    };
  }

  /** The layer of the thumbnails: of what is chosen, what the masks that are chosen can show. */
  get layer() {
    const { truth, prediction } = this.scene;
    const { layer } = this.view;
    if (layer === "image" || (layer === "errors" && truth && prediction)) return layer;
    if (layer !== "truth" && prediction) return "prediction";
    return truth ? "truth" : prediction ? "prediction" : "image";
  }

  /** @param {string} name */
  isOn(name) {
    return isOn(this.view.chosen, name);
  }

  /** @param {string} name of a class to turn on or off */
  toggle(name) {
    const { mode, names } = this.view.chosen;
    const others = names.filter((other) => other !== name);
    this.state.set({ chosen: { mode, names: others.length < names.length ? others : [...others, name] } });
  }

  /** Show one class only, or all again. @param {string} name */
  isolate(name) {
    const { mode, names } = this.view.chosen;
    const alone = mode === "only" && names.length === 1 && names[0] === name;
    this.state.set({ chosen: alone ? { mode: "all", names: [] } : { mode: "only", names: [name] } });
  }

  /** @returns {import("./painter.js").Look} */
  get look() {
    const { chosen, opacity, contours } = this.view;
    return { chosen, weight: Math.floor((255 * opacity) / 100 + 0.5), contours, errors: this.info.errors };
  }
}

/**
 * What is known of classes, by run and name.
 * @param {{classes: import("./api.js").ClassStat[], together: import("./api.js").ClassStat[]}} answer
 */
function statsOf({ classes, together }) {
  /** @type {Map<string, Map<string, Stat>>} */
  const found = new Map();
  for (const { run_id, class_name, coverage, iou } of [...classes, ...together]) {
    const of = found.get(run_id ?? "") ?? new Map();
    of.set(class_name, { coverage, iou });
    found.set(run_id ?? "", of);
  }
  return found;
}
