// The timeline: size, colours, zoom, and the selection by mouse and keyboard.

import { EMOTIONS } from "/sdk/cberl.js";
import { html } from "./dom.js";
import { clock, percent } from "./format.js";
import { influencesOf } from "./influences.js";
import { letterOf, unchanged } from "./marks.js";
import { words } from "./strings.js";
import { draw, heightOf, laneAt } from "./timeline_draw.js";
import { moved, range, turnAt, zoomed } from "./timeline_scale.js";

const NEAR_PX = 8;
const ZOOM = 1.6;

export class Timeline {
  #view = null;
  #interims = [];
  #selected = null;
  #hovered = null; // the turn under the pointer
  #seen = new Map(); // interim utterance -> when it was first drawn
  #colours = null;
  #frame = null;
  chosen = null; // [from, to] that the reader has zoomed to

  /** `onSelect` gets the id of a turn, `onZoom` the chosen range or null. */
  constructor(box, canvas, legend, { onSelect, onZoom }) {
    Object.assign(this, { box, canvas, legend, onSelect, onZoom });
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.#schedule()).observe(box);
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#drag();
    this.#hover();
  }

  render(view, interims, selected) {
    this.#view = view;
    this.#interims = interims;
    this.#selected = selected;
    this.#legend();
    this.#describe();
    this.#schedule();
  }

  /** To be called when the colours of the page have changed. */
  recolour() {
    this.#colours = null;
    this.#schedule();
  }

  zoom(factor) {
    const [from, to] = this.#range();
    this.#choose(zoomed([from, to], factor, (from + to) / 2, this.#view.length_s));
  }

  showAll() {
    this.#choose(this.#view.live ? [0, this.#view.length_s] : null);
  }

