// Which endpoints a view shows: of the namespaces that are chosen, less those that are hidden, those
// that the search names with whom they talk.

import type { World } from "./world";

/** Lower-case words; every word has to occur. */
export function searchWords(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

export function matches(text: string, asked: readonly string[]): boolean {
  const lowered = text.toLowerCase();
  return asked.every((word) => lowered.includes(word));
}

/** `namespaces`, `hidden`: names as the address lists them, which the map need not have. No namespace
 * means all. */
export type Wanted = { query: string; namespaces: readonly string[]; hidden: readonly string[] };

export type Shown = {
  /** What the search chooses from. */
  kept: readonly number[];
  /** Endpoints in their order. */
  endpoints: readonly number[];
  /** Those that the search names itself; null without a search. */
  named: ReadonlySet<number> | null;
};

export function shownEndpoints(world: World, { query, namespaces, hidden }: Wanted): Shown {
  const kept = ofNamespaces(world, namespaces, new Set(hidden));
  const asked = searchWords(query);
  if (asked.length === 0) return { kept, endpoints: kept, named: null };
  const named = new Set(kept.filter((each) => matches(world.endpoints[each]!.name, asked)));
  return { kept, endpoints: kept.filter((each) => named.has(each) || talksWith(world, each, named)), named };
}

/** The workloads of namespaces, and the outside addresses that talk with them, but for who is hidden. */
function ofNamespaces(world: World, names: readonly string[], hidden: ReadonlySet<string>): number[] {
  const all = [...world.endpoints.keys()].filter((each) => !hidden.has(world.endpoints[each]!.name));
  if (names.length === 0) return all;
  const chosen = new Set(names);
  const inside = all.filter((each) => !world.isOutside(each) && chosen.has(world.groupName(world.group(each))));
  return all.filter((each) => world.isOutside(each) && talksWith(world, each, inside)).concat(inside).sort((a, b) => a - b);
}

function talksWith(world: World, each: number, others: Iterable<number>): boolean {
  for (const one of others) {
    if (world.cell(each, one) !== 0 || world.cell(one, each) !== 0) return true;
  }
  return false;
}

export type Hub = { endpoint: number; talks: number };

/** With how many others each endpoint talks, in either direction; those that talk most first. */
export function hubs(world: World): Hub[] {
  const all = [...world.endpoints.keys()];
  const found = all.map((endpoint) => {
    let talks = 0;
    for (const other of all) {
      if (other !== endpoint && (world.cell(endpoint, other) !== 0 || world.cell(other, endpoint) !== 0)) talks += 1;
    }
    return { endpoint, talks };
  });
  return found.sort((one, other) => other.talks - one.talks);
}
