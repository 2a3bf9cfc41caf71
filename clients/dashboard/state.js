// The state of one conversation: a plain object that only `apply` changes. No DOM, no sockets.

const MOST_UTTERANCES = 500; // the oldest are removed
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
    stats: null,
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
    state.stats = null;
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
    state.stats = message;
  },

  disclosure(state, { text, locale }) {
    state.disclosure = text ? { text, locale: locale ?? "en" } : null;
  },

  error(state, message) {
    state.error = message;
  },
};

/** A speaker's utterances by start time. */
export function utterancesOf(state, name) {
  const own = [...state.utterances.values()].filter((event) => event.speaker === name);
  return own.sort((a, b) => a.start_s - b.start_s);
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

