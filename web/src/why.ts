// The engine in the page: walks the compiled rules as podfence/engine/evaluate.py does. A test holds
// both to the same verdicts and the same origins.

import { holds, union, type PortSet } from "./ports";
import { relative } from "./unpack";
import type { Action, Rules } from "./schema";

export type Direction = "ingress" | "egress";
export type Reason = "rule" | "isolated" | "default" | "not-isolated" | "not-a-pod" | "self";

/** A field of a policy. `line` 0: it stands in no file that a person can open. */
export type Origin = { policy: number; path: string; line: number; column: number };

export type Decision = { allowed: boolean; reason: Reason; origins: Origin[] };

/** One rule against the question, as `podfence why` tells it. */
export type RuleLook = {
  origin: Origin;
  fits: boolean;
  /** The peer items that hold the other end. */
  peers: Origin[];
  portFits: boolean;
  ports: PortSet;
  action: Action;
  name: string;
  reached: boolean;
};

export type PolicyLook = {
  isolation: Origin;
  active: boolean;
  tier: string;
  ordered: boolean;
  rules: RuleLook[];
};

type Rule = Rules["rules"][number];
type Isolation = Rules["isolations"][number];
type Tier = { name: string; default: Action; rules: number[]; isolatedBy: Isolation[] };

const DENY = 1;
const PASS = 2;
export const ORDER = ["Admin", "NetworkPolicy", "Baseline"];

export class Engine {
  private readonly members: (Set<number> | null | undefined)[] = [];

  private readonly allTiers: (Tier | undefined)[] = [];

  constructor(readonly rules: Rules) {}

  /** One direction; null as subject class: that end is no pod. */
  decide(subject: number, direction: Direction, remote: number, family: number, at: number): Decision {
    const found = this.tiers(subject, direction);
    if (found === null) return { allowed: true, reason: "not-a-pod", origins: [] };
    for (const tier of found) {
      const fitting = tier.rules
        .map((number) => this.rules.rules[number]!)
        .filter((rule) => this.fits(rule, remote, family, at));
      const first = fitting[0];
      const action = first === undefined ? tier.default : first[4];
      if (action === PASS) continue;
      const allowed = action !== DENY;
      if (first === undefined) {
        const origins = tier.isolatedBy.map((each) => this.origin(...each));
        return { allowed, reason: "isolated", origins };
      }
      const deciding = tier.default === DENY ? fitting : [first];
      const origins = deciding.map(([policy, path, line, column]) =>
        this.origin(policy, path, line, column),
      );
      return { allowed, reason: "rule", origins };
    }
    return { allowed: true, reason: found.length > 0 ? "default" : "not-isolated", origins: [] };
  }

  /** Every policy that selects the subject in a direction, in the order in which they are asked. */
  looks(
    subject: number,
    direction: Direction,
    remote: number,
    family: number,
    at: number,
    selecting: readonly number[],
  ): PolicyLook[] {
    const found = this.tiers(subject, direction) ?? [];
    const looks: PolicyLook[] = [];
    let decided = false;
    for (const name of ORDER) {
      const tier = found.find((each) => each.name === name);
      if (tier !== undefined) {
        looks.push(...this.tierLooks(tier, remote, family, at, decided));
        const first = tier.rules.find((n) => this.fits(this.rules.rules[n]!, remote, family, at));
        const action = first === undefined ? tier.default : this.rules.rules[first]![4];
        decided ||= action !== PASS;
      }
      if (name === "NetworkPolicy") looks.push(...this.inactive(direction, selecting));
    }
    return looks;
  }

