// The connection to one other person of the call. The side that is not polite offers first; later, such as after a change
// of network, both may offer at any time ("perfect negotiation" of WebRTC 1.0).

const LOST_MS = 3_000;

export class Peer {
  #connection = null;
  #offering = false;
  #ignoring = false; // an offer that crossed ours: the polite side gives way
  #timer = null;

  /** `send` takes a message for the other person; `onStream` gets their stream. */
  constructor({ polite, iceServers, stream, send, onStream }) {
    Object.assign(this, { polite, iceServers, stream, send, onStream });
    this.#open();
  }

  async take({ description, candidate }) {
    const connection = this.#connection;
    try {
      if (description) await this.#describe(connection, description);
      else if (candidate) await connection.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoring && connection === this.#connection) console.warn("a message of the call was not used:", error.message);
    }
  }

  /** Sends this track in place of the present one of its kind; null sends none. */
  async setTrack(kind, track) {
    const transceiver = this.#connection.getTransceivers().find(({ receiver }) => receiver.track.kind === kind);
    await transceiver?.sender.replaceTrack(track);
  }

  /** After a message may have been lost: offers again, unless the connection stands. */
  renew() {
    if (!this.polite && this.#connection.connectionState !== "connected") this.#connection.restartIce();
  }

  close() {
    clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
  }

  #open() {
    const connection = new RTCPeerConnection({ iceServers: this.iceServers });
    this.#connection = connection;
    connection.onnegotiationneeded = () => this.#offer(connection);
    connection.onicecandidate = ({ candidate }) => candidate && this.send({ candidate });
    connection.ontrack = ({ track, streams: [stream] }) => this.onStream(stream ?? new MediaStream([track]));
    connection.onconnectionstatechange = () => this.#changed(connection);
    for (const kind of this.polite ? [] : ["audio", "video"]) {
      const track = this.stream.getTracks().find((it) => it.kind === kind);
      connection.addTransceiver(track ?? kind, { direction: "sendrecv", streams: [this.stream] });
    }
  }

  async #offer(connection) {
    try {
      this.#offering = true;
      await connection.setLocalDescription();
      this.send({ description: connection.localDescription });
    } catch (error) {
      if (connection === this.#connection) console.warn("no offer could be made:", error.message);
    } finally {
      this.#offering = false;
    }
  }

  async #describe(connection, description) {
    const crossed = description.type === "offer" && (this.#offering || connection.signalingState !== "stable");
    this.#ignoring = crossed && !this.polite;
    if (this.#ignoring) return;
    await connection.setRemoteDescription(description);
    if (description.type !== "offer") return;
    for (const transceiver of connection.getTransceivers()) this.#answerWith(transceiver);
    await connection.setLocalDescription();
    this.send({ description: connection.localDescription });
  }

  /** Transceivers that the other side's offer has made send nothing yet. */
  #answerWith(transceiver) {
    if (transceiver.direction !== "recvonly" || transceiver.sender.track) return;
    const track = this.stream.getTracks().find(({ kind }) => kind === transceiver.receiver.track.kind);
    transceiver.direction = "sendrecv";
    transceiver.sender.setStreams?.(this.stream);
    transceiver.sender.replaceTrack(track ?? null);
  }

  #changed(connection) {
    if (connection !== this.#connection) return;
    clearTimeout(this.#timer);
    if (connection.connectionState === "disconnected") this.#timer = setTimeout(() => connection.restartIce(), LOST_MS);
    if (connection.connectionState === "failed") connection.restartIce();
  }
}
