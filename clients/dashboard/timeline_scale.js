// Where the time of a conversation is on the timeline. Pure.

const LEAST_S = 4; // the closest zoom
const [FOLLOW_S, SECONDS_PER_PX] = [90, 0.14]; // the newest part of a live conversation, less where it is narrow
const BEYOND = 1.01; // so that the newest turn is not at the very edge
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const TICK_PX = 70;

/** The range in seconds to show: as chosen, else the whole of an ended conversation, else the newest part of a live one. */
export function range(chosen, length_s, live, width) {
  const whole = Math.max(LEAST_S, length_s * (live ? BEYOND : 1));
  const newest = Math.min(FOLLOW_S, width * SECONDS_PER_PX);
  if (chosen) return within(chosen, whole);
  if (!live || whole <= newest) return [0, live ? Math.max(newest / 2, whole) : whole];
  return [whole - newest, whole];
}

/** Zoomed by a factor about a moment. */
export function zoomed([from, to], factor, about, length_s) {
  const width = Math.max(LEAST_S, (to - from) * factor);
  const share = (about - from) / (to - from);
  return within([about - share * width, about + (1 - share) * width], Math.max(LEAST_S, length_s));
}

export function moved([from, to], by, length_s) {
  return within([from + by, to + by], Math.max(LEAST_S, length_s));
}

/** The same width, or the whole, without an end outside of the conversation. */
function within([from, to], whole) {
  const width = Math.min(whole, Math.max(LEAST_S, to - from));
  const start = Math.min(Math.max(0, from), whole - width);
  return [start, start + width];
}

/** Moments for labels of the axis. */
export function ticks([from, to], width) {
  const least = ((to - from) / width) * TICK_PX;
  const step = STEPS_S.find((it) => it >= least) ?? STEPS_S.at(-1);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

/** The turn of a lane at or nearest to this moment, or null. `lane` by start. */
export function turnAt(lane, seconds, near_s) {
  let best = null;
  let distance = near_s;
  for (const event of lane) {
    if (event.start_s > seconds + near_s) break;
    const away = Math.max(0, event.start_s - seconds, seconds - event.end_s);
    if (away <= distance) [best, distance] = [event, away];
  }
  return best;
}
