// Which of several maps is shown: as it is, with pods to come, or before a change.

import { useMemo } from "preact/hooks";
import { go, type Route } from "../location";
import { isNewcomer } from "../newcomers";
import { shellLine } from "../shell";
import { type Turns, turnsOf } from "../turns";
import type { Plan } from "../unpack";
import { allowedWords } from "../words";
import type { World } from "../world";
import { Copied, endName } from "./AsText";
import { MapPage } from "./MapPage";
import { pairOf } from "./Missing";
import { PairPanel } from "./Pair";

type Props = {
  route: Route;
  world: World;
  /** The map before the change, once it is read, where the page has one (`hasPast`). */
  past: World | null;
  hasPast: boolean;
  /** The map with pods to come, while it is asked for, where the page has one. */
  later: World | null;
  hasNewcomers: boolean;
  plan: Plan | null;
  port: number | null;
  theme: string;
  turns: Turns;
};

/** The map that is asked for: as it is, with pods to come, or before the change; with what the change turns on it. */
export function Maps({ route, world, past, hasPast, later, hasNewcomers, plan, port, theme, turns }: Props) {
  const isBefore = hasPast && route.asked.get("side") === "before";
  const other = isBefore ? past : later;
  const shown = other ?? world;
  const pair = useMemo(() => pairOf(shown, route), [shown, route]);
  const marked = useMemo(() => {
    if (other === null) return turns;
    if (plan === null) return NO_TURNS;
    return turnsOf(other, isBefore ? plan.outcomes : [...plan.outcomes, ...plan.newcomers]);
  }, [other, plan, turns, isBefore]);
  if (isBefore && past === null) return <p class="waiting">Reading the map before the change …</p>;
  return <MapPage {...{ route, port, pair, theme, hasPast }} world={shown} turns={marked} hasNewcomers={hasNewcomers && !isBefore} />;
}

/** Of a map with other numbers than those that what is typed turns. */
const NO_TURNS: Turns = new Map();

/** A pair that the map of now has not: what a pod to come may do, or a workload did that is gone after the
 * change. There are no reasons, for the page has the rules of now. */
export function PairBeside({ world, route, isBefore }: { world: World; route: Route; isBefore: boolean }) {
  const pair = pairOf(world, route);
  if (pair === null) return null;
  const [from, to] = pair;
  const isNew = isNewcomer(world.endpoints[from]!);
  const close = (): void => go(route, { pair: "", ask: "" });
  return (
    <PairPanel {...{ world, pair, close }}>
      <p>
        {isBefore ? "Allowed before" : "Allowed"}: <strong>{world.isOpen(from, to) ? "unknown" : allowedWords(world, from, to)}</strong>
      </p>
      <p class="remark">{isBefore ? "One of the two does not exist after the change." : TO_COME}</p>
      {!isBefore && <Copied text={shellLine(["podfence", "find", ...(isNew ? ["from", endName(world, from)] : ["to", endName(world, to)])])} />}
    </PairPanel>
  );
}

const TO_COME = "shop/+ is a new pod without labels in shop; +/+ one in a new namespace. The rules that decide are those for every pod there.";
