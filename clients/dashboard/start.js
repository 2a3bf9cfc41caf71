// The three ways to begin: the microphone, the demo, and the code for one's own call.

import { publish } from "/sdk/cberl.js";
import { words } from "./strings.js";

const DEMO = "/static/demo.flac";
const PEOPLE = ["maya", "tom"]; // of its channels
const SOUND = { echoCancellation: true, noiseSuppression: true, channelCount: 1 };

/** Publishes from this page. `onChange` is called with (sentence or null, whether anything is published). */
export class Start {
  #running = null; // {stop}
  conversation = null;

  constructor(onChange) {
    this.onChange = onChange;
  }

  /** Returns the name of the conversation, or null where there is no microphone. */
  async speak() {
    await this.stop();
    this.onChange(words.start.asking, false);
    let stream;
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
      stream = await navigator.mediaDevices.getUserMedia({ audio: SOUND });
    } catch ({ name }) {
      const why = words.start.noMicrophone;
      this.onChange(why[name] ?? why.other(name), false);
      return null;
    }
    return this.#publish(`me-${suffix()}`, [[words.start.you, stream]], words.start.speaking(words.start.you), () => {
      for (const track of stream.getTracks()) track.stop();
    });
  }

  /** The demo by WebRTC, as a call sends it, and to the loudspeaker. */
  async demo() {
    await this.stop();
    const context = new AudioContext();
    const audio = await context.decodeAudioData(await (await fetch(DEMO)).arrayBuffer());
    const source = new AudioBufferSourceNode(context, { buffer: audio });
    const split = new ChannelSplitterNode(context, { numberOfOutputs: PEOPLE.length });
    const ways = PEOPLE.map(() => new MediaStreamAudioDestinationNode(context, { channelCount: 1 }));
    source.connect(split);
    source.connect(context.destination);
    ways.forEach((way, index) => split.connect(way, index));
    const end = () => context.state !== "closed" && context.close();
    const name = this.#publish(`demo-${suffix()}`, ways.map(({ stream }, index) => [PEOPLE[index], stream]), words.start.demo, end,
      () => source.start());
    source.onended = () => this.stop();
    return name;
  }

  async stop() {
    const running = this.#running;
    this.#running = null;
    if (!running) return;
    await Promise.allSettled(running.publications.map((it) => it.stop()));
    running.end();
    this.conversation = null;
    this.onChange(null, false);
  }

  #publish(conversation, streams, sentence, end, whenAllLive = () => {}) {
    const waiting = new Set(streams.map(([speaker]) => speaker));
    const publications = streams.map(([speaker, stream]) => publish(stream, { conversation, speaker, consent: true, onStatus: (status, detail) => {
      if (status === "live" && waiting.delete(speaker) && waiting.size === 0) whenAllLive();
      if (status === "refused") this.stop().then(() => this.onChange(words.start.refused(detail), false));
    } }));
    this.#running = { publications, end };
    this.conversation = conversation;
    this.onChange(sentence, true);
    return conversation;
  }
}

/** The example for the page's own engine. */
export function snippet(origin) {
  return `import { emotionOverlay, publish } from "${origin}/sdk/cberl.js";

const call = { url: "${origin}", conversation: "my-call", speaker: "alice", token };
const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
video.srcObject = stream;
publish(stream, { ...call, consent: true });
emotionOverlay(video, call);`;
}

function suffix() {
  return [...crypto.getRandomValues(new Uint8Array(3))].map((it) => it.toString(16).padStart(2, "0")).join("");
}
