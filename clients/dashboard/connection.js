// A WebSocket that reconnects. Independent of the meaning of its messages.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/** The address of a conversation's events. `resumeFromSeq` 0 requests all that the server still has. */
export function eventsUrl(page, conversation, resumeFromSeq) {
  const url = new URL("/events", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("conversation", conversation);
  url.searchParams.set("resume_from_seq", resumeFromSeq);
  return url.href;
}

/** Doubles with each attempt. Random between half and all of that, so that clients do not reconnect all at once. */
export function retryDelayMs(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.round(whole * (0.5 + 0.5 * random()));
}

/**
 * `url()` is called for each attempt and includes where to resume. `onMessage` gets parsed JSON,
 * `onStatus` one of "connecting", "live", "waiting" (with the delay in ms) and "closed".
 */
export class Feed {
  #socket = null;
  #timer = null;
  #attempt = 0;
  #wanted = false;

  constructor({ url, onMessage, onStatus }) {
    Object.assign(this, { url, onMessage, onStatus });
  }

  /** Connects, or reconnects, at once; cancels a pending delay. */
  open() {
    this.#drop();
    this.#wanted = true;
    this.onStatus("connecting");
    const socket = new WebSocket(this.url());
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.onStatus("live");
      this.onMessage(JSON.parse(data));
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#retry();
    };
  }

  /** Resets the delay. Called after a valid message, because a server that accepts and closes again is failing too. */
  settle() {
    this.#attempt = 0;
  }

  /** Reconnects at once if a delay is pending. */
  hurry() {
    if (this.#timer !== null) this.open();
  }

  /** The network is offline: starts the delay without waiting for the socket to close. */
  lose() {
    if (!this.#wanted || this.#timer !== null) return;
    this.#drop();
    this.#retry();
  }

  close() {
    this.#wanted = false;
    this.#drop();
    this.onStatus("closed");
  }

  #retry() {
    const delay = retryDelayMs(this.#attempt++);
    this.#socket = null;
    this.#timer = setTimeout(() => this.open(), delay);
    this.onStatus("waiting", delay);
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null; // first, so that its closing events are ignored
    socket?.close();
  }
}
