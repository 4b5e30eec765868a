// The panel of a pair: what is allowed, and for one port why.

import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { alike, type Answer, type Asking } from "../asking";
import { go, type Route } from "../location";
import { firstPortIndex, parsePort, portArgument, portKey, portIndexOf, portLabel } from "../ports";
import { visible } from "../visible";
import { allowedWords } from "../words";
import type { World } from "../world";
import { AsText, endName } from "./AsText";
import { Propose, type Proposals } from "./Propose";
import { Reason } from "./Reason";

type Props = {
  world: World;
  /** The map before a change, once it is read. */
  past: World | null;
  asking: Asking | null;
  route: Route;
  port: number | null;
  pair: readonly [number, number];
  proposals: Proposals | null;
};

/** What stands about two ends of a map, under their names; it closes by a button and by Escape. */
export function PairPanel({ world, pair, close, panel, children }: PanelProps) {
  const ends = pair.map((each) => visible(world.endpoints[each]!.name));
  return (
    <aside
      class="panel"
      ref={panel ?? null}
      aria-label={`${ends[0]} to ${ends[1]}`}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <header>
        <h2>
          <span>{ends[0]}</span> <span class="arrow">→</span> <span>{ends[1]}</span>
        </h2>
        <button type="button" class="quiet" onClick={close} aria-label="Close">
          ✕
        </button>
      </header>
      {children}
    </aside>
  );
}

type PanelProps = {
  world: World;
  pair: readonly [number, number];
  close: () => void;
  panel?: RefObject<HTMLElement | null>;
  children: ComponentChildren;
};

export function Pair({ world, past, asking, route, port, pair: [from, to], proposals }: Props) {
  const panel = useRef<HTMLElement>(null);
  const asked = parsePort(route.asked.get("ask") ?? "") ?? port ?? usual(world, from, to);
  const answers = useMemo(
    () => (asking === null ? [] : asking.ask(from, to, asked)),
    [asking, from, to, asked],
  );
  useEffect(() => {
    panel.current?.scrollTo(0, 0);
    // In a narrow window it lies below the map, where nobody would look for it.
    if (matchMedia("(max-width: 900px)").matches) panel.current?.scrollIntoView();
  }, [from, to, asking === null]);
  const close = (): void => {
    go(route, { pair: "", ask: "" });
    (document.querySelector<HTMLElement>("[role=grid]") ?? document.getElementById("main"))?.focus({ preventScroll: true });
  };
  const open = world.isOpen(from, to);
  return (
    <PairPanel {...{ world, close, panel }} pair={[from, to]}>
      {open ? (
        <p class="verdict unknown">Unknown: an object could not be read that may change this.</p>
      ) : (
        <p>
          Allowed{past !== null && " after the change"}: <strong>{allowedWords(world, from, to)}</strong>
        </p>
      )}
      {past !== null && <Before {...{ world, past, from, to }} />}
      <Chips {...{ world, route, from, to, asked }} />
      {asking === null && <p class="waiting">Reading the rules …</p>}
      {grouped(answers).map((same) => (
        <Said key={same[0]!.family} {...{ asking: asking!, route, same, every: answers.length, asked, open }} />
      ))}
      {proposals !== null && answers.some((each) => !each.allowed) && (
        <p class="allow">
          <Propose key={`${from} ${to} ${asked}`} question={allowing(world, from, to, asked)} {...{ route, proposals }}>
            Allow this …
          </Propose>
        </p>
      )}
      {!world.reach.anonymous && (
        <AsText {...{ world, from, to, asked }} allowed={answers.length === 0 || open ? null : answers.every((each) => each.allowed)} />
      )}
    </PairPanel>
  );
}

/** What a pair was allowed before the change, where that was something else. Outside addresses may be cut
 * otherwise there, and then there is no such pair. */
function Before({ world, past, from, to }: { world: World; past: World; from: number; to: number }) {
  const [source, destination] = [from, to].map((each) => past.byName.get(world.endpoints[each]!.name));
  if (source === undefined || destination === undefined) return null;
  const words = allowedWords(past, source, destination);
  if (words === allowedWords(world, from, to)) return null;
  return (
    <p>
      Before the change: <strong>{past.isOpen(source, destination) ? "unknown" : words}</strong>
    </p>
  );
}

