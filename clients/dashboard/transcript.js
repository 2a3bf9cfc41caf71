// The turns as a list that holds only the rows near those in view, however long the conversation is.

import { html } from "./dom.js";
import { clock, percent } from "./format.js";
import { chip, tags } from "./marks.js";
import { words } from "./strings.js";

const MOST_ROWS = 200;
const STEP = 80; // rows by which the window moves
const NEAR_PX = 120; // within this distance of an edge, the window moves, and at the end it follows

export class Transcript {
  #turns = [];
  #first = 0; // index of the first turn in the list
  #rows = new Map(); // id -> {event, selected, row}
  #selected = null;
  #revealed = null; // the selected turn, once it was scrolled to
  following = true; // false while the reader has scrolled back

  constructor(list, newest, onSelect) {
    Object.assign(this, { list, newest });
    list.addEventListener("scroll", () => this.#scrolled());
    newest.addEventListener("click", () => this.follow());
    list.addEventListener("click", ({ target }) => {
      const id = target.closest("li")?.dataset.turn;
      if (id) onSelect(id);
    });
    new ResizeObserver(() => this.following && this.#toEnd()).observe(list);
  }

  /** `interims` are of those who speak now. */
  render(turns, interims, selected) {
    const grown = turns.length > this.#turns.length;
    this.#turns = turns;
    this.#selected = selected;
    const at = selected !== this.#revealed ? turns.findIndex(({ utterance }) => utterance === selected) : -1;
    if (at >= 0 || !selected) this.#revealed = selected;
    if (at >= 0) this.following = false;
    if (this.following) this.#first = Math.max(0, turns.length - MOST_ROWS);
    else if (at >= 0 && !this.#rows.has(selected)) this.#first = Math.max(0, at - MOST_ROWS / 2);
    this.#first = Math.min(this.#first, Math.max(0, turns.length - 1));
    this.#fill(interims);
    if (at >= 0) this.#reveal(this.#rows.get(selected)?.row);
    if (this.following) this.#toEnd();
    else if (grown) this.newest.hidden = false;
  }

  follow() {
    this.following = true;
    this.render(this.#turns, [], this.#selected);
  }

  #fill(interims) {
    const shown = this.#turns.slice(this.#first, this.#first + MOST_ROWS);
    const atEnd = this.#first + shown.length === this.#turns.length;
    const wanted = [...shown, ...(atEnd ? interims : [])];
    const ids = new Set(wanted.map(({ utterance }) => utterance));
    for (const [id, { row }] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    let before = null;
    for (const event of wanted) {
      const row = this.#row(event);
      const place = before ? before.nextElementSibling : this.list.firstElementChild;
      if (place !== row) this.list.insertBefore(row, place);
      before = row;
    }
  }

  #row(event) {
    const selected = event.utterance === this.#selected;
    const old = this.#rows.get(event.utterance);
    if (old?.event === event && old.selected === selected) return old.row;
    const row = transcriptRow(event, selected);
    old?.row.replaceWith(row);
    this.#rows.set(event.utterance, { event, selected, row });
    return row;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    const below = scrollHeight - scrollTop - clientHeight;
    const last = this.#first + MOST_ROWS >= this.#turns.length;
    this.following = last && below < NEAR_PX / 2;
    if (this.following) this.newest.hidden = true;
    if (below < NEAR_PX && !last) this.#shift(STEP);
    if (scrollTop < NEAR_PX && this.#first > 0) this.#shift(-STEP);
  }

  /** Keeps what is in view where it is. */
  #shift(by) {
    const anchor = [...this.list.children].find((row) => row.offsetTop >= this.list.scrollTop);
    const before = anchor?.getBoundingClientRect().top;
    this.#first = Math.max(0, Math.min(this.#first + by, this.#turns.length - MOST_ROWS));
    this.#fill([]);
    if (anchor?.isConnected) this.list.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  /** Scrolls the list alone, not the page. */
  #reveal(row) {
    if (row) this.list.scrollTop = row.offsetTop - (this.list.clientHeight - row.clientHeight) / 2;
  }

  #toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}

function transcriptRow(event, selected) {
  const { utterance, speaker, start_s, text, emotion, confidence, status } = event;
  return html("li", { "data-turn": utterance, "data-emotion": emotion, "aria-current": selected ? "true" : null,
    class: status === "interim" ? "now" : null },
    html("span", { class: "who" }, html("b", { title: speaker }, speaker), html("time", {}, clock(start_s))),
    text ? html("span", { class: "words" }, text) : html("span", { class: "words no-text" }, words.noWords),
    html("span", { class: "verdict" }, chip(event), html("span", { class: "number" }, percent(confidence)), ...tags(event)));
}
