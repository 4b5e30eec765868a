// The map as a table: for reading aloud, for printing, for copying.

import { useMemo } from "preact/hooks";
import { linkTo, type Route } from "../location";
import { holds } from "../ports";
import { count, visible } from "../visible";
import { allowedWords } from "../words";
import type { World } from "../world";
import { Wide } from "./Wide";
import { useMost } from "./most";

type Props = {
  world: World;
  route: Route;
  port: number | null;
  shown: readonly number[];
  named: ReadonlySet<number> | null;
};

const PAGE = 300;

export function Table({ world, route, port, shown, named }: Props) {
  const pairs = useMemo(() => pairsOf(world, shown, named, port), [world, shown, named, port]);
  const [listed, more] = useMost(pairs, PAGE, 1000);
  return (
    <div class="table-view">
      <p class="count">{count(pairs.length, "allowed pair")}</p>
      <Wide label="Allowed pairs" columns={["From", "To", "Ports"]}>
        <tbody>
          {listed.map(([from, to]) => {
            const names = [from, to].map((each) => world.endpoints[each]!.name);
            return (
              <tr key={`${from} ${to}`}>
                <td>{visible(names[0]!)}</td>
                <td>{visible(names[1]!)}</td>
                <td class="allowed">
                  <a href={linkTo(route, { pair: names.join("~"), ask: "" })}>{allowedWords(world, from, to)}</a>
                </td>
              </tr>
            );
          })}
        </tbody>
      </Wide>
      {more}
      {more !== null && <p class="count">Search for a name, or choose namespaces, to see fewer.</p>}
    </div>
  );
}

function pairsOf(
  world: World,
  shown: readonly number[],
  named: ReadonlySet<number> | null,
  port: number | null,
): [number, number][] {
  const found: [number, number][] = [];
  for (const from of shown) {
    for (const to of shown) {
      if (named !== null && !named.has(from) && !named.has(to)) continue;
      const allowed = world.allowed(from, to);
      if (allowed.length === 0 || world.isOpen(from, to)) continue;
      if (port === null || allowed.some(([ports]) => holds(ports, port))) found.push([from, to]);
    }
  }
  return found;
}
