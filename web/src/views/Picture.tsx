// Everybody in one picture: who sends on the left, who receives on the right. Where everything
// stands was worked out in Python; `podfence map -o svg` draws the same.

import { useMemo, useState } from "preact/hooks";
import { linkTo, type Route } from "../location";
import { holds, words as portWords } from "../ports";
import type { Picture as Layout } from "../schema";
import { count, visible } from "../visible";
import { shortName } from "../words";
import type { World } from "../world";

type Props = {
  world: World;
  layout: Layout;
  route: Route;
  port: number | null;
  /** Who is drawn; what others would fill stays empty. */
  kept: readonly number[];
  named: ReadonlySet<number> | null;
};
/** What is pointed at: a side and an endpoint. */
type Hot = readonly [side: number, endpoint: number] | null;

const ROW = 24;
const MANY = 120;

export function Picture({ world, layout, route, port, kept, named }: Props) {
  const [hot, point] = useState<Hot>(null);
  const [width, height] = layout.size;
  const slots = useMemo(() => slotsOf(world, layout, port), [world, layout, port]);
  const lit = (slot: number, sources: readonly number[]): boolean => {
    const { end, asked } = slots[slot]!;
    if (!asked) return false;
    if (named !== null && !named.has(end) && !sources.some((each) => named.has(each))) return false;
    if (hot === null) return true;
    return hot[0] === 1 ? hot[1] === end : sources.includes(hot[1]);
  };
  const drawn = useMemo(() => new Set(kept), [kept]);
  const hasDrawn = (side: number, group: number): boolean =>
    layout.ends.some(
      ([own, endpoint]) => own === side && world.group(endpoint) === (group < 0 ? world.outside : group) && drawn.has(endpoint),
    );
  const shares = { world, layout, route, slots, lit, drawn };
  return (
    <div class="picture-view">
      <p class="count">
        Point at a name to see its lines alone; open it for its neighbourhood. Dashed lines come from outside.
      </p>
      <div class="picture-scroll" tabIndex={0} role="region" aria-label="Picture of all pairs">
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} class={layout.lines.length > MANY ? "thin" : ""}>
          {[[16, "from"] as const, [layout.columns[3], "to"] as const].map(([x, said]) => (
            <text key={said} class="quiet" x={x + 2} y={30}>
              {said}
            </text>
          ))}
          {layout.boxes.filter(([side, group]) => hasDrawn(side, group)).map(([side, group, left, top, wide, high]) => (
            <g key={`${side} ${group}`}>
              <rect class="frame" x={left} y={top} width={wide} height={high} rx={6} />
              <text class="head" x={left + 10} y={top + 18}>
                {visible(cut(world.groupName(group < 0 ? world.outside : group)))}
              </text>
            </g>
          ))}
          <Lines {...shares} />
          {layout.ends.filter(([, endpoint]) => drawn.has(endpoint)).map(([side, endpoint, left, top, wide, high]) => (
            <a
              key={`${side} ${endpoint}`}
              class="end"
              href={linkTo(route, { item: world.endpoints[endpoint]!.name, pair: "" })}
              aria-label={`${endWords(world, endpoint, side)}, ${side === 0 ? "sends" : "receives"}: ${visible(world.endpoints[endpoint]!.name)}`}
              onMouseEnter={() => point([side, endpoint])}
              onMouseLeave={() => point(null)}
              onFocus={() => point([side, endpoint])}
              onBlur={() => point(null)}
            >
              <rect class="row" x={left + 1} y={top} width={wide - 2} height={high}>
                <title>{visible(world.endpoints[endpoint]!.name)}</title>
              </rect>
              <EndText {...{ world, endpoint, side, x: left + 14, y: top + ROW / 2 + 4 }} />
            </a>
          ))}
        </svg>
      </div>
    </div>
  );
}

/** What is written about an end: its name, its pods, whether it is open. */
function endParts(world: World, endpoint: number, side: number): readonly [name: string, pods: string, open: string] {
  const { pods, isolated } = world.endpoints[endpoint]!;
  const open = pods !== undefined && ((isolated ?? 0) & (side === 1 ? 1 : 2)) === 0;
  return [cut(shortName(world, endpoint)), pods === undefined ? "" : count(pods.length, "pod"), open ? "not isolated" : ""];
}

function endWords(world: World, endpoint: number, side: number): string {
  return endParts(world, endpoint, side).filter(Boolean).join(" ");
}

