/**
 * The position in a conversation's events, across connections. Pure: `take` returns those of a message that are new.
 * `lastSeq` null: live events only. `void`: the engine has restarted its numbers, so that this connection asked for the
 * wrong events; open another one.
 */
export class ResumeCursor {
  #numbering = "";
  #snapshot = null; // the first of this connection

  constructor(lastSeq = null) {
    this.lastSeq = lastSeq;
    this.void = false;
  }

  connected() {
    this.#snapshot = null;
    this.void = false;
  }

  take(message) {
    if (message.type === "snapshot") return this.#first(message);
    if (message.type === "resync") {
      this.lastSeq = message.last_seq;
      return this.#snapshot ? [message, this.#snapshot] : [message];
    }
    if (!Number.isInteger(message.seq)) return [message];
    if (this.lastSeq !== null && message.seq <= this.lastSeq) return [];
    this.lastSeq = message.seq;
    return [message];
  }

  #first(snapshot) {
    const first = this.#snapshot === null;
    const before = this.#numbering;
    this.#snapshot = snapshot;
    this.#numbering = snapshot.numbering ?? "";
    this.void = Boolean(this.lastSeq) && before !== "" && before !== this.#numbering;
    if (this.void) {
      const lost = { type: "resync", conversation: snapshot.conversation, requested_seq: this.lastSeq, last_seq: 0 };
      this.lastSeq = 0;
      return [lost, snapshot];
    }
    this.lastSeq ??= snapshot.last_seq;
    return first ? [snapshot] : []; // later ones repeat what is replayed next
  }
}
