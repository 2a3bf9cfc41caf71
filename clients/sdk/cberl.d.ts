// Types of cberl.js. Those of the messages are generated from the engine: events.d.ts.

import type { EmotionEvent, Message } from "./events.d.ts";

export type * from "./events.d.ts";

/** A token from `cberl token`, or a function that fetches one before each connection. */
export type Token = string | (() => string | Promise<string>);

export interface ConnectionOptions {
  /** Of the engine, such as "https://emotions.example". Default: the page's own origin. */
  url?: string;
  conversation: string;
  /** Not needed where the page has the engine's cookie. */
  token?: Token;
}

/** "waiting": until the next attempt. "refused": for good; the second argument of `onStatus` is a sentence that says why. */
export type PublishStatus = "connecting" | "live" | "waiting" | "refused" | "stopped";
export type SubscribeStatus = "connecting" | "live" | "waiting" | "refused" | "closed";

export interface PublishOptions extends ConnectionOptions {
  speaker: string;
  /** "all" (default): words, voice and face. "text": words alone; no picture is sent. "none": nothing is sent. */
  analyse?: "all" | "text" | "none";
  /** That the speaker was informed and agrees. */
  consent?: boolean;
  onStatus?: (status: PublishStatus, detail?: string | number) => void;
}

export interface Publication {
  readonly stream: MediaStream;
  readonly status: PublishStatus;
  /** Replaces the track of this kind; null sends nothing of it. */
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<void>;
  /** Returns when the engine has sent the event of the last turn. */
  stop(): Promise<void>;
}

export interface SubscribeOptions extends ConnectionOptions {
  /** Events after this one, 0 for all that the engine still has. Default: a snapshot, then live events. */
  resumeFromSeq?: number;
  /** Called with each new message, once and in order, also across connections. After a "resync", discard earlier ones. */
  onEvent?: (message: Message) => void;
  onStatus?: (status: SubscribeStatus, detail?: string | number) => void;
}

export interface Subscription {
  readonly status: SubscribeStatus;
  /** The latest final or corrected event of each speaker. */
  readonly speakers: ReadonlyMap<string, EmotionEvent>;
  /** Returns a function that ends the listening. */
  listen(listener: (message: Message) => void): () => void;
  close(): void;
}

export interface OverlayOptions {
  speaker: string;
  /** Whether to show the words, too. Default: true. */
  words?: boolean;
}

export interface Overlay {
  remove(): void;
}

/** Sends a stream by WHIP (RFC 9725), and again after a lost connection, until `stop` or the page is left. */
export function publish(stream: MediaStream, options: PublishOptions): Publication;

/** Receives a conversation's events, and resumes after a lost connection, until `close`. */
export function subscribe(options: SubscribeOptions): Subscription;

/** Shows a speaker's emotion and words over a video, of this subscription or of a new one. */
export function emotionOverlay(
  video: HTMLVideoElement,
  options: OverlayOptions & ({ subscription: Subscription } | ConnectionOptions),
): Overlay;

/** A letter and a colour for dark grounds, by emotion. */
export const EMOTIONS: Readonly<Record<string, { letter: string; colour: string }>>;
