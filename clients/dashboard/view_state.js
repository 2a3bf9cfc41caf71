// What is to be seen of a conversation at a moment: now, or in a replay. Pure.

/**
 * `at`: seconds of media time, or null for now. Returns {turns, lanes, byId, people, length_s, live}: turns by start time,
 * in all, by speaker and by id, and for each person {name, activity, event, turns}, where `event` is the latest or in progress.
 */
export function viewOf(state, at) {
  const all = [...state.utterances.values()].sort((a, b) => a.start_s - b.start_s);
  const length_s = all.reduce((most, { end_s }) => Math.max(most, end_s), 0);
  const turns = at === null ? all : all.filter(({ end_s }) => end_s <= at);
  const lanes = new Map([...state.speakers.keys()].map((name) => [name, []]));
  for (const event of all) lanes.get(event.speaker)?.push(event);
  const people = [...state.speakers.values()].map((speaker) => person(state, speaker, lanes.get(speaker.name), at));
  return { turns, all, lanes, byId: state.utterances, people, length_s, at, live: state.active && at === null };
}

function person(state, speaker, lane, at) {
  if (at !== null) {
    const past = lane.filter(({ end_s }) => end_s <= at);
    const speaking = lane.some(({ start_s, end_s }) => start_s <= at && at < end_s);
    return { name: speaker.name, activity: speaking ? "speaking" : "listening", event: past.at(-1) ?? null, turns: past };
  }
  const event = speaker.interim ?? speaker.current;
  return { name: speaker.name, activity: activityOf(state, speaker), event, turns: lane };
}

function activityOf(state, speaker) {
  if (speaker.interim) return "speaking";
  if (!speaker.present) return "left";
  return state.latest === speaker.name ? "last" : "listening";
}

/** The interim events of those who speak now. */
export function interims(state, at) {
  return at === null ? [...state.speakers.values()].map(({ interim }) => interim).filter(Boolean) : [];
}
