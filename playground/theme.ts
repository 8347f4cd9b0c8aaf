/** Light, dark, or the system's setting. */

import { find, setText } from "./dom.ts";

const STORAGE_KEY = "agent-websocket-theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function startTheme(): void {
  const toggle = find("theme", HTMLButtonElement);
  let theme = THEMES.find((one) => one === localStorage.getItem(STORAGE_KEY)) ?? "system";
  const show = (next: Theme): void => {
    theme = next;
    document.documentElement.dataset.theme = theme;
    setText(toggle, `Theme: ${theme}`);
  };
  show(theme);
  toggle.addEventListener("click", () => {
    show(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system");
    localStorage.setItem(STORAGE_KEY, theme);
  });
}
