// One workload in the middle, who reaches it on the left, whom it reaches on the right. What is
// alike is one box, so the picture stays readable whatever the size of the cluster.

import { useMemo } from "preact/hooks";
import { go, linkTo, type Route } from "../location";
import { holds } from "../ports";
import { count, visible } from "../visible";
import { allowedWords, shortName } from "../words";
import type { World } from "../world";
import { useMost } from "./most";

type Props = { world: World; route: Route; port: number | null; shown: readonly number[] };

export function Neighbourhood({ world, route, port, shown }: Props) {
  const asked = world.byName.get(route.asked.get("item") ?? "");
  const item = asked ?? shown[0];
  if (item === undefined) return <p class="plain">Nothing matches the search.</p>;
  return (
    <div class="neighbourhood">
      <label class="choose">
        Workload{" "}
        <select
          value={String(item)}
          onChange={(event) => go(route, { item: world.endpoints[Number(event.currentTarget.value)]!.name })}
        >
          {options(shown, item).map((each) => (
            <option key={each} value={String(each)}>
              {visible(world.endpoints[each]!.name)}
            </option>
          ))}
        </select>
      </label>
      <div class="three">
        <Side {...{ world, route, port, item, inward: true }} />
        <Middle {...{ world, item }} />
        <Side {...{ world, route, port, item, inward: false }} />
      </div>
    </div>
  );
}

const MOST_OPTIONS = 2000;
function options(shown: readonly number[], item: number): readonly number[] {
  const first = shown.slice(0, MOST_OPTIONS);
  return first.includes(item) ? first : [item, ...first];
}

function Middle({ world, item }: { world: World; item: number }) {
  const { kind, pods, isolated, ports, addresses } = world.endpoints[item]!;
  const closed = (bit: number): string => ((isolated ?? 0) & bit ? "isolated" : "not isolated: open");
  return (
    <section class="middle" aria-label="The workload">
      <div class="held">
        <h2>{visible(world.endpoints[item]!.name)}</h2>
        {pods === undefined ? (
          <>
            <p>Addresses outside the cluster. No policy judges their end.</p>
            <ul class="plain-list">
              {(addresses ?? []).slice(0, 8).map((each) => (
                <li key={each}>{visible(each)}</li>
              ))}
            </ul>
          </>
        ) : (
          <dl>
            <dt>{kind}</dt>
            <dd>{count(pods.length, "pod")}</dd>
            <dt>Ingress</dt>
            <dd>{closed(1)}</dd>
            <dt>Egress</dt>
            <dd>{closed(2)}</dd>
            {ports !== undefined && ports.length > 0 && (
              <>
                <dt>Ports</dt>
                <dd>{ports.map(([protocol, port, name]) => `${protocol}/${port}${name ? ` ${visible(name)}` : ""}`).join(", ")}</dd>
              </>
            )}
          </dl>
        )}
      </div>
    </section>
  );
}

type SideProps = { world: World; route: Route; port: number | null; item: number; inward: boolean };

function Side({ world, route, port, item, inward }: SideProps) {
  const boxes = useMemo(() => boxesOf(world, item, inward, port), [world, item, inward, port]);
  const title = inward ? "Reaches it" : "It reaches";
  const number = boxes.reduce((sum, box) => sum + box.members.length, 0);
  return (
    <section class={inward ? "side in" : "side out"} aria-label={title}>
      <h3>
        {title} <small>{number}</small>
      </h3>
      {boxes.length === 0 && <p class="nothing">Nothing{port === null ? "" : " on this port"}.</p>}
      {boxes.map((box) => (
        <Box key={`${box.group} ${box.words}`} {...{ world, route, item, inward, box }} />
      ))}
    </section>
  );
}

type Bundle = { group: number; words: string; members: number[] };

/** Ends in one namespace with the same ports are one box. */
function boxesOf(world: World, item: number, inward: boolean, port: number | null): Bundle[] {
  const found = new Map<string, Bundle>();
  for (let other = 0; other < world.size; other += 1) {
    const [from, to] = inward ? [other, item] : [item, other];
    const allowed = world.allowed(from, to);
    if (allowed.length === 0) continue;
    if (port !== null && !allowed.some(([ports]) => holds(ports, port))) continue;
    const group = world.group(other);
    const words = allowedWords(world, from, to);
    const key = `${group} ${words}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, { group, words, members: [other] });
    else known.members.push(other);
  }
  return [...found.values()];
}

const FIRST = 8;

function Box({
  world,
  route,
  item,
  inward,
  box,
}: {
  world: World;
  route: Route;
  item: number;
  inward: boolean;
  box: Bundle;
}) {
  const [shown, more] = useMost(box.members, FIRST, 500);
  return (
    <div class="box">
      <p class="box-ports">{box.words}</p>
      <h4>{visible(world.groupName(box.group))}</h4>
      <ul>
        {shown.map((other) => {
          const pair = (inward ? [other, item] : [item, other]).map((each) => world.endpoints[each]!.name);
          return (
            <li key={other}>
              <a href={linkTo(route, { item: world.endpoints[item]!.name, pair: pair.join("~"), ask: "" })}>
                {shortName(world, other)}
              </a>
              {!world.isOutside(other) && (
                <a
                  class="jump"
                  href={linkTo(route, { item: world.endpoints[other]!.name, pair: "" })}
                  aria-label={`Show ${visible(world.endpoints[other]!.name)} in the middle`}
                  title="Show it in the middle"
                >
                  ◎
                </a>
              )}
            </li>
          );
        })}
      </ul>
      {more}
    </div>
  );
}
