// Who reaches whom as a matrix: rows from, columns to. Only what is in the window is drawn; the grid
// that a screen reader sees holds the one cell that has the focus.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { alikeLines, lines, type Line, Shares } from "../layout";
import { go, type Page, type Route } from "../location";
import { CELL, colours, type Colours, paint } from "../paint";
import { turnAt, type Turns, turnsOfLines } from "../turns";
import type { World } from "../world";
import { cellWords, headerName, turnWords } from "../words";
import { Headers, type Sizes, toggle, type Window } from "./Headers";
import { Legend } from "./Legend";

type Props = {
  world: World;
  route: Route;
  port: number | null;
  shown: readonly number[];
  open: ReadonlySet<number>;
  chosen: readonly [number, number] | null;
  theme: string;
  /** Pairs that a change turns. */
  turns: Turns;
  /** Where pairs and names lead to. */
  page: Page;
  /** Lines with equal rows side by side, not by namespace. */
  alike?: boolean;
  /** Endpoints that are pointed at elsewhere. */
  lit?: ReadonlySet<number>;
  /** Little room: short names, and what the change turns is scrolled to. */
  compact?: boolean;
};

type Focus = { row: number; column: number };

const NONE: ReadonlySet<number> = new Set();
const NOWHERE: Focus = { row: -1, column: -1 };

export function Matrix({ world, route, port, shown, open, chosen, theme, turns, page, alike = false, lit = NONE, compact = false }: Props) {
  const all = useMemo(
    () => (alike ? alikeLines(world, shown, port) : lines(world, shown, open)),
    [world, shown, open, alike, alike ? port : null],
  );
  const shares = useMemo(() => new Shares(world, all, port), [world, all, port]);
  const marked = useMemo(() => turnsOfLines(turns, world, all), [turns, world, all]);
  const litLines = useMemo(() => linesOf(all, lit), [all, lit]);
  const sizes = useMemo(() => headerSizes(world, all, compact), [world, all, compact]);
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const grid = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<Window>({ left: 0, top: 0, width: 0, height: 0 });
  const [hover, setHover] = useState<Focus>(NOWHERE);
  const [focus, setFocus] = useState<Focus>(() => firstCell(all, chosen));
  const [focused, setFocused] = useState(false);

  useLayoutEffect(() => {
    const element = scroller.current!;
    const measure = (): void => {
      setView({
        left: element.scrollLeft,
        top: element.scrollTop,
        width: Math.max(0, element.clientWidth - sizes.width),
        height: Math.max(0, element.clientHeight - sizes.height),
      });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [sizes, all.length]);

  useEffect(() => {
    setHover(NOWHERE);
    setFocus((was) => (was.row < all.length && was.column < all.length ? was : firstCell(all, null)));
  }, [all]);

  useEffect(() => {
    const [first] = marked.keys();
    if (!compact || first === undefined) return;
    reveal(scroller.current!, { row: Math.floor(first / all.length), column: first % all.length }, sizes);
  }, [compact, marked, all, sizes]);

  useEffect(() => {
    const [first] = litLines;
    const element = scroller.current!;
    if (first !== undefined) reveal(element, { row: first, column: Math.ceil(element.scrollLeft / CELL) }, sizes);
  }, [litLines, sizes]);

  const cross = hover.row >= 0 ? hover : focused ? focus : NOWHERE;
  // Asked for once a theme: to ask in each frame would have the browser work out all styles in each.
  const paints = useRef<{ theme: string; colours: Colours } | null>(null);
  useLayoutEffect(() => {
    const element = canvas.current!;
    if (paints.current?.theme !== theme) paints.current = { theme, colours: colours(element) };
    const scale = devicePixelRatio || 1;
    const width = Math.round(view.width * scale);
    const height = Math.round(view.height * scale);
    if (element.width !== width) element.width = width;
    if (element.height !== height) element.height = height;
    const context = element.getContext("2d");
    if (context === null || width === 0 || height === 0) return;
    const scene = { world, shares, port, turns: marked, colours: paints.current.colours, ...view, ...cross, chosen, lit: litLines };
    paint(context, scene);
  }, [world, shares, port, marked, view, cross.row, cross.column, chosen, theme, litLines]);

  const at = (event: MouseEvent): Focus => {
    const box = canvas.current!.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left + view.left) / CELL);
    const row = Math.floor((event.clientY - box.top + view.top) / CELL);
    return row < all.length && column < all.length ? { row, column } : NOWHERE;
  };

  const activate = ({ row, column }: Focus): void => {
    const from = all[row];
    const to = all[column];
    if (from === undefined || to === undefined) return;
    if (from.kind === "end" && to.kind === "end") {
      if (!world.isPair(from.endpoint, to.endpoint)) return;
      const names = [from, to].map((line) => world.endpoints[line.endpoint]!.name);
      go(route, { pair: names.join("~"), ask: "" }, page);
      return;
    }
    toggle(world, route, open, [from, to]);
  };

  const move = (event: KeyboardEvent): void => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      activate(focus);
      return;
    }
    const next = moved(event, focus, all, shares, world);
    if (next === null) return;
    event.preventDefault();
    setFocus(next);
    setHover(NOWHERE);
    reveal(scroller.current!, next, sizes);
  };

  const cell = focused || hover.row < 0 ? focus : hover;
  const words = ({ row, column }: Focus): string =>
    all[row] ? `${cellWords(world, shares, row, column, port)}${turnWords(turnAt(marked, row, column, all.length))}` : "";
  const said = words(cell);
  const status = hover.row >= 0 ? words(hover) : focused ? said : "";
  const total = all.length * CELL;
  return (
    <div class="matrix">
      <div class="scroller" ref={scroller}>
        <div class="space" style={{ width: `${total + sizes.width}px`, height: `${total + sizes.height}px` }}>
          <div class="window" style={{ width: `${sizes.width + view.width}px`, height: `${sizes.height + view.height}px` }}>
            <div class="corner" style={{ width: `${sizes.width}px`, height: `${sizes.height}px` }}>
              <span class="corner-to">to →</span>
              <span class="corner-from">from ↓</span>
            </div>
            <Headers axis="columns" {...{ world, all, view, sizes, route, page, open, hot: cross.column }} lit={NONE} />
            <Headers axis="rows" {...{ world, all, view, sizes, route, page, open, hot: cross.row }} lit={litLines} />
            <canvas
              ref={canvas}
              style={{ left: `${sizes.width}px`, top: `${sizes.height}px`, width: `${view.width}px`, height: `${view.height}px` }}
              onMouseMove={(event) => setHover(at(event))}
              onMouseLeave={() => setHover(NOWHERE)}
              onClick={(event) => {
                const cellAt = at(event);
                if (cellAt.row < 0) return;
                setFocus(cellAt);
                grid.current!.focus({ preventScroll: true });
                activate(cellAt);
              }}
            />
          </div>
        </div>
      </div>
      <div
        class="grid"
        ref={grid}
        role="grid"
        tabIndex={0}
        aria-label="Who reaches whom: rows from, columns to. Arrow keys move, Control with an arrow key goes to the next allowed cell, Enter opens it."
        aria-rowcount={all.length}
        aria-colcount={all.length}
        aria-activedescendant="focused-cell"
        onKeyDown={move}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        style={{ left: `${sizes.width}px`, top: `${sizes.height}px` }}
      >
        <div role="row" aria-rowindex={focus.row + 1}>
          <div role="gridcell" id="focused-cell" aria-colindex={focus.column + 1} aria-label={said} />
        </div>
      </div>
      <div class="status" aria-live={focused ? "polite" : "off"}>
        {status || <Legend {...{ theme, all }} turned={turns.size > 0} />}
      </div>
    </div>
  );
}

