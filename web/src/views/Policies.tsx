// All policies as a table, and one with its text, its findings and whom it selects.

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Asking } from "../asking";
import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import { owedTo } from "../owed";
import { portKey, words as portWords } from "../ports";
import type { Finding } from "../schema";
import { count, visible } from "../visible";
import { FindingLine } from "./Findings";
import { policyKey, policyName } from "./Reason";
import { Wide } from "./Wide";
import { fileName, type Mark, textLines, Yaml } from "./Yaml";
import { useMost } from "./most";

type Props = { asking: Asking | null; route: Route; found: readonly Finding[] | null };

const PAGE = 300;

export function Policies({ asking, route, found }: Props) {
  if (asking === null) return <p class="waiting">Reading the rules …</p>;
  const key = route.asked.get("policy");
  const number = key === undefined ? -1 : asking.rules.policies.findIndex((each) => policyKey(each) === key);
  if (number >= 0) return <OnePolicy {...{ asking, route, found, number }} />;
  return <List {...{ asking, route, found }} missing={key} />;
}

function List({
  asking,
  route,
  found,
  missing,
}: {
  asking: Asking;
  route: Route;
  found: readonly Finding[] | null;
  missing: string | undefined;
}) {
  const asked = searchWords(route.asked.get("q") ?? "");
  const { policies, documents } = asking.rules;
  const shown = [...policies.keys()].filter((each) => matches(policyName(policies[each]!), asked));
  const [listed, more] = useMost(shown, PAGE, 1000);
  const said = useMemo(() => findingsByObject(found), [found]);
  const owed = useOwed(asking, listed);
  if (policies.length === 0) {
    return (
      <p class="plain">There is no policy, so every pod may talk to every other and to everything outside.</p>
    );
  }
  return (
    <div class="table-view">
      <h2>Policies</h2>
      {missing !== undefined && <p class="plain">There is no policy {visible(missing)}.</p>}
      <p class="count">
        {shown.length < policies.length ? `${shown.length} of ` : ""}
        {count(policies.length, "policy", "policies")}
      </p>
      <Wide label="Policies" columns={["Policy", "#Selects", "Ingress", "Egress", "#Only it allows", "#Findings", "Where"]}>
        <tbody>
          {listed.map((each) => {
            const policy = policies[each]!;
            const document = documents[policy.document];
            const findings = said.get(objectName(policy))?.length ?? 0;
            return (
              <tr key={each}>
                <td>
                  <a href={linkTo(route, { policy: policyKey(policy) })}>{policyName(policy)}</a>
                  {policy.tier !== undefined && (
                    <small>
                      {" "}
                      {policy.tier} tier{policy.priority === null ? "" : `, priority ${policy.priority}`}
                    </small>
                  )}
                </td>
                <td class={policy.selected.length === 0 ? "figure none" : "figure"}>
                  {policy.selected.length === 0 ? "nobody" : policy.selected.length.toLocaleString("en")}
                </td>
                <td>{direction(policy.types[0], policy.rules[0], policy.tier)}</td>
                <td>{direction(policy.types[1], policy.rules[1], policy.tier)}</td>
                <td class="figure">{owed.get(each) ?? "…"}</td>
                <td class="figure">{findings || ""}</td>
                <td class="file">
                  {document === undefined || policy.line === 0 ? "" : `${fileName(document)}:${policy.line}`}
                </td>
              </tr>
            );
          })}
        </tbody>
      </Wide>
      {more}
    </div>
  );
}

/** Questions for one policy of the list, and cells that are looked at, before its number is "at least". */
const MOST_ASKED = 3000;
const MOST_CELLS = 400_000;
/** Milliseconds of counting before the page may do something else. */
const AT_ONCE = 12;

/** How many connections hang on each policy alone, in words; policies that are shown are counted one after
 * the other while nothing else is to do. */
function useOwed(asking: Asking, shown: readonly number[]): ReadonlyMap<number, string> {
  const known = useMemo(() => new Map<number, string>(), [asking]);
  const [, redraw] = useState(0);
  const wanted = shown.join();
  useEffect(() => {
    const left = shown.filter((each) => !known.has(each));
    let timer: number | undefined;
    const go = (): void => {
      const until = performance.now() + AT_ONCE;
      while (left.length > 0 && performance.now() < until) {
        const each = left.shift()!;
        known.set(each, owedWords(asking, each));
      }
      redraw((now) => now + 1);
      if (left.length > 0) timer = setTimeout(go, 0);
    };
    if (left.length > 0) timer = setTimeout(go, 0);
    return () => clearTimeout(timer);
  }, [asking, known, wanted]);
  return known;
}

