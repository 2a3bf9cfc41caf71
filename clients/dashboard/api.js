// What the pages ask of the engine by HTTP.

const PAGE = 1000; // events per request

/** The engine refused. `status` as in HTTP. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function conversations() {
  return (await answered("/conversations")).conversations;
}

export async function remove(conversation) {
  await answered(`/conversations/${encodeURIComponent(conversation)}`, { method: "DELETE" });
}

/** All stored events of a conversation, oldest first. Raises Refused where nothing is stored. */
export async function history(conversation) {
  const all = [];
  for (let after = 0; ; ) {
    const path = `/conversations/${encodeURIComponent(conversation)}/events?after_seq=${after}&limit=${PAGE}`;
    const { events, last_seq: last } = await answered(path);
    all.push(...events);
    if (events.length < PAGE) return all;
    after = last;
  }
}

/**
 * The conversation as a file in one of the engine's formats: {name, blob, sessions, complete}. It has the latest of so many
 * sessions; `complete` is false where the engine no longer keeps the beginning. Raises Refused.
 */
export async function exported(conversation, format) {
  const answer = await fetch(`/conversations/${encodeURIComponent(conversation)}/export?format=${format}`);
  if (!answer.ok) throw new Refused(answer.status, (await answer.json()).message);
  const [, name] = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition"));
  return { name: decodeURIComponent(name), blob: await answer.blob(), sessions: Number(answer.headers.get("cberl-sessions")),
    complete: answer.headers.get("cberl-complete") === "true" };
}

async function answered(path, options) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, ...options });
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body.message);
  return body;
}

/** Saves a file of the user. */
export function save({ name, blob }) {
  const address = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
