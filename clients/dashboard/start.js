// The three ways to begin: the microphone, the demo, and the code for one's own call.

import { publish } from "/sdk/cberl.js";
import { Demo } from "./demo.js";
import { words } from "./strings.js";

const SOUND = { echoCancellation: true, noiseSuppression: true, channelCount: 1 };

/** Publishes from this page. `onChange` is called with (sentence or null, whether anything is published). */
export class Start {
  #running = null; // {stop}

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
    const [conversation, speaker] = [`me-${suffix()}`, words.start.you];
    const publication = publish(stream, { conversation, speaker, consent: true,
      onStatus: (status, detail) => status === "refused" && this.#refused(detail) });
    this.#running = { stop: async () => {
      for (const track of stream.getTracks()) track.stop();
      await publication.stop();
    } };
    this.onChange(words.start.speaking(speaker), true);
    return conversation;
  }

  async demo() {
    await this.stop();
    const conversation = `demo-${suffix()}`;
    this.#running = await Demo.play(conversation, (refusal) => (refusal ? this.#refused(refusal) : this.stop()));
    this.onChange(words.start.demo, true);
    return conversation;
  }

  async stop() {
    const running = this.#running;
    this.#running = null;
    if (!running) return;
    this.onChange(null, false);
    await running.stop();
  }

  async #refused(why) {
    await this.stop();
    this.onChange(words.start.refused(why), false);
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
