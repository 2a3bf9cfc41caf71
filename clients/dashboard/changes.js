// Lasting changes of a speaker's emotion, as in engine/delivery/change.py. Pure.

const START = "neutral"; // the assumed emotion before the first turn

/** Those turns that are such a change. `turns`: all of one conversation, by their start. `rule`: of a snapshot. */
export function lastingChanges(turns, rule) {
  const speakers = new Map();
  return turns.filter((turn) => {
    const speaker = speakers.get(turn.speaker) ?? { settled: START, candidate: START, inARow: 0, changedAt_s: -Infinity };
    speakers.set(turn.speaker, speaker);
    return changes(speaker, turn, rule);
  });
}

function changes(speaker, { emotion, confidence, end_s }, rule) {
  speaker.inARow = emotion === speaker.candidate ? speaker.inARow + 1 : 1;
  speaker.candidate = emotion;
  const sure = confidence >= rule.confidence || speaker.inARow >= rule.turns;
  if (emotion === speaker.settled || !sure || end_s < speaker.changedAt_s + rule.interval_s) return false;
  speaker.settled = emotion;
  speaker.changedAt_s = end_s;
  return true;
}
