// The dashboard: chooses what to show by the address, and connects events, state and page.

import { subscribe } from "/sdk/cberl.js";
import { Refused, conversations, history } from "./api.js";
import { ConversationView } from "./conversation_view.js";
import { clock } from "./format.js";
import { renderList, watchRows } from "./list.js";
import { renderFormats, watchMenu } from "./menu.js";
import { fillWords } from "./page_words.js";
import { format, parse } from "./route.js";
import { Start, snippet } from "./start.js";
import { addHistory, apply, emptyState, newestActive } from "./state.js";
import { renderSentence, renderStatus } from "./status.js";
import { deleteAfterAsking, exportAs } from "./stored.js";
import { words } from "./strings.js";
import { watchTheme } from "./theme.js";
import { takeToken } from "./token.js";

const IDLE_POLL_MS = 3_000;
const BUSY_POLL_MS = 10_000; // while a conversation is live, only the list can change
const INTERIM_MS = 3_000; // without an event for this long, interim events are removed

const $ = (id) => document.getElementById(id);

fillWords();
let route = parse(location.search);
let state = null;
let feed = null;
let connection = { kind: "idle" };
let listed = []; // conversations, as the engine has them
let refusal = null; // why nothing is shown
let reachable = true;
let interimTimer = null;
let frame = null;

const view = new ConversationView(() => {
  // Who looks at a turn, a moment or a part stays with this conversation when a newer one begins.
  const looking = Object.values(view.route).some((it) => it !== null);
  note({ ...view.route, conversation: looking ? state.conversation : route.conversation });
  renderStatus(...status());
});
const start = new Start((sentence, publishing) => {
  renderSentence("note", sentence);
  $("stop").hidden = !publishing;
  for (const id of ["speak", "demo"]) $(id).disabled = sentence === words.start.asking;
});

function open(conversation) {
  feed?.close();
  state = emptyState(conversation);
  view.show(route);
  const mine = state;
  feed = subscribe({
    conversation,
    resumeFromSeq: 0,
    onEvent: (message) => take(mine, message),
    onStatus: (kind, detail) => {
      if (mine !== state) return;
      connection = { kind, detail, retryAt: kind === "waiting" ? Date.now() + detail : null };
      draw();
    },
  });
}

function take(mine, message) {
  if (mine !== state || !apply(state, message)) return;
  if (message.type === "emotion") watchInterim();
  if (message.type === "resync") fill(mine);
  draw();
}

/** What the socket no longer has may be stored. */
async function fill(mine) {
  try {
    if (addHistory(mine, await history(mine.conversation))) mine.missed = false;
    draw();
  } catch (error) {
    if (!(error instanceof Refused)) console.warn("the history could not be loaded:", error.message);
  }
}

/** Removes interim events whose turn was discarded, so that no speaker is shown as speaking for ever. */
function watchInterim() {
  clearTimeout(interimTimer);
  interimTimer = setTimeout(() => {
    for (const speaker of state?.speakers.values() ?? []) speaker.interim = null;
    draw();
  }, INTERIM_MS);
}

function close() {
  feed?.close();
  feed = state = null;
  connection = { kind: "idle" };
}

/** Draws at most once per animation frame. */
function draw() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    const shown = Boolean(state) && (state.active || state.utterances.size > 0 || state.speakers.size > 0 || route.conversation !== null);
    $("frame").toggleAttribute("data-empty", listed.length === 0);
    $("frame").dataset.view = shown ? "conversation" : "home";
    $("conversation").hidden = !shown;
    $("start").hidden = shown;
    if (shown) $("nav-list").removeAttribute("aria-current");
    else $("nav-list").setAttribute("aria-current", "page");
    if (shown) view.render(state);
    const entry = listed.find(({ id }) => id === state?.conversation);
    $("delete").hidden = !entry || entry.active || Boolean(state?.active);
    renderList($("list"), $("no-match"), listed, route.search, state?.conversation ?? null, (id) => format({ ...parse(""), conversation: id }));
    renderSentence("error", state?.error ? `${state.error.message} (${state.error.code})` : null);
    renderStatus(...status());
  });
}

