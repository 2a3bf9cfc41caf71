// Renders the state of a conversation into the page.

import { html } from "./dom.js";
import { clock, stretch, timeline } from "./timeline.js";
import { utterancesOf } from "./state.js";

const TOP = 3; // bars per speaker
const MODALITIES = ["text", "audio", "visual"];
const NEAR_PX = 48; // within this distance of its end, the transcript keeps scrolling

const $ = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;

let readingAlong = true; // false while the reader has scrolled back in the transcript
const shown = new WeakMap(); // element -> the values that it was rendered from
const rows = new Map(); // utterance id -> {event, row}; a row is replaced only when its event changes

export function render(state) {
  const empty = !state || (!state.active && state.utterances.size === 0 && state.speakers.size === 0);
  $("empty").hidden = !empty;
  $("conversation").hidden = empty;
  $("disclosure").hidden = empty || !state.active;
  renderError(state?.error ?? null);
  if (empty) return;
  const disclosure = state.disclosure ?? { text: "Emotion recognition is running.", locale: "en" };
  $("disclosure-text").textContent = disclosure.text;
  $("disclosure-text").lang = disclosure.locale; // for screen readers
  renderPeople(state);
  renderTranscript(state);
  renderFigures(state);
}

/** `kind` selects the style; `words` is the visible text. */
export function renderStatus(kind, words) {
  $("status").dataset.kind = kind;
  if ($("status-text").textContent !== words) $("status-text").textContent = words;
}

export function renderChooser(conversations, chosen, shown) {
  const chooser = $("chooser");
  if (document.activeElement === chooser) return; // it may be open
  const known = chosen === null || conversations.some(({ id }) => id === chosen);
  const listed = known ? conversations : [...conversations, { id: chosen, active: false }];
  const options = [["", chosen === null && shown ? `Newest conversation: ${shown}` : "Newest conversation"],
    ...listed.toReversed().map(({ id, active }) => [`id:${id}`, active ? `${id} (live)` : id])];
  const value = chosen === null ? "" : `id:${chosen}`;
  if (unchanged(chooser, [value, ...options.flat()])) return;
  chooser.replaceChildren(...options.map(([value, words]) => html("option", { value }, words)));
  chooser.value = value;
}

/** Whether the element was rendered from these values. Stores them. */
function unchanged(element, values) {
  const before = shown.get(element);
  shown.set(element, values);
  return before?.length === values.length && values.every((value, index) => Object.is(value, before[index]));
}

function renderError(error) {
  $("error").hidden = error === null;
  const words = error ? `${error.message} (${error.code})` : "";
  if ($("error").textContent !== words) $("error").textContent = words; // set only on change, since screen readers announce it
}

function renderPeople(state) {
  const span = stretch(state.utterances.values());
  const people = $("people");
  for (const card of [...people.children]) if (!state.speakers.has(card.dataset.name)) card.remove();
  for (const speaker of state.speakers.values()) {
    const card = [...people.children].find(({ dataset }) => dataset.name === speaker.name);
    const event = speaker.interim ?? speaker.current;
    const spoken = utterancesOf(state, speaker.name);
    const activity = activityOf(speaker, state.latest);
    if (card && unchanged(card, [event, activity, ...span, ...spoken])) continue;
    const fresh = personCard(speaker.name, activity, event, spoken, span);
    unchanged(fresh, [event, activity, ...span, ...spoken]);
    if (card) card.replaceWith(fresh);
    else people.append(fresh);
  }
}

function activityOf(speaker, latest) {
  if (speaker.interim) return "speaking";
  if (!speaker.present) return "left";
  return latest === speaker.name ? "spoke last" : "listening";
}

