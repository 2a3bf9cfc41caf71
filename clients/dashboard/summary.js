// A conversation in a few numbers, as `cberl run` sums it up. Pure.

import { lastingChanges } from "./changes.js";

const MOMENTS = 3;

/**
 * {speakers: [{name, turns, shares: [[emotion, share of their time]], changes}], moments: the most intense, by time}.
 * `turns`: by their start. `changes`: how many lasting changes of emotion, by the `rule` of the engine.
 */
export function summarize(turns, rule) {
  const speakers = new Map();
  for (const { speaker, emotion, start_s, end_s } of turns) {
    if (!speakers.has(speaker)) speakers.set(speaker, { name: speaker, turns: 0, changes: 0, seconds: new Map() });
    const one = speakers.get(speaker);
    one.turns += 1;
    one.seconds.set(emotion, (one.seconds.get(emotion) ?? 0) + Math.max(0, end_s - start_s));
  }
  for (const { speaker } of lastingChanges(turns, rule)) speakers.get(speaker).changes += 1;
  const sure = turns.filter(({ uncertain, backchannel, emotion }) => !(uncertain || backchannel || emotion === "neutral"));
  const moments = sure.sort((a, b) => intensity(b) - intensity(a)).slice(0, MOMENTS).sort((a, b) => a.start_s - b.start_s);
  return { speakers: [...speakers.values()].map(withShares), moments };
}

/** Distance from the middle of valence and arousal, weighted by confidence. */
export function intensity({ valence, arousal, confidence }) {
  return Math.hypot(valence, arousal) * confidence;
}

function withShares({ seconds, ...speaker }) {
  const total = [...seconds.values()].reduce((sum, it) => sum + it, 0);
  const shares = [...seconds].map(([emotion, it]) => [emotion, total ? it / total : 0]).sort((a, b) => b[1] - a[1]);
  return { ...speaker, shares };
}
