// The state of one conversation: a plain object that only `apply` changes. No DOM, no sockets.

const MOST_UTTERANCES = 20_000; // the oldest are removed
const MOST_FIGURES = 120;
const STALE_S = 3; // an interim event this far behind the newest final one is removed

export function emptyState(conversation) {
  return {
    conversation,
    active: false,
    heard: false, // whether a snapshot was received
    missed: false, // whether earlier events were lost
    speakers: new Map(), // name -> {name, present, current, interim}; current and interim are emotion events
    utterances: new Map(), // id -> its latest final or corrected event, in order of arrival
    latest: null, // the speaker of the newest final event
    stats: [], // the latest of session.stats
    change: { confidence: 0.6, turns: 2, interval_s: 5 }, // what counts as a lasting change; a snapshot has the engine's
    disclosure: null,
    error: null,
  };
}

/** Applies one message of a subscription, which has each event once. Returns whether anything changed. */
export function apply(state, message) {
  const handler = HANDLERS[message.type];
  return handler ? (handler(state, message) ?? true) : false;
}

const HANDLERS = {
  snapshot(state, message) {
    state.heard = true;
    state.active = message.active !== false;
    state.error = null;
    state.change = message.change ?? state.change;
    for (const { speaker: name, present, current } of message.speakers) {
      const speaker = speakerOf(state, name);
      speaker.present = present;
      if (current?.emotion !== speaker.current?.emotion) speaker.current = current ?? null;
    }
  },

  resync(state) {
    forget(state);
    state.missed = true;
  },

  emotion(state, event) {
    const speaker = speakerOf(state, event.speaker);
    if (event.status === "interim") {
      if (!state.utterances.has(event.utterance)) speaker.interim = event;
      return;
    }
    const known = state.utterances.get(event.utterance);
    if (known && known.revision > event.revision) return;
    state.utterances.set(event.utterance, event);
    if (state.utterances.size > MOST_UTTERANCES) state.utterances.delete(state.utterances.keys().next().value);
    if (!(speaker.interim?.start_s > event.end_s)) speaker.interim = null;
    for (const other of state.speakers.values()) {
      if (other.interim?.end_s < event.end_s - STALE_S) other.interim = null; // its turn was discarded
    }
    // The correction of an earlier utterance does not change the speaker's current emotion.
    if (!(speaker.current?.start_s > event.start_s)) speaker.current = event;
    if (event.status === "final") state.latest = event.speaker;
  },

  "conversation.started"(state) {
    forget(state); // its media time starts at 0 again
    state.speakers.clear();
    state.active = true;
    state.missed = false;
    state.stats = [];
  },

  "conversation.ended"(state) {
    state.active = false;
    for (const speaker of state.speakers.values()) Object.assign(speaker, { present: false, interim: null });
  },

  "speaker.joined"(state, { speaker }) {
    speakerOf(state, speaker).present = true;
  },

  "speaker.left"(state, { speaker }) {
    Object.assign(speakerOf(state, speaker), { present: false, interim: null });
  },

  "session.stats"(state, message) {
    state.stats = [...state.stats, message].slice(-MOST_FIGURES);
  },

  disclosure(state, { text, locale }) {
    state.disclosure = text ? { text, locale: locale ?? "en" } : null;
  },

  error(state, message) {
    state.error = message;
  },
};

/**
 * Adds what `/conversations/ID/events` has and the socket no longer had, such as in a long conversation. Returns
 * whether anything was added. What came before the latest start of the conversation is not part of it.
 */
export function addHistory(state, events) {
  const started = events.findLastIndex(({ type }) => type === "conversation.started");
  const missing = events.slice(started + 1).filter(({ type, utterance }) => type === "emotion" && !state.utterances.has(utterance));
  const newer = [...state.utterances.values()];
  if (missing.length === 0) return false;
  state.utterances.clear();
  for (const event of missing) {
    const known = state.utterances.get(event.utterance);
    if (!known || known.revision <= event.revision) state.utterances.set(event.utterance, event);
    speakerOf(state, event.speaker);
  }
  for (const event of newer) state.utterances.set(event.utterance, event);
  return true;
}

/** The newest active conversation of a list with the oldest first. */
export function newestActive(conversations) {
  return conversations.findLast(({ active }) => active) ?? null;
}

function forget(state) {
  state.utterances.clear();
  state.latest = null;
  for (const speaker of state.speakers.values()) speaker.interim = null;
}

function speakerOf(state, name) {
  if (!state.speakers.has(name)) state.speakers.set(name, { name, present: true, current: null, interim: null });
  return state.speakers.get(name);
}

