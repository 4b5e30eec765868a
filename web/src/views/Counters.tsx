// What the kernels of the nodes have counted, and how each node stands.

import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import type { Counters as Told, NodeCounts, Server, Tally } from "../server";
import { count, visibleText } from "../visible";
import { Absent, Asked, Notes, useNews } from "./Agents";
import { Wide } from "./Wide";

const COLUMNS = [
  "Node",
  "Rules",
  "Agent for",
  "Pods",
  "No address",
  "Closed",
  "Denied entering",
  "Denied leaving",
  "Denied otherwise",
  "Would be denied",
];

export function Counters({ server, route }: { server: Server; route: Route }) {
  const told = useNews<Told>(server, "counters");
  if (told === null) return <Asked />;
  if (told.absent !== "") return <Absent title="There are no counters to show" news={told} />;
  const words = searchWords(route.asked.get("q") ?? "");
  const shown = told.counters.filter((each) => matches(each.node, words));
  return (
    <div class="counters">
      <p class="count" role="status">
        {count(shown.length, "node")}. Packets that were denied, with their bytes, since each agent started.
      </p>
      <Notes notes={told.notes} />
      <Wide label="Counters by node" many columns={COLUMNS}>
        <tbody>
          {shown.map((each) => (
            <Row key={each.node} node={each} />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={6}>
              All nodes that report
            </th>
            <Cells denied={told.total} />
          </tr>
        </tfoot>
      </Wide>
      <p class="remark">
        “Otherwise” is for other reasons than a policy: an address of the pod range that no known pod has, packets
        without a connection, and closed pods. “Would be denied” are packets that passed, but that audited policies would
        have denied.
      </p>
      <Rules {...{ told, route, words }} />
      <p class="remark">
        Nothing counts bytes by rule. The page Drops shows which policy denied what. All other figures of an agent are
        in its metrics for Prometheus (/metrics).
      </p>
    </div>
  );
}

type RulesProps = { told: Told; route: Route; words: readonly string[] };

/** Which rules connections use, on all nodes together. */
function Rules({ told, route, words }: RulesProps) {
  const unused = route.asked.get("unused") === "1";
  const fitting = told.rules.filter((each) => matches(`${each.policy} ${each.path}`, words));
  const shown = fitting.filter((each) => !unused || each.last === "");
  return (
    <section>
      <h2>Rules</h2>
      <p class="count">
        {count(shown.length, "rule")}. For a rule that allows, the connections that it allowed; for one that denies, the
        packets that it denied, as far as agents have seen them.{" "}
        <a href={linkTo(route, { unused: unused ? "" : "1" })}>{unused ? "Show all" : "Only those without a use"}</a>
      </p>
      <Notes notes={told.missing} />
      {shown.length === 0 ? (
        <p>{fitting.length > 0 ? "Every rule was used." : "No agent reports uses of rules."}</p>
      ) : (
        <Wide label="Rules" many columns={["Policy", "Rule", "Uses", "Last used", "Counted since"]}>
          <tbody>
            {shown.map((each) => (
              <tr key={`${each.policy} ${each.path}`}>
                <td>{visibleText(each.policy)}</td>
                <td>
                  <code>{visibleText(each.path)}</code>
                </td>
                <td class="figure">{each.uses.toLocaleString("en")}</td>
                <td>{each.last === "" ? "never" : visibleText(each.last)}</td>
                <td>{visibleText(each.since)}</td>
              </tr>
            ))}
          </tbody>
        </Wide>
      )}
    </section>
  );
}

function Row({ node }: { node: NodeCounts }) {
  return (
    <tr class={node.well ? "" : "unwell"}>
      <th scope="row">{visibleText(node.node)}</th>
      <td>
        {visibleText(node.standing)}
        {node.epoch !== undefined && <small> epoch {node.epoch}</small>}
      </td>
      <td>{visibleText(node.for ?? "–")}</td>
      {[node.pods, node.pending, node.closed].map((each, at) => (
        <td class="figure" key={at}>
          {each?.toLocaleString("en") ?? "–"}
        </td>
      ))}
      <Cells denied={node.denied ?? null} />
    </tr>
  );
}

const KINDS: ((tally: Tally) => boolean)[] = [
  ({ direction, reason }) => direction === "ingress" && reason !== "audit",
  ({ direction, reason }) => direction === "egress" && reason !== "audit",
  ({ direction, reason }) => direction === "any" && reason !== "audit",
  ({ reason }) => reason === "audit",
];

/** The four counters; of an agent that tells none, four dashes: that is not the same as zero. */
function Cells({ denied }: { denied: readonly Tally[] | null }) {
  return (
    <>
      {KINDS.map((fits, at) => {
        const found = denied?.filter(fits) ?? [];
        const sum = (of: (tally: Tally) => number): number => found.reduce((all, each) => all + of(each), 0);
        const title = found.map((each) => `${each.reason}: ${each.packets.toLocaleString("en")}`).join(", ");
        return (
          <td class="figure" key={at} title={visibleText(title)}>
            {denied === null ? "–" : sum((each) => each.packets).toLocaleString("en")}
            {found.length > 0 && <small> {bytesText(sum((each) => each.bytes))}</small>}
          </td>
        );
      })}
    </>
  );
}

/** A number of bytes with its unit. */
function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
