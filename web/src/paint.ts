// The cells of the matrix on a canvas. Verdicts differ in shape, not in colour alone.

import type { Line, Shares } from "./layout";
import { type Turn, turnAt, type Turns } from "./turns";
import type { Standing, World } from "./world";

export const CELL = 22;

const NAMES = ["paper", "band", "cross", "rule", "faint", "some", "all", "unknown", "focus", "yes", "no", "mark"] as const;
export type Colours = Record<(typeof NAMES)[number], string>;

/** The colours of now as a canvas takes them: a colour of the system is not one before it is worked out. */
export function colours(element: HTMLElement): Colours {
  const worked = NAMES.map((name) => {
    element.style.color = `var(--${name})`;
    return [name, getComputedStyle(element).color] as const;
  });
  element.style.color = "";
  return Object.fromEntries(worked) as Colours;
}

export type Scene = {
  world: World;
  shares: Shares;
  /** The port that is asked for. */
  port: number | null;
  /** Cells that a change turns. */
  turns: Turns;
  colours: Colours;
  width: number;
  height: number;
  left: number;
  top: number;
  /** Row and column under the pointer or the keyboard, -1 for none. */
  row: number;
  column: number;
  chosen: readonly [number, number] | null;
  /** Rows that are pointed at elsewhere. */
  lit: ReadonlySet<number>;
};

export function paint(context: CanvasRenderingContext2D, scene: Scene): void {
  const { shares, colours: paints, width, height, left, top } = scene;
  const { shown } = shares;
  const scale = devicePixelRatio || 1;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = paints.paper;
  context.fillRect(0, 0, width, height);
  const rows = range(top, height, shown.length);
  const columns = range(left, width, shown.length);
  const right = Math.min(width, shown.length * CELL - left);
  const bottom = Math.min(height, shown.length * CELL - top);
  const stripe = (colour: string, row: number | null, column: number | null): void => {
    context.fillStyle = colour;
    if (row !== null) context.fillRect(0, row * CELL - top, right, CELL);
    if (column !== null) context.fillRect(column * CELL - left, 0, CELL, bottom);
  };
  const edge = (x: number, y: number, wide: number, high: number): void => {
    context.fillStyle = paints.faint;
    context.fillRect(x, y, wide, high);
  };
  for (let row = rows[0]; row < rows[1]; row += 1) {
    if (shown[row]!.kind === "head") stripe(paints.band, row, null);
  }
  for (let column = columns[0]; column < columns[1]; column += 1) {
    if (shown[column]!.kind === "head") stripe(paints.band, null, column);
  }
  for (let row = rows[0]; row < rows[1]; row += 1) if (beginsSet(shown, row)) edge(0, row * CELL - top, right, 1);
  for (let column = columns[0]; column < columns[1]; column += 1) {
    if (beginsSet(shown, column)) edge(column * CELL - left, 0, 1, bottom);
  }
  for (let row = rows[0]; row < rows[1]; row += 1) if (scene.lit.has(row)) stripe(paints.mark, row, null);
  if (scene.row >= 0) stripe(paints.cross, scene.row, null);
  if (scene.column >= 0) stripe(paints.cross, null, scene.column);
  for (let row = rows[0]; row < rows[1]; row += 1) {
    for (let column = columns[0]; column < columns[1]; column += 1) {
      const [x, y] = [column * CELL - left, row * CELL - top];
      cell(context, scene, row, column, x, y);
      const turn = turnAt(scene.turns, row, column, shown.length);
      if (turn !== undefined) turnMark(context, paints, turn, x, y);
    }
  }
  outline(context, scene, scene.row, scene.column, 1.5);
  if (scene.chosen !== null) {
    const [from, to] = scene.chosen;
    const row = shown.findIndex((line) => line.kind === "end" && line.endpoint === from);
    const column = shown.findIndex((line) => line.kind === "end" && line.endpoint === to);
    outline(context, scene, row, column, 2.5);
  }
}

/** Whether lines with equal rows begin or end before a line. */
function beginsSet(shown: readonly Line[], at: number): boolean {
  const [line, before] = [shown[at], shown[at - 1]];
  return line?.kind === "end" && before?.kind === "end" && line.set !== before.set;
}

