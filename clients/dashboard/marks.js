// Small marks that several parts of the pages draw.

import { EMOTIONS } from "/sdk/cberl.js";
import { html } from "./dom.js";
import { percent } from "./format.js";
import { words } from "./strings.js";

export const letterOf = (emotion) => EMOTIONS[emotion]?.letter ?? emotion.slice(0, 2);

/** The emotion of an event in its colour, with its letter; dashed and hatched where it is uncertain. */
export function chip({ emotion, uncertain }) {
  return html("span", { class: uncertain ? "chip uncertain" : "chip", "data-emotion": emotion },
    html("span", { class: "letter", "aria-hidden": "true" }, letterOf(emotion)), emotion);
}

/** Whether the speaker's emotion changed with this turn. `shift` stays on the turns after it. */
export const isChange = ({ shift }) => shift?.turns_ago === 1;

/** What is special about an event, each as a tag. */
export function tags({ uncertain, backchannel, shift, status, vocal_events = [] }) {
  return [
    uncertain && words.uncertain,
    status === "interim" && words.interim,
    isChange({ shift }) && words.was(shift.from),
    status === "corrected" && words.corrected,
    backchannel && words.backchannel,
    ...vocal_events.map((name) => words.vocal[name] ?? name),
  ].filter(Boolean).map((text) => html("span", { class: "tag" }, text));
}

/** Rows of a name, a bar and a number: [[name, share of the longest, number as text, emotion or null]]. */
export function bars(rows, attributes = {}) {
  return html("ul", { class: "bars", ...attributes }, ...rows.map(([name, share, number, emotion]) => {
    const bar = html("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", Math.min(1, share));
    return html("li", { "data-emotion": emotion }, html("span", {}, name), bar, html("span", { class: "number" }, number));
  }));
}

export function probabilities(event) {
  const rows = Object.entries(event.probabilities).sort((a, b) => b[1] - a[1]);
  return bars(rows.map(([emotion, share]) => [emotion, share, percent(share), emotion]));
}

const shown = new WeakMap(); // element -> the values that it was rendered from

/** Whether the element was rendered from these values. Stores them. */
export function unchanged(element, values) {
  const before = shown.get(element);
  shown.set(element, values);
  return before?.length === values.length && values.every((value, index) => Object.is(value, before[index]));
}
