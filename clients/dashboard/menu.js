// The menu of formats. A button that opens a list of buttons: a <details>, which the browser operates and screen readers announce.

import { html } from "./dom.js";
import { words } from "./strings.js";

export function renderFormats(list) {
  list.replaceChildren(...Object.entries(words.formats).map(([value, [what, format]]) =>
    html("li", {}, html("button", { type: "button", value }, what, " ", html("span", {}, format)))));
}

/** `onChoice` gets the `value` of the chosen button. Escape, a choice, and whatever is done elsewhere close the list. */
export function watchMenu(menu, onChoice) {
  const close = () => {
    const inside = menu.contains(document.activeElement);
    menu.open = false;
    if (inside) menu.querySelector("summary").focus();
  };
  menu.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    close();
    onChoice(button.value);
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    close();
  });
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!menu.contains(target)) menu.open = false;
  });
}
