// The map with pods to come: what they add, put together with the map as it is.

import type { Endpoint, Newcomers, Reach } from "./schema";
import { relative } from "./unpack";

export const isNewcomer = (end: Endpoint): boolean => end.kind === "Newcomer";

/** A map like any other; its numbers are its own, and no rules belong to it. */
export function withNewcomers(reach: Reach, added: Newcomers): Reach {
  const spaces = new Map(added.namespaces.map((name, number) => [name, number]));
  const ends = added.endpoints.map((each): Endpoint => {
    if (typeof each !== "number") return each;
    const { namespace, ...end } = reach.endpoints[each]!;
    return namespace === undefined ? end : { ...end, namespace: spaces.get(reach.namespaces[namespace]!)! };
  });
  const group = (end: Endpoint): number => end.namespace ?? added.namespaces.length;
  const isNew = (end: Endpoint): number => Number(isNewcomer(end));
  const order = [...ends.keys()].sort(
    (a, b) => group(ends[a]!) - group(ends[b]!) || isNew(ends[a]!) - isNew(ends[b]!) || a - b,
  );
  const indexOf = new Map(order.map((end, at) => [end, at]));
  const ofOld = new Map<number, number>();
  added.endpoints.forEach((each, end) => {
    if (typeof each === "number") ofOld.set(each, indexOf.get(end)!);
  });
  const rows: Reach["rows"] = [];
  for (const [to, ports, family, from] of reach.rows) {
    const destination = ofOld.get(to);
    const sources = relative(from).map((each) => ofOld.get(each)).filter((each) => each !== undefined);
    if (destination !== undefined && sources.length > 0) rows.push([destination, ports, family, steps(sources)]);
  }
  const lists = added.sources.map((each) => steps(relative(each).map((end) => indexOf.get(end)!)));
  const [numbers, ports, destinations, families] = added.rows;
  relative(numbers).forEach((list, at) => rows.push([indexOf.get(destinations[at]!)!, ports[at]!, families[at]!, lists[list]!]));
  const { picture: _, ...rest } = reach;
  return {
    ...rest,
    namespaces: added.namespaces,
    endpoints: order.map((end) => ends[end]!),
    ports: [...reach.ports, ...added.ports],
    rows,
  };
}

/** Numbers in rising order, each as the difference from the one before. */
function steps(numbers: readonly number[]): number[] {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.map((each, at) => each - (at === 0 ? 0 : sorted[at - 1]!));
}
