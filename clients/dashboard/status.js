// The line in the header that says how the page is connected.

/** `kind` selects the style; `text` is what is shown. Set only on change, since screen readers announce it. */
export function renderStatus(kind, text) {
  const line = document.getElementById("status");
  const shown = document.getElementById("status-text");
  line.dataset.kind = kind;
  if (shown.textContent !== text) shown.textContent = text;
}

/** A sentence in one of the boxes under the header; none hides it. */
export function renderSentence(id, sentence) {
  const box = document.getElementById(id);
  box.hidden = !sentence;
  if (box.textContent !== (sentence ?? "")) box.textContent = sentence ?? "";
}
