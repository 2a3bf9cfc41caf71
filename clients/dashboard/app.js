// Chooses the conversation to show, and connects messages, state and page.

import { subscribe } from "/sdk/cberl.js";
import { apply, emptyState, newestActive } from "./state.js";
import { takeToken } from "./token.js";
import { render, renderChooser, renderStatus, watchTranscript } from "./view.js";

const IDLE_POLL_MS = 4_000;
const BUSY_POLL_MS = 15_000; // while a conversation is live, only the list can change
const INTERIM_MS = 3_000; // without an event for this long, interim events are removed

let chosen = new URLSearchParams(location.search).get("conversation"); // null: the newest active one
let state = null;
let feed = null;
let connection = { kind: "idle" };
let list = []; // of conversations, oldest first
let reachable = true;
let refusal = null; // why the list is not shown
let interimTimer = null;
let frame = null;

function follow(conversation) {
  feed?.close();
  state = emptyState(conversation);
  feed = subscribe({
    conversation,
    resumeFromSeq: 0,
    onEvent: take,
    onStatus: (kind, detail) => {
      connection = { kind, retryAt: kind === "waiting" ? Date.now() + detail : null };
      if (kind === "refused") refusal = detail;
      draw();
    },
  });
}

function take(message) {
  const changed = apply(state, message);
  if (message.type === "emotion") watchInterim();
  if (changed) draw();
}

/** Removes interim events whose turn was discarded, so that no speaker is shown as speaking for ever. */
function watchInterim() {
  clearTimeout(interimTimer);
  interimTimer = setTimeout(() => {
    for (const speaker of state.speakers.values()) speaker.interim = null;
    draw();
  }, INTERIM_MS);
}

/** Draws at most once per animation frame. */
function draw() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    render(state);
    renderStatus(...status());
    renderChooser(list, chosen, state?.conversation);
  });
}

function status() {
  const { kind, retryAt } = connection;
  if (kind === "waiting") {
    return ["waiting", `Disconnected, trying again in ${Math.max(1, Math.ceil((retryAt - Date.now()) / 1000))} s`];
  }
  if (kind === "refused") return ["waiting", refusal];
  if (!feed && refusal !== null) return ["waiting", refusal];
  if (!feed) return reachable ? ["idle", "Waiting for a conversation"] : ["waiting", "Server not reachable, trying again"];
  if (kind === "connecting" || !state.heard) return ["connecting", "Connecting"];
  return state.active ? ["live", "Live"] : ["idle", state.utterances.size ? "Ended" : "Waiting for the conversation to start"];
}

async function poll() {
  await refresh();
  setTimeout(poll, state?.active ? BUSY_POLL_MS : IDLE_POLL_MS);
}

async function refresh() {
  try {
    const answer = await fetch("/conversations", { headers: { accept: "application/json" } });
    reachable = true;
    refusal = answer.status === 401 || answer.status === 403 ? (await answer.json()).message : null;
    if (refusal !== null) return draw();
    if (!answer.ok) throw new Error(`/conversations answered ${answer.status}`);
    const { conversations } = await answer.json();
    list = conversations;
    const newest = newestActive(conversations);
    if (chosen === null && newest && !state?.active && newest.id !== state?.conversation) follow(newest.id);
  } catch (error) {
    reachable = false;
    console.warn("the list of conversations could not be loaded:", error.message);
  }
  draw();
}

function choose(conversation) {
  chosen = conversation;
  const url = new URL(location.href);
  if (conversation === null) url.searchParams.delete("conversation");
  else url.searchParams.set("conversation", conversation);
  history.replaceState(null, "", url);
  if (conversation !== null && conversation !== state?.conversation) follow(conversation);
  refresh();
}

const chooser = document.getElementById("chooser");
chooser.addEventListener("change", () => choose(chooser.value ? chooser.value.slice(3) : null));
chooser.addEventListener("blur", draw);
setInterval(() => connection.kind === "waiting" && draw(), 1_000);

watchTranscript();
refusal = await takeToken();
if (chosen !== null) follow(chosen);
poll();
draw();
