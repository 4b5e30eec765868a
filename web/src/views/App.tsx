// The shell: pages on the left, filters above, the panel of a pair on the right.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Asking } from "../asking";
import { messageOf } from "../failure";
import { go, linkTo, type Page, type Route, useRoute } from "../location";
import { parsePort } from "../ports";
import { withNewcomers } from "../newcomers";
import type { About, Finding, Newcomers, Reach, Rules } from "../schema";
import type { Turns } from "../turns";
import type { Plan } from "../unpack";
import { count, visible, visibleText } from "../visible";
import { World } from "../world";
import { Banners } from "./Banners";
import { CopyDetails } from "./CopyDetails";
import { Exposed } from "./Exposed";
import { Findings } from "./Findings";
import { Maps, PairBeside } from "./Maps";
import { elsewhere, Missing, pairOf } from "./Missing";
import { Pair } from "./Pair";
import type { Proposals } from "./Propose";
import { PlanPage } from "./PlanPage";
import { Policies } from "./Policies";
import { type Results, Tests, testsBadge } from "./Tests";
import { ThemeButton, useTheme } from "./Theme";

export type Loaded = {
  about: About;
  world: World;
  rules: () => Promise<Rules>;
  found: readonly Finding[] | null;
  tests: Results;
  plan: Plan | null;
  /** The map before the change, read when it is asked for; null where there is none. */
  before: (() => Promise<Reach>) | null;
  /** What pods to come add to the map; null where they are left out. */
  newcomers: (() => Promise<Newcomers>) | null;
  /** The pairs that the plan, or what is typed and not saved, turns. */
  turns: Turns;
  /** What a server adds: its standing above the content, and more pages. */
  more?: More;
};
export type More = {
  standing: ComponentChildren;
  pages: readonly { page: Page; name: string; badge: string; show: (route: Route, theme: string) => ComponentChildren }[];
  /** Who types what is proposed; null where nothing is edited. */
  proposals: Proposals | null;
  /** Reads and judges everything again. */
  again: () => Promise<void>;
};

export function App({ about, world, rules, found, tests, plan, before, newcomers, turns, more }: Loaded) {
  const route = useRoute();
  const [theme, setTheme] = useTheme();
  const [known, setKnown] = useState<Asking | null>(null);
  const [failed, setFailed] = useState("");
  const asking = known?.world === world ? known : null;
  const pair = useMemo(() => pairOf(world, route), [world, route]);
  const port = parsePort(route.asked.get("port") ?? "");
  const past = usePast(before, pair !== null || route.asked.get("side") === "before");
  const later = useLater(newcomers, world, route.asked.get("new") === "1");
  const isBefore = before !== null && route.asked.get("side") === "before";
  /** The map that is shown in place of that of now. */
  const beside = isBefore ? past : later;
  const needsRules = pair !== null || route.page === "policies";
  useEffect(() => {
    if (!needsRules || asking !== null) return;
    let timer: number | undefined;
    let current = true;
    const read = async (): Promise<void> => {
      try {
        const found = await rules();
        if (current) setKnown(new Asking(world, found));
      } catch (error) {
        if (!current) return;
        setFailed(messageOf(error));
        timer = setTimeout(() => void read(), AGAIN);
      }
    };
    void read();
    return () => {
      current = false;
      clearTimeout(timer);
      setFailed("");
    };
  }, [needsRules, asking, world, rules]);
  const extra = more?.pages.find((each) => each.page === route.page);
  return (
    <div class={pair === null && (beside === null || pairOf(beside, route) === null) ? "shell" : "shell paired"}>
      <a class="skip" href="#main" onClick={skip}>
        To the content
      </a>
      <header class="bar">
        <h1 title={visibleText(about.source)}>{visibleText(about.title)}</h1>
        <Search route={route} />
        <PortFilter route={route} />
        <ThemeButton theme={theme} set={setTheme} />
      </header>
      <Rail {...{ route, world, found, tests, plan }} more={more?.pages ?? []} />
      <main id="main" tabIndex={-1}>
        {more?.standing}
        <Banners {...{ about, world, route }} proposals={more?.proposals ?? null} />
        <Missing world={beside ?? world} route={route} />
        {failed !== "" && (
          <div class="banner no-rules" role="alert">
            <strong>The rules cannot be read,</strong> so no reasons are shown: {visibleText(failed)}{" "}
            <CopyDetails title="The rules cannot be read" text={failed} />
          </div>
        )}
        {extra === undefined ? (
          <Content {...{ route, world, asking, found, tests, plan, before, past, later, port, theme, turns }} hasNewcomers={newcomers !== null} again={more?.again ?? null} proposals={more?.proposals ?? null} />
        ) : (
          extra.show(route, theme)
        )}
      </main>
      {pair !== null && <Pair {...{ world, past, asking, route, port, pair }} proposals={more?.proposals ?? null} />}
      {pair === null && beside !== null && <PairBeside {...{ isBefore, route }} world={beside} />}
      <footer>
        <span>
          {count(world.endpoints.filter((each) => each.namespace !== undefined).length, "workload")},{" "}
          {count(world.reach.policies, "policy", "policies")}, {count(world.pairs, "allowed pair")}
          {world.unknown > 0 && `, ${count(world.unknown, "unknown pair")}`}
        </span>
        <LeftOut world={world} />
        <span>podfence {about.version}</span>
      </footer>
    </div>
  );
}

