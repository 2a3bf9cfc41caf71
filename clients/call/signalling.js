// The socket by which the people of a call find each other: who is in it, and messages from one to another.

import { Retrying } from "/sdk/retrying.js";

const RESTARTED = 1012;

export class Signalling extends Retrying {
  #socket = null;
  #key = randomKey(); // with it alone a lost connection is replaced
  #refusal = null;

  /** `onPeople` gets the [{id, name}] of the others; `onSignal` the sender's id and what they sent. `id` is this page's. */
  constructor({ conversation, name, onPeople, onSignal, onStatus }) {
    super({ conversation, onStatus });
    this.id = null; // until the engine has said it
    Object.assign(this, { name, onPeople, onSignal });
    this.leave = () => this.close();
    addEventListener("pagehide", this.leave);
  }

  open() {
    this.cancel();
    this.#drop();
    this.report("connecting");
    const address = new URL("/signal", this.base);
    address.protocol = address.protocol.replace("http", "ws");
    const asked = { conversation: this.conversation, name: this.name, key: this.#key };
    for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
    const socket = (this.#socket = new WebSocket(address));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#closed(code);
  }

  /** While the socket is closed, nothing is sent: peers offer again when it is open. */
  send(to, data) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: "call.signal", to, data }));
  }

  lose() {
    this.#drop();
    this.retry();
  }

  close() {
    this.#drop();
    removeEventListener("pagehide", this.leave);
    this.end("closed");
  }

  #take(message) {
    if (message.type === "error") this.#refusal = message;
    if (message.type === "call.people") {
      this.succeeded();
      this.report("live");
      this.id = message.you;
      this.onPeople(message.people.filter(({ id }) => id !== this.id));
    }
    if (message.type === "call.signal") this.onSignal(message.from, message.data);
  }

  #closed(code) {
    this.#socket = null;
    const { code: why, message } = this.#refusal ?? {};
    this.#refusal = null;
    // A name is taken until the engine has noticed that this person's last connection is gone.
    if (why && why !== "speaker_taken" && code !== RESTARTED) this.end("refused", message);
    else this.retry();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, "0")).join("");
}
