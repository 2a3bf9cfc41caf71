// The moment that an ended conversation is shown at, and its play button.

import { clock } from "./format.js";
import { words } from "./strings.js";

export class Replay {
  #playing = null; // {from_s, since_ms}
  at = null; // seconds, or null for the end

  /** `onMove` is called when `at` has changed. `elements`: {bar, play, scrub, moment, speed}. */
  constructor(elements, onMove) {
    Object.assign(this, elements, { onMove });
    this.play.addEventListener("click", () => (this.#playing ? this.pause() : this.#start()));
    this.scrub.addEventListener("input", () => {
      this.pause();
      this.#move(Number(this.scrub.value));
    });
    this.speed.addEventListener("change", () => this.#playing && this.#start());
  }

  render(length_s, live) {
    this.bar.hidden = live || length_s === 0;
    this.length_s = length_s;
    if (live) this.pause();
    this.scrub.max = length_s.toFixed(1);
    this.scrub.value = this.at ?? length_s;
    this.scrub.setAttribute("aria-valuetext", clock(this.at ?? length_s));
    this.moment.textContent = clock(this.at ?? length_s);
    this.play.textContent = this.#playing ? words.pause : words.play;
  }

  reset(at) {
    this.#playing = null;
    this.at = at;
  }

  pause() {
    if (!this.#playing) return;
    this.#playing = null;
    this.onMove();
  }

  #start() {
    const from_s = this.at === null || this.at >= this.length_s ? 0 : this.at;
    const playing = { from_s, since_ms: performance.now() };
    this.#playing = playing;
    const tick = (now_ms) => {
      if (this.#playing !== playing) return;
      this.#move(from_s + ((now_ms - playing.since_ms) / 1000) * Number(this.speed.value));
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  #move(to_s) {
    this.at = to_s >= this.length_s ? null : Math.max(0, to_s);
    if (this.at === null) this.#playing = null;
    this.onMove();
  }
}
