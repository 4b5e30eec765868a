// The map, ready to be asked: one number a pair, which names what is allowed. Nothing is judged
// here; every cell is the engine's.

import { holds, union, type PortSet } from "./ports";
import type { Endpoint, Reach } from "./schema";

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
  /** Allowed pairs of which nothing is open, and pairs that an unread object may change. */
  readonly pairs: number;
  readonly unknown: number;
  private readonly cells: Uint32Array;

  constructor(readonly reach: Reach) {
    this.endpoints = reach.endpoints;
    this.namespaces = reach.namespaces;
    this.outside = reach.namespaces.length;
    this.size = reach.endpoints.length;
    this.cells = new Uint32Array(this.size * this.size);
    this.byName = new Map(reach.endpoints.map((each, number) => [each.name, number]));
    const pairs = this.fill();
    [this.pairs, this.unknown] = this.certain(pairs);
  }

  /** The numbers of pairs that are allowed for certain, and of those about which nothing is. */
  private certain(pairs: number): [number, number] {
    const open = [...this.endpoints.keys()].filter((each) => this.endpoints[each]!.open === true);
    const seen = new Set(open);
    let unknown = 0;
    let allowed = pairs;
    const count = (from: number, to: number): void => {
      if (!this.isPair(from, to)) return;
      unknown += 1;
      if (this.cell(from, to) !== 0) allowed -= 1;
    };
    for (const one of open) {
      for (let other = 0; other < this.size; other += 1) {
        count(one, other);
        if (!seen.has(other)) count(other, one);
      }
    }
    return [allowed, unknown];
  }

  private fill(): number {
    const { cells, size } = this;
    const known = new Map<number, number>();
    const sets = this.reach.ports.length;
    const next = (before: number, ports: number, family: number): number => {
      const key = (before * sets + ports) * 16 + family;
      let number = known.get(key);
      if (number === undefined) {
        number = this.combinations.length;
        known.set(key, number);
        this.combinations.push([...this.combinations[before]!, [this.reach.ports[ports]!, family]]);
      }
      return number;
    };
    let pairs = 0;
    for (const [to, ports, family, from] of this.reach.rows) {
      // Nearly every pair stands in one row; those of a row that do get one number.
      const alone = next(0, ports, family);
      let source = 0;
      for (const step of from) {
        source += step;
        const at = source * size + to;
        const before = cells[at]!;
        if (before === 0) pairs += 1;
        cells[at] = before === 0 ? alone : next(before, ports, family);
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

  standing(from: number, to: number, portIndex: number | null): Standing {
    if (from === to && this.endpoints[from]!.pods?.length === 1) return "self";
    if (!this.isPair(from, to)) return "apart";
    if (this.isOpen(from, to)) return "unknown";
    return this.standings(portIndex)[this.cell(from, to)]!;
  }

  private memo: { portIndex: number | null; standings: Standing[] } | null = null;

  /** The standing of every combination, with one port asked for or (null) with all. */
  standings(portIndex: number | null): Standing[] {
    if (this.memo?.portIndex !== portIndex || this.memo.standings.length !== this.combinations.length) {
      this.memo = { portIndex, standings: this.combinations.map((each) => standingOf(each, portIndex)) };
    }
    return this.memo.standings;
  }

  /** All ports of a pair, whatever the IP version. */
  ports(from: number, to: number): PortSet {
    const sets = this.allowed(from, to).map(([ports]) => ports);
    return sets.length === 0 ? [] : union(sets);
  }
}

function standingOf(allowed: Allowed, portIndex: number | null): Standing {
  if (allowed.length === 0) return "none";
  if (portIndex !== null) return allowed.some(([ports]) => holds(ports, portIndex)) ? "some" : "none";
  const whole = allowed.some(
    ([ports, family]) => family === 0 && ports.length === 2 && ports[0] === 0 && ports[1] === 196608,
  );
  return whole ? "all" : "some";
}
