// What only one policy allows: connections that its rules admit and no other rule does.

import type { Asking } from "./asking";
import { type PortSet, union } from "./ports";
import type { Direction } from "./why";

export type Owed = { from: number; to: number; family: number; ports: PortSet };
/** `whole`: whether all pairs were looked at. */
export type Owing = { owed: readonly Owed[]; whole: boolean };

/** Questions to the engine before it is given up: about a second. */
const MOST = 30_000;

/** The connections that are allowed for one policy's rules alone. `family` 0: in every IP version that
 * the two ends share. `most`: questions before it is given up. */
export function owedTo(asking: Asking, policy: number, most = MOST): Owing {
  const { world } = asking;
  const found = new Map<string, Owed>();
  let left = most;
  const written = asking.rules.policies[policy]!;
  const directions = (["ingress", "egress"] as const).filter((_, at) => written.types[at] && written.rules[at]! > 0);
  for (const direction of directions) {
    for (const subject of asking.selected(policy)) {
      for (let other = 0; other < world.size; other += 1) {
        const [from, to] = direction === "ingress" ? [other, subject] : [subject, other];
        if (world.cell(from, to) === 0 || world.isOpen(from, to)) continue;
        if (left <= 0) return { owed: [...found.values()], whole: false };
        const alone = world.families(from, to).map((family) => {
          const [ports, asked] = owedOf(asking, policy, direction, subject, other, family);
          left -= asked;
          return { family, ports };
        });
        for (const { family, ports } of together(alone)) {
          // One policy may have to allow both directions of a pair.
          const key = [from, to, family].join();
          const known = found.get(key)?.ports ?? [];
          found.set(key, { from, to, family, ports: union([[], known, ports]) });
        }
      }
    }
  }
  return { owed: [...found.values()], whole: true };
}

/** Families with the same ports as one. */
function together(alone: readonly { family: number; ports: PortSet }[]): { family: number; ports: PortSet }[] {
  const [first] = alone;
  const same = alone.every(({ ports }) => ports.join() === first!.ports.join());
  return (same ? [{ family: 0, ports: first!.ports }] : alone).filter(({ ports }) => ports.length > 0);
}

/** The ports of one pair, and how many questions they took. */
function owedOf(asking: Asking, policy: number, direction: Direction, subject: number, other: number, family: number): [PortSet, number] {
  const { world, engine } = asking;
  const [from, to] = direction === "ingress" ? [other, subject] : [subject, other];
  const near = world.classIn(subject, family);
  const far = world.classIn(other, family);
  const allowed = world.allowed(from, to).filter(([, only]) => only === 0 || only === family);
  const edges = engine.boundaries(near, direction);
  const spans: PortSet[] = [];
  let asked = 0;
  for (const [set] of allowed) {
    for (let at = 0; at < set.length; at += 2) {
      const [low, high] = [set[at]!, set[at + 1]!];
      // Between two boundaries of the rules every port has the same reasons.
      const starts = [low, ...edges.filter((edge) => edge > low && edge <= high)];
      starts.forEach((start, number) => {
        asked += 1;
        const { reason, origins } = engine.decide(near, direction, far, family, start);
        if (reason !== "rule" || origins.some((each) => each.policy !== policy)) return;
        spans.push([start, (starts[number + 1] ?? high + 1) - 1]);
      });
    }
  }
  return [spans.length === 0 ? [] : union(spans), asked];
}
