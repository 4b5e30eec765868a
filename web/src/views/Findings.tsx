// What `podfence check` says, by code.

import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import type { Finding } from "../schema";
import { count, visible, visibleText } from "../visible";
import { useMost } from "./most";

export function Findings({ found, route }: { found: readonly Finding[] | null; route: Route }) {
  if (found === null) return <p class="plain">Findings are left out of this page.</p>;
  if (found.length === 0) return <p class="plain">podfence check found nothing.</p>;
  const asked = searchWords(route.asked.get("q") ?? "");
  const shown = found.filter((each) => matches(`${each.code} ${each.object} ${each.message} ${each.file ?? ""}`, asked));
  const codes = new Map<string, Finding[]>();
  for (const each of shown) {
    const known = codes.get(each.code);
    if (known === undefined) codes.set(each.code, [each]);
    else known.push(each);
  }
  const order = ["error", "warning", "note"];
  const sorted = [...codes].sort(
    ([one, [a]], [other, [b]]) =>
      order.indexOf(a!.severity) - order.indexOf(b!.severity) || one.localeCompare(other),
  );
  const number = (severity: string): number => found.filter((each) => each.severity === severity).length;
  return (
    <div class="findings-page">
      <h2>Findings</h2>
      <p class="count">
        {order.map((each) => count(number(each), each)).join(", ")}
        {shown.length < found.length && `; ${shown.length} match the search`}
      </p>
      {sorted.map(([code, each]) => (
        <Code key={code} code={code} found={each} route={route} />
      ))}
    </div>
  );
}

const FIRST = 10;

function Code({ code, found, route }: { code: string; found: readonly Finding[]; route: Route }) {
  const [shown, more] = useMost(found, FIRST, 200);
  return (
    <section>
      <h3>
        <span class={`severity ${found[0]!.severity}`}>{found[0]!.severity}</span> {code} <small>{found.length}</small>
      </h3>
      <ul class="findings">
        {shown.map((each, at) => (
          <FindingLine key={at} finding={each} route={route} />
        ))}
      </ul>
      {more}
    </section>
  );
}

/** `route`: where a link to the policy starts from; none beside the policy itself. */
export function FindingLine({ finding, route: from }: { finding: Finding; route?: Route }) {
  const name = visible(finding.object);
  const policy = /^(\w*NetworkPolicy) (?:([^/]*)\/)?(.*)$/s.exec(finding.object);
  const route = finding.file === undefined ? "" : `${visibleText(finding.file)}:${finding.line}:${finding.column}`;
  return (
    <li class={finding.severity}>
      <span class="severity">{finding.severity}</span> <span class="code">{finding.code}</span>{" "}
      {from !== undefined && policy !== null ? (
        <a href={linkTo(from, { policy: policy.slice(1).map((each) => each ?? "").join("/"), q: "" }, "policies")}>{name}</a>
      ) : (
        finding.object && <strong>{name}</strong>
      )}{" "}
      {visibleText(finding.message)}
      {route && <span class="file">{route}</span>}
    </li>
  );
}