function EndText({ world, endpoint, side, x, y }: { world: World; endpoint: number; side: number; x: number; y: number }) {
  const [name, pods, open] = endParts(world, endpoint, side);
  return (
    <text x={x} y={y}>
      {name}
      {pods && (
        <tspan class="quiet" dx={6}>
          {` ${pods}`}
        </tspan>
      )}
      {open && (
        <tspan class="open" dx={4}>
          {` ${open}`}
        </tspan>
      )}
    </text>
  );
}

type Slot = { end: number; y: number; said: string; sources: readonly number[]; asked: boolean };

/** Every slot with everybody who enters it. `asked`: whether it has the port that is searched for. */
function slotsOf(world: World, layout: Layout, port: number | null): Slot[] {
  const sources: number[][] = layout.slots.map(() => []);
  for (const [, , slots, members] of layout.lines) {
    for (const slot of slots) sources[slot]!.push(...members);
  }
  return layout.slots.map(([end, row, y], number) => {
    const [, set, family] = world.reach.rows[row]!;
    const ports = world.reach.ports[set]!;
    return {
      end,
      y,
      said: `${portWords(ports)}${family === 0 ? "" : ` (IPv${family} only)`}`,
      sources: sources[number]!,
      asked: port === null || holds(ports, port),
    };
  });
}

type Shares = {
  world: World;
  layout: Layout;
  route: Route;
  slots: readonly Slot[];
  lit: (slot: number, sources: readonly number[]) => boolean;
  drawn: ReadonlySet<number>;
};

function Lines({ world, layout, route, slots, lit, drawn }: Shares) {
  const isDrawn = (slot: number, sources: readonly number[]): boolean =>
    drawn.has(slots[slot]!.end) && sources.some((each) => drawn.has(each));
  const [start, hub, join, arrow] = layout.columns;
  const tip = arrow - 2;
  const hubs = new Map<string, { y: number; slots: readonly number[] }>();
  for (const [, y, to] of layout.lines) if (y >= 0) hubs.set(to.join(" "), { y, slots: to });
  return (
    <>
      {layout.lines.map(([y, parting, to, members], number) => {
        if (!to.some((slot) => isDrawn(slot, members))) return null;
        const shown = to.some((slot) => lit(slot, members));
        const end = parting < 0 ? ([join, slots[to[0]!]!.y] as const) : ([hub, parting] as const);
        const kind = members.some((each) => world.isOutside(each)) ? " in" : "";
        return <path key={number} class={`way${kind}${shown ? "" : " dim"}`} d={curve(start, y, ...end)} />;
      })}
      {[...hubs.values()].map(({ y, slots: to }) =>
        to.filter((slot) => isDrawn(slot, slots[slot]!.sources)).map((slot) => (
          <path
            key={`${y} ${slot}`}
            class={`way${lit(slot, slots[slot]!.sources) ? "" : " dim"}`}
            d={curve(hub, y, join, slots[slot]!.y)}
          />
        )),
      )}
      {slots.map(({ end, y, said, sources }, number) =>
        isDrawn(number, sources) ? (
          <g key={number} class={lit(number, sources) ? "slot" : "slot dim"}>
            <path class="way" d={`M${join} ${y}H${tip - 7}`} />
            <path class="tip" d={`M${tip - 8} ${y - 4}L${tip} ${y}L${tip - 8} ${y + 4}Z`} />
            <SlotWords {...{ world, route, end, said, sources, x: join + 6, y: y + 4 }} />
          </g>
        ) : null,
      )}
    </>
  );
}

type WordsProps = {
  world: World;
  route: Route;
  end: number;
  said: string;
  sources: readonly number[];
  x: number;
  y: number;
};

/** The ports; where one alone sends there, a link to why. */
function SlotWords({ world, route, end, said, sources, x, y }: WordsProps) {
  const names = sources.map((each) => world.endpoints[each]!.name);
  const to = world.endpoints[end]!.name;
  const text = (
    <text class="ports" x={x} y={y}>
      <title>{`${names.map(visible).join(", ")} to ${visible(to)}: ${said}`}</title>
      {cut(said, 26)}
    </text>
  );
  if (names.length !== 1) return text;
  return <a href={linkTo(route, { pair: `${names[0]}~${to}`, ask: "" })}>{text}</a>;
}

function cut(text: string, most = 36): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function curve(x: number, y: number, toX: number, toY: number): string {
  const bend = (toX - x) / 2;
  return `M${x} ${y}C${x + bend} ${y} ${toX - bend} ${toY} ${toX} ${toY}`;
}
