// What is shown, as the query of the page's address, so that a link shows the same. Pure.

const NUMBERS = { at: "t", from: "from", to: "to" }; // seconds of media time

/** {conversation, list, turn, at, from, to, search}; null or "" where the address does not say. */
export function parse(query) {
  const asked = new URLSearchParams(query);
  const number = (name) => (/^\d+(\.\d+)?$/.test(asked.get(name) ?? "") ? Number(asked.get(name)) : null);
  const numbers = Object.fromEntries(Object.entries(NUMBERS).map(([field, name]) => [field, number(name)]));
  return {
    conversation: asked.get("conversation"),
    list: asked.has("list"),
    turn: asked.get("turn"),
    search: asked.get("q") ?? "",
    ...numbers,
  };
}

/** The reverse of `parse`. */
export function format({ conversation, list, turn, search, ...numbers }) {
  const query = new URLSearchParams();
  if (conversation !== null) query.set("conversation", conversation);
  else if (list) query.set("list", "");
  if (turn) query.set("turn", turn);
  for (const [field, name] of Object.entries(NUMBERS)) {
    if (numbers[field] !== null) query.set(name, String(Math.round(numbers[field] * 10) / 10));
  }
  if (search) query.set("q", search);
  const text = query.toString().replace("list=", "list");
  return text && `?${text}`;
}
