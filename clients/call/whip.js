// A WHIP publisher (RFC 9725) that reconnects. Independent of the page and of events.

import { retryDelayMs } from "/static/connection.js";

const GATHER_MS = 1_500; // longest wait for ICE candidates
const LOST_MS = 4_000; // a disconnected peer may recover by itself within this time

/** The server refused the request for good, so there is no retry. `status` is the HTTP status. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

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

/**
 * Publishes a stream until `stop`. When the connection is lost it publishes again with its token, so that the server
 * continues the same conversation. `onStatus` gets "connecting", "live", "waiting" and, with a sentence, "refused".
 */
export class Publisher {
  #peer = null;
  #location = null;
  #attempt = 0;
  #timer = null;
  #wanted = false;

  constructor({ conversation, speaker, stream, onStatus }) {
    Object.assign(this, { conversation, speaker, stream, onStatus });
    addEventListener("online", () => this.#wanted && this.start());
  }

  /** Connects, or reconnects, at once. */
  async start() {
    this.#wanted = true;
    clearTimeout(this.#timer);
    this.#close();
    this.onStatus("connecting");
    try {
      await this.#publish();
      this.#attempt = 0;
    } catch (error) {
      this.#close();
      if (!this.#wanted) return;
      if (error instanceof Refusal) {
        this.#wanted = false;
        this.onStatus("refused", error.message);
      } else {
        this.#retry();
      }
    }
  }

  /** Returns when the server has sent the event of the last turn. */
  async stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#close();
    const location = this.#location;
    this.#location = null;
    if (location) await fetch(location, { method: "DELETE", keepalive: true });
  }

  async #publish() {
    const endpoint = new URL(`/whip/${encodeURIComponent(this.conversation)}`, location.href);
    const { headers } = await fetch(endpoint, { method: "OPTIONS" });
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: iceServers(headers.get("Link")) });
    this.#peer = peer;
    for (const track of this.stream.getTracks()) {
      peer.addTransceiver(track, { direction: "sendonly", streams: [this.stream] });
    }
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);

    endpoint.searchParams.set("speaker", this.speaker);
    if (this.#location) endpoint.searchParams.set("resume", this.#location.split("/").at(-1));
    const answer = await fetch(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: peer.localDescription.sdp,
    });
    const body = await answer.text();
    if (answer.status >= 400 && answer.status < 500) throw new Refusal(answer.status, sentence(body));
    if (!answer.ok) throw new Error(sentence(body));
    this.#location = new URL(answer.headers.get("Location"), endpoint).href;
    if (!this.#wanted) return this.stop(); // stopped during the request
    peer.onconnectionstatechange = () => this.#changed(peer);
    await peer.setRemoteDescription({ type: "answer", sdp: body });
  }

  #changed(peer) {
    if (peer !== this.#peer) return;
    clearTimeout(this.#timer);
    if (peer.connectionState === "connected") this.onStatus("live");
    if (peer.connectionState === "disconnected") this.#timer = setTimeout(() => this.start(), LOST_MS);
    if (peer.connectionState === "failed") this.start();
  }

  #retry() {
    this.onStatus("waiting");
    this.#timer = setTimeout(() => this.start(), retryDelayMs(this.#attempt++));
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
