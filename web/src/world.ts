// The map, ready to be asked: one number a pair, which names what is allowed. Nothing is judged
// here; every cell is the engine's.

import { holds, union, type PortSet } from "./ports";
import type { Endpoint, Reach } from "./schema";
import { relative } from "./unpack";

/** What a pair may do: ports, for one IP version or (0) for all that the two share. */
export type Allowed = readonly (readonly [ports: PortSet, family: number])[];

/** What there is to say of a pair before any port is asked for. */
export type Standing = "none" | "some" | "all" | "unknown" | "self" | "apart";

export class World {
  readonly size: number;
  readonly endpoints: readonly Endpoint[];
  readonly namespaces: readonly string[];
  /** The number of the pseudo-namespace of everything outside. */
  readonly outside: number;
  readonly combinations: Allowed[] = [[]];
  readonly byName: ReadonlyMap<string, number>;
  readonly pairs: number;
  private readonly cells: Uint32Array;

  constructor(readonly reach: Reach) {
    this.endpoints = reach.endpoints;
    this.namespaces = reach.namespaces;
    this.outside = reach.namespaces.length;
    this.size = reach.endpoints.length;
    this.cells = new Uint32Array(this.size * this.size);
    this.byName = new Map(reach.endpoints.map((each, number) => [each.name, number]));
    this.pairs = this.fill();
  }

  private fill(): number {
    const known = new Map<string, number>();
    let pairs = 0;
    for (const [to, ports, family, from] of this.reach.rows) {
      const set = this.reach.ports[ports]!;
      for (const source of relative(from)) {
        const at = source * this.size + to;
        const before = this.cells[at]!;
        if (before === 0) pairs += 1;
        const key = `${before} ${ports} ${family}`;
        let number = known.get(key);
        if (number === undefined) {
          number = this.combinations.length;
          known.set(key, number);
          this.combinations.push([...this.combinations[before]!, [set, family]]);
        }
        this.cells[at] = number;
      }
    }
    return pairs;
  }

  /** The namespace of an endpoint, `outside` for one that has none. */
  group(endpoint: number): number {
    return this.endpoints[endpoint]!.namespace ?? this.outside;
  }

  groupName(group: number): string {
    return group === this.outside ? "outside the cluster" : this.namespaces[group]!;
  }

  /** Which of `combinations` a pair may do; 0 is nothing. */
  cell(from: number, to: number): number {
    return this.cells[from * this.size + to]!;
  }

  allowed(from: number, to: number): Allowed {
    return this.combinations[this.cell(from, to)]!;
  }

  isOutside(endpoint: number): boolean {
    return this.endpoints[endpoint]!.namespace === undefined;
  }

  isOpen(from: number, to: number): boolean {
    return this.endpoints[from]!.open === true || this.endpoints[to]!.open === true;
  }

  /** A pod to itself is always allowed, and two outside addresses are nobody's business. */
  isPair(from: number, to: number): boolean {
    if (this.isOutside(from) && this.isOutside(to)) return false;
    if (from === to && this.endpoints[from]!.pods?.length === 1) return false;
    return this.families(from, to).length > 0;
  }

  /** The IP versions that two endpoints share. */
  families(from: number, to: number): number[] {
    const theirs = this.endpoints[to]!.families;
    return this.endpoints[from]!.families.filter((family) => theirs.includes(family));
  }

  /** What the rules know an endpoint as in an IP version that it speaks. */
  classIn(endpoint: number, family: number): number {
    const { classes, families } = this.endpoints[endpoint]!;
    return classes[families.findIndex((each) => each === family)]!;
  }

  /** The address whose reasons stand for all of an outside endpoint; "" where it has no other. */
  example(endpoint: number, family: number): string {
    const { addresses } = this.endpoints[endpoint]!;
    if (addresses === undefined || addresses.length < 2) return "";
    const first = addresses.find((each) => each.includes(":") === (family === 6));
    return first?.replace(/\/\d+$/, "") ?? "";
  }

  standing(from: number, to: number, place: number | null): Standing {
    if (from === to && this.endpoints[from]!.pods?.length === 1) return "self";
    if (!this.isPair(from, to)) return "apart";
    if (this.isOpen(from, to)) return "unknown";
    return this.standings(place)[this.cell(from, to)]!;
  }

  private memo: { place: number | null; standings: Standing[] } | null = null;

  /** The standing of every combination, with one port asked for or (null) with all. */
  standings(place: number | null): Standing[] {
    if (this.memo?.place !== place || this.memo.standings.length !== this.combinations.length) {
      this.memo = { place, standings: this.combinations.map((each) => standingOf(each, place)) };
    }
    return this.memo.standings;
  }

  /** All ports of a pair, whatever the IP version. */
  ports(from: number, to: number): PortSet {
    const sets = this.allowed(from, to).map(([ports]) => ports);
    return sets.length === 0 ? [] : union(sets);
  }
}

function standingOf(allowed: Allowed, place: number | null): Standing {
  if (allowed.length === 0) return "none";
  if (place !== null) return allowed.some(([ports]) => holds(ports, place)) ? "some" : "none";
  const whole = allowed.some(
    ([ports, family]) => family === 0 && ports.length === 2 && ports[0] === 0 && ports[1] === 196608,
  );
  return whole ? "all" : "some";
}
