// What the shapes of the matrix mean.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Line } from "../layout";
import { CELL, colours, mark } from "../paint";
import { count } from "../visible";
import type { Standing } from "../world";

const SHAPES: [Standing, string][] = [
  ["all", "every port"],
  ["some", "some ports"],
  ["none", "nothing"],
  ["unknown", "unknown"],
];

export function Legend({ theme, all, turned }: { theme: string; all: readonly Line[]; turned: boolean }) {
  const folded = all.some((line) => line.kind === "folded");
  const sets = all.map((line) => (line.kind === "end" ? line.set : undefined)).filter((each) => each !== undefined);
  const several = new Set(sets.filter((each) => each !== null)).size;
  return (
    <span class="legend">
      {SHAPES.map(([standing, text]) => (
        <span key={standing}>
          <Shape standing={standing} theme={theme} /> {text}
        </span>
      ))}
      {turned && <span>+ the change opens, − it closes</span>}
      {sets.length > 0 && (
        <span>
          {count(several, "set")} of equal rows, {sets.filter((each) => each === null).length.toLocaleString("en")} like no other
        </span>
      )}
      {folded && <span>between namespaces: filled as far as pairs are allowed</span>}
    </span>
  );
}

function Shape({ standing, theme }: { standing: Standing; theme: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const element = canvas.current!;
    const scale = devicePixelRatio || 1;
    element.width = element.height = CELL * scale;
    const context = element.getContext("2d");
    if (context === null) return;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, CELL, CELL);
    mark(context, colours(element), standing, 0, 0);
  }, [standing, theme]);
  return <canvas class="shape" ref={canvas} aria-hidden="true" />;
}
