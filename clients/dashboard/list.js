// The list of conversations: those that run first, then the latest. Each row opens it, and has what can be done with it.

import { html } from "./dom.js";
import { clock, date } from "./format.js";
import { matching, ordered } from "./list_order.js";
import { chip, unchanged } from "./marks.js";
import { words } from "./strings.js";

/** Rows stay while their conversation is listed, so that what is open and focused in them stays, too. */
export function renderList(list, noMatch, conversations, search, current, hrefOf) {
  const found = matching(ordered(conversations), search);
  noMatch.hidden = !(search && found.length === 0);
  noMatch.textContent = words.noMatch;
  const known = new Map([...list.children].map((row) => [row.dataset.id, row]));
  const rows = found.map((it) => {
    const row = known.get(it.id) ?? emptyRow(it.id);
    known.delete(it.id);
    fill(row, it, it.id === current, hrefOf(it.id));
    return row;
  });
  for (const row of known.values()) row.remove();
  rows.forEach((row, index) => {
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
}

/** `onExport` gets a name and a format, `onDelete` a name. Choosing and Escape close the row. */
export function watchRows(list, onExport, onDelete) {
  const close = (menu) => {
    menu.open = false;
    menu.querySelector("summary").focus();
  };
  // A thousand rows have these buttons only where they are open.
  list.addEventListener("toggle", ({ target }) => target.open && showActions(target), true);
  list.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details[open]");
    if (event.key === "Escape" && menu) close(menu);
  });
  list.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const { id } = button.closest("li").dataset;
    close(button.closest("details"));
    if (button.value) onExport(id, button.value);
    else onDelete(id);
  });
}

function emptyRow(id) {
  return html("li", { "data-id": id }, html("a"), html("details", { name: "row" },
    html("summary", { "aria-label": words.list.actions(id), title: words.list.actions(id) }, "⋯"), html("div")));
}

function fill(row, it, isCurrent, href) {
  if (unchanged(row, [JSON.stringify(it), isCurrent, href])) return;
  row.toggleAttribute("data-live", it.active);
  const { id, speakers, active, length_s, emotion, ended_at_s: ended } = it;
  const facts = [
    speakers.length ? speakers.join(", ") : null,
    length_s ? clock(length_s) : null,
    !active && ended ? date(ended) : null,
  ].filter(Boolean).join(" · ");
  const link = row.querySelector("a");
  link.href = href;
  if (isCurrent) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  const state = active ? html("span", { class: "badge", "data-live": "" }, words.live) : emotion ? chip({ emotion }) : "";
  link.replaceChildren(html("b", { title: id }, id), state, html("span", { class: "of" }, facts || words.ended));
}

function showActions(menu) {
  const formats = Object.entries(words.formats).map(([value, [what, format]]) =>
    html("button", { type: "button", value, "aria-label": `${words.list.exportAs} ${what}, ${format}`, title: what }, format));
  const remove = menu.closest("li").hasAttribute("data-live")
    ? html("p", { class: "soft" }, words.list.stillLive)
    : html("button", { type: "button", class: "danger" }, words.page.delete);
  menu.querySelector("div").replaceChildren(html("p", { class: "soft" }, words.list.exportAs), ...formats, remove);
}