function moved(
  event: KeyboardEvent,
  focus: Focus,
  all: readonly Line[],
  shares: Shares,
  world: World,
): Focus | null {
  const last = all.length - 1;
  const steps: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  const clamp = (value: number): number => Math.max(0, Math.min(last, value));
  if (event.key === "Home") return { row: event.ctrlKey ? 0 : focus.row, column: 0 };
  if (event.key === "End") return { row: event.ctrlKey ? last : focus.row, column: last };
  if (event.key === "PageDown") return { ...focus, row: clamp(focus.row + 10) };
  if (event.key === "PageUp") return { ...focus, row: clamp(focus.row - 10) };
  const step = steps[event.key];
  if (step === undefined) return null;
  let { row, column } = focus;
  do {
    row += step[0];
    column += step[1];
    if (row < 0 || column < 0 || row > last || column > last) {
      return event.ctrlKey ? focus : { row: clamp(row), column: clamp(column) };
    }
  } while (event.ctrlKey && !isAllowed(all, shares, world, row, column));
  return { row, column };
}

function isAllowed(all: readonly Line[], shares: Shares, world: World, row: number, column: number): boolean {
  const from = all[row]!;
  const to = all[column]!;
  if (from.kind === "head" || to.kind === "head") return false;
  if (from.kind === "end" && to.kind === "end") {
    return ["some", "all"].includes(world.standing(from.endpoint, to.endpoint, shares.portIndex));
  }
  return shares.of(row, column).allowed > 0;
}

function firstCell(all: readonly Line[], chosen: readonly [number, number] | null): Focus {
  const find = (endpoint: number): number =>
    all.findIndex((line) => line.kind === "end" && line.endpoint === endpoint);
  if (chosen !== null) {
    const [row, column] = [find(chosen[0]), find(chosen[1])];
    if (row >= 0 && column >= 0) return { row, column };
  }
  const first = Math.max(0, all.findIndex((line) => line.kind !== "head"));
  return { row: first, column: first };
}

function reveal(element: HTMLElement, { row, column }: Focus, sizes: Sizes): void {
  const inside = (offset: number, extent: number, at: number): number => {
    if (at * CELL < offset) return at * CELL;
    if ((at + 1) * CELL > offset + extent) return (at + 1) * CELL - extent;
    return offset;
  };
  element.scrollTop = inside(element.scrollTop, element.clientHeight - sizes.height, row);
  element.scrollLeft = inside(element.scrollLeft, element.clientWidth - sizes.width, column);
}

/** The lines that stand for some endpoints. */
function linesOf(all: readonly Line[], endpoints: ReadonlySet<number>): ReadonlySet<number> {
  const isMeant = (line: Line): boolean =>
    line.kind === "end" ? endpoints.has(line.endpoint) : line.kind === "folded" && line.members.some((each) => endpoints.has(each));
  return endpoints.size === 0 ? NONE : new Set([...all.keys()].filter((at) => isMeant(all[at]!)));
}

/** As much room as the longest names need, within bounds. */
function headerSizes(world: World, all: readonly Line[], compact: boolean): Sizes {
  let longest = 0;
  for (const line of all) {
    longest = Math.max(longest, headerName(world, line).length + (line.kind === "end" ? 2 : 5));
  }
  const width = Math.min(280, Math.max(120, longest * 7.2 + 18));
  return compact ? { width: Math.min(180, width), height: 104 } : { width, height: Math.min(210, width) };
}
