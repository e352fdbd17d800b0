// @ts-check
/** The rows of a set, fetched page by page when they are needed, a few pages kept. */

import { loadRows } from "./api.js";

const PAGE = 100;
const KEPT = 40;

/** @typedef {import("./api.js").Row} Row */

export class Rows {
  /** @type {Map<number, Promise<Row[]>>} the page that was longest not asked for first */
  #pages = new Map();
  /** @type {Map<number, Row[]>} */
  #there = new Map();

  /** @param {string} set @param {number} total @param {string[]} columns */
  constructor(set, total, columns) {
    this.set = set;
    this.total = total;
    this.columns = columns;
  }

  /** A row that is there already. @param {number} index */
  get(index) {
    return this.#there.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** @param {number} index @returns {Promise<Row | undefined>} */
  async fetch(index) {
    return (await this.#page(Math.floor(index / PAGE)))[index % PAGE];
  }

  /** Fetch what is missing of some rows. @param {number} from @param {number} to @returns {Promise<Row[][]>} */
  want(from, to) {
    const pages = [];
    for (let page = Math.floor(from / PAGE); page * PAGE < Math.min(to, this.total); page++) pages.push(this.#page(page));
    return Promise.all(pages);
  }

  /** @param {number} page */
  #page(page) {
    const known = this.#pages.get(page);
    const rows =
      known ??
      loadRows(this.set, page * PAGE, Math.min(this.total, (page + 1) * PAGE), this.columns).then((answer) => {
        this.#there.set(page, answer.rows);
        return answer.rows;
      });
    if (!known) rows.catch(() => this.#pages.delete(page));
    this.#pages.delete(page);
    this.#pages.set(page, rows);
    for (const old of this.#pages.keys()) {
      if (this.#pages.size <= KEPT) break;
      this.#pages.delete(old);
      this.#there.delete(old);
    }
    return rows;
  }
}
