// Puts the words of strings.js into the page, where its elements name them.

import { words } from "./strings.js";

const found = (path) => path.split(".").reduce((part, name) => part[name], words);

/** data-words is the text of an element, data-label its aria-label, data-placeholder its placeholder. */
export function fillWords() {
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = found(element.dataset.words);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = found(element.dataset.label);
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = found(element.dataset.placeholder);
}
