// The cells of the matrix on a canvas. Verdicts differ in shape, not in colour alone.

import type { Shares } from "./layout";
import type { Standing, World } from "./world";

export const CELL = 22;

export type Colours = Record<"paper" | "band" | "cross" | "rule" | "faint" | "some" | "all" | "unknown" | "focus", string>;

export function colours(element: Element): Colours {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    paper: of("paper"),
    band: of("band"),
    cross: of("cross"),
    rule: of("rule"),
    faint: of("faint"),
    some: of("some"),
    all: of("all"),
    unknown: of("unknown"),
    focus: of("focus"),
  };
}

export type Scene = {
  world: World;
  shares: Shares;
  place: number | null;
  colours: Colours;
  width: number;
  height: number;
  left: number;
  top: number;
  /** Row and column under the pointer or the keyboard, -1 for none. */
  row: number;
  column: number;
  chosen: readonly [number, number] | null;
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
  for (let row = rows[0]; row < rows[1]; row += 1) {
    if (shown[row]!.kind === "head") stripe(paints.band, row, null);
  }
  for (let column = columns[0]; column < columns[1]; column += 1) {
    if (shown[column]!.kind === "head") stripe(paints.band, null, column);
  }
  if (scene.row >= 0) stripe(paints.cross, scene.row, null);
  if (scene.column >= 0) stripe(paints.cross, null, scene.column);
  for (let row = rows[0]; row < rows[1]; row += 1) {
    for (let column = columns[0]; column < columns[1]; column += 1) {
      cell(context, scene, row, column, column * CELL - left, row * CELL - top);
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
    const standing = scene.world.standing(from.endpoint, to.endpoint, scene.place);
    mark(context, scene.colours, standing, x, y);
    return;
  }
  const share = scene.shares.of(row, column);
  if (share.unknown) mark(context, scene.colours, "unknown", x, y);
  else if (share.all === 0) mark(context, scene.colours, "apart", x, y);
  else if (share.allowed === 0) mark(context, scene.colours, "none", x, y);
  else shareMark(context, scene.colours, share.allowed / share.all, x, y);
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
