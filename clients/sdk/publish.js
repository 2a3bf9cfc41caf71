// A WHIP publisher (RFC 9725) that reconnects.

import { Retrying } from "./retrying.js";

const GATHER_MS = 1_500; // longest wait for ICE candidates
const LOST_MS = 4_000; // a disconnected peer may recover by itself within this time
const TAKEN_TRIES = 6;
const KINDS = { all: ["audio", "video"], text: ["audio"], none: [] }; // what is sent, by what may be analysed

/** The server refused the request for good, so there is no retry. */
class Refusal extends Error {}

/** The `iceServers` of an RTCPeerConnection, from the Link header of a response. */
export function iceServers(link) {
  const servers = [];
  for (const [, urls, rest] of (link ?? "").matchAll(/<([^>]+)>([^<]*)/g)) {
    if (!/rel="?ice-server"?/.test(rest)) continue;
    const value = (name) => rest.match(new RegExp(`${name}="([^"]*)"`))?.[1];
    servers.push(value("username") ? { urls, username: value("username"), credential: value("credential") } : { urls });
  }
  return servers;
}

export class Publication extends Retrying {
  #peer = null;
  #location = null;
  #opening = Promise.resolve(); // one offer at a time
  #newest = 0;
  #taken = 0; // how often the engine said that the speaker's name is taken

  constructor(stream, options) {
    super(options);
    const { speaker, analyse = "all", consent = false } = options;
    if (!KINDS[analyse]) throw new TypeError('analyse is "all", "text" or "none"');
    Object.assign(this, { stream, speaker, analyse, consent });
    this.leave = () => this.stop();
    globalThis.addEventListener?.("pagehide", this.leave);
    stream.addEventListener?.("addtrack", this.online);
    if (analyse === "none") this.#end("stopped");
  }

  /** Connects, or connects again: the engine continues the same conversation. */
  open() {
    this.cancel();
    const mine = ++this.#newest;
    this.#opening = this.#opening.then(() => mine === this.#newest && this.wanted && this.#attempt());
    return this.#opening;
  }

  /** Replaces the microphone's or the camera's track; where `track` is null, nothing of this kind is sent. */
  async setTrack(kind, track) {
    for (const old of this.stream.getTracks()) if (old.kind === kind && old !== track) this.stream.removeTrack(old);
    if (track && !this.stream.getTracks().includes(track)) this.stream.addTrack(track);
    if (!KINDS[this.analyse].includes(kind)) return;
    const sender = this.#peer?.getTransceivers().find(({ receiver }) => receiver.track.kind === kind)?.sender;
    if (sender) await sender.replaceTrack(track);
    else if (track && this.wanted) await this.open();
  }

  /** Returns when the engine has sent the event of the last turn. */
  async stop() {
    if (this.wanted) this.#end("stopped");
    const location = this.#location;
    this.#location = null;
    if (!location) return;
    try {
      await fetch(location, { method: "DELETE", keepalive: true });
    } catch (error) {
      console.warn("the engine did not hear of the end, and notices it by the missing media:", error.message);
    }
  }

  async #attempt() {
    this.#close();
    this.report("connecting");
    try {
      await this.#offer();
    } catch (error) {
      this.#close();
      if (!this.wanted) return;
      if (error instanceof Refusal) this.#end("refused", error.message);
      else this.retry();
    }
  }

  async #offer() {
    const token = await this.presentToken();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const endpoint = new URL(`/whip/${encodeURIComponent(this.conversation)}`, this.base);
    const { headers: known } = await fetch(endpoint, { method: "OPTIONS", headers });
    if (!this.wanted) return;
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: iceServers(known.get("Link")) });
    this.#peer = peer;
    for (const track of this.stream.getTracks().filter(({ kind }) => KINDS[this.analyse].includes(kind))) {
      peer.addTransceiver(track, { direction: "sendonly", streams: [this.stream] });
    }
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const answer = await this.#post(endpoint, headers, peer.localDescription.sdp);
    if (!this.wanted) return this.stop(); // stopped during the request
    peer.onconnectionstatechange = () => this.#changed(peer);
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
  }

  /** Returns the answer to the offer, and stores the address of the session. */
  async #post(endpoint, headers, offer) {
    const asked = { speaker: this.speaker, analyse: this.analyse, consent: this.consent };
    if (this.#location) asked.resume = this.#location.split("/").at(-1);
    for (const [name, value] of Object.entries(asked)) endpoint.searchParams.set(name, value);
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/sdp" },
      body: offer,
    });
    const body = await response.text();
    // After a reload, the name is free when the engine has ended the publication of the page before.
    const soon = response.status === 409 && this.#taken++ < TAKEN_TRIES;
    const later = soon || response.status >= 500 || response.status === 429;
    if (!response.ok) throw later ? new Error(sentence(body)) : new Refusal(sentence(body));
    this.#location = new URL(response.headers.get("Location"), endpoint).href;
    return body;
  }

  #changed(peer) {
    if (peer !== this.#peer) return;
    this.cancel();
    if (peer.connectionState === "connected") {
      this.succeeded();
      this.#taken = 0;
      this.report("live");
    }
    if (peer.connectionState === "disconnected") this.openAfter(LOST_MS);
    if (peer.connectionState === "failed") this.open();
  }

  #end(status, detail) {
    this.#close();
    globalThis.removeEventListener?.("pagehide", this.leave);
    this.stream.removeEventListener?.("addtrack", this.online);
    this.end(status, detail);
  }

  #close() {
    const peer = this.#peer;
    this.#peer = null; // first, so that its closing events are ignored
    peer?.close();
  }
}

function gathered(peer) {
  return new Promise((done) => {
    const look = () => peer.iceGatheringState === "complete" && done();
    peer.addEventListener("icegatheringstatechange", look);
    setTimeout(done, GATHER_MS);
    look();
  });
}

function sentence(body) {
  try {
    return JSON.parse(body).message;
  } catch {
    return "The server sent an invalid response.";
  }
}
