// Which cells of the map a change turns: the outcomes of its plan, as pairs of endpoints.

import { overlap, parseBlock } from "./blocks";
import type { Line } from "./layout";
import type { PlanOutcome } from "./unpack";
import type { World } from "./world";

/** What a change does to a pair; `both`: it opens some ports and closes others. */
export type Turn = "opens" | "closes" | "both";

/** Turns of pairs, or of cells between lines, by their `keyOf`. */
export type Turns = ReadonlyMap<number, Turn>;

const keyOf = (from: number, to: number, size: number): number => from * size + to;

/** The pairs of the map that the outcomes of a plan are about. What is about pods to come, or ends
 * that are not on this map, has none. */
export function turnsOf(world: World, outcomes: readonly PlanOutcome[]): Turns {
  const found = new Map<number, Turn>();
  for (const { scope, from, to, opened, closed } of outcomes) {
    const sources = scope === "in" ? outside(world, from) : named(world, from);
    const destinations = scope === "out" ? outside(world, to) : named(world, to);
    const turn = turnOf(opened.length > 0, closed.length > 0);
    for (const source of sources) {
      for (const destination of destinations) {
        if (world.isPair(source, destination)) add(found, keyOf(source, destination, world.size), turn);
      }
    }
  }
  return found;
}

function turnOf(opens: boolean, closes: boolean): Turn {
  if (opens && closes) return "both";
  return opens ? "opens" : "closes";
}

function add(turns: Map<number, Turn>, key: number, turn: Turn): void {
  const before = turns.get(key);
  turns.set(key, before === undefined || before === turn ? turn : "both");
}

function named(world: World, names: readonly string[]): number[] {
  return names.map((name) => world.byName.get(name)).filter((each) => each !== undefined);
}

/** The endpoints outside that have an address of some networks. */
export function outside(world: World, networks: readonly string[]): number[] {
  const blocks = networks.map(parseBlock).filter((each) => each !== null);
  return [...world.endpoints.keys()].filter((each) =>
    (world.endpoints[each]!.addresses ?? []).some((text) => {
      const own = parseBlock(text);
      return own !== null && blocks.some((block) => overlap(block, own));
    }),
  );
}

/** The same by lines of the matrix, of which one may stand for several endpoints. */
export function turnsOfLines(turns: Turns, world: World, lines: readonly Line[]): Turns {
  const lineOf = new Map<number, number>();
  lines.forEach((line, at) => {
    if (line.kind === "end") lineOf.set(line.endpoint, at);
    else if (line.kind === "folded") for (const each of line.members) lineOf.set(each, at);
  });
  const found = new Map<number, Turn>();
  for (const [key, turn] of turns) {
    const row = lineOf.get(Math.floor(key / world.size));
    const column = lineOf.get(key % world.size);
    if (row !== undefined && column !== undefined) add(found, keyOf(row, column, lines.length), turn);
  }
  return found;
}

/** The turn of one cell. */
export const turnAt = (turns: Turns, row: number, column: number, size: number): Turn | undefined =>
  turns.get(keyOf(row, column, size));
