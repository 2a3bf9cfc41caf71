// The list of conversations: those that run first, then the latest.

import { html } from "./dom.js";
import { clock, date } from "./format.js";
import { matching, ordered } from "./list_order.js";
import { chip, unchanged } from "./marks.js";
import { words } from "./strings.js";

export function renderList(list, noMatch, conversations, search, current, hrefOf) {
  const found = matching(ordered(conversations), search);
  noMatch.hidden = !(search && found.length === 0);
  noMatch.textContent = words.noMatch;
  const values = [current, search, ...found.map((it) => JSON.stringify(it))];
  if (unchanged(list, values)) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  list.replaceChildren(...found.map((it) => entry(it, it.id === current, hrefOf(it.id))));
  if (focused !== null) [...list.querySelectorAll("a")].find(({ dataset }) => dataset.id === focused)?.focus();
}

function entry({ id, speakers, active, length_s, emotion, ended_at_s: ended }, isCurrent, href) {
  const facts = [
    speakers.length ? speakers.join(", ") : null,
    length_s ? clock(length_s) : null,
    !active && ended ? date(ended) : null,
  ].filter(Boolean).join(" · ");
  return html("li", {}, html("a", { href, "data-id": id, "aria-current": isCurrent ? "page" : null },
    html("b", { title: id }, id),
    active ? html("span", { class: "badge", "data-live": "" }, words.live) : emotion ? chip({ emotion }) : null,
    html("span", { class: "of" }, facts || words.ended)));
}
