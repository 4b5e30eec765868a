// What to begin with where no policy is: one that closes each namespace, before others open it.

import { shellLine } from "../shell";
import type { Route } from "../location";
import type { World } from "../world";
import { Copied, quoted } from "./AsText";
import { type Proposals, Typed } from "./Propose";

const FILE = "default-deny.yaml";

/** `proposals`: types it where files are edited; elsewhere it is shown, with the command that applies it. */
export function DefaultDeny({ world, route, proposals }: { world: World; route: Route; proposals: Proposals | null }) {
  const text = defaultDeny(world.namespaces.filter((_, number) => world.endpoints.some((each) => each.namespace === number)));
  return (
    <>
      {" "}
      A policy that selects every pod of a namespace and allows nothing closes it, DNS included; others then open what is needed.{" "}
      {proposals === null ? (
        <details class="as-test">
          <summary>Show a default-deny for each namespace</summary>
          <pre tabIndex={0}>{text}</pre>
          <p>Saved as {FILE}, it is applied to a cluster by</p>
          <Copied text={shellLine(["kubectl", "apply", "-f", FILE])} />
        </details>
      ) : (
        <Typed type={() => proposals.begin(FILE, text)} {...{ route }}>
          Type a default-deny for each namespace …
        </Typed>
      )}
    </>
  );
}

const defaultDeny = (namespaces: readonly string[]): string =>
  namespaces
    .map((namespace) =>
      [
        "apiVersion: networking.k8s.io/v1",
        "kind: NetworkPolicy",
        "metadata:",
        "  name: default-deny",
        `  namespace: ${/^[a-z]([a-z-]*[a-z])?$/.test(namespace) && !WORDS.has(namespace) ? namespace : quoted(namespace)}`,
        "spec:",
        "  podSelector: {}",
        "  policyTypes: [Ingress, Egress]",
        "",
      ].join("\n"),
    )
    .join("---\n");

/** What YAML takes for something else than words. */
const WORDS: ReadonlySet<string> = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);
