// What an address asks for and this page does not have: a pair, a workload, a page.

import { linkTo, type Page, type Route } from "../location";
import { visible } from "../visible";
import { pairWords } from "../words";
import type { World } from "../world";

/** The two ends that an address names, null for an end that is not on the map. A name may hold the
 * sign that stands between the two. */
export function endsOf(world: World, asked: string): readonly [number | null, number | null] {
  const signs = [...asked.matchAll(/~/g)].map(({ index }) => index);
  const found = signs.map((at) => [asked.slice(0, at), asked.slice(at + 1)].map((name) => world.byName.get(name) ?? null));
  const known = ([from, to]: (number | null)[]): number => Number(from != null) + Number(to != null);
  const best = found.sort((one, other) => known(other) - known(one))[0];
  return [best?.[0] ?? null, best?.[1] ?? null];
}

/** The pair that an address asks for; null where this map has none. */
export function pairOf(world: World, route: Route): readonly [number, number] | null {
  const [from, to] = endsOf(world, route.asked.get("pair") ?? "");
  return from === null || to === null || !world.isPair(from, to) ? null : [from, to];
}

export function Missing({ world, route }: { world: World; route: Route }) {
  const pair = route.asked.get("pair") ?? "";
  const item = route.asked.get("item") ?? "";
  const [from, to] = endsOf(world, pair);
  return (
    <>
      {pair !== "" && !(from !== null && to !== null && world.isPair(from, to)) && (
        <div class="banner" role="status">
          <strong>There is no such pair.</strong>{" "}
          {from === null || to === null
            ? `“${visible(pair).replace("~", "” to “")}”: this map does not have both, or not under these names.`
            : `${pairWords(world, from, to, null)}.`}{" "}
          <a href={linkTo(route, { pair: "", ask: "" })}>Close</a>
        </div>
      )}
      {item !== "" && !world.byName.has(item) && (
        <div class="banner" role="status">
          <strong>“{visible(item)}” is not on this map,</strong> or not under this name.{" "}
          <a href={linkTo(route, { item: "" })}>Show the picture</a>
        </div>
      )}
    </>
  );
}

const ELSEWHERE: Partial<Record<Page, string>> = {
  plan: "This page was made without --plan, so it shows no change.",
  edit: "This page does not edit files. Use podfence serve -f … --edit.",
  drops: "A report does not show denied packets. Use podfence serve.",
  counters: "A report does not show counters. Use podfence serve.",
};

/** Instead of a page that is only elsewhere; null for one that is here. */
export function elsewhere(page: Page): string | null {
  return ELSEWHERE[page] ?? null;
}