/** The map before the change, once it is needed. */
function usePast(before: Loaded["before"], needed: boolean): World | null {
  const [past, set] = useState<World | null>(null);
  useEffect(() => {
    if (needed && before !== null && past === null) void before().then((reach) => set(new World(reach)));
  }, [needed, before, past]);
  return past;
}

/** The map with pods to come, while they are asked for. */
function useLater(newcomers: Loaded["newcomers"], world: World, wanted: boolean): World | null {
  const [later, set] = useState<{ of: World; world: World } | null>(null);
  const known = later?.of === world ? later.world : null;
  useEffect(() => {
    if (!wanted || newcomers === null || known !== null) return;
    let current = true;
    newcomers()
      .then((added) => current && set({ of: world, world: new World(withNewcomers(world.reach, added)) }))
      .catch(() => undefined); // another revision came, and is asked for its own
    return () => {
      current = false;
    };
  }, [wanted, newcomers, world, known]);
  return wanted ? known : null;
}

/** Milliseconds until rules that could not be read are asked for again. */
const AGAIN = 2000;

function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

type ContentProps = {
  route: Route;
  world: World;
  asking: Asking | null;
  found: readonly Finding[] | null;
  tests: Results;
  plan: Plan | null;
  before: Loaded["before"];
  past: World | null;
  later: World | null;
  hasNewcomers: boolean;
  /** Of a server: reads and judges everything again. */
  again: (() => Promise<void>) | null;
  proposals: Proposals | null;
  port: number | null;
  theme: string;
  turns: Turns;
};

function Content({ route, world, asking, found, tests, plan, before, past, later, hasNewcomers, again, proposals, port, theme, turns }: ContentProps) {
  switch (route.page) {
    case "policies":
      return <Policies {...{ asking, route, found }} />;
    case "exposed":
      return <Exposed {...{ world, route, port }} />;
    case "findings":
      return <Findings {...{ found, route, proposals }} />;
    case "tests":
      return <Tests {...{ tests, world, route, again }} />;
    case "plan":
      if (plan !== null) return <PlanPage {...{ plan, route, world }} />;
      break;
  }
  const words = elsewhere(route.page);
  if (words !== null) return <p class="plain">{words}</p>;
  return <Maps {...{ route, world, past, later, plan, port, theme, turns, hasNewcomers }} hasPast={before !== null} />;
}

type RailProps = Pick<ContentProps, "route" | "world" | "found" | "tests" | "plan"> & { more: More["pages"] };

function Rail({ route, world, found, tests, plan, more }: RailProps) {
  const entries: [Page, string, string][] = [
    ["map", "Map", ""],
    ["policies", "Policies", world.reach.policies.toLocaleString("en")],
    ["exposed", "Exposed", ""],
  ];
  if (found !== null) entries.push(["findings", "Findings", found.length.toLocaleString("en")]);
  if (!world.reach.anonymous) entries.push(["tests", "Tests", testsBadge(tests)]);
  if (plan !== null) entries.push(["plan", "Change", plan.changes ? "±" : "="]);
  for (const { page, name, badge } of more) entries.push([page, name, badge]);
  return (
    <nav class="rail" aria-label="Pages">
      {entries.map(([page, name, badge]) => (
        <a key={page} href={linkTo(route, page === route.page ? { policy: "" } : {}, page)} aria-current={page === route.page ? "page" : undefined}>
          {name}
          {badge && <small>{badge}</small>}
        </a>
      ))}
    </nav>
  );
}

function Search({ route }: { route: Route }) {
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const { target } = event;
      if (event.key !== "/" || event.ctrlKey || event.metaKey) return;
      if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
      event.preventDefault();
      document.getElementById("search")?.focus();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  return (
    <label class="search">
      <span class="hidden">Search</span>
      <input
        id="search"
        type="search"
        placeholder="Search names  /"
        value={route.asked.get("q") ?? ""}
        onInput={(event) => go(route, { q: event.currentTarget.value }, undefined, true)}
      />
    </label>
  );
}

function PortFilter({ route }: { route: Route }) {
  const asked = route.asked.get("port") ?? "";
  const wrong = asked !== "" && parsePort(asked) === null;
  return (
    <label class="port-filter">
      <span class="hidden">Port</span>
      <input
        placeholder="any port"
        value={asked}
        aria-invalid={wrong}
        title={wrong ? "Write a port such as 443 or 53/udp." : "Only what is allowed on this port"}
        onInput={(event) => go(route, { port: event.currentTarget.value.trim() }, undefined, true)}
      />
      {wrong && (
        <span class="wrong" role="status">
          Write a port such as 443 or 53/udp.
        </span>
      )}
    </label>
  );
}

function LeftOut({ world }: { world: World }) {
  const reasons = Object.entries(world.reach.leftOut);
  if (reasons.length === 0) return null;
  const said = reasons.map(([reason, pods]) => `${pods.length} ${reason}`).join(", ");
  return <span title={reasons.map(([reason, pods]) => `${reason}: ${pods.map(visible).join(", ")}`).join("\n")}>not on the map: {said}</span>;
}
