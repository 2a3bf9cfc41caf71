// Which conversations the list shows, and in which order. Pure.

/** In the order of the list. */
export function ordered(conversations) {
  const age = (it) => (it.active ? Infinity : it.ended_at_s ?? 0);
  return conversations.map((it, index) => [it, index]).sort(([a, i], [b, j]) => age(b) - age(a) || j - i).map(([it]) => it);
}

/** Those with these letters in their name or their people. */
export function matching(conversations, search) {
  const wanted = search.trim().toLowerCase();
  return conversations.filter(({ id, speakers }) => [id, ...speakers].some((name) => name.toLowerCase().includes(wanted)));
}
