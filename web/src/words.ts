// Sentences of the page.

import type { DirectionAnswer } from "./asking";
import { words } from "./ports";
import { count, visible } from "./visible";
import type { Line, Shares } from "./layout";
import type { Turn } from "./turns";
import { isNewcomer } from "./newcomers";
import type { World } from "./world";

export function pairWords(world: World, from: number, to: number, portIndex: number | null): string {
  const ends = `${visible(world.endpoints[from]!.name)} to ${visible(world.endpoints[to]!.name)}`;
  switch (world.standing(from, to, portIndex)) {
    case "self":
      return `${ends}: a pod always reaches itself`;
    case "apart":
      return world.isOutside(from) && world.isOutside(to)
        ? `${ends}: both are outside the cluster`
        : `${ends}: they share no IP version`;
    case "unknown":
      return `${ends}: unknown, because an object could not be read`;
    case "none":
      return `${ends}: ${portIndex === null ? "nothing" : "not on this port"}`;
    default:
      return `${ends}: ${allowedWords(world, from, to)}`;
  }
}

/** The ports of a pair, with the IP version where it matters. */
export function allowedWords(world: World, from: number, to: number): string {
  const said = world.allowed(from, to).map(([ports, family]) => {
    const text = words(ports) === "all" ? "every port" : words(ports);
    return family === 0 ? text : `${text} over IPv${family}`;
  });
  return said.join("; ") || "nothing";
}

export function cellWords(
  world: World,
  shares: Shares,
  row: number,
  column: number,
  portIndex: number | null,
): string {
  const from = shares.shown[row]!;
  const to = shares.shown[column]!;
  if (from.kind === "end" && to.kind === "end") {
    return pairWords(world, from.endpoint, to.endpoint, portIndex);
  }
  for (const line of [from, to]) {
    if (line.kind === "head") {
      return `${visible(world.groupName(line.group))}: ${count(line.members.length, "line")} below`;
    }
  }
  const ends = `${lineName(world, from)} to ${lineName(world, to)}`;
  const { allowed, all, unknown } = shares.of(row, column);
  if (all === 0) return `${ends}: there is no pair`;
  const open = unknown ? ", some unknown" : "";
  return `${ends}: ${allowed.toLocaleString("en")} of ${count(all, "pair")} allowed${open}`;
}

/** What follows the words of a cell that a change turns. */
export function turnWords(turn: Turn | undefined): string {
  switch (turn) {
    case undefined:
      return "";
    case "opens":
      return "; the change opens more";
    case "closes":
      return "; the change closes some of it";
    case "both":
      return "; the change opens some and closes some of it";
  }
}

export function lineName(world: World, line: Line): string {
  if (line.kind === "end") return visible(world.endpoints[line.endpoint]!.name);
  const name = world.groupName(line.group);
  return name === "+" ? "+ a new namespace" : visible(name);
}

const NAMED = 4;

/** The first of many names, and how many more there are. */
export function firstNames(names: readonly string[]): string {
  const first = names.slice(0, NAMED).map(visible).join(", ");
  return names.length > NAMED ? `${first} and ${names.length - NAMED} more` : first;
}

/** What is written beside a line: the namespace only where no other line tells it. */
export function headerName(world: World, line: Line): string {
  if (line.kind === "end" && line.set === undefined && isNewcomer(world.endpoints[line.endpoint]!)) return "+ a new pod";
  return line.kind === "end" && line.set === undefined ? shortName(world, line.endpoint) : lineName(world, line);
}

/** A name without the namespace that stands beside it. */
export function shortName(world: World, endpoint: number): string {
  const { name, namespace } = world.endpoints[endpoint]!;
  if (namespace === undefined) return visible(name.replace(/^outside /, ""));
  return visible(name.slice(name.indexOf("/") + 1));
}

export function reasonWords(world: World, answer: DirectionAnswer): string {
  const subject = visible(world.endpoints[answer.subject]!.name);
  const { direction, decision } = answer;
  switch (decision.reason) {
    case "not-isolated":
      return `No policy selects ${subject} for ${direction}, so everything is allowed.`;
    case "not-a-pod":
      return `${subject} is not a pod: no policy judges its ${direction}.`;
    case "self":
      return "A pod can always reach itself.";
    case "isolated":
      return `${subject} is isolated for ${direction} and no rule allows this.`;
    case "default":
      return `No rule that applies to ${subject} decides this, so it is allowed.`;
    case "rule":
      return `A rule ${decision.allowed ? "allows" : "denies"} this.`;
  }
}