function status() {
  const { kind, detail, retryAt } = connection;
  if (kind === "waiting") return ["waiting", words.status.retry(Math.max(1, Math.ceil((retryAt - Date.now()) / 1000)))];
  if (kind === "refused") return ["waiting", detail];
  if (!feed && refusal !== null) return ["waiting", refusal];
  if (!feed) return reachable ? ["idle", words.status.idle(listed.filter(({ active }) => active).length)] : ["waiting", words.status.unreachable];
  if (kind === "connecting" || !state.heard) return ["connecting", words.status.connecting];
  if (!state.active && view.replay.at !== null) return ["idle", words.status.replay(clock(view.replay.at))];
  if (state.active) return ["live", words.live];
  return ["idle", state.utterances.size ? words.ended : words.status.starting];
}

async function refresh() {
  try {
    listed = await conversations();
    [reachable, refusal] = [true, null];
    const newest = newestActive(listed);
    const free = route.conversation === null && !route.list;
    if (free && newest && !state?.active && newest.id !== state?.conversation) open(newest.id);
  } catch (error) {
    refusal = error instanceof Refused ? error.message : null;
    reachable = error instanceof Refused;
  }
  draw();
}

async function poll() {
  await refresh();
  setTimeout(poll, state?.active ? BUSY_POLL_MS : IDLE_POLL_MS);
}

/** Writes a change of what is shown into the address, without a step in the history. */
function note(change) {
  route = { ...route, ...change };
  clearTimeout(note.timer);
  note.timer = setTimeout(() => window.history.replaceState(null, "", location.pathname + format(route)), 200);
}

/** A step in the history of the browser, as a link makes. */
function go(query) {
  clearTimeout(note.timer);
  if (query !== null) window.history.pushState(null, "", location.pathname + query);
  route = parse(location.search);
  $("search").value = route.search;
  if (route.conversation === null) close();
  else if (route.conversation !== state?.conversation) open(route.conversation);
  else view.show(route);
  refresh();
}

async function begin(way) {
  const conversation = await way();
  if (conversation !== null) go(format({ ...parse(""), conversation }));
}

async function download(conversation, format) {
  const shown = conversation === state?.conversation ? [...state.utterances.values()] : [];
  renderSentence("note", await exportAs(conversation, format, shown));
}

async function erase(conversation) {
  const row = [...$("list").children].find(({ dataset }) => dataset.id === conversation);
  const next = (row?.nextElementSibling ?? row?.previousElementSibling)?.querySelector("a") ?? $("main");
  const sentence = await deleteAfterAsking(conversation, () => {
    listed = listed.filter(({ id }) => id !== conversation);
    if (conversation === state?.conversation) go("?list");
    draw();
    requestAnimationFrame(() => next.focus()); // when the row is gone
  });
  if (sentence) renderSentence("note", sentence);
}

addEventListener("popstate", () => go(null));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || link.pathname !== location.pathname || link.hash) return;
  event.preventDefault();
  go(link.search);
  $("main").focus({ preventScroll: true });
});
$("search").addEventListener("input", () => {
  note({ search: $("search").value });
  draw();
});
$("speak").addEventListener("click", () => begin(() => start.speak()));
$("demo").addEventListener("click", () => begin(() => start.demo()));
$("stop").addEventListener("click", () => start.stop());
renderFormats($("formats"));
watchMenu($("export"), (format) => download(state.conversation, format));
$("delete").addEventListener("click", () => erase(state.conversation));
watchRows($("list"), download, erase);
setInterval(() => connection.kind === "waiting" && draw(), 1_000);

watchTheme(() => view.timeline.recolour());
$("snippet").textContent = snippet(location.origin);
$("search").value = route.search;
refusal = await takeToken();
if (route.conversation !== null) open(route.conversation);
poll();
draw();
