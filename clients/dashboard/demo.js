// Plays the bundled conversation into the engine in real time, as `cberl demo` does, and to the loudspeaker.

const FILE = "/static/demo.flac";
const RATE = 16_000;
const PEOPLE = ["maya", "tom"]; // of its channels
const EVERY_MS = 100;

export class Demo {
  #timer = null;
  #ended = null; // resolves when the engine has sent its last event

  /** Resolves when it plays. `onEnd` is called once, with a sentence where the engine refuses. */
  static async play(conversation, onEnd) {
    const context = new AudioContext({ sampleRate: RATE });
    const audio = await context.decodeAudioData(await (await fetch(FILE)).arrayBuffer());
    return new Demo(conversation, context, audio, onEnd);
  }

  constructor(conversation, context, audio, onEnd) {
    Object.assign(this, { context, audio, onEnd, sent: 0, refusal: null });
    const address = new URL("/ingest", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.searchParams.set("conversation", conversation);
    this.socket = new WebSocket(address);
    this.socket.onopen = () => this.#start();
    this.socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#ended = new Promise((done) => {
      this.socket.onclose = () => {
        this.#silence();
        this.onEnd(this.refusal);
        done();
      };
    });
  }

  /** Resolves when the last turn's event has come. */
  stop() {
    this.#silence();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "session.end" }));
    return this.#ended;
  }

  #start() {
    const form = { kind: "audio", codec: "pcm_s16le", sample_rate: RATE, channels: 1, consent: true };
    const tracks = PEOPLE.map((speaker, index) => ({ id: `audio-${index}`, speaker, ...form }));
    this.socket.send(JSON.stringify({ type: "session.start", tracks }));
    const source = new AudioBufferSourceNode(this.context, { buffer: this.audio });
    source.connect(this.context.destination);
    source.start();
    this.began_s = this.context.currentTime;
    this.#timer = setInterval(() => this.#send(), EVERY_MS);
  }

  /** What has been heard since the last time. */
  #send() {
    const due = Math.min(this.audio.length, Math.floor((this.context.currentTime - this.began_s) * RATE));
    PEOPLE.forEach((_, index) => {
      const samples = this.audio.getChannelData(index).subarray(this.sent, due);
      if (samples.length) this.socket.send(frame(`audio-${index}`, this.sent / RATE, samples));
    });
    this.sent = due;
    if (due === this.audio.length) this.stop();
  }

  #take(message) {
    if (message.type === "error" && message.fatal) this.refusal = message.message;
  }

  #silence() {
    clearInterval(this.#timer);
    if (this.context.state !== "closed") this.context.close();
  }
}

/** A binary message of /ingest: version, track id, media time, samples. */
function frame(track, at_s, samples) {
  const id = new TextEncoder().encode(track);
  const bytes = new Uint8Array(10 + id.length + 2 * samples.length);
  bytes.set([1, id.length, ...id]);
  const view = new DataView(bytes.buffer);
  view.setFloat64(2 + id.length, at_s, true);
  samples.forEach((sample, index) => {
    view.setInt16(10 + id.length + 2 * index, Math.max(-1, Math.min(1, sample)) * 32_767, true);
  });
  return bytes;
}