  /** Where sets of ports begin or have ended that rules of a subject name, in rising order. */
  boundaries(subject: number, direction: Direction): number[] {
    const found = new Set<number>();
    for (const tier of this.tiers(subject, direction) ?? []) {
      for (const number of tier.rules) {
        for (const [, ports] of this.rules.rules[number]![5]) {
          const set = this.rules.ports[ports]!;
          for (let at = 0; at < set.length; at += 2) found.add(set[at]!).add(set[at + 1]! + 1);
        }
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  origin(policy: number, path: number, line: number, column: number): Origin {
    return { policy, path: this.rules.paths[path]!, line, column };
  }

  private tiers(subject: number, direction: Direction): Tier[] | null {
    const both = this.rules.classes[subject];
    if (both === null || both === undefined) return null;
    const number = both[direction === "ingress" ? 0 : 1];
    return this.rules.directions[number]!.map((each) => this.tier(each));
  }

  private tier(number: number): Tier {
    let found = this.allTiers[number];
    if (found === undefined) {
      const packed = this.rules.tiers[number]!;
      found = {
        ...packed,
        rules: relative(packed.rules),
        isolatedBy: relative(packed.isolatedBy).map((each) => this.rules.isolations[each]!),
      };
      this.allTiers[number] = found;
    }
    return found;
  }

  private *tierLooks(
    tier: Tier,
    remote: number,
    family: number,
    at: number,
    decided: boolean,
  ): Generator<PolicyLook> {
    const ordered = tier.default !== DENY;
    const look = (number: number, reached: boolean): RuleLook =>
      this.look(this.rules.rules[number]!, remote, family, at, reached);
    if (!ordered) {
      for (const isolating of tier.isolatedBy) {
        const own = tier.rules.filter((number) => this.rules.rules[number]![0] === isolating[0]);
        const rules = own.map((number) => look(number, !decided));
        yield { isolation: this.origin(...isolating), active: true, tier: tier.name, ordered, rules };
      }
      return;
    }
    let current: PolicyLook | null = null;
    for (const number of tier.rules) {
      const policy = this.rules.rules[number]![0];
      if (current === null || current.isolation.policy !== policy) {
        if (current !== null) yield current;
        const written = this.rules.policies[policy]!;
        const isolation: Origin = { policy, path: "", line: written.line, column: written.column };
        current = { isolation, active: true, tier: tier.name, ordered, rules: [] };
      }
      const found = look(number, !decided);
      current.rules.push(found);
      decided ||= found.fits;
    }
    if (current !== null) yield current;
  }

  /** Policies that wrote rules for a direction that their policyTypes lack. */
  private *inactive(direction: Direction, selecting: readonly number[]): Generator<PolicyLook> {
    const wanted = direction === "ingress" ? 0 : 1;
    for (const policy of selecting) {
      for (const [at, path, line, column] of this.rules.policies[policy]!.inactive ?? []) {
        if (at !== wanted) continue;
        const isolation = this.origin(policy, path, line, column);
        yield { isolation, active: false, tier: "NetworkPolicy", ordered: false, rules: [] };
      }
    }
  }

  private look(rule: Rule, remote: number, family: number, at: number, reached: boolean): RuleLook {
    const [policy, path, line, column, action, matches, name] = rule;
    const held = new Map<number, Origin>();
    for (const [peers, , itemPath, itemLine, itemColumn] of matches) {
      if (this.isPeer(peers, remote, family) && !held.has(itemPath)) {
        held.set(itemPath, this.origin(policy, itemPath, itemLine, itemColumn));
      }
    }
    const ports = union([[], ...matches.map((match) => this.rules.ports[match[1]]!)]);
    return {
      origin: this.origin(policy, path, line, column),
      fits: this.fits(rule, remote, family, at),
      peers: [...held.values()],
      portFits: holds(ports, at),
      ports,
      action,
      name,
      reached,
    };
  }

  private fits(rule: Rule, remote: number, family: number, at: number): boolean {
    return rule[5].some(
      ([peers, ports]) => holds(this.rules.ports[ports]!, at) && this.isPeer(peers, remote, family),
    );
  }

  private isPeer(peers: number, remote: number, family: number): boolean {
    const written = this.rules.peers[peers];
    if (written === null || written === undefined) return true;
    if (written[0] !== 0 && written[0] !== family) return false;
    let members = this.members[peers];
    if (members === undefined) {
      members = this.members[peers] = new Set(relative(written[1]));
    }
    return members!.has(remote);
  }
}