  /** Draws at most once per animation frame. */
  #schedule() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#draw();
    });
  }

  #draw() {
    const view = this.#view;
    const width = this.box.clientWidth;
    if (!view || width === 0) return;
    const height = heightOf(view.lanes);
    const dots = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * dots) || this.canvas.height !== Math.round(height * dots)) {
      [this.canvas.width, this.canvas.height] = [Math.round(width * dots), Math.round(height * dots)];
      this.canvas.style.height = `${height}px`;
    }
    this.context.setTransform(dots, 0, 0, dots, 0, 0);
    const now_ms = performance.now();
    for (const { utterance } of this.#interims) if (!this.#seen.has(utterance)) this.#seen.set(utterance, now_ms);
    if (this.#interims.length === 0) this.#seen.clear();
    const scene = { lanes: view.lanes, interims: this.#interims, range: this.#range(), width, at: view.at,
      selected: this.#selected, moved: this.#moved(), colours: (this.#colours ??= this.#read()), now_ms, seen: (id) => this.#seen.get(id) };
    if (draw(this.context, scene)) this.#schedule();
  }

  /** Of the turn under the pointer, else of the selected one, which earlier turns moved it. */
  #moved() {
    const { byId } = this.#view;
    const found = [this.#hovered, this.#selected].map((id) => byId.get(id)).filter(Boolean);
    return found.map((target) => ({ target, influences: influencesOf(target, byId) })).find(({ influences }) => influences.length) ?? null;
  }

  #range() {
    return range(this.chosen, Math.max(this.#view.length_s, ...this.#interims.map(({ end_s }) => end_s)), this.#view.live, this.box.clientWidth);
  }

  #choose(chosen) {
    this.chosen = chosen;
    this.onZoom(chosen);
    this.#schedule();
  }

  /** A canvas knows no style sheet, so the colours are read from elements. */
  #read() {
    const style = getComputedStyle(this.box);
    const probe = this.box.appendChild(html("i", { hidden: "" }));
    const resolved = (value, emotion) => {
      if (emotion) probe.dataset.emotion = emotion;
      probe.style.color = value;
      return getComputedStyle(probe).color;
    };
    const found = { ink: style.color };
    for (const name of ["soft", "line", "card", "sunk", "accent"]) found[name] = resolved(`var(--${name})`);
    found.on = resolved("var(--on-feeling)");
    const feelings = Object.fromEntries(Object.keys(EMOTIONS).map((emotion) => [emotion, resolved("var(--feeling)", emotion)]));
    probe.remove();
    return { ...found, of: (emotion) => feelings[emotion] ?? feelings.neutral };
  }

  #legend() {
    const found = [...new Set(this.#view.all.map(({ emotion }) => emotion))].sort();
    if (unchanged(this.legend, found)) return;
    this.legend.replaceChildren(...found.map((emotion) =>
      html("li", { "data-emotion": emotion }, html("i", { "aria-hidden": "true" }, letterOf(emotion)), emotion)));
  }

  /** What a screen reader says of the selected turn. */
  #describe() {
    const { all, turns, byId } = this.#view;
    const index = all.findIndex(({ utterance }) => utterance === this.#selected);
    const event = all[index];
    const moved = influencesOf(event, byId).map((it) => words.timeline.influence(clock(it.event.start_s), it.event.speaker, it.weight));
    const said = event && words.timeline.turn(event.speaker, event.emotion, percent(event.confidence), clock(event.start_s), event.text || words.noWords) + words.timeline.movedBy(moved);
    this.box.setAttribute("aria-valuemax", Math.max(0, all.length - 1));
    this.box.setAttribute("aria-valuenow", Math.max(0, index));
    this.box.setAttribute("aria-valuetext", said ?? (turns.length ? words.timeline.none : words.timeline.empty));
  }

  #key(event) {
    const { all, length_s } = this.#view;
    const index = all.findIndex(({ utterance }) => utterance === this.#selected);
    const to = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index < 0 ? all.length - 1 : index - 1,
      ArrowUp: index < 0 ? all.length - 1 : index - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined && all[to]) this.#reveal(all[to], length_s);
    else if (event.key === "+" || event.key === "=") this.zoom(1 / ZOOM);
    else if (event.key === "-") this.zoom(ZOOM);
    else if (event.key === "Escape") this.onSelect(null);
    else return;
    event.preventDefault();
  }

  #reveal(turn, length_s) {
    const [from, to] = this.#range();
    const outside = turn.start_s < from || turn.end_s > to;
    if (outside) this.#choose(moved([from, to], (turn.start_s + turn.end_s - from - to) / 2, length_s));
    this.onSelect(turn.utterance);
  }

  #wheel(event) {
    if (!event.ctrlKey && Math.abs(event.deltaX) < Math.abs(event.deltaY)) return; // the page scrolls
    event.preventDefault();
    const [from, to] = this.#range();
    const { length_s } = this.#view;
    const perPx = (to - from) / this.box.clientWidth;
    if (event.ctrlKey) this.#choose(zoomed([from, to], 1.01 ** event.deltaY, from + event.offsetX * perPx, length_s));
    else this.#choose(moved([from, to], event.deltaX * perPx, length_s));
  }

  /** A press selects, a drag moves. */
  #drag() {
    let start = null;
    this.box.addEventListener("pointerdown", ({ offsetX, offsetY }) => {
      start = { x: offsetX, y: offsetY, range: this.#range(), dragged: false };
    });
    this.box.addEventListener("pointermove", ({ offsetX, buttons, pointerId }) => {
      if (!start || !buttons || (!start.dragged && Math.abs(offsetX - start.x) < 5)) return;
      start.dragged = true;
      this.box.setPointerCapture(pointerId);
      const [from, to] = start.range;
      this.#choose(moved(start.range, ((start.x - offsetX) / this.box.clientWidth) * (to - from), this.#view.length_s));
    });
    this.box.addEventListener("pointerup", () => {
      if (start && !start.dragged) this.onSelect(this.#turnAt(start.x, start.y));
      start = null;
    });
  }

  #hover() {
    const look = (id) => {
      if (id === this.#hovered) return;
      this.#hovered = id;
      this.#schedule();
    };
    this.box.addEventListener("pointermove", ({ offsetX, offsetY, buttons }) => look(buttons || !this.#view ? null : this.#turnAt(offsetX, offsetY)));
    this.box.addEventListener("pointerleave", () => look(null));
  }

  /** The id of the turn at or near this point, or null. */
  #turnAt(x, y) {
    const [from, to] = this.#range();
    const perPx = (to - from) / this.box.clientWidth;
    const lane = this.#view.lanes.get(laneAt(this.#view.lanes, y)) ?? [];
    return turnAt(lane, from + x * perPx, NEAR_PX * perPx)?.utterance ?? null;
  }
}
