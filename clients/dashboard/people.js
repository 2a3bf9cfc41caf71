// A card for each person: present emotion, words, and the trail of valence and arousal.

import { html, svg } from "./dom.js";
import { percent } from "./format.js";
import { tags, unchanged } from "./marks.js";
import { words } from "./strings.js";

const TRAIL = 12; // turns
const SIZE = 64;

export function renderPeople(container, people) {
  const names = new Set(people.map(({ name }) => name));
  const cards = new Map();
  for (const card of [...container.children]) {
    if (names.has(card.dataset.name)) cards.set(card.dataset.name, card);
    else card.remove();
  }
  for (const person of people) {
    const old = cards.get(person.name);
    const values = [person.event, person.activity, person.turns.length, ...person.turns.slice(-TRAIL)];
    if (old && unchanged(old, values)) continue;
    const fresh = card(person);
    unchanged(fresh, values);
    if (old) old.replaceWith(fresh);
    else container.append(fresh);
  }
}

function card({ name, activity, event, turns }) {
  return html("article", { class: "person", "data-name": name, "data-activity": activity, "data-emotion": event?.emotion ?? "none",
    "aria-label": name },
    html("div", {}, html("h3", { title: name }, name), html("p", { class: "activity" }, words.seen[activity])),
    event ? feeling(event) : html("p", { class: "feeling none" }, words.nothingYet),
    html("p", { class: "said" }, event?.text ?? ""),
    trail(name, turns.slice(-TRAIL)));
}

function feeling(event) {
  return html("p", { class: "feeling" },
    html("strong", {}, event.emotion), html("span", { class: "number" }, percent(event.confidence)), ...tags(event));
}

/** Valence to the right, arousal upwards; older turns are smaller. */
function trail(name, turns) {
  const at = (value) => (value + 1) / 2 * (SIZE - 10) + 5;
  const points = turns.map(({ valence, arousal, emotion }) => [at(valence), SIZE - at(arousal), emotion]);
  const line = points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return svg("svg", { class: "trail", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": words.trail(name) },
    svg("title", {}, words.trail(name)),
    svg("rect", { width: SIZE, height: SIZE, rx: 4 }),
    svg("line", { x1: 0, x2: SIZE, y1: SIZE / 2, y2: SIZE / 2 }),
    svg("line", { y1: 0, y2: SIZE, x1: SIZE / 2, x2: SIZE / 2 }),
    svg("path", { d: line }),
    ...points.map(([x, y, emotion], index) => {
      const age = (index + 1) / points.length;
      return svg("circle", { cx: x, cy: y, r: age === 1 ? 4 : 1 + 1.5 * age, "data-emotion": emotion, opacity: 0.3 + 0.7 * age });
    }));
}
