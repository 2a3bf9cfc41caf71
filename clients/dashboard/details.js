// One turn in full: all probabilities, the words, what it is based on and what is absent, and the time it took.

import { html } from "./dom.js";
import { clock, milliseconds, percent } from "./format.js";
import { bars, chip, probabilities, tags, unchanged } from "./marks.js";
import { words } from "./strings.js";

/** `influences` as in influences.js; `onSelect` gets the id of one of their turns. */
export function renderDetails(panel, title, body, event, influences, onSelect) {
  panel.hidden = !event;
  if (!event || unchanged(body, [event, ...influences.map((it) => it.event)])) return;
  title.textContent = `${event.speaker}, ${words.details.media(clock(event.start_s), clock(event.end_s))}`;
  body.replaceChildren(...sections(event, influences, onSelect));
}

function sections(event, influences, onSelect) {
  const { details } = words;
  const { after_speech: after, ...stages } = event.timings_ms;
  const timings = Object.entries(stages).sort((a, b) => b[1] - a[1]);
  const longest = Math.max(1, ...timings.map(([, ms]) => ms));
  return [
    html("p", { class: "verdict" }, chip(event), html("span", { class: "number" }, percent(event.confidence)), ...tags(event)),
    html("blockquote", { lang: event.language ?? null, class: event.text ? null : "no-text" }, event.text || words.noWords),
    part(details.probabilities, probabilities(event)),
    influences.length ? part(details.moved, ...movedBy(event, influences, onSelect)) : null,
    part(details.modalities, modalities(event)),
    timings.length ? part(details.timings, bars(timings.map(([name, ms]) =>
      [words.timing[name] ?? name.replaceAll("_", " "), ms / longest, milliseconds(ms), null]), { class: "bars wide" })) : null,
    Number.isFinite(after) ? html("p", { class: "soft" }, `${details.silence} ${milliseconds(after)}.`) : null,
    html("p", { class: "soft" }, [details.model(event.model), event.revision ? details.revision(event.revision) : ""].filter(Boolean).join(", ")),
  ].filter(Boolean);
}

function movedBy({ emotion }, influences, onSelect) {
  const rows = influences.map(({ event, weight }) => {
    const said = html("span", { class: "words" }, `${event.speaker}: ${event.text || words.noWords}`);
    const button = html("button", { type: "button" }, html("time", {}, clock(event.start_s)), chip(event),
      html("span", { class: "weight" }, words.details.weight(emotion, weight)), said);
    button.addEventListener("click", () => onSelect(event.utterance));
    return html("li", {}, button);
  });
  return [html("ul", { class: "moments influences" }, ...rows), html("p", { class: "soft" }, words.details.movedMore(emotion))];
}

function part(name, ...children) {
  return html("section", {}, html("h4", {}, name), ...children);
}

function modalities({ emotion, modalities: reliabilities, modality_weights: weights = {}, missing = {} }) {
  const rows = Object.keys(words.modality).flatMap((name) => {
    const reliability = reliabilities[name] ?? null;
    const fault = missing[name];
    const why = fault ? words.fault[fault] : words.absent[name];
    const said = reliability === null ? [why] : [words.details.reliability(percent(reliability))];
    if (name in weights) said.push(words.details.weight(emotion, weights[name]));
    return [html("dt", {}, words.modality[name]), html("dd", {}, said.join(", "))];
  });
  return html("dl", { class: "because" }, ...rows);
}
