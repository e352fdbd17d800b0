// @ts-check
/** Making elements: text is always text, and attributes are never code. */

/**
 * Make an element. `class`, `dataset`, `on…` and properties are set by name; null and false are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false).map(asNode));
  return element;
}

/** @param {any} child @returns {Node | string} */
function asNode(child) {
  return child instanceof Node ? child : String(child);
}

/**
 * Make an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @type {Record<string, string>} outlines of the icons, on a grid of 16 */
const ICONS = {
  back: "M10 3 5 8l5 5",
  next: "M6 3l5 5-5 5",
  close: "M4 4l8 8M12 4l-8 8",
  rail: "M2.5 3.5h11v9h-11zM6.5 3.5v9",
  full: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5",
  down: "M4 6l4 4 4-4",
};

/** @param {string} name */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/**
 * A number for people: a share of one to three digits behind the point, others short.
 * @param {number | null | undefined} value
 */
export function score(value) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(3);
}

/** @param {number | null | undefined} value a share of one */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.0005) return "<0.1%";
  return `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)}%`;
}

/** @param {any} value of a column @returns {string} */
export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return String(+value.toPrecision(6));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
