// CBERL Engine in the browser: send a person's media, receive everybody's emotions, show them over a video.
// Without dependencies. The types are in cberl.d.ts, examples in docs/integrate-a-call.md.

import { EmotionOverlay } from "./overlay.js";
import { Publication } from "./publish.js";
import { Subscription } from "./subscribe.js";

export { EMOTIONS } from "./emotions.js";

/** Sends a stream by WHIP until `stop`. With `analyse: "none"`, nothing leaves the browser. */
export function publish(stream, options) {
  return new Publication(stream, options);
}

/** Receives the events of a conversation until `close`. */
export function subscribe(options) {
  return new Subscription(options);
}

/** Shows a speaker's emotion and words over a video element until `remove`. */
export function emotionOverlay(video, options) {
  return new EmotionOverlay(video, options);
}
