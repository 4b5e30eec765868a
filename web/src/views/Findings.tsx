// What `podfence check` says, by code.

import { useEffect, useState } from "preact/hooks";
import type { Fixable } from "../desk";
import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import type { Finding } from "../schema";
import { count, visible, visibleText } from "../visible";
import { Propose, type Proposals } from "./Propose";
import { useMost } from "./most";

type Props = { found: readonly Finding[] | null; route: Route; proposals: Proposals | null };

export function Findings({ found, route, proposals }: Props) {
  const fixes = useFixes(found, proposals);
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
        <Code key={code} code={code} found={each} {...{ route, fixes, proposals }} />
      ))}
    </div>
  );
}

const FIRST = 10;

/** Repairs by the finding. */
type KnownFixes = ReadonlyMap<string, Fixable>;

const keyOf = ({ code, object, path }: Pick<Finding, "code" | "object" | "path">): string => JSON.stringify([code, object, path]);

/** Asked for while somebody looks; again with other findings. */
function useFixes(found: readonly Finding[] | null, proposals: Proposals | null): KnownFixes {
  const [known, set] = useState<KnownFixes>(new Map());
  useEffect(() => {
    if (proposals === null || found === null || found.length === 0) return;
    let current = true;
    proposals
      .fixes()
      .then((fixes) => current && set(new Map(fixes.map((each) => [keyOf(each), each]))))
      .catch(() => undefined); // the server is away; its banner says so
    return () => {
      current = false;
    };
  }, [found, proposals]);
  return known;
}

type CodeProps = { code: string; found: readonly Finding[]; route: Route; fixes: KnownFixes; proposals: Proposals | null };

function Code({ code, found, route, fixes, proposals }: CodeProps) {
  const [shown, more] = useMost(found, FIRST, 200);
  return (
    <section>
      <h3>
        <span class={`severity ${found[0]!.severity}`}>{found[0]!.severity}</span> {code} <small>{found.length}</small>
      </h3>
      <ul class="findings">
        {shown.map((each, at) => (
          <FindingLine key={at} finding={each} route={route} fix={fixes.get(keyOf(each))} proposals={proposals} />
        ))}
      </ul>
      {more}
    </section>
  );
}

type LineProps = { finding: Finding; route?: Route; fix?: Fixable | undefined; proposals?: Proposals | null };

/** `route`: where a link to the policy starts from; none beside the policy itself. */
export function FindingLine({ finding, route: from, fix, proposals }: LineProps) {
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
      {from !== undefined && fix !== undefined && proposals != null && (
        <p class="fix">
          <Propose
            question={`fix?${new URLSearchParams({ code: fix.code, object: fix.object, path: fix.path }).toString()}`}
            {...{ route: from, proposals }}
          >
            Fix this …
          </Propose>{" "}
          {visibleText(fix.does)}
          {!fix.safe && "; it may open or close more than the text says, so check its effect before you save"}
        </p>
      )}
    </li>
  );
}
