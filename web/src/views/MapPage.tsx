// The map: which view of it, of which ends, in which order. All of it is in the address.

import { useMemo } from "preact/hooks";
import { hubs, shownEndpoints, type Wanted } from "../filter";
import { openGroups } from "../layout";
import { asList, go, linkTo, listed, type Route, type View } from "../location";
import type { Turns } from "../turns";
import { count, visible } from "../visible";
import type { World } from "../world";
import { Choice, type Option } from "./Choice";
import { Matrix } from "./Matrix";
import { Neighbourhood } from "./Neighbourhood";
import { Picture } from "./Picture";
import { Table } from "./Table";
import { usePrinting } from "./most";

type Props = {
  route: Route;
  world: World;
  port: number | null;
  pair: readonly [number, number] | null;
  theme: string;
  turns: Turns;
  /** Whether there is a map before a change to turn to. */
  hasPast: boolean;
  /** Whether pods to come can be shown. */
  hasNewcomers: boolean;
};

export function MapPage({ route, world, port, pair, theme, turns, hasPast, hasNewcomers }: Props) {
  const wanted = useWanted(route);
  const { kept, endpoints: shown, named } = useMemo(() => shownEndpoints(world, wanted), [world, wanted]);
  const asked = route.asked.get("open");
  const open = useMemo(() => openGroups(world, asked, shown.length), [world, asked, shown.length]);
  const view = viewOf(route);
  const alike = route.asked.get("order") === ALIKE;
  const layout = world.reach.picture;
  const printing = usePrinting();
  if (world.size === 0) return null;
  return (
    <>
      <nav class="views" aria-label="Views">
        {(["matrix", "picture", "table"] as const).map((each) => (
          <a key={each} href={linkTo(route, { view: each, item: "" })} aria-current={view === each ? "page" : undefined}>
            {VIEWS[each]}
          </a>
        ))}
        {hasPast && <Side route={route} />}
        <Filters {...{ route, world, wanted }} />
        {hasNewcomers && (
          <label class="switch" title="One without labels in each namespace (shop/+), and one in a new namespace (+/+)">
            <input
              type="checkbox"
              checked={route.asked.get("new") === "1"}
              onChange={(event) => go(route, { new: event.currentTarget.checked ? "1" : "" })}
            />{" "}
            Pods to come
          </label>
        )}
        {view === "matrix" && <Order {...{ route, alike }} />}
      </nav>
      {shown.length === 0 ? (
        <Nothing {...{ route, wanted }} />
      ) : printing ? (
        <Table {...{ world, route, port, shown, named }} />
      ) : view === "matrix" ? (
        <Matrix {...{ world, route, port, shown, open, theme, turns, alike }} chosen={pair} page="map" />
      ) : view === "picture" && layout !== undefined && !world.byName.has(route.asked.get("item") ?? "") ? (
        <Picture {...{ world, layout, route, port, kept, named }} />
      ) : view === "picture" ? (
        <Neighbourhood {...{ world, route, port }} shown={named === null ? shown : [...named]} />
      ) : (
        <Table {...{ world, route, port, shown, named }} />
      )}
    </>
  );
}

const ALIKE = "alike";
const VIEWS: Record<View, string> = { matrix: "Matrix", picture: "Picture", table: "Table" };

function viewOf(route: Route): View {
  const asked = route.asked.get("view");
  return asked === "picture" || asked === "table" ? asked : "matrix";
}

/** The same object as long as the address asks for the same. */
function useWanted(route: Route): Wanted {
  const query = route.asked.get("q") ?? "";
  const [namespaces, hidden] = [route.asked.get("ns"), route.asked.get("hide")];
  return useMemo(
    () => ({ query, namespaces: listed(route, "ns"), hidden: listed(route, "hide") }),
    [query, namespaces, hidden],
  );
}

function Side({ route }: { route: Route }) {
  const side = route.asked.get("side") === "before" ? "before" : "";
  return (
    <span class="side-of-change" role="group" aria-label="Side of the change">
      {([["before", "Before"] as const, ["", "After"] as const]).map(([value, words]) => (
        <a key={value} href={linkTo(route, { side: value })} aria-current={value === side ? "true" : undefined}>
          {words}
        </a>
      ))}
    </span>
  );
}

function Order({ route, alike }: { route: Route; alike: boolean }) {
  return (
    <span class="fold">
      <a href={linkTo(route, { order: alike ? "" : ALIKE })}>{alike ? "By namespace" : "Alike first"}</a>
      {!alike && (
        <>
          <a href={linkTo(route, { open: "*" })}>Open all</a>
          <a href={linkTo(route, { open: "-" })}>Fold all</a>
        </>
      )}
    </span>
  );
}

/** As many of those that talk most are proposed to be hidden. */
const HUBS = 12;

function Filters({ route, world, wanted: { namespaces, hidden } }: { route: Route; world: World; wanted: Wanted }) {
  const ofNamespaces = (): Option[] => [
    ...gone(namespaces, (name) => world.namespaces.includes(name)),
    ...world.namespaces.map((name) => ({ name, words: visible(name) })),
  ];
  const ofHubs = (): Option[] => {
    const found = hubs(world).map(({ endpoint, talks }) => [world.endpoints[endpoint]!.name, talks] as const);
    const isHidden = ([name]: readonly [string, number]): boolean => hidden.includes(name);
    return [
      ...gone(hidden, (name) => world.byName.has(name)),
      ...[...found.filter(isHidden), ...found.filter((each) => !isHidden(each)).slice(0, HUBS)].map(([name, talks]) => ({
        name,
        words: visible(name),
        note: count(talks, "peer"),
      })),
    ];
  };
  return (
    <>
      <Choice
        label="Namespaces"
        said={namespaces.length === 0 ? "all" : firstOf(namespaces)}
        options={ofNamespaces}
        chosen={namespaces}
        choose={(names) => go(route, { ns: asList(names) })}
      />
      <Choice
        label="Hide"
        said={hidden.length === 0 ? "nobody" : firstOf(hidden)}
        options={ofHubs}
        chosen={hidden}
        choose={(names) => go(route, { hide: asList(names) })}
      />
    </>
  );
}

/** What is chosen and not on the map any more, to be taken away. */
function gone(chosen: readonly string[], isHere: (name: string) => boolean): Option[] {
  return chosen.filter((name) => !isHere(name)).map((name) => ({ name, words: visible(name), note: "not on this map" }));
}

const firstOf = (names: readonly string[]): string =>
  names.length < 3 ? names.map(visible).join(", ") : `${visible(names[0]!)} and ${count(names.length - 1, "other")}`;

function Nothing({ route, wanted: { query, namespaces, hidden } }: { route: Route; wanted: Wanted }) {
  const limits = [
    namespaces.length > 0 && `in ${count(namespaces.length, "namespace")} (${firstOf(namespaces)})`,
    hidden.length > 0 && `without the hidden ones (${firstOf(hidden)})`,
  ].filter(Boolean);
  return (
    <p class="plain">
      {query === "" ? "Nothing is left" : `Nothing matches “${visible(query)}”`}
      {limits.map((each) => ` ${each}`)}. <a href={linkTo(route, { q: "", ns: "", hide: "" })}>Show everything</a>
    </p>
  );
}
