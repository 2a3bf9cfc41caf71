// Renders one conversation into the page, at most once per animation frame.

import { renderDetails } from "./details.js";
import { renderFigures } from "./figures.js";
import { clock } from "./format.js";
import { influencesOf } from "./influences.js";
import { renderPeople } from "./people.js";
import { Replay } from "./replay.js";
import { words } from "./strings.js";
import { renderSummary } from "./summary_view.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";
import { interims, viewOf } from "./view_state.js";

const $ = (id) => document.getElementById(id);
const ZOOM = 1.6;
const SLOW_MS = 400; // between two renderings of what changes slowly

export class ConversationView {
  #state = null;
  #selected = null;
  #slowAt = 0;
  #slowTimer = null;

  /** `onRoute` is called when the selected turn, the moment or the zoom have changed. */
  constructor(onRoute) {
    this.onRoute = onRoute;
    this.transcript = new Transcript($("transcript"), $("newest"), (id) => this.select(id));
    this.timeline = new Timeline($("timeline"), $("canvas"), $("legend"), { onSelect: (id) => this.select(id), onZoom: () => this.onRoute() });
    const bar = { bar: $("replay"), play: $("play"), scrub: $("scrub"), moment: $("moment"), speed: $("speed") };
    this.replay = new Replay(bar, () => {
      this.render(this.#state);
      this.onRoute();
    });
    $("zoom-in").addEventListener("click", () => this.timeline.zoom(1 / ZOOM));
    $("zoom-out").addEventListener("click", () => this.timeline.zoom(ZOOM));
    $("zoom-all").addEventListener("click", () => this.timeline.showAll());
    $("close").addEventListener("click", () => this.select(null));
  }

  /** {turn, at, from, to} as in the address. */
  get route() {
    const [from, to] = this.timeline.chosen ?? [null, null];
    return { turn: this.#selected, at: this.replay.at, from, to };
  }

  show({ turn, at, from, to }) {
    this.#selected = turn;
    this.#slowAt = 0;
    this.replay.reset(at);
    this.timeline.chosen = from !== null && to !== null ? [from, to] : null;
    this.transcript.following = true;
  }

  select(id) {
    this.#selected = id === this.#selected ? null : id;
    this.render(this.#state);
    this.onRoute();
  }

  render(state) {
    this.#state = state;
    if (!state) return;
    const view = viewOf(state, state.active ? null : this.replay.at);
    const now = interims(state, view.at);
    $("title").textContent = state.conversation;
    $("badge").textContent = state.active ? words.live : words.ended;
    $("badge").toggleAttribute("data-live", state.active);
    $("facts").textContent = [words.people(view.people.length), clock(view.length_s), words.turns(view.all.length)].join(" · ");
    $("missed").hidden = !state.missed;
    renderDisclosure(state);
    renderPeople($("people"), view.people);
    this.replay.render(view.length_s, state.active);
    this.transcript.render(view.turns, now, this.#selected);
    this.timeline.render(view, now, this.#selected);
    const chosen = state.utterances.get(this.#selected);
    const influences = influencesOf(chosen, state.utterances);
    renderDetails($("details"), $("details-title"), $("details-body"), chosen, influences, (id) => this.select(id));
    this.#renderSlow(view, state);
  }

  #renderSlow(view, state) {
    clearTimeout(this.#slowTimer);
    const wait = this.#slowAt + SLOW_MS - performance.now();
    if (wait > 0) {
      this.#slowTimer = setTimeout(() => this.render(this.#state), wait);
      return;
    }
    this.#slowAt = performance.now();
    renderSummary($("summary"), view.turns, state.change, (id) => this.select(id));
    renderFigures($("figures"), view.turns, state.stats);
  }
}

/** Where emotion recognition runs, its own sentence says so, in its language for screen readers. */
export function renderDisclosure(state) {
  const { disclosure, active } = state;
  $("disclosure").hidden = !(disclosure && active);
  if (!disclosure || $("disclosure-text").textContent === disclosure.text) return;
  $("disclosure-text").textContent = disclosure.text;
  $("disclosure-text").lang = disclosure.locale;
}
