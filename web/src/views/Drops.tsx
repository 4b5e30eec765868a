// What the agents of the cluster denied, the latest first, each with its cause.

import { useMemo } from "preact/hooks";
import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import type { Denial, Denials, Server } from "../server";
import { count, visibleText } from "../visible";
import type { World } from "../world";
import { Absent, Asked, Notes, useNews } from "./Agents";
import { Wide } from "./Wide";

export function Drops({ server, world, route }: { server: Server; world: World; route: Route }) {
  const told = useNews<Denials>(server, "drops");
  const ends = useMemo(() => endpointOfPods(world), [world]);
  if (told === null) return <Asked />;
  if (told.absent !== "") return <Absent title="There are no drops to show" news={told} />;
  const words = searchWords(route.asked.get("q") ?? "");
  const shown = told.drops.filter((drop) => matches(`${drop.from} ${drop.to} ${drop.cause}`, words));
  return (
    <div class="drops">
      <p class="count" role="status">
        {count(shown.length, "kind")} of denied packets, the latest first. Equal packets share a line.
      </p>
      <Notes notes={told.notes} />
      {shown.length === 0 ? (
        <p>Nothing was denied{words.length > 0 ? " that matches the search" : " since the agents started"}.</p>
      ) : (
        <Wide label="Drops" many columns={["Last", "Seen", "From", "To", "Port", "Denied by"]}>
          <tbody>
            {shown.map((drop) => (
              <Row key={`${drop.node} ${drop.from} ${drop.to} ${drop.protocol} ${drop.port} ${drop.direction} ${drop.cause}`} {...{ drop, route, world, ends }} />
            ))}
          </tbody>
        </Wide>
      )}
    </div>
  );
}

type RowProps = { drop: Denial; route: Route; world: World; ends: ReadonlyMap<string, number> };

function Row({ drop, route, world, ends }: RowProps) {
  const [from, to] = drop.pods.map((pods) => (pods.length === 1 ? ends.get(pods[0]!) : undefined));
  const port = drop.port === null ? drop.protocol : `${drop.protocol}/${drop.port}`;
  const known = from !== undefined && to !== undefined && world.isPair(from, to);
  const ask = drop.port === null ? "" : port.toLowerCase();
  return (
    <tr>
      <td>
        <time dateTime={drop.last}>{visibleText(drop.last)}</time>
      </td>
      <td>{drop.count.toLocaleString("en")}</td>
      <td>{visibleText(drop.from)}</td>
      <td>{visibleText(drop.to)}</td>
      <td>
        {visibleText(port)}
        {drop.reply && " (answers)"}
      </td>
      <td>
        {drop.direction && `${visibleText(drop.direction)}: `}
        {visibleText(drop.cause)}
        {drop.near.map((each) => (
          <div class="near" key={each}>
            {visibleText(each)}
          </div>
        ))}
        {known && (
          <a href={linkTo(route, { pair: `${world.endpoints[from]!.name}~${world.endpoints[to]!.name}`, ask })}>
            why, under the current policies
          </a>
        )}
      </td>
    </tr>
  );
}

/** `namespace/pod` to the line of the map that it is in. */
function endpointOfPods(world: World): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  world.endpoints.forEach((each, number) => {
    if (each.namespace === undefined) return;
    const namespace = world.namespaces[each.namespace]!;
    for (const pod of each.pods ?? []) found.set(`${namespace}/${pod}`, number);
  });
  return found;
}
