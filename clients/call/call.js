// The call page: publishes microphone and camera to a conversation, and shows the events of all its speakers.

import { publish, subscribe } from "/sdk/cberl.js";
import { apply, emptyState } from "/static/state.js";
import { takeToken } from "/static/token.js";
import { renderDisclosure } from "/static/conversation_view.js";
import { renderPeople } from "/static/people.js";
import { renderStatus } from "/static/status.js";
import { watchTheme } from "/static/theme.js";
import { Transcript } from "/static/transcript.js";
import { interims, viewOf } from "/static/view_state.js";

const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 } };
const STATUS = {
  connecting: ["connecting", "Connecting"],
  live: ["live", "In the call"],
  waiting: ["waiting", "Connection lost, trying again"],
  refused: ["waiting", "Not in the call"],
  stopped: ["idle", "Not in the call"],
};

const $ = (id) => document.getElementById(id);

let publisher = null;
let stream = null;
let state = null;
let feed = null;

async function join() {
  const conversation = $("room").value.trim();
  const speaker = $("name").value.trim();
  complain(null);
  try {
    stream = await capture($("camera").checked);
  } catch (error) {
    complain(whyNoCapture(error));
    return;
  }
  $("preview").srcObject = stream;
  showControls(true);
  $("where").textContent = `${speaker} in ${conversation}`;
  follow(conversation);
  publisher = publish(stream, { conversation, speaker, consent: true, onStatus: showStatus });
}

async function leave() {
  const leaving = publisher;
  publisher = null;
  release();
  renderStatus("idle", "Not in the call");
  await leaving?.stop();
}

/** Microphone and, if wanted, camera. Browsers allow them only to pages from localhost or over https. */
function capture(withCamera) {
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  return navigator.mediaDevices.getUserMedia({ audio: SOUND, video: withCamera && PICTURE });
}

function whyNoCapture({ name }) {
  if (name === "SecurityError") return "The browser does not allow a microphone on this page: open it over https, or as localhost on the engine's machine.";
  if (name === "NotAllowedError") return "Access to the microphone was denied: allow it in the address bar and join again.";
  if (name === "NotFoundError") return "No microphone or camera was found: plug one in, or join without the camera.";
  return `The microphone cannot be used (${name}): another program may be using it.`;
}

function follow(conversation) {
  feed?.close();
  state = emptyState(conversation);
  feed = subscribe({
    conversation,
    resumeFromSeq: 0,
    onEvent: (message) => {
      apply(state, message);
      render(state);
    },
  });
}

function render(state) {
  const { people, turns } = viewOf(state, null);
  $("empty").hidden = people.length > 0;
  $("conversation").hidden = people.length === 0;
  renderDisclosure(state);
  renderPeople($("people"), people);
  transcript.render(turns, interims(state, null), null);
}

function showStatus(kind, words) {
  renderStatus(...STATUS[kind]);
  if (kind !== "refused") return;
  complain(words);
  publisher = null;
  release();
}

function release() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  $("preview").srcObject = stream = null;
  showControls(false);
}

function showControls(inCall) {
  $("join").hidden = inCall;
  $("controls").hidden = !inCall;
  $("blind").hidden = !stream?.getVideoTracks().length;
  for (const name of ["mute", "blind"]) $(name).setAttribute("aria-pressed", "false");
  showPicture();
}

function showPicture() {
  $("no-picture").hidden = Boolean(stream?.getVideoTracks()[0]?.enabled);
}

/** A muted track still sends silence or black frames, so that the connection stays open. */
function toggle(button, tracks) {
  const off = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(off));
  for (const track of tracks) track.enabled = !off;
  showPicture();
}

function complain(words) {
  $("problem").hidden = !words;
  $("problem").textContent = words ?? "";
}

const query = new URLSearchParams(location.search);
if (query.has("conversation")) $("room").value = query.get("conversation");
if (query.has("name")) $("name").value = query.get("name");
const transcript = new Transcript($("transcript"), $("newest"), () => {});
watchTheme();
$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
$("mute").addEventListener("click", () => toggle($("mute"), stream.getAudioTracks()));
$("blind").addEventListener("click", () => toggle($("blind"), stream.getVideoTracks()));
$("leave").addEventListener("click", leave);
complain(await takeToken());
$("enter").disabled = false; // only now are the listeners attached
