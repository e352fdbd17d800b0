// @ts-check
/** Zoom and pan, linked over all panels; the view has them, so that a link shows the same part. */

const START = { scale: 1, x: 0.5, y: 0.5 };
const [LEAST, MOST] = [0.25, 256];

/** @param {number} value */
const share = (value) => Math.min(1, Math.max(0, value));

export class Gestures {
  /**
   * @param {import("./panels.js").Panels} panels
   * @param {import("./strip.js").Strip} strip
   * @param {import("./model.js").Model} model
   */
  constructor(panels, strip, model) {
    this.panels = panels;
    this.strip = strip;
    this.model = model;
    const { element } = panels;
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.#drag(event));
    element.addEventListener("pointermove", (event) => this.#point(event));
    element.addEventListener("pointerleave", () => strip.point(null));
    element.addEventListener("dblclick", () => this.reset());
    element.addEventListener("keydown", (event) => this.#pressed(event));
  }

  get #zoom() {
    return this.model.view.zoom;
  }

  /** @param {{scale: number, x: number, y: number}} zoom @param {boolean} replace */
  #set({ scale, x, y }, replace = true) {
    this.model.state.set({ zoom: { scale: Math.min(MOST, Math.max(LEAST, scale)), x: share(x), y: share(y) } }, { replace });
  }

  moved() {
    this.panels.place();
    this.strip.moved();
  }

  reset() {
    this.#set(START);
  }

  /**
   * Zoom around a place, by default around the middle.
   * @param {number} factor
   * @param {{u: number, v: number} | null} around
   */
  zoom(factor, around = null) {
    const { scale, x, y } = this.#zoom;
    const next = Math.min(MOST, Math.max(LEAST, scale * factor));
    const { u, v } = around ?? { u: x, v: y };
    this.#set({ scale: next, x: u + (x - u) * (scale / next), y: v + (y - v) * (scale / next) });
  }

  /** One pixel of the image is one of the screen's. */
  pixels() {
    const panel = this.panels.list.find(({ width }) => width);
    if (!panel) return;
    const { scale, x, y } = this.#zoom;
    this.#set({ scale: scale / (this.panels.scaleOf(panel) * devicePixelRatio), x, y });
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    const under = this.panels.under(event.clientX, event.clientY);
    if (!under) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 20 : 1;
    this.zoom(Math.exp((-event.deltaY * lines) / 400), under);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const under = this.panels.under(event.clientX, event.clientY);
    if (!under || event.button !== 0) return;
    const { element } = this.panels;
    const start = { ...this.#zoom };
    const scale = this.panels.scaleOf(under.panel);
    const move = (/** @type {PointerEvent} */ to) => {
      const x = start.x - (to.clientX - event.clientX) / (under.panel.width * scale);
      const y = start.y - (to.clientY - event.clientY) / (under.panel.height * scale);
      this.#set({ scale: start.scale, x, y });
    };
    element.setPointerCapture(event.pointerId);
    element.classList.add("dragging");
    element.addEventListener("pointermove", move);
    element.addEventListener("lostpointercapture", () => {
      element.removeEventListener("pointermove", move);
      element.classList.remove("dragging");
    }, { once: true });
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const under = this.panels.under(event.clientX, event.clientY);
    const inside = under && under.u >= 0 && under.u < 1 && under.v >= 0 && under.v < 1;
    this.strip.point(inside ? under : null);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[/** @type {keyof typeof ways} */ (event.key)];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const { scale, x, y } = this.#zoom;
    if (event.shiftKey) this.strip.step(way[0], way[1]);
    else this.#set({ scale, x: x + (0.1 * way[0]) / scale, y: y + (0.1 * way[1]) / scale });
  }
}
