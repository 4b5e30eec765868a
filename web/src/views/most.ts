// How much of a long list is shown: little on a screen, with a button for more; on paper, which has no
// buttons, nearly all.

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

/** How many to show, and how to change it. */
export function useMost(first: number): [number, (most: number) => void] {
  const [most, set] = useState(first);
  return [usePrinting() ? Math.max(most, ON_PAPER) : most, set];
}
