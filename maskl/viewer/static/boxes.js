// @ts-check
/** Boxes drawn over panels, in the panel's own coordinates; a canvas of pixels is never drawn into. */

import { svg } from "./dom.js";
import { classItems } from "./model.js";
import { classColor } from "./paint.js";

/** @typedef {{min_x: number, min_y: number, max_x: number, max_y: number, class_id: number | null, class_name: string | null, caption: string | null, scores?: Record<string, number> | null}} Box corners are fractions */

/**
 * The keys of boxes that a panel shows: its own mask's key, and the image all of them.
 * @param {import("./panels.js").Kind} kind
 * @param {string[]} keys
 * @param {import("./model.js").Scene} scene
 */
function keysOf(kind, keys, { truth, prediction }) {
  if (kind === "image") return keys;
  return keys.filter((key) => key === (kind === "truth" ? truth : kind === "prediction" ? prediction : null));
}

/**
 * @param {import("./panels.js").Panel} panel
 * @param {import("./model.js").Model} model
 */
export function boxesOver({ kind, entry, boxes, width, height }, model) {
  const { scene, view } = model;
  const shown = keysOf(kind, [...entry.boxes.keys()], scene).filter((key) => !view.boxes.includes(key));
  const found = shown.flatMap((key) =>
    (entry.boxes.get(key) ?? []).filter((box) => model.isOn(box.class_name ?? `class_${box.class_id}`)).map((box) => draw(box, key)),
  );
  boxes.replaceChildren(...(found.length ? [svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...found)] : []));

  /** @param {Box} box @param {string} key */
  function draw(box, key) {
    const item = classItems(scene, key).find(({ id }) => id === box.class_id);
    const color = item?.color ?? `#${classColor(box.class_id ?? 0).toString(16).padStart(6, "0")}`;
    const place = { x: box.min_x * width, y: box.min_y * height, width: (box.max_x - box.min_x) * width, height: (box.max_y - box.min_y) * height };
    const scores = Object.entries(box.scores ?? {}).map(([name, value]) => `${name} ${value}`);
    const title = svg("title");
    title.textContent = [box.class_name ?? `class_${box.class_id}`, box.caption, ...scores].filter(Boolean).join(" · ");
    return svg("g", {}, title, svg("rect", { ...place, class: "under" }), svg("rect", { ...place, stroke: color }));
  }
}
