// @ts-check
/**
 * A window over very many items in lines: only what is seen is in the document.
 *
 * Browsers cap an element's height near 16 million pixels. Beyond `CAP` the scroll bar is a scale: short ways are taken
 * pixel by pixel, long ones in proportion, and when the scrolling ends the bar is put where it belongs.
 */

const CAP = 8_000_000;
/** lines kept beyond the window, above and below */
const SPARE = 1;

export class VirtualGrid {
  /** @type {Map<number, HTMLElement>} */
  #shown = new Map();
  #total = 0;
  #columns = 1;
  #width = 100;
  #height = 100;
  /** of an item, at least */
  #least = 100;
  /** @type {(width: number) => number} */
  #heightOf = () => 100;
  #top = 0;
  #last = 0;
  #frame = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} body inside it
   * @param {{make: (index: number) => HTMLElement, drop: (element: HTMLElement, index: number) => void,
   *   window: (from: number, to: number) => void}} items
   * @param {number} gap
   */
  constructor(scroller, body, items, gap) {
    this.scroller = scroller;
    this.body = body;
    this.items = items;
    this.gap = gap;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("scrollend", () => this.#settle());
    new ResizeObserver(() => this.layout()).observe(scroller);
  }

  get columns() {
    return this.#columns;
  }

  get lines() {
    return Math.max(1, Math.floor(this.scroller.clientHeight / (this.#height + this.gap)));
  }

  /**
   * Show other items, from the first.
   * @param {number} total
   * @param {number} least the width of an item; a line is filled
   * @param {(width: number) => number} heightOf
   */
  reset(total, least, heightOf) {
    this.clear();
    this.#total = total;
    this.#least = least;
    this.#heightOf = heightOf;
    this.#height = heightOf(this.#width);
    this.#top = 0;
    this.scroller.scrollTop = 0;
    this.#last = 0;
    this.layout();
  }

  /** Items of another size, around the first one that is seen. @param {number} least */
  resize(least) {
    this.#least = least;
    this.layout();
  }

  get firstSeen() {
    return Math.floor(this.#top / this.#line) * this.#columns;
  }

  clear() {
    for (const [index, element] of this.#shown) this.#drop(index, element);
  }

  /** @param {number} index */
  element(index) {
    return this.#shown.get(index);
  }

  get #line() {
    return this.#height + this.gap;
  }

  /** all lines, in pixels */
  get #full() {
    return Math.ceil(this.#total / this.#columns) * this.#line + this.gap;
  }

  get #bar() {
    return Math.min(this.#full, CAP);
  }

  /** how far the lines can be scrolled, and the bar */
  get #ways() {
    const seen = this.scroller.clientHeight;
    return [Math.max(0, this.#full - seen), Math.max(0, this.#bar - seen)];
  }

  layout() {
    const room = this.scroller.clientWidth - this.gap;
    if (room <= 0) return;
    const columns = Math.max(1, Math.floor(room / (this.#least + this.gap)));
    const width = Math.floor(room / columns) - this.gap;
    if (columns !== this.#columns || width !== this.#width) {
      const index = this.firstSeen;
      if (columns !== this.#columns) this.clear();
      this.#columns = columns;
      this.#width = width;
      this.#height = this.#heightOf(width);
      this.#top = Math.min(Math.floor(index / columns) * this.#line, this.#ways[0]);
    }
    this.body.style.height = `${this.#bar}px`;
    this.#settle();
    this.render();
  }

  /**
   * Scroll to an item.
   * @param {number} index
   * @param {"nearest" | "start"} where
   */
  show(index, where = "nearest") {
    const top = Math.floor(index / this.#columns) * this.#line;
    const seen = this.scroller.clientHeight;
    const inside = top >= this.#top && top + this.#line + this.gap <= this.#top + seen;
    if (where === "nearest" && inside) return;
    const below = where === "nearest" && top > this.#top ? top + this.#line + this.gap - seen : top;
    this.#top = Math.min(Math.max(0, below), this.#ways[0]);
    this.#settle();
    this.render();
  }

  #scrolled() {
    const now = this.scroller.scrollTop;
    const way = now - this.#last;
    if (Math.abs(way) < 0.5) return;
    this.#last = now;
    const [full, bar] = this.#ways;
    if (full === bar || now <= 0 || now >= bar - 1) this.#top = now <= 0 ? 0 : now >= bar - 1 ? full : now;
    else if (Math.abs(way) <= 2 * this.scroller.clientHeight) this.#top = Math.min(full, Math.max(0, this.#top + way));
    else this.#top = (now / bar) * full;
    if (!this.#frame) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.render();
      });
    }
  }

  /** Put the scroll bar where it belongs. */
  #settle() {
    const [full, bar] = this.#ways;
    this.#top = Math.min(this.#top, full);
    const wanted = full === bar ? this.#top : (this.#top / full) * bar;
    if (Math.abs(this.scroller.scrollTop - wanted) >= 1) this.scroller.scrollTop = wanted;
    this.#last = this.scroller.scrollTop;
    this.#place();
  }

  render() {
    const first = Math.max(0, Math.floor(this.#top / this.#line) - SPARE);
    const last = Math.ceil((this.#top + this.scroller.clientHeight) / this.#line) + SPARE;
    const from = first * this.#columns;
    const to = Math.min(this.#total, last * this.#columns);
    for (const [index, element] of this.#shown) if (index < from || index >= to) this.#drop(index, element);
    if (from < to) this.items.window(from, to);
    for (let index = from; index < to; index++) {
      if (this.#shown.has(index)) continue;
      const element = this.items.make(index);
      this.#shown.set(index, element);
      // in the order of the rows, which is that of the tab key and of screen readers
      const next = [...this.#shown].filter(([other]) => other > index).sort(([a], [b]) => a - b)[0];
      this.body.insertBefore(element, next ? next[1] : null);
    }
    this.#place();
  }

  /** @param {number} index @param {HTMLElement} element */
  #drop(index, element) {
    this.#shown.delete(index);
    element.remove();
    this.items.drop(element, index);
  }

  #place() {
    const shift = this.#last - this.#top;
    for (const [index, element] of this.#shown) {
      const x = this.gap + (index % this.#columns) * (this.#width + this.gap);
      const y = this.gap + Math.floor(index / this.#columns) * this.#line + shift;
      element.style.transform = `translate(${x}px, ${y}px)`;
      element.style.width = `${this.#width}px`;
      element.style.height = `${this.#height}px`;
    }
  }
}
