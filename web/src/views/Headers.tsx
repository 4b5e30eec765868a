// Names beside and above the matrix: those of the visible lines, each with a link or a fold.

import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import { groupKey, type Line } from "../layout";
import { go, linkTo, type Page, type Route } from "../location";
import { CELL } from "../paint";
import { headerName, lineName } from "../words";
import type { World } from "../world";

export type Window = { left: number; top: number; width: number; height: number };
export type Sizes = { width: number; height: number };

/** Names come and go so many at a time: most frames of a scroll then make none. */
const BATCH = 16;

type HeaderProps = {
  axis: "rows" | "columns";
  world: World;
  all: readonly Line[];
  view: Window;
  sizes: Sizes;
  route: Route;
  page: Page;
  open: ReadonlySet<number>;
  hot: number;
  lit: ReadonlySet<number>;
};

export function Headers({ axis, world, all, view, sizes, route, page, open, hot, lit }: HeaderProps) {
  const offset = axis === "rows" ? view.top : view.left;
  const extent = axis === "rows" ? view.height : view.width;
  const first = Math.floor(offset / CELL / BATCH) * BATCH;
  const last = Math.min(all.length, Math.ceil((offset + extent) / CELL / BATCH) * BATCH);
  const style =
    axis === "rows"
      ? { top: `${sizes.height}px`, width: `${sizes.width}px`, height: `${view.height}px` }
      : { left: `${sizes.width}px`, height: `${sizes.height}px`, width: `${view.width}px` };
  const strip = { transform: axis === "rows" ? `translateY(${-offset}px)` : `translateX(${-offset}px)` };
  // The names keep their places in a strip that is moved, so a frame costs those that come and go.
  const names = useMemo(
    () => <Names {...{ axis, world, all, first, last, route, page, open, hot, lit }} />,
    [axis, world, all, first, last, route, page, open, hot, lit],
  );
  return (
    <div class={`headers ${axis}`} style={style}>
      <div class="strip" style={strip}>
        {names}
      </div>
    </div>
  );
}

type NamesProps = Omit<HeaderProps, "view" | "sizes"> & { first: number; last: number };

function Names({ axis, world, all, first, last, route, page, open, hot, lit }: NamesProps) {
  // An element that is the same one as before is not compared with itself in each frame of a scroll.
  const made = useMemo(() => new Map<number, VNode>(), [axis, world, all, route, page, open, lit]);
  const name = (number: number): VNode => {
    const isHot = number === hot;
    const known = isHot ? undefined : made.get(number);
    if (known !== undefined) return known;
    const shown = <Name key={number} {...{ axis, world, route, page, open, number, isHot }} isLit={lit.has(number)} line={all[number]!} />;
    if (!isHot) made.set(number, shown);
    return shown;
  };
  return <>{Array.from({ length: last - first }, (_, index) => name(first + index))}</>;
}

type NameProps = Pick<HeaderProps, "axis" | "world" | "route" | "page" | "open"> & { number: number; line: Line; isHot: boolean; isLit: boolean };

function Name({ axis, world, route, page, open, number, line, isHot, isLit }: NameProps) {
  const at = `${number * CELL}px`;
  const name = headerName(world, line);
  const common = {
    class: `${line.kind}${isHot ? " hot" : ""}${isLit ? " lit" : ""}`,
    style: axis === "rows" ? { top: at } : { left: at },
    title: lineName(world, line),
  };
  if (line.kind === "end") {
    const item = world.endpoints[line.endpoint]!.name;
    const href = linkTo(route, { view: "picture", item, pair: "", ask: "" }, page);
    return (
      <a {...common} href={href} tabIndex={-1}>
        <span>{name}</span>
      </a>
    );
  }
  return (
    <button {...common} type="button" tabIndex={-1} onClick={() => toggle(world, route, open, [line])}>
      <span>
        {line.kind === "head" ? "▾ " : "▸ "}
        {name}
        {line.kind === "folded" && <small> {line.members.length}</small>}
      </span>
    </button>
  );
}

/** Opens what is folded; folds the rest if nothing of it was. */
export function toggle(world: World, route: Route, open: ReadonlySet<number>, chosen: readonly Line[]): void {
  const next = new Set(open);
  const folded = chosen.filter((line) => line.kind === "folded");
  for (const line of folded) next.add(line.group);
  if (folded.length === 0) for (const line of chosen) if (line.kind === "head") next.delete(line.group);
  const names = [...next].sort((a, b) => a - b).map((group) => groupKey(world, group));
  go(route, { open: names.join(",") || "-" });
}
