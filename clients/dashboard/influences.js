// The earlier turns that moved a turn's emotion, where the engine reports them (`because`). Pure.

/** [{event, weight}], the largest first. Those that the page does not have are left out. `utterances`: events by id. */
export function influencesOf(event, utterances) {
  const found = (event?.because ?? []).map(({ utterance, weight }) => ({ event: utterances.get(utterance), weight }));
  return found.filter((it) => it.event);
}
