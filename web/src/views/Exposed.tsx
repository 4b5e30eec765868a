// What stands open: workloads that outside addresses reach or that reach outside, and workloads that
// no policy isolates.

import { useMemo } from "preact/hooks";
import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import { holds, isEverything } from "../ports";
import { count, visible } from "../visible";
import { allowedWords, shortName } from "../words";
import type { World } from "../world";
import { Wide } from "./Wide";
import { useMost } from "./most";

type Props = { world: World; route: Route; port: number | null };
type Way = { pod: number; outside: number };

export function Exposed({ world, route, port }: Props) {
  const asked = searchWords(route.asked.get("q") ?? "");
  const { incoming, outgoing, unisolated } = useMemo(() => exposed(world, port), [world, port]);
  const named = (pod: number): boolean => matches(world.endpoints[pod]!.name, asked);
  const openIn = unisolated[0].filter(named);
  const openOut = unisolated[1].filter(named);
  return (
    <div class="exposed">
      <h2>Reached from outside the cluster</h2>
      <Ways {...{ world, route }} ways={incoming.filter((way) => named(way.pod))} inward />
      <h2>Reach out of the cluster</h2>
      <Ways {...{ world, route }} ways={outgoing.filter((way) => named(way.pod))} inward={false} />
      <h2>Isolated by no policy</h2>
      {openIn.length + openOut.length === 0 && <p>Every workload is isolated in both directions.</p>}
      <Open {...{ world, route }} pods={openIn} title="Open for connections from anywhere" />
      <Open {...{ world, route }} pods={openOut} title="May connect to anything that allows it" />
    </div>
  );
}

function exposed(world: World, port: number | null): { incoming: Way[]; outgoing: Way[]; unisolated: [number[], number[]] } {
  const incoming: Way[] = [];
  const outgoing: Way[] = [];
  const unisolated: [number[], number[]] = [[], []];
  const pods = world.endpoints.map((_, number) => number).filter((each) => !world.isOutside(each));
  const outside = world.endpoints.map((_, number) => number).filter((each) => world.isOutside(each));
  const passes = (from: number, to: number): boolean => {
    const allowed = world.allowed(from, to);
    return allowed.length > 0 && (port === null || allowed.some(([ports]) => holds(ports, port)));
  };
  for (const pod of pods) {
    const isolated = world.endpoints[pod]!.isolated ?? 0;
    if (!(isolated & 1)) unisolated[0].push(pod);
    if (!(isolated & 2)) unisolated[1].push(pod);
    for (const each of outside) {
      if (passes(each, pod)) incoming.push({ pod, outside: each });
      if (passes(pod, each)) outgoing.push({ pod, outside: each });
    }
  }
  return { incoming, outgoing, unisolated };
}

const PAGE = 200;

function Ways({ world, route, ways, inward }: { world: World; route: Route; ways: readonly Way[]; inward: boolean }) {
  const [shown, more] = useMost(ways, PAGE, 1000);
  if (ways.length === 0) return <p>None.</p>;
  const whole = ways.filter(({ pod, outside }) => {
    const allowed = inward ? world.allowed(outside, pod) : world.allowed(pod, outside);
    return allowed.some(([ports]) => isEverything(ports));
  }).length;
  return (
    <>
      <p class="count">
        {count(ways.length, "way")}
        {whole > 0 && `, ${whole.toLocaleString("en")} of them on every port`}
      </p>
      <Wide label={inward ? "Reached from outside" : "Reach out"} columns={["Workload", inward ? "From" : "To", "Ports"]}>
        <tbody>
          {shown.map(({ pod, outside }) => {
            const [from, to] = inward ? [outside, pod] : [pod, outside];
            const pair = `${world.endpoints[from]!.name}~${world.endpoints[to]!.name}`;
            return (
              <tr key={`${pod} ${outside}`}>
                <td>{visible(world.endpoints[pod]!.name)}</td>
                <td>{shortName(world, outside)}</td>
                <td>
                  <a href={linkTo(route, { pair })}>{allowedWords(world, from, to)}</a>
                </td>
              </tr>
            );
          })}
        </tbody>
      </Wide>
      {more}
    </>
  );
}

function Open({ world, route, pods, title }: { world: World; route: Route; pods: readonly number[]; title: string }) {
  const [shown, more] = useMost(pods, 60, 500);
  if (pods.length === 0) return null;
  return (
    <>
      <h3>
        {title} <small>{pods.length}</small>
      </h3>
      <ul class="names">
        {shown.map((each) => (
          <li key={each}>
            <a href={linkTo(route, { view: "picture", item: world.endpoints[each]!.name }, "map")}>
              {visible(world.endpoints[each]!.name)}
            </a>
          </li>
        ))}
      </ul>
      {more}
    </>
  );
}
