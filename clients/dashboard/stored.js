// Exports and deletes a conversation, opened or not. Each returns a sentence for the reader, or null.

import { Refused, exported, remove, save } from "./api.js";
import { words } from "./strings.js";

/** `shown`: the turns that the page has of it, for a reader who may not read what the engine keeps. */
export async function exportAs(conversation, format, shown) {
  try {
    const file = await exported(conversation, format);
    save(file);
    const { latestOf, incomplete } = words.exported;
    return [file.sessions > 1 && latestOf(file.sessions), !file.complete && incomplete].filter(Boolean).join(" ") || null;
  } catch (error) {
    if (!(error instanceof Refused && format === "jsonl" && shown.length)) return error.message;
    const lines = shown.map((event) => `${JSON.stringify(event)}\n`);
    save({ name: `${conversation}.jsonl`, blob: new Blob(lines, { type: "application/jsonl" }) });
    return null;
  }
}

/** Asks first. `onDone` is called when it is deleted. */
export async function deleteAfterAsking(conversation, onDone) {
  if (!confirm(words.ask(conversation))) return null;
  try {
    await remove(conversation);
  } catch (error) {
    return error.message;
  }
  onDone();
  return words.deleted(conversation);
}
