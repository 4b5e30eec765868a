// How much of a long list is shown: little on a screen, with a button for more; on paper, which has no
// buttons, nearly all.

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

/** Rows of one list on paper: some hundred pages, and seconds for a browser to set them. */
const ON_PAPER = 3000;

// Known before anything asks: what is only shown on paper begins when printing has begun.
let isPrinting = false;
addEventListener("beforeprint", () => (isPrinting = true));
addEventListener("afterprint", () => (isPrinting = false));

/** Whether the page is being printed. */
export function usePrinting(): boolean {
  const [printing, set] = useState(isPrinting);
  useEffect(() => {
    const changed = (): void => set(isPrinting);
    for (const event of EVENTS) addEventListener(event, changed);
    return () => {
      for (const event of EVENTS) removeEventListener(event, changed);
    };
  }, []);
  return printing;
}

const EVENTS = ["beforeprint", "afterprint"] as const;

/** The first of a list, and the button for the rest of it: nothing where all is shown. */
export function useMost<T>(all: readonly T[], first: number, step: number): [shown: readonly T[], more: VNode | null] {
  const [most, set] = useState(first);
  const shown = all.slice(0, usePrinting() ? Math.max(most, ON_PAPER) : most);
  const left = all.length - shown.length;
  if (left === 0) return [shown, null];
  const more = (
    <button type="button" class="quiet more" onClick={() => set(most + step)}>
      {left.toLocaleString("en")} more
    </button>
  );
  return [shown, more];
}
