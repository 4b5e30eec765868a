// The page's answers for programs: what a person can ask in the console.

import { Asking } from "./asking";
import { portIndexOf } from "./ports";
import { owedTo } from "./owed";
import { withNewcomers } from "./newcomers";
import type { Newcomers, Rules } from "./schema";
import type { Turns } from "./turns";
import { World } from "./world";

/** `podfence.owed("NetworkPolicy", "shop", "db")`: what only this policy allows.
 * `podfence.why("shop/web", "shop/db", "TCP", 5432)` in the console: the page's answers as data.
 * `podfence.later()`: the map with pods to come.
 * `podfence.turned`: the pairs that a change turns. */
export function answerPrograms(world: World, rules: () => Promise<Rules>, turns: Turns, newcomers: (() => Promise<Newcomers>) | null): void {
  let asking: Asking | null = null;
  const why = async (from: string, to: string, protocol: string, port: number): Promise<unknown> => {
    asking ??= new Asking(world, await rules());
    const ends = [from, to].map((name) => world.byName.get(name));
    if (ends[0] === undefined || ends[1] === undefined) throw new Error("no such name on the map");
    return asking.ask(ends[0], ends[1], portIndexOf(protocol, port));
  };
  const owed = async (kind: string, namespace: string, policy: string): Promise<unknown> => {
    asking ??= new Asking(world, await rules());
    const at = asking.rules.policies.findIndex((each) => each.kind === kind && each.namespace === namespace && each.name === policy);
    return owedTo(asking, at).owed.map((each) => ({ ...each, from: name(each.from), to: name(each.to) }));
  };
  const later = async (): Promise<World | null> =>
    newcomers === null ? null : new World(withNewcomers(world.reach, await newcomers()));
  const name = (end: number): string => world.endpoints[end]!.name;
  const turned = [...turns].map(([key, turn]) => [name(Math.floor(key / world.size)), name(key % world.size), turn]);
  Object.assign(globalThis, { podfence: { world, later, why, owed, rules, turned } });
}
