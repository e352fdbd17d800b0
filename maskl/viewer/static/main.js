// @ts-check
/** The page: its parts, put together. */

import { loadInfo } from "./api.js";
import { Detail } from "./detail.js";
import { h } from "./dom.js";
import { Grid } from "./grid.js";
import { histogram } from "./histogram.js";
import { keyboard } from "./keys.js";
import { Model } from "./model.js";
import { rail } from "./rail.js";
import { State } from "./state.js";
import { status } from "./status.js";
import { toolbar } from "./toolbar.js";

/** @param {import("./api.js").Info} info */
function start(info) {
  const model = new Model(new State(), info);
  const side = rail(model);
  const grid = new Grid(model);
  const browse = h("div", { class: "browse" }, toolbar(model).element, histogram(model).element, grid.wrap);
  const detail = new Detail(model, grid, browse);
  const { help } = keyboard(model, detail, grid, side);
  const main = h("main", {}, browse, detail.element);
  document.body.prepend(h("div", { class: "page" }, side.element, main), status(model, help).element);
  document.body.dataset.ready = "";
  model.load();
}

loadInfo().then(start, (error) => {
  document.body.prepend(h("main", { class: "empty" }, h("h1", {}, "The store cannot be read"), h("p", {}, error.message)));
});
