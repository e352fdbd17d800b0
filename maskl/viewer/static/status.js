// @ts-check
/** The strip at the bottom: what is to be known of the rows, what is selected, and how the page looks. */

import { button, copy } from "./controls.js";
import { counted, h } from "./dom.js";
import { quoted } from "./query.js";
import { parseAddress } from "./state.js";

/** @param {string} name a table's, in SQL */
const identifier = (name) => `tables."${name.replaceAll('"', '""')}"`;

/** @typedef {{run: string, table: string, row: string}} Address */

/** What the patterns of an error layer mean. @param {import("./paint.js").ErrorColors} colors */
function errorLegend(colors) {
  const [dark, light] = colors.stripes;
  /** @type {[string, string, string][]} */
  const kinds = [
    ["missed", "the truth has the class, the prediction another", `repeating-linear-gradient(135deg, ${colors.missed} 0 3px, transparent 3px 6px)`],
    ["false", "the prediction has the class, the truth another", `radial-gradient(circle, ${colors.false} 1.5px, transparent 2px) 0 0 / 5px 5px`],
    ["wrong class", "both have classes that are on, but not the same", colors.wrong],
    ["ignored", "the truth's class is ignored: these pixels do not count", `repeating-linear-gradient(135deg, ${dark} 0 3px, ${light} 3px 6px)`],
  ];
  return h("ul", { class: "legend", "aria-label": "Patterns of errors" }, ...kinds.map(([name, title, background]) => {
    const swatch = h("i", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = background;
    return h("li", { title }, swatch, name);
  }));
}

/** The selected rows as a query. @param {Address[]} rows */
export function asSql(rows) {
  const tables = [...new Set(rows.map(({ table }) => table))];
  return tables
    .map((table) => {
      const places = rows.filter((row) => row.table === table).map(({ run, row }) => `(${quoted(run)}, ${row})`);
      return `SELECT run_id, table_name, _row FROM ${identifier(table)}\nWHERE (run_id, _row) IN (${places.join(", ")})`;
    })
    .join("\nUNION ALL ");
}

/** @param {Address[]} rows */
export function asJson(rows) {
  return JSON.stringify(rows.map(({ run, table, row }) => ({ run_id: run, table_name: table, _row: row })), null, 1);
}

/** @param {Address[]} rows */
export function asPython(rows) {
  return `rows = store.select(${JSON.stringify(asSql(rows))})`;
}

/**
 * @param {import("./model.js").Model} model
 * @param {() => void} help
 */
export function status(model, help) {
  const notes = h("p", { class: "notes", role: "status" });
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const again = button("Try again", () => model.again(), { class: "small" });
  again.hidden = true;
  const count = h("span", {});
  const rows = () => /** @type {Address[]} */ (model.view.selected.map(parseAddress).filter((row) => row !== null));
  const selection = h(
    "span",
    { class: "group", role: "group", "aria-label": "Selected rows" },
    count,
    button("SQL", () => copy(asSql(rows()), "SQL of the selected rows"), { class: "quiet small", title: "Copy as SQL" }),
    button("JSON", () => copy(asJson(rows()), "JSON of the selected rows"), { class: "quiet small", title: "Copy as JSON" }),
    button("Python", () => copy(asPython(rows()), "Python of the selected rows"), { class: "quiet small", title: "Copy as Python" }),
    button("Clear", () => model.state.set({ selected: [] }), { class: "quiet small" }),
  );
  const theme = button("Dark or light", () => {
    model.state.set({ theme: isDark() ? "light" : "dark" }, { replace: true });
  }, { icon: "theme" });
  const keys = button("Keys", help, { class: "quiet small", title: "Keys (?)" });
  const legend = errorLegend(model.info.errors);
  const element = h("footer", { class: "status" }, trouble, again, notes, h("span", { class: "spring" }), selection, legend, keys, theme);

  const update = () => {
    document.documentElement.dataset.theme = model.view.theme;
    const { truth, prediction } = model.scene;
    legend.hidden = !truth || !prediction || (model.view.open ? model.view.hidden.includes("errors") : model.layer !== "errors");
    selection.hidden = !model.view.selected.length;
    count.textContent = `${counted(model.view.selected.length, "row")} selected: copy`;
  };
  const tell = () => {
    notes.textContent = model.busy ? "Asking the store…" : (model.set?.notes ?? []).join(" · ");
    notes.title = notes.textContent;
  };
  model.listen((what, changed) => {
    if (what.has("set")) tell();
    if (what.has("trouble")) {
      trouble.textContent = model.trouble;
      trouble.hidden = again.hidden = !model.trouble;
    }
    if (what.has("scene") || ["selected", "theme", "open", "layer", "hidden"].some((key) => changed.has(/** @type {any} */ (key)))) update();
  });
  update();
  return { element };
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
