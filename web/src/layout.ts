// The lines of the matrix: namespaces, folded to one line each or open with a line a workload. Rows
// and columns are the same lines in the same order.

import { alikeSets } from "./alike";
import type { World } from "./world";

/** `set`: of lines with equal rows, where the order puts them side by side; null of one whose row is
 * like no other. */
export type Line =
  | { kind: "folded"; group: number; members: readonly number[] }
  | { kind: "head"; group: number; members: readonly number[] }
  | { kind: "end"; group: number; endpoint: number; set?: number | null };

/** More workloads than this start folded. */
export const UNFOLDED_AT_MOST = 60;

export function groups(world: World, shown: readonly number[]): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const endpoint of shown) {
    const group = world.group(endpoint);
    const members = found.get(group);
    if (members === undefined) found.set(group, [endpoint]);
    else members.push(endpoint);
  }
  return found;
}

export function lines(world: World, shown: readonly number[], open: ReadonlySet<number>): Line[] {
  const found: Line[] = [];
  for (const [group, members] of groups(world, shown)) {
    if (!open.has(group)) {
      found.push({ kind: "folded", group, members });
      continue;
    }
    found.push({ kind: "head", group, members });
    for (const endpoint of members) found.push({ kind: "end", group, endpoint });
  }
  return found;
}

/** A line for each end, those with equal rows side by side, whatever their namespaces. */
export function alikeLines(world: World, shown: readonly number[], portIndex: number | null): Line[] {
  return alikeSets(world, shown, portIndex).flatMap((ends, set) =>
    ends.map((endpoint): Line => ({
      kind: "end",
      group: world.group(endpoint),
      endpoint,
      set: ends.length > 1 ? set : null,
    })),
  );
}

/** Which namespaces are open: as the address says, or all of a small map. */
export function openGroups(world: World, asked: string | undefined, shown: number): Set<number> {
  const all = [...world.namespaces.keys(), world.outside];
  if (asked === undefined) return new Set(shown <= UNFOLDED_AT_MOST ? all : []);
  if (asked === "*") return new Set(all);
  const names = new Set(asked.split(","));
  return new Set(all.filter((group) => names.has(groupKey(world, group))));
}

/** A namespace in a list of the address; names of namespaces have no capitals. */
export function groupKey(world: World, group: number): string {
  return group === world.outside ? "OUTSIDE" : encodeURIComponent(world.namespaces[group]!);
}

export type Share = { allowed: number; all: number; unknown: boolean };

/** Shares of allowed pairs between lines, for cells that stand for several pairs: counted when a
 * cell is first seen. */
export class Shares {
  private readonly known = new Map<number, Share>();

  constructor(
    readonly world: World,
    readonly shown: readonly Line[],
    readonly portIndex: number | null,
  ) {}

  of(row: number, column: number): Share {
    const at = row * this.shown.length + column;
    let found = this.known.get(at);
    if (found === undefined) {
      found = this.count(members(this.shown[row]!), members(this.shown[column]!));
      this.known.set(at, found);
    }
    return found;
  }

  private count(sources: readonly number[], destinations: readonly number[]): Share {
    const { world } = this;
    const standings = world.standings(this.portIndex);
    const found = { allowed: 0, all: 0, unknown: false };
    for (const from of sources) {
      for (const to of destinations) {
        const cell = world.cell(from, to);
        if (cell === 0 && !world.isPair(from, to)) continue;
        found.all += 1;
        if (cell !== 0 && standings[cell] !== "none") found.allowed += 1;
        if (world.isOpen(from, to)) found.unknown = true;
      }
    }
    return found;
  }
}

function members(line: Line): readonly number[] {
  return line.kind === "end" ? [line.endpoint] : line.members;
}
