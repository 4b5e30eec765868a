// A pair as words for elsewhere: the question for the command line, the answer as a test.

import { useState } from "preact/hooks";
import { copyText } from "../clipboard";
import { portArgument, portLabel } from "../ports";
import { shellLine } from "../shell";
import { visible } from "../visible";
import type { World } from "../world";

/** What podfence takes for an endpoint. */
export function endName(world: World, endpoint: number): string {
  const { name, namespace, pods, workload, kind, addresses } = world.endpoints[endpoint]!;
  if (kind === "Newcomer") return name;
  if (namespace === undefined) return (addresses?.[0] ?? "ADDRESS").replace(/\/\d+$/, "");
  const group = world.namespaces[namespace]!;
  return kind === "Pod" ? `${group}/${pods?.[0] ?? workload}` : `${group}/${kind.toLowerCase()}/${workload}`;
}

type Props = { world: World; from: number; to: number; asked: number };

/** `allowed`: what is true now and a test would hold; null where it is not known. */
export function AsText({ allowed, ...pair }: Props & { allowed: boolean | null }) {
  return (
    <>
      <Copied text={command(pair)} />
      {allowed !== null && (
        <details class="as-test">
          <summary>As a test</summary>
          <Copied text={asTest(pair, allowed)} />
        </details>
      )}
    </>
  );
}

/** The destination with its port, as commands and test files take it. */
function target(world: World, to: number, asked: number): string {
  const name = endName(world, to);
  return `${name.includes(":") ? `[${name}]` : name}:${portArgument(asked)}`;
}

const command = ({ world, from, to, asked }: Props): string =>
  shellLine(["podfence", "why", endName(world, from), target(world, to, asked)]);

/** A scalar of YAML in double quotes, whose escapes are those by which text is made visible. */
export const quoted = (text: string): string => `"${visible(text).replaceAll('"', '\\"')}"`;

/** An item of `tests` in a test file. */
function asTest({ world, from, to, asked }: Props, allowed: boolean): string {
  const ends = [from, to].map((each) => world.endpoints[each]!.name);
  const name = `${ends[0]} ${allowed ? "reaches" : "does not reach"} ${ends[1]} on ${portLabel(asked)}`;
  return [
    `- name: ${quoted(name)}`,
    `  from: ${quoted(endName(world, from))}`,
    `  to: ${quoted(target(world, to, asked))}`,
    `  expect: ${allowed ? "allow" : "deny"}`,
  ].join("\n");
}

export function Copied({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  return (
    <p class="command">
      <code>{text}</code>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          void copyText(text).then(() => setDone(true));
        }}
      >
        {done ? "copied" : "copy"}
      </button>
    </p>
  );
}
