// A WHIP publisher (RFC 9725) that comes back by itself. Knows nothing of pages and events.

import { retryDelayMs } from "/static/connection.js";

const GATHER_MS = 1_500; // longest wait for the network to say which addresses we have
const LOST_MS = 4_000; // a connection may come back by itself for so long

/** What the server says no to for good: no use in asking again. `status` is HTTP's. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** `{iceServers}` for a peer connection from an answer's Link header. */
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
 * Publishes a stream until `stop`. When the network changes it publishes again with its token, so that the server
 * goes on with the same conversation. `onStatus` gets "connecting", "live", "waiting" and, with a sentence, "refused".
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

  /** Connect, or connect anew, at once. */
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

  /** Returns when the server has understood the last words. */
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
    if (!this.#wanted) return this.stop(); // left while we waited
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
    this.#peer = null; // first, so that its last words are not listened to
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
    return "The server cannot be understood.";
  }
}