function range(offset: number, extent: number, size: number): [number, number] {
  return [Math.floor(offset / CELL), Math.min(size, Math.ceil((offset + extent) / CELL))];
}

function outline(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: number,
  column: number,
  weight: number,
): void {
  if (row < 0 || column < 0) return;
  context.strokeStyle = scene.colours.focus;
  context.lineWidth = weight;
  const inset = weight / 2;
  const x = column * CELL - scene.left + inset;
  const y = row * CELL - scene.top + inset;
  context.strokeRect(x, y, CELL - weight, CELL - weight);
}

function cell(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: number,
  column: number,
  x: number,
  y: number,
): void {
  const { shown } = scene.shares;
  const from = shown[row]!;
  const to = shown[column]!;
  if (from.kind === "head" || to.kind === "head") return;
  if (from.kind === "end" && to.kind === "end") {
    const standing = scene.world.standing(from.endpoint, to.endpoint, scene.port);
    mark(context, scene.colours, standing, x, y);
    return;
  }
  const share = scene.shares.of(row, column);
  if (share.unknown) mark(context, scene.colours, "unknown", x, y);
  else if (share.all === 0) mark(context, scene.colours, "apart", x, y);
  else if (share.allowed === 0) mark(context, scene.colours, "none", x, y);
  else shareMark(context, scene.colours, share.allowed / share.all, x, y);
}

/** A frame, and a plus, a minus or both in the corner, clear of what is below. */
function turnMark(context: CanvasRenderingContext2D, paints: Colours, turn: Turn, x: number, y: number): void {
  const colour = turn === "closes" ? paints.no : paints.yes;
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
  context.fillStyle = paints.paper;
  context.fillRect(x + 13, y, 9, turn === "both" ? 12 : 9);
  context.beginPath();
  context.moveTo(x + 14, y + 4.5);
  context.lineTo(x + 21, y + 4.5);
  if (turn !== "closes") {
    context.moveTo(x + 17.5, y + 1);
    context.lineTo(x + 17.5, y + 8);
  }
  context.stroke();
  if (turn !== "both") return;
  context.strokeStyle = paints.no;
  context.beginPath();
  context.moveTo(x + 14, y + 10.5);
  context.lineTo(x + 21, y + 10.5);
  context.stroke();
}

function shareMark(
  context: CanvasRenderingContext2D,
  paints: Colours,
  share: number,
  x: number,
  y: number,
): void {
  const side = CELL - 6;
  context.strokeStyle = paints.some;
  context.lineWidth = 1;
  context.strokeRect(x + 3.5, y + 3.5, side - 1, side - 1);
  const filled = Math.max(2, Math.round((side - 2) * share));
  context.fillStyle = share === 1 ? paints.all : paints.some;
  context.fillRect(x + 4, y + 2 + side - filled, side - 2, filled);
}

export function mark(
  context: CanvasRenderingContext2D,
  paints: Colours,
  standing: Standing,
  x: number,
  y: number,
): void {
  const middle = CELL / 2;
  switch (standing) {
    case "none":
      context.fillStyle = paints.faint;
      context.fillRect(x + middle - 1, y + middle - 1, 2, 2);
      break;
    case "some":
      context.fillStyle = paints.some;
      context.beginPath();
      context.arc(x + middle, y + middle, 5.5, 0, 2 * Math.PI);
      context.fill();
      break;
    case "all":
      context.fillStyle = paints.all;
      context.fillRect(x + 4, y + 4, CELL - 8, CELL - 8);
      break;
    case "self":
      context.fillStyle = paints.faint;
      context.fillRect(x + middle - 5, y + middle - 0.5, 10, 1);
      break;
    case "unknown":
      context.strokeStyle = paints.unknown;
      context.lineWidth = 1.5;
      context.beginPath();
      for (let at = 3; at <= CELL - 3; at += 4) {
        context.moveTo(x + at, y + 3);
        context.lineTo(x + 3, y + at);
        context.moveTo(x + CELL - 3, y + at);
        context.lineTo(x + at, y + CELL - 3);
      }
      context.stroke();
      break;
    case "apart":
      break;
  }
}
