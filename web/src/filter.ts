// Which endpoints a view shows: those that the search and the namespaces name, with whom they talk.

import type { World } from "./world";

/** Lower-case words; every word has to occur. */
export function searchWords(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

export function matches(text: string, asked: readonly string[]): boolean {
  const lowered = text.toLowerCase();
  return asked.every((word) => lowered.includes(word));
}

export type Shown = {
  /** Endpoints in their order. */
  endpoints: readonly number[];
  /** Those that the search names itself; null without a search. */
  named: ReadonlySet<number> | null;
};

export function shownEndpoints(world: World, query: string): Shown {
  const all = world.endpoints.map((_, number) => number);
  const asked = searchWords(query);
  if (asked.length === 0) return { endpoints: all, named: null };
  const named = new Set(all.filter((each) => matches(world.endpoints[each]!.name, asked)));
  const talking = all.filter((each) => {
    if (named.has(each)) return true;
    for (const one of named) {
      if (world.cell(each, one) !== 0 || world.cell(one, each) !== 0) return true;
    }
    return false;
  });
  return { endpoints: talking, named };
}