function owedWords(asking: Asking, number: number): string {
  const { rules, selected } = asking.rules.policies[number]!;
  if (rules[0] + rules[1] === 0 || selected.length === 0) return "–";
  if (asking.selected(number).length * asking.world.size > MOST_CELLS) return "not counted";
  const { owed, whole } = owedTo(asking, number, MOST_ASKED);
  const found = owed.length.toLocaleString("en");
  return whole ? found : `${found} or more`;
}

function direction(judges: boolean, rules: number, tier: string | undefined): string {
  if (!judges) return rules > 0 ? `${count(rules, "rule")}, ignored` : "–";
  if (rules > 0) return count(rules, "rule");
  return tier === undefined ? "allows nothing" : "–";
}

type Named = { kind: string; namespace: string; name: string };
function objectName({ kind, namespace, name }: Named): string {
  return `${kind} ${namespace ? `${namespace}/` : ""}${name}`;
}

function findingsByObject(found: readonly Finding[] | null): Map<string, Finding[]> {
  const by = new Map<string, Finding[]>();
  for (const each of found ?? []) {
    const known = by.get(each.object);
    if (known === undefined) by.set(each.object, [each]);
    else known.push(each);
  }
  return by;
}

const MOST_LINES = 400;

function OnePolicy({
  asking,
  route,
  found,
  number,
}: {
  asking: Asking;
  route: Route;
  found: readonly Finding[] | null;
  number: number;
}) {
  const policy = asking.rules.policies[number]!;
  const document = asking.rules.documents[policy.document];
  const findings = findingsByObject(found).get(objectName(policy)) ?? [];
  const marks = new Map<number, Mark>();
  for (const each of findings) if (each.line !== undefined) marks.set(each.line, "near");
  const selected = useMemo(() => asking.selected(number), [asking, number]);
  const [shown, more] = useMost(selected, 60, 500);
  const { world } = asking;
  const start = document?.line ?? 1;
  const length = document === undefined ? 0 : textLines(document).length;
  const first = length > MOST_LINES ? Math.max(start, policy.line - 4) : start;
  return (
    <article class="policy">
      <p>
        <a href={linkTo(route, { policy: "" })}>All policies</a>
      </p>
      <h2>{policyName(policy)}</h2>
      {document !== undefined && policy.line > 0 && (
        <p class="file">
          {fileName(document)}:{policy.line}
        </p>
      )}
      <h3>
        Selects {selected.length === 0 ? "nobody" : count(selected.length, "line of the map", "lines of the map")}
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
      <OwedTo {...{ asking, route, number }} />
      {findings.length > 0 && <h3>What podfence check says</h3>}
      <ul class="findings">
        {findings.map((each, at) => (
          <FindingLine key={at} finding={each} />
        ))}
      </ul>
      {document?.text !== undefined && (
        <Yaml document={document} first={first} last={Math.min(first + MOST_LINES, start + length)} marks={marks} />
      )}
    </article>
  );
}

/** The connections that hang on a policy alone. */
function OwedTo({ asking, route, number }: { asking: Asking; route: Route; number: number }) {
  const { owed, whole } = useMemo(() => owedTo(asking, number), [asking, number]);
  const [shown, more] = useMost(owed, 20, 200);
  const { rules, selected } = asking.rules.policies[number]!;
  if (rules[0] + rules[1] === 0 || selected.length === 0) return null;
  const name = (end: number): string => asking.world.endpoints[end]!.name;
  return (
    <>
      <h3>
        Only it allows {owed.length > 0 && <small>{owed.length.toLocaleString("en")}</small>}
      </h3>
      {owed.length === 0 && whole && (
        <p>Nothing: another policy also allows what its rules allow, or the other end denies it.</p>
      )}
      {owed.length > 0 && (
        <Wide label="Only it allows" columns={["From", "To", "Ports"]}>
          <tbody>
            {shown.map(({ from, to, family, ports }) => (
              <tr key={`${from} ${to} ${family}`}>
                <td>{visible(name(from))}</td>
                <td>{visible(name(to))}</td>
                <td>
                  <a href={linkTo(route, { pair: `${name(from)}~${name(to)}`, ask: portKey(ports[0]!) })}>
                    {portWords(ports) === "all" ? "every port" : portWords(ports)}
                    {family === 0 ? "" : ` over IPv${family}`}
                  </a>
                </td>
              </tr>
            ))}
          </tbody>
        </Wide>
      )}
      {more}
      {!whole && <p class="count">It selects too many pods to examine all of them; there may be more.</p>}
    </>
  );
}
