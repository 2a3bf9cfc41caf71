// The call page: a video call between browsers, whose people publish to the engine what they have agreed to.

import { publish, subscribe } from "/sdk/cberl.js";
import { iceServers } from "/sdk/publish.js";
import { renderDisclosure } from "/static/conversation_view.js";
import { apply, emptyState } from "/static/state.js";
import { fillWords } from "/static/page_words.js";
import { renderSentence, renderStatus } from "/static/status.js";
import { words } from "/static/strings.js";
import { watchTheme } from "/static/theme.js";
import { takeToken } from "/static/token.js";
import { Transcript } from "/static/transcript.js";
import { interims, viewOf } from "/static/view_state.js";
import { camera, capture } from "./devices.js";
import { Peer } from "./peer.js";
import { Signalling } from "./signalling.js";
import { Tiles } from "./tiles.js";

const $ = (id) => document.getElementById(id);
fillWords();
const transcript = new Transcript($("transcript"), $("newest"), () => {});

const OWN = "own"; // the tile of this page's person

let call = null; // all of the present call

async function join() {
  const [conversation, name] = [$("room").value.trim(), $("name").value.trim()];
  const analyse = new FormData($("join")).get("analyse");
  renderSentence("problem", null);
  $("enter").disabled = true;
  try {
    const stream = await capture($("camera").checked);
    call = await begin({ conversation, name, analyse, stream });
    showControls(true);
  } catch ({ name: problem, message }) {
    const why = words.call.noDevice;
    renderSentence("problem", why[problem] ?? why.other(problem, message));
  }
  $("enter").disabled = false;
}

async function begin({ conversation, name, analyse, stream }) {
  const state = emptyState(conversation);
  const subscription = subscribe({ conversation, resumeFromSeq: 0, onEvent: (event) => apply(state, event) && draw() });
  const tiles = new Tiles($("stage"), subscription);
  const servers = iceServers((await fetch(`/whip/${encodeURIComponent(conversation)}`, { method: "OPTIONS" })).headers.get("Link"));
  const mine = { conversation, name, analyse, stream, state, subscription, tiles, servers, peers: new Map(),
    shown: { muted: false, camera: stream.getVideoTracks().length > 0, analyse } };
  mine.signalling = new Signalling({ conversation, name, onPeople: (people) => meet(mine, people),
    onSignal: (from, data) => listen(mine, from, data), onStatus: (status, detail) => told(mine, status, detail) });
  mine.publication = publish(stream, { conversation, speaker: name, analyse, consent: true, onStatus: (status, detail) => {
    if (status === "refused") renderSentence("problem", words.call.notAnalysed(detail));
  } });
  $("preview").srcObject = stream;
  tiles.add(OWN, name, { video: $("preview"), tile: $("own") });
  tiles.describe(OWN, mine.shown);
  return mine;
}

/** Connects to those who are new, and forgets those who have left. */
function meet(mine, people) {
  const others = new Map(people.map((it) => [it.id, it]));
  for (const [id, peer] of mine.peers) {
    if (others.has(id)) continue;
    peer.close();
    mine.peers.delete(id);
    mine.tiles.remove(id);
  }
  for (const { id, name } of others.values()) {
    if (mine.peers.has(id)) mine.peers.get(id).renew();
    else {
      mine.tiles.add(id, name);
      mine.peers.set(id, new Peer({ polite: mine.signalling.id < id, iceServers: mine.servers, stream: mine.stream,
        send: (data) => mine.signalling.send(id, data), onStream: (stream) => mine.tiles.show(id, stream) }));
    }
    mine.signalling.send(id, { shown: mine.shown });
  }
  $("alone").hidden = others.size > 0;
}

function listen(mine, from, data) {
  if (data.shown) mine.tiles.describe(from, data.shown);
  mine.peers.get(from)?.take(data);
}

function told(mine, status, detail) {
  if (mine !== call && call !== null) return;
  if (status === "refused") {
    renderSentence("problem", detail);
    leave();
  }
  renderStatus(words.call.kind[status], words.call.status[status]);
}

function draw() {
  const mine = call;
  if (!mine) return;
  const { turns } = viewOf(mine.state, null);
  const now = interims(mine.state, null);
  renderDisclosure(mine.state);
  $("quiet").hidden = turns.length + now.length > 0;
  transcript.render(turns, now, null);
}

async function leave() {
  const leaving = call;
  call = null;
  if (!leaving) return;
  leaving.signalling.close();
  for (const peer of leaving.peers.values()) peer.close();
  leaving.subscription.close();
  leaving.tiles.clear();
  for (const track of leaving.stream.getTracks()) track.stop();
  $("preview").srcObject = null;
  $("disclosure").hidden = true;
  showControls(false);
  renderStatus("idle", words.call.status.closed);
  await leaving.publication.stop();
}

/** Silence is no turn, so a muted person is absent from the events. */
function mute() {
  call.shown.muted = !call.shown.muted;
  for (const track of call.stream.getAudioTracks()) track.enabled = !call.shown.muted;
  tellShown();
}

/** Without a camera no picture is sent to anybody, and its light goes out. */
async function toggleCamera() {
  const mine = call;
  $("blind").disabled = true;
  try {
    const track = mine.shown.camera ? null : await camera();
    for (const old of mine.stream.getVideoTracks()) old.stop();
    await mine.publication.setTrack("video", track);
    for (const peer of mine.peers.values()) await peer.setTrack("video", track);
    mine.shown.camera = track !== null;
    tellShown();
  } catch ({ name, message }) {
    renderSentence("problem", words.call.noDevice[name] ?? words.call.noDevice.other(name, message));
  }
  $("blind").disabled = false;
}

function tellShown() {
  $("mute").setAttribute("aria-pressed", String(call.shown.muted));
  $("blind").setAttribute("aria-pressed", String(!call.shown.camera));
  call.tiles.describe(OWN, call.shown);
  for (const id of call.peers.keys()) call.signalling.send(id, { shown: call.shown });
}

function showControls(inCall) {
  $("lobby").hidden = inCall;
  $("room-title").textContent = inCall ? call.conversation : "";
  for (const id of ["controls", "heading", "aside", "stage"]) $(id).hidden = !inCall;
  $("alone").hidden = !inCall || call.peers.size > 0;
  $("history").href = `/?conversation=${encodeURIComponent($("room").value.trim())}`;
  $("mute").setAttribute("aria-pressed", "false");
  $("blind").setAttribute("aria-pressed", String(inCall && !call.shown.camera));
  if (inCall) draw();
}

const query = new URLSearchParams(location.search);
if (query.has("conversation")) $("room").value = query.get("conversation");
if (query.has("name")) $("name").value = query.get("name");
$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
$("mute").addEventListener("click", mute);
$("blind").addEventListener("click", toggleCamera);
$("leave").addEventListener("click", leave);
watchTheme();
renderSentence("problem", await takeToken());
$("enter").disabled = false; // only now are the listeners attached
