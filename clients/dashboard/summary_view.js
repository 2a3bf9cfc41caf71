// Renders the summary: for each person the shares of their time, then the most intense moments.

import { html } from "./dom.js";
import { clock, percent } from "./format.js";
import { chip, letterOf, unchanged } from "./marks.js";
import { words } from "./strings.js";
import { summarize } from "./summary.js";

const LEAST = 0.06; // of the width that a letter needs

export function renderSummary(container, turns, rule, onSelect) {
  if (unchanged(container, [rule, turns.length, turns.at(-1), turns.reduce((sum, { revision }) => sum + revision, 0)])) return;
  const { speakers, moments } = summarize(turns, rule);
  if (speakers.length === 0) return container.replaceChildren(html("p", { class: "soft" }, words.summary.none));
  container.replaceChildren(...speakers.map(ofSpeaker), ...(moments.length ? [momentList(moments, onSelect)] : []));
}

function ofSpeaker({ name, turns, changes, shares }) {
  const told = shares.map(([emotion, share]) => `${emotion} ${percent(share)}`).join(", ");
  return html("section", {},
    html("h4", {}, html("span", { title: name }, name), html("span", {}, `${words.turns(turns)}, ${words.summary.changes(changes)}`)),
    html("div", { class: "shares", role: "img", "aria-label": `${words.summary.shares}: ${told}` }, ...shares.map(([emotion, share]) => {
      const part = html("i", { "data-emotion": emotion, title: `${emotion} ${percent(share)}` }, share >= LEAST ? letterOf(emotion) : "");
      part.style.setProperty("--share", share);
      return part;
    })),
    html("p", { class: "soft" }, told));
}

function momentList(moments, onSelect) {
  return html("section", {}, html("h4", {}, words.summary.intense), html("ul", { class: "moments" }, ...moments.map((event) => {
    const button = html("button", { type: "button" }, html("time", {}, clock(event.start_s)), chip(event),
      html("span", { class: "words" }, `${event.speaker}: ${event.text || words.noWords}`));
    button.addEventListener("click", () => onSelect(event.utterance));
    return html("li", {}, button);
  })));
}
