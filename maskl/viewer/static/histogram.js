// @ts-check
/** How the sorted number is spread, with a brush: two ends that pointers drag and arrow keys move. */

import { button } from "./controls.js";
import { h, shown, svg } from "./dom.js";

const HEIGHT = 36;

/** @param {number} value */
const short = (value) => shown(+value.toPrecision(4));

/** @param {import("./model.js").Model} model */
export function histogram(model) {
  const bars = svg("svg", { class: "bars", preserveAspectRatio: "none", "aria-hidden": "true" });
  const band = h("div", { class: "band" });
  const [low, high] = ["lowest", "highest"].map((name) => h("div", { class: "end", role: "slider", tabindex: 0, "aria-label": `${name} ${""}value that is shown` }));
  const plot = h("div", { class: "plot" }, bars, band, low, high);
  const caption = h("p", { class: "soft caption" });
  const clear = button("Clear", () => model.state.set({ range: null }), { class: "quiet small" });
  const element = h("section", { class: "histogram", "aria-label": "Values of the sorted number" }, plot, h("div", { class: "side" }, caption, clear));
  /** @type {import("./api.js").Histogram | null} */
  let data = null;
  /** @type {[number, number] | null} */
  let range = null;

  const ends = () => /** @type {[number, number]} */ (data ? [data.edges[0], data.edges[data.edges.length - 1]] : [0, 1]);
  /** @param {number} value */
  const place = (value) => {
    const [from, to] = ends();
    return to > from ? Math.min(1, Math.max(0, (value - from) / (to - from))) : 0;
  };
  const draw = () => {
    const [from, to] = range ?? ends();
    band.style.left = `${100 * place(from)}%`;
    band.style.right = `${100 * (1 - place(to))}%`;
    low.style.left = `${100 * place(from)}%`;
    high.style.left = `${100 * (range ? place(to) : 1)}%`;
    [low, high].forEach((end, at) => {
      end.setAttribute("aria-valuemin", String(ends()[0]));
      end.setAttribute("aria-valuemax", String(ends()[1]));
      end.setAttribute("aria-valuenow", String([from, to][at]));
      end.setAttribute("aria-valuetext", shown([from, to][at]));
    });
    plot.classList.toggle("brushed", range !== null);
    const missing = data?.missing ? ` · ${data.missing.toLocaleString("en")} without a value` : "";
    caption.textContent = `${short(from)} to ${short(to)}${range ? "" : missing}`;
    clear.hidden = range === null;
  };

  /** @param {[number, number] | null} wanted @param {boolean} replace */
  const set = (wanted, replace = false) => {
    const [from, to] = ends();
    const whole = wanted && wanted[0] <= from && wanted[1] >= to;
    model.state.set({ range: whole ? null : wanted }, { replace });
  };

  plot.addEventListener("pointerdown", (event) => {
    if (!data || event.button !== 0) return;
    const box = plot.getBoundingClientRect();
    const value = (/** @type {PointerEvent} */ at) => {
      const [from, to] = ends();
      return from + Math.min(1, Math.max(0, (at.clientX - box.left) / box.width)) * (to - from);
    };
    const [from, to] = range ?? ends();
    const start = event.target === low ? to : event.target === high ? from : value(event);
    let moved = false;
    plot.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ at) => {
      moved = true;
      range = value(at) < start ? [value(at), start] : [start, value(at)];
      draw();
    };
    plot.addEventListener("pointermove", move);
    plot.addEventListener("lostpointercapture", () => {
      plot.removeEventListener("pointermove", move);
      if (moved) set(range);
    }, { once: true });
  });
  [low, high].forEach((end, at) =>
    end.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 }[event.key];
      if (!data || (!way && event.key !== "Home" && event.key !== "End")) return;
      event.preventDefault();
      event.stopPropagation();
      const [from, to] = ends();
      const wanted = /** @type {[number, number]} */ ([...(range ?? ends())]);
      const bin = (to - from) / data.counts.length;
      wanted[at] = event.key === "Home" ? from : event.key === "End" ? to : Math.min(to, Math.max(from, wanted[at] + (way ?? 0) * bin));
      if (wanted[0] <= wanted[1]) set(wanted);
    }),
  );

  const update = () => {
    if (model.busy) return;
    data = model.set?.histogram ?? null;
    element.hidden = !data || data.counts.length === 0;
    range = model.view.range;
    if (!data || element.hidden) return;
    const { counts } = data;
    const most = Math.max(1, ...counts);
    bars.setAttribute("viewBox", `0 0 ${counts.length} ${HEIGHT}`);
    bars.replaceChildren(
      ...counts.map((count, at) => {
        const height = count ? Math.max(1, (HEIGHT * count) / most) : 0;
        return svg("rect", { x: at + 0.06, y: HEIGHT - height, width: 0.88, height });
      }),
    );
    draw();
  };
  model.listen((what) => what.has("set") && update());
  return { element };
}
