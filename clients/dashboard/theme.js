// Light, dark, or as the system says; kept in this browser.

import { words } from "./strings.js";

const KEY = "cberl-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

/** Shows the stored choice, and the next one at each press of the button. `changed` is called after each. */
export function watchTheme(changed = () => {}) {
  const button = document.getElementById("theme");
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.getElementById("theme-text").textContent = words.theme[theme];
    button.setAttribute("aria-label", `${words.theme.label}: ${words.theme[theme]}`);
    changed();
  };
  button.addEventListener("click", () => {
    const theme = NEXT[document.documentElement.dataset.theme];
    localStorage.setItem(KEY, theme);
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show(localStorage.getItem(KEY) in NEXT ? localStorage.getItem(KEY) : "auto");
}
