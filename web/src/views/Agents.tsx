// What the pages have in common that show what agents tell.

import { useEffect, useState } from "preact/hooks";
import type { Server } from "../server";
import { sentence, visibleText } from "../visible";

type News = { notes: readonly string[]; absent: string };

/** What is told now, null until the first answer. Nobody is asked before the page is open. */
export function useNews<T extends News>(server: Server, what: "drops" | "counters"): T | null {
  const [told, tell] = useState<T | null>(null);
  useEffect(() => {
    const ending = new AbortController();
    void server.agents<T>(what, tell, ending.signal);
    return () => ending.abort();
  }, [server, what]);
  return told;
}

export function Asked() {
  return (
    <p class="plain" role="status">
      Asking the agents of the cluster …
    </p>
  );
}

/** Where there is nothing to show: why. */
export function Absent({ title, news }: { title: string; news: News }) {
  return (
    <div class="plain">
      <h2>{title}</h2>
      <p>{sentence(visibleText(news.absent))}</p>
      <Notes notes={news.notes} />
    </div>
  );
}

export function Notes({ notes }: { notes: readonly string[] }) {
  if (notes.length === 0) return null;
  return (
    <ul class="plain-list">
      {notes.map((each) => (
        <li key={each}>{visibleText(each)}</li>
      ))}
    </ul>
  );
}
