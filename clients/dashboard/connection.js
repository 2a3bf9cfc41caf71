// A WebSocket that comes back by itself. Knows nothing of what its messages mean.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/** Where a conversation's events are. `resumeFromSeq` 0 asks for all that is still there. */
export function eventsUrl(page, conversation, resumeFromSeq) {
  const url = new URL("/events", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("conversation", conversation);
  url.searchParams.set("resume_from_seq", resumeFromSeq);
  return url.href;
}

/** Doubles with each attempt; between half and all of it, so that not all pages come back at once. */
export function retryDelayMs(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.round(whole * (0.5 + 0.5 * random()));
}

/**
 * `url()` is asked at each attempt, so that it can say from where to resume. `onMessage` gets parsed JSON,
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

  /** Connect, or connect anew; at once, however long the wait was to be. */
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

  /** What came makes sense: the next wait starts short. A server that only opens and hangs up is not hammered. */
  settle() {
    this.#attempt = 0;
  }

  /** Connect anew only if a wait is under way. */
  hurry() {
    if (this.#timer !== null) this.open();
  }

  /** The network is gone: do not wait for the socket to notice. */
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
    this.#socket = null; // first, so that its last words are not listened to
    socket?.close();
  }
}