function personCard(name, activity, event, spoken, span) {
  return html("article", { class: "person", "data-name": name, "data-activity": activity,
    "data-emotion": event?.emotion ?? "none", "aria-label": name },
    html("header", {}, html("h2", {}, name), html("span", { class: "activity" }, activity)),
    event ? feeling(event) : html("p", { class: "feeling none" }, "no utterance yet"),
    html("p", { class: "said" }, event?.text ?? ""),
    event?.probabilities ? bars(event.probabilities) : null,
    event?.modalities ? modalities(event.modalities) : null,
    timeline(name, spoken, span),
    html("p", { class: "span" }, html("span", {}, clock(span[0])), html("span", {}, clock(span[1]))));
}

function feeling({ emotion, confidence, uncertain, status }) {
  return html("p", { class: "feeling" },
    html("strong", {}, emotion),
    html("span", { class: "confidence" }, percent(confidence)),
    uncertain ? html("span", { class: "tag" }, "uncertain") : null,
    status === "interim" ? html("span", { class: "tag" }, "so far") : null);
}

function bars(probabilities) {
  const top = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, TOP);
  return html("ul", { class: "bars", "aria-label": "most likely emotions" }, ...top.map(([emotion, share]) => {
    const bar = html("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", share);
    return html("li", { "data-emotion": emotion }, html("span", {}, emotion), bar, html("span", { class: "number" }, percent(share)));
  }));
}

function modalities(weights) {
  const tags = MODALITIES.map((name) => {
    const weight = weights[name] ?? null;
    return html("li", { class: weight === null ? "absent" : null }, weight === null ? `${name} absent` : `${name} ${percent(weight)}`);
  });
  return html("ul", { class: "modalities", "aria-label": "modalities and their reliability" }, ...tags);
}

function renderTranscript(state) {
  const list = $("transcript");
  for (const [id, { row }] of rows) {
    if (state.utterances.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  let added = false;
  for (const [id, event] of state.utterances) {
    const old = rows.get(id);
    if (old?.event === event) continue;
    const row = transcriptRow(event);
    if (old) old.row.replaceWith(row);
    else list.append(row);
    rows.set(id, { event, row });
    added ||= !old;
  }
  $("missed").hidden = !state.missed;
  if (readingAlong) list.scrollTop = list.scrollHeight;
  else if (added) $("newest").hidden = false;
}

function transcriptRow(event) {
  const { speaker, start_s, text, emotion, confidence, uncertain, shift, status } = event;
  return html("li", { "data-emotion": emotion },
    html("span", { class: "who" }, html("b", {}, speaker), html("time", {}, clock(start_s))),
    text ? html("span", { class: "words" }, text) : html("span", { class: "words no-text" }, "no text"),
    html("span", { class: "verdict" },
      html("span", { class: uncertain ? "chip uncertain" : "chip" }, emotion),
      html("span", { class: "number" }, percent(confidence)),
      uncertain ? html("span", { class: "tag" }, "uncertain") : null,
      shift ? html("span", { class: "tag" }, `was ${shift.from}`) : null,
      status === "corrected" ? html("span", { class: "tag" }, "corrected") : null));
}

function renderFigures(state) {
  const newest = [...state.utterances.values()].at(-1);
  const after = newest?.timings_ms?.after_speech;
  const { lag_s, dropped_chunks, dropped_events } = state.stats ?? {};
  const parts = [
    newest ? `model ${newest.model}` : null,
    Number.isFinite(after) ? `last answer ${Math.round(after)} ms after speech` : null,
    Number.isFinite(lag_s) ? `${lag_s.toFixed(1)} s behind live` : null,
    dropped_chunks > 0 ? `${dropped_chunks} audio chunks dropped` : null,
    dropped_events > 0 ? `${dropped_events} events dropped` : null,
  ];
  $("figures").textContent = parts.filter((part) => part !== null).join(" · ");
}

/** Keeps the newest row in view, unless the reader has scrolled back. */
export function watchTranscript() {
  const list = $("transcript");
  const toEnd = () => list.scrollTo({ top: list.scrollHeight });
  $("newest").addEventListener("click", toEnd);
  list.addEventListener("scroll", () => {
    readingAlong = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX;
    if (readingAlong) $("newest").hidden = true;
  });
  new ResizeObserver(() => readingAlong && toEnd()).observe(list);
}
