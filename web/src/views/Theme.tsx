// Light, dark, or as the system says.

import { useEffect, useState } from "preact/hooks";

const ORDER = ["system", "light", "dark"] as const;
type Theme = (typeof ORDER)[number];
const KEY = "podfence-theme";

function stored(): Theme {
  try {
    return ORDER.find((each) => each === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system"; // a browser may refuse storage to pages from disk
  }
}

const systemIsDark = (): boolean => matchMedia("(prefers-color-scheme: dark)").matches;

function apply(theme: Theme, dark: boolean): void {
  const shown = theme === "system" ? (dark ? "dark" : "light") : theme;
  if (document.documentElement.dataset.theme !== shown) document.documentElement.dataset.theme = shown;
}

/** Before anything is drawn, so that what says why nothing is has the right colours too. */
export const applyTheme = (): void => apply(stored(), systemIsDark());

/** The theme, and a text that changes whenever colours do. */
export function useTheme(): [string, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(stored);
  const dark = useMedia("(prefers-color-scheme: dark)");
  const forced = useMedia("(forced-colors: active)");
  apply(theme, dark);
  const set = (next: Theme): void => {
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // It then lasts as long as the page.
    }
    setTheme(next);
  };
  return [`${theme} ${dark} ${forced}`, set];
}

function useMedia(asked: string): boolean {
  const [holds, set] = useState(() => matchMedia(asked).matches);
  useEffect(() => {
    const query = matchMedia(asked);
    const changed = (): void => set(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [asked]);
  return holds;
}

export function ThemeButton({ theme, set }: { theme: string; set: (theme: Theme) => void }) {
  const now = ORDER.find((each) => theme.startsWith(each)) ?? "system";
  const next = ORDER[(ORDER.indexOf(now) + 1) % ORDER.length]!;
  return (
    <button type="button" class="quiet theme" onClick={() => set(next)} title={`Theme: ${now}; change to ${next}`}>
      <span class="hidden">Theme: </span>
      {now === "system" ? "auto" : now}
    </button>
  );
}
