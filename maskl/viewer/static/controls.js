// @ts-check
/** Controls that several parts of the page have: labelled selects, sliders, groups of buttons, and a text to copy. */

import { h, icon } from "./dom.js";

let numbers = 0;
/** An id for a label to name. @param {string} name */
export const newId = (name) => `${name}-${numbers++}`;

/**
 * A select with a label before it.
 * @param {string} label
 * @param {(value: string) => void} change
 */
export function select(label, change) {
  const id = newId("select");
  const control = h("select", { id, onchange: () => change(control.value) });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), control);
  return {
    element,
    control,
    /** @param {[string, string][]} options value and text @param {string} value */
    update(options, value) {
      const key = JSON.stringify(options);
      if (control.dataset.key !== key) {
        control.dataset.key = key;
        control.replaceChildren(...options.map(([option, text]) => h("option", { value: option }, text)));
      }
      control.value = value;
      element.hidden = !options.length;
    },
  };
}

/**
 * A slider with a label and what its value means.
 * @param {string} label
 * @param {{min?: number, max?: number, step?: number, text: (value: number) => string}} how
 * @param {(value: number, done: boolean) => void} change
 */
export function slider(label, { min = 0, max = 100, step = 1, text }, change) {
  const id = newId("slider");
  const output = h("output", { for: id });
  const told = (/** @type {boolean} */ done) => {
    tell();
    change(Number(control.value), done);
  };
  const control = h("input", { id, type: "range", min, max, step, oninput: () => told(false), onchange: () => told(true) });
  const tell = () => {
    output.textContent = text(Number(control.value));
    control.setAttribute("aria-valuetext", output.textContent);
  };
  const element = h("div", { class: "field slider" }, h("label", { for: id }, label), control, output);
  return {
    element,
    control,
    /** @param {number} value @param {[number, number]} [ends] */
    update(value, ends) {
      if (ends) [control.min, control.max] = ends.map(String);
      control.value = String(value);
      tell();
    },
  };
}

/**
 * Buttons of which one is pressed.
 * @param {string} label
 * @param {[string, string][]} options value and text
 * @param {(value: string) => void} change
 */
export function choice(label, options, change) {
  const name = newId("choice");
  const inputs = options.map(([value, text]) => {
    const input = h("input", { type: "radio", name, value, class: "unseen", onchange: () => change(value) });
    return { value, input, element: h("label", { class: "segment" }, input, h("span", {}, text)) };
  });
  const element = h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, label), ...inputs.map((one) => one.element));
  return {
    element,
    /** @param {string} value @param {string[]} [off] values that cannot be chosen */
    update(value, off = []) {
      for (const one of inputs) {
        one.input.checked = one.value === value;
        one.input.disabled = off.includes(one.value);
      }
    },
  };
}

/**
 * A check box with its label behind it.
 * @param {string} label
 * @param {(checked: boolean) => void} change
 */
export function check(label, change) {
  const control = h("input", { type: "checkbox", onchange: () => change(control.checked) });
  return { element: h("label", { class: "check" }, control, label), control };
}

/**
 * A button, of an icon or a text.
 * @param {string} label
 * @param {() => void} click
 * @param {{icon?: string, class?: string, title?: string}} [how]
 */
export function button(label, click, how = {}) {
  const inside = how.icon ? icon(how.icon) : label;
  const attributes = how.icon ? { "aria-label": label, title: how.title ?? label } : { title: how.title };
  return h("button", { type: "button", class: how.class ?? (how.icon ? "quiet icon-button" : ""), onclick: click, ...attributes }, inside);
}

const live = h("div", { class: "unseen", role: "status" });
/** Say something to screen readers. @param {string} text */
export function say(text) {
  if (!live.isConnected) document.body.append(live);
  live.textContent = text;
}

/**
 * Copy a text; where the browser does not let a page do that, show it selected.
 * @param {string} text
 * @param {string} what
 */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    const area = h("textarea", { readonly: true, rows: 8, "aria-label": what, value: text });
    const dialog = h("dialog", { class: "sheet", "aria-label": what, onclose: () => dialog.remove() }, h("h2", {}, what), area);
    dialog.append(button("Close", () => dialog.close()));
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }
}
