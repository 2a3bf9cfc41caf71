// What both connections have in common: whether they are wanted, what they report, and when they try again.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/** Doubles with each attempt. Random between half and all of that, so that clients do not reconnect all at once. */
export function retryDelayMs(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.round(whole * (0.5 + 0.5 * random()));
}

/**
 * A subclass has `open`, which connects, or connects again, at once; the first call follows the constructor. It may have
 * `lose`, which is called when the network is offline.
 */
export class Retrying {
  #timer = null;
  #attempt = 0;
  #told = null;

  constructor({ url, conversation, token, onStatus }) {
    this.base = new URL(url ?? location.href, globalThis.location?.href);
    this.conversation = conversation;
    this.status = "connecting";
    this.wanted = true;
    this.token = token;
    this.onStatus = onStatus ?? (() => {});
    this.online = () => this.wanted && this.open();
    this.offline = () => this.wanted && this.lose?.();
    globalThis.addEventListener?.("online", this.online);
    globalThis.addEventListener?.("offline", this.offline);
    queueMicrotask(this.online);
  }

  async presentToken() {
    return typeof this.token === "function" ? await this.token() : this.token;
  }

  report(status, detail) {
    if (status === this.status && detail === this.#told) return;
    this.status = status;
    this.#told = detail;
    this.onStatus(status, detail);
  }

  retry() {
    const delay = retryDelayMs(this.#attempt++);
    this.openAfter(delay);
    this.report("waiting", delay);
  }

  /** Unless something else happens before. */
  openAfter(delayMs) {
    this.cancel();
    this.#timer = setTimeout(() => this.open(), delayMs);
  }

  cancel() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  succeeded() {
    this.#attempt = 0;
  }

  end(status, detail) {
    this.wanted = false;
    this.cancel();
    globalThis.removeEventListener?.("online", this.online);
    globalThis.removeEventListener?.("offline", this.offline);
    this.report(status, detail);
  }
}