/** Answers of several IP versions that say the same are said once. */
function grouped(answers: readonly Answer[]): Answer[][] {
  const found: Answer[][] = [];
  for (const answer of answers) {
    const known = found.find(([first]) => alike(first!, answer));
    if (known === undefined) found.push([answer]);
    else known.push(answer);
  }
  return found;
}

function Said({
  asking,
  route,
  same,
  every,
  asked,
  open,
}: {
  asking: Asking;
  route: Route;
  same: readonly Answer[];
  every: number;
  asked: number;
  open: boolean;
}) {
  const answer = same[0]!;
  const families = same.length < every ? ` over ${same.map((each) => `IPv${each.family}`).join(", ")}` : "";
  const { world } = asking;
  const example = [answer.egress.subject, answer.ingress.subject]
    .map((each) => world.example(each, answer.family))
    .join("");
  const verdict = answer.allowed ? "yes" : "no";
  return (
    <>
      <p class={`verdict ${open ? "unknown" : verdict}`} aria-live="polite">
        {open ? "As far as it could be read: " : ""}
        {verdict}: {portLabel(asked)}
        {families}
      </p>
      {example !== "" && (
        <p class="count">
          The reasons are those of {visible(example)}; all addresses of its line have the same verdict.
        </p>
      )}
      <Reason asking={asking} route={route} answer={answer.egress} />
      <Reason asking={asking} route={route} answer={answer.ingress} />
    </>
  );
}

/** The port that a person most likely means. */
function usual(world: World, from: number, to: number): number {
  const allowed = firstPortIndex(world.ports(from, to));
  if (allowed !== null) return allowed;
  const declared = world.endpoints[to]!.ports?.[0];
  return declared === undefined ? portIndexOf("TCP", 80) : portIndexOf(declared[0], declared[1]);
}

const MOST_CHIPS = 12;

function Chips({
  world,
  route,
  from,
  to,
  asked,
}: {
  world: World;
  route: Route;
  from: number;
  to: number;
  asked: number;
}) {
  const [wrong, setWrong] = useState(false);
  const chips = new Map<number, string>();
  for (const [protocol, number, name] of world.endpoints[to]!.ports ?? []) {
    chips.set(portIndexOf(protocol, number), name ? `${portLabel(portIndexOf(protocol, number))} ${visible(name)}` : "");
  }
  for (const [ports] of world.allowed(from, to)) {
    for (let at = 0; at < ports.length; at += 2) {
      if (ports[at] === ports[at + 1] && !chips.has(ports[at]!)) chips.set(ports[at]!, "");
    }
  }
  chips.set(asked, chips.get(asked) ?? "");
  const indices = [...chips.keys()].slice(0, MOST_CHIPS);
  if (!indices.includes(asked)) indices.push(asked);
  return (
    <form
      class="ports"
      onSubmit={(event) => {
        event.preventDefault();
        const input = event.currentTarget.elements.namedItem("port") as HTMLInputElement;
        const found = parsePort(input.value);
        setWrong(found === null);
        if (found !== null) go(route, { ask: portKey(found) }, undefined, true);
      }}
    >
      <span class="chips" role="group" aria-label="Ports">
        {indices.map((each) => (
          <button
            key={each}
            type="button"
            class={each === asked ? "port on" : "port"}
            aria-pressed={each === asked}
            onClick={() => go(route, { ask: portKey(each) }, undefined, true)}
          >
            {chips.get(each) || portLabel(each)}
          </button>
        ))}
      </span>
      <label>
        <span class="hidden">Another port</span>
        <input name="port" placeholder="another: 443, 53/udp" autocomplete="off" aria-invalid={wrong} />
      </label>
      {wrong && <span class="wrong">Write a port such as 443 or 53/udp.</span>}
    </form>
  );
}

/** The question for the smallest edit that allows a connection. */
function allowing(world: World, from: number, to: number, asked: number): string {
  const [port = "", protocol = "tcp"] = portArgument(asked).split("/");
  const asks = port === "icmp" ? { protocol: port } : { port, protocol };
  return `allow?${new URLSearchParams({ from: endName(world, from), to: endName(world, to), ...asks }).toString()}`;
}
