// The token in the link of this page (`#token=…`), which `cberl serve` and `cberl token` print.

/**
 * Swaps it for a cookie that scripts cannot read, and removes it from the address. Browsers never send what follows #,
 * so that it is in no log. Returns null, or a sentence that says why it was refused.
 */
export async function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    const answer = await fetch("/session", { method: "POST", headers: { authorization: `Bearer ${token}` } });
    return answer.ok ? null : (await answer.json()).message;
  } catch (error) {
    return `The engine cannot be reached (${error.message}): open the link again.`;
  }
}
