// A speaker's present emotion and words over a video element.

import { EMOTIONS } from "./emotions.js";
import { Subscription } from "./subscribe.js";

const QUIET_MS = 8_000; // after this long without an event, the words fade
const STYLE = `
  :host { all: initial; position: absolute; pointer-events: none; overflow: hidden; container-type: inline-size; }
  [hidden] { display: none !important; }
  p { max-width: 100%; margin: 0; }
  .shown { position: absolute; inset: auto 0 0 0; display: grid; gap: .3rem; justify-items: start;
    padding: 2.5rem .75rem .6rem; font: 500 15px/1.35 system-ui, sans-serif; color: #fff;
    background: linear-gradient(transparent, rgb(0 0 0 / .82) 60%); }
  .emotion { display: flex; gap: .45rem; align-items: center; padding: .1rem .6rem .1rem .15rem; border-radius: 2rem;
    color: #14161a; background: var(--colour); font-weight: 650; white-space: nowrap; }
  .uncertain { color: var(--colour); background: #14161a; outline: 1.5px dashed; outline-offset: -1.5px; }
  .letter { display: grid; place-content: center; width: 1.5rem; height: 1.5rem; border-radius: 50%; font-size: .8rem;
    color: var(--colour); background: #14161a; }
  .sure { font-weight: 400; font-variant-numeric: tabular-nums; }
  .words { display: -webkit-box; overflow: hidden; overflow-wrap: anywhere; -webkit-box-orient: vertical;
    -webkit-line-clamp: 3; text-shadow: 0 1px 2px #000; transition: opacity .6s; }
  .quiet .words { opacity: 0; }
  @container (max-width: 15rem) {
    .shown { padding: 2rem .4rem .35rem; font-size: 13px; }
    .words { -webkit-line-clamp: 2; }
    .sure { display: none; }
  }
  @media (prefers-reduced-motion: reduce) { .words { transition: none; } }`;

const PARTS = { shown: "div", emotion: "p", letter: "span", name: "span", sure: "span", words: "p" };

/** Draws over the video's box, whatever its size, and changes nothing else on the page. */
export class EmotionOverlay {
  #events;
  #unlisten;
  #quiet = null;

  constructor(video, options) {
    this.video = video;
    this.speaker = options.speaker;
    this.words = options.words !== false;
    this.host = document.createElement("cberl-emotion");
    this.#build();
    video.after(this.host);
    this.#events = options.subscription ?? new Subscription(options);
    this.own = !options.subscription;
    this.#unlisten = this.#events.listen((event) => this.#take(event));
    this.watch = new ResizeObserver(() => this.#place());
    for (const element of [video, video.offsetParent ?? document.body]) this.watch.observe(element);
    this.#show(this.#events.speakers.get(this.speaker));
  }

  remove() {
    this.#unlisten();
    if (this.own) this.#events.close();
    this.watch.disconnect();
    clearTimeout(this.#quiet);
    this.host.remove();
  }

  #build() {
    const root = this.host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // which a strict content security policy allows, unlike a style element
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const part = (this.part = {});
    for (const [name, tag] of Object.entries(PARTS)) {
      part[name] = document.createElement(tag);
      part[name].className = name;
    }
    part.letter.ariaHidden = "true";
    part.emotion.append(part.letter, part.name, part.sure);
    part.shown.append(part.emotion, part.words);
    part.shown.hidden = true;
    root.append(part.shown);
  }

  #place() {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.video;
    const box = { left: offsetLeft, top: offsetTop, width: offsetWidth, height: offsetHeight };
    for (const [name, value] of Object.entries(box)) this.host.style[name] = `${value}px`;
  }

  #take(event) {
    if (event.type === "snapshot") this.#show(this.#events.speakers.get(this.speaker));
    if (event.speaker !== this.speaker) return;
    // A correction of an earlier turn is not the person's present emotion.
    if (event.type === "emotion" && !(this.#events.speakers.get(this.speaker)?.start_s > event.start_s)) this.#show(event);
    if (event.type === "speaker.left") this.part.shown.hidden = true;
  }

  #show(event) {
    if (!event) return;
    const { shown, emotion, letter, name, sure, words } = this.part;
    const drawn = EMOTIONS[event.emotion] ?? EMOTIONS.neutral;
    shown.hidden = false;
    shown.dataset.emotion = event.emotion;
    emotion.style.setProperty("--colour", drawn.colour);
    emotion.classList.toggle("uncertain", event.uncertain === true);
    letter.textContent = drawn.letter;
    name.textContent = event.emotion;
    sure.textContent = `${Math.round(event.confidence * 100)} %`;
    words.textContent = event.text ?? "";
    words.hidden = !this.words || !event.text;
    shown.classList.remove("quiet");
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => shown.classList.add("quiet"), QUIET_MS);
  }
}
