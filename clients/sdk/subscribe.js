// The events of a conversation, over a WebSocket that reconnects and resumes.

import { ResumeCursor } from "./resume_cursor.js";
import { Retrying } from "./retrying.js";

const FOR_GOOD = 1008; // close code after which trying again is of no use

export class Subscription extends Retrying {
  #socket = null;
  #refusal = null;
  #listeners = new Set();

  constructor(options) {
    super(options);
    this.cursor = new ResumeCursor(options.resumeFromSeq ?? null);
    this.speakers = new Map(); // name -> latest final or corrected emotion event
    if (options.onEvent) this.listen(options.onEvent);
  }

  /** Calls `listener` with every message from now on. Returns a function that ends this. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Connects, or connects again, at once. */
  async open() {
    this.cancel();
    this.#drop();
    this.report("connecting");
    const mine = (this.#socket = {}); // until there is a socket: a later `open` replaces it
    try {
      const token = await this.presentToken();
      if (mine !== this.#socket || !this.wanted) return;
      this.#connect(token);
    } catch {
      if (mine === this.#socket && this.wanted) this.retry(); // the token could not be fetched
    }
  }

  close() {
    this.#drop();
    this.end("closed");
  }

  /** The network is offline: tries again after a while, without waiting for the socket to close. */
  lose() {
    this.#drop();
    this.retry();
  }

  #connect(token) {
    const address = new URL("/events", this.base);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("conversation", this.conversation);
    if (this.cursor.lastSeq !== null) address.searchParams.set("resume_from_seq", this.cursor.lastSeq);
    this.cursor.connected();
    const socket = (this.#socket = new WebSocket(address));
    socket.onopen = () => token && socket.send(JSON.stringify({ type: "authenticate", token }));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#closed(code);
  }

  #take(message) {
    if (message.type === "error" && message.fatal) this.#refusal = message;
    else this.report("live");
    if (message.type === "snapshot") this.succeeded(); // a server that accepts and closes again is failing, too
    for (const event of this.cursor.take(message)) {
      this.#remember(event);
      for (const listener of [...this.#listeners]) listener(event);
    }
    if (this.cursor.void) this.open();
  }

  #remember(event) {
    if (event.type === "snapshot") for (const it of event.speakers) this.#current(it.speaker, it.current);
    if (event.type === "emotion" && event.status !== "interim") this.#current(event.speaker, event);
  }

  #current(speaker, event) {
    if (event && !(this.speakers.get(speaker)?.start_s > event.start_s)) this.speakers.set(speaker, event);
  }

  #closed(code) {
    this.#socket = null;
    const renewable = typeof this.token === "function" && this.#refusal?.code === "unauthorized";
    if (code === FOR_GOOD && this.#refusal && !renewable) this.end("refused", this.#refusal.message);
    else this.retry();
    this.#refusal = null;
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null; // first, so that its closing events are ignored
    socket?.close?.();
  }
}
