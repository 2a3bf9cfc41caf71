// Lasting changes of a speaker's emotion: the rule of engine/delivery/change.py, with its defaults. Pure.

const START = "neutral"; // the assumed emotion before the first turn
const CONFIDENCE = 0.6; // a new emotion with this confidence is a change at once,
const TURNS = 2; // otherwise after this many turns in a row
const INTERVAL_S = 5; // a speaker changes at most once in this time

/** Those turns that are such a change. `turns`: all of one conversation, by their start. */
export function lastingChanges(turns) {
  const speakers = new Map();
  return turns.filter((turn) => {
    const speaker = speakers.get(turn.speaker) ?? { settled: START, candidate: START, inARow: 0, changedAt_s: -Infinity };
    speakers.set(turn.speaker, speaker);
    return changes(speaker, turn);
  });
}

function changes(speaker, { emotion, confidence, end_s }) {
  speaker.inARow = emotion === speaker.candidate ? speaker.inARow + 1 : 1;
  speaker.candidate = emotion;
  const sure = confidence >= CONFIDENCE || speaker.inARow >= TURNS;
  if (emotion === speaker.settled || !sure || end_s < speaker.changedAt_s + INTERVAL_S) return false;
  speaker.settled = emotion;
  speaker.changedAt_s = end_s;
  return true;
}
