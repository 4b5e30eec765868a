// The order "alike first": ends with equal rows stand side by side, and among those the ends with
// equal columns. Rows are found by hash and compared once, so it is linear in the cells.

import type { World } from "./world";

/** What a cell looks like, as a number. */
type Look = (from: number, to: number) => number;

/** Ends in sets of equal rows, large sets first; in each, those with equal columns stand side by side.
 * `portIndex`: the port that is asked for. */
export function alikeSets(world: World, shown: readonly number[], portIndex: number | null): number[][] {
  const look = lookOf(world, portIndex);
  const turned: Look = (from, to) => look(to, from);
  return equalRows(world, shown, shown, look).map((each) => equalRows(world, each, shown, turned).flat());
}

const UNKNOWN = -1;

function lookOf(world: World, portIndex: number | null): Look {
  const open = world.endpoints.map((each) => each.open === true);
  const standings = portIndex === null ? null : world.standings(portIndex);
  return (from, to) => {
    if (open[from] === true || open[to] === true) return UNKNOWN;
    const cell = world.cell(from, to);
    return standings === null ? cell : Number(standings[cell] !== "none");
  };
}

/** A pod alone has no cell with itself: there it looks like whatever it is compared with. */
function isAlone(world: World, each: number): boolean {
  return world.endpoints[each]!.pods?.length === 1;
}

/** `ends` in sets of equal rows over `columns`, large sets first. */
function equalRows(world: World, ends: readonly number[], columns: readonly number[], look: Look): number[][] {
  if (ends.length < 2) return [[...ends]];
  const sets: number[][] = [];
  const byHash = new Map<number, number[]>();
  for (const end of ends) {
    const hashes = hashesOf(world, end, columns, look);
    const known = hashes.flatMap((hash) => byHash.get(hash) ?? []);
    const found = known.find((set) => isEqual(world, end, sets[set]![0]!, columns, look));
    if (found !== undefined) {
      sets[found]!.push(end);
      continue;
    }
    for (const hash of hashes) byHash.set(hash, [...(byHash.get(hash) ?? []), sets.length]);
    sets.push([end]);
  }
  return sets.sort((one, other) => other.length - one.length);
}

/** A hash of a row; of a pod alone one for each thing that its own cell may look like. */
function hashesOf(world: World, end: number, columns: readonly number[], look: Look): number[] {
  const alone = isAlone(world, end);
  const looks = new Set([0]);
  let sum = 0;
  for (const other of columns) {
    if (other === end && alone) continue;
    const seen = look(end, other);
    looks.add(seen);
    sum += hashed(other, seen);
  }
  return alone ? [...looks].map((seen) => sum + hashed(end, seen)) : [sum];
}

function hashed(column: number, seen: number): number {
  if (seen === 0) return 0;
  let mixed = Math.imul(column + 1, 0x9e3779b1) ^ Math.imul(seen + 7, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}

function isEqual(world: World, one: number, other: number, columns: readonly number[], look: Look): boolean {
  const [alone, otherAlone] = [isAlone(world, one), isAlone(world, other)];
  return columns.every((column) => {
    if ((alone && column === one) || (otherAlone && column === other)) return true;
    return look(one, column) === look(other, column);
  });
}
