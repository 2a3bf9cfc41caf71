// A speaker's emotions over media time: one block per utterance, labelled by emotion, higher for higher valence.

import { svg } from "./dom.js";

const LONGEST_S = 90; // older blocks are not shown
const SHORTEST_S = 60;
const HEIGHT = 72;
const BLOCK = 18;

const CODES = { sadness: "Sa", surprise: "Su" }; // one letter is enough for the rest

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The range of media time of all timelines: [from_s, to_s]. */
export function stretch(utterances) {
  let end = SHORTEST_S;
  for (const { end_s } of utterances) end = Math.max(end, end_s);
  return [Math.max(0, end - LONGEST_S), end];
}

export function timeline(name, utterances, [from, to]) {
  const visible = utterances.filter(({ end_s }) => end_s > from);
  const percent = (seconds) => `${(((seconds - from) / (to - from)) * 100).toFixed(2)}%`;
  const middle = HEIGHT / 2;
  const marks = visible.map((event) => {
    const start = Math.max(from, event.start_s);
    const top = middle - event.valence * (middle - BLOCK / 2 - 2) - BLOCK / 2;
    const width = percent(from + event.end_s - start);
    const code = CODES[event.emotion] ?? event.emotion.charAt(0).toUpperCase();
    const kind = event.uncertain ? "block uncertain" : "block";
    return svg("g", { class: kind, "data-emotion": event.emotion },
      svg("title", {}, `${clock(event.start_s)} ${event.emotion}${event.uncertain ? " (uncertain)" : ""}`),
      svg("rect", { x: percent(start), width, y: top, height: BLOCK, rx: 3 }),
      svg("text", { x: percent((start + event.end_s) / 2), y: top + BLOCK / 2 }, code));
  });
  const spoken = visible.map((event) => `${event.emotion} at ${clock(event.start_s)}`).join(", ");
  return svg("svg", { class: "timeline", role: "img", height: HEIGHT,
    "aria-label": `${name} over time: ${spoken || "nothing yet"}` },
    svg("line", { x1: 0, x2: "100%", y1: middle, y2: middle }),
    svg("text", { class: "axis", x: 0, y: 8 }, "pleasant"),
    svg("text", { class: "axis", x: 0, y: HEIGHT - 6 }, "unpleasant"),
    ...marks);
}
