// One direction of an answer: the decision, the lines that made it, and every policy that was asked.

import type { Asking, DirectionAnswer } from "../asking";
import { linkTo, type Route } from "../location";
import { words } from "../ports";
import { capital, visible, visibleText } from "../visible";
import type { Origin, PolicyLook, RuleLook } from "../why";
import { reasonWords } from "../words";
import { blockEnd, type Mark, Yaml } from "./Yaml";

/** Origins whose lines are shown; of more, their positions are enough. */
const QUOTED = 4;

type Props = { asking: Asking; route: Route; answer: DirectionAnswer };

export function Reason({ asking, route, answer }: Props) {
  const { direction, decision, looks } = answer;
  const subject = visible(asking.world.endpoints[answer.subject]!.name);
  return (
    <section class="reason">
      <h3>
        {direction === "egress" ? `Leaving ${subject}` : `Entering ${subject}`}
        <span class={decision.allowed ? "chip yes" : "chip no"}>{decision.allowed ? "allowed" : "denied"}</span>
      </h3>
      <p>{reasonWords(asking.world, answer)}</p>
      {decision.origins.slice(0, QUOTED).map((origin) => (
        <Deciding key={`${origin.policy} ${origin.path}`} {...{ asking, route, origin, looks }} />
      ))}
      {decision.origins.length > QUOTED && (
        <details>
          <summary>{decision.origins.length - QUOTED} more with the same result</summary>
          {decision.origins.slice(QUOTED).map((origin) => (
            <Where key={`${origin.policy} ${origin.path}`} {...{ asking, route, origin }} />
          ))}
        </details>
      )}
      {looks.length > 0 && (
        <details>
          <summary>
            {looks.length === 1 ? "The policy that was evaluated" : `All ${looks.length} policies that were evaluated`}
          </summary>
          {looks.map((look) => (
            <Look key={look.isolation.policy + look.isolation.path} {...{ asking, route, look, direction }} />
          ))}
        </details>
      )}
    </section>
  );
}

/** A rule or an isolation that decided, with its lines. */
function Deciding({
  asking,
  route,
  origin,
  looks,
}: {
  asking: Asking;
  route: Route;
  origin: Origin;
  looks: readonly PolicyLook[];
}) {
  const policy = asking.rules.policies[origin.policy]!;
  const document = asking.rules.documents[policy.document];
  const rule = looks.flatMap((look) => look.rules).find((each) => same(each.origin, origin));
  const marks = new Map<number, Mark>();
  if (origin.line > 0) marks.set(origin.line, "deciding");
  for (const peer of rule?.peers ?? []) if (peer.line > 0) marks.set(peer.line, "deciding");
  return (
    <div class="deciding">
      <Where {...{ asking, route, origin }} />
      {document?.text !== undefined && origin.line > 0 && (
        <Yaml
          document={document}
          first={origin.line - 1}
          last={Math.max(blockEnd(document, origin.line), ...marks.keys())}
          marks={marks}
        />
      )}
    </div>
  );
}

/** Whether positions are links to the editor. */
export const editing = { on: false };

function FilePosition({ file, line, column, route }: { file: string; line: number; column: number; route: Route }) {
  const said = `${visibleText(file)}:${line}:${column}`;
  if (!editing.on) return <span class="file">{said}</span>;
  return (
    <a class="file" href={linkTo(route, { file, line: String(line) }, "edit")} title="Edit this file">
      {said}
    </a>
  );
}

export function Where({ asking, route, origin }: { asking: Asking; route: Route; origin: Origin }) {
  const policy = asking.rules.policies[origin.policy]!;
  const document = asking.rules.documents[policy.document];
  const link = linkTo(route, { policy: policyKey(policy) }, "policies");
  return (
    <p class="where">
      <a href={link}>{policyName(policy)}</a> <code>{origin.path}</code>
      {document !== undefined && origin.line > 0 && (
        <FilePosition file={document.file} line={origin.line} column={origin.column} route={route} />
      )}
    </p>
  );
}

type Named = { kind: string; namespace: string; name: string };

export function policyName({ kind, namespace, name }: Named): string {
  const full = namespace ? `${visible(namespace)}/${visible(name)}` : visible(name);
  return kind === "NetworkPolicy" ? full : `${kind} ${full}`;
}

/** A policy in the address. */
export function policyKey({ kind, namespace, name }: Named): string {
  return [kind, namespace, name].join("/");
}

const same = (one: Origin, other: Origin): boolean =>
  one.policy === other.policy && one.path === other.path;

function Look({
  asking,
  route,
  look,
  direction,
}: {
  asking: Asking;
  route: Route;
  look: PolicyLook;
  direction: string;
}) {
  const isolates = look.ordered ? `${look.tier} tier` : "isolates";
  const said = look.active ? isolates : `its ${direction} rules are ignored, because policyTypes lacks ${capital(direction)}`;
  return (
    <div class="look">
      <Where {...{ asking, route, origin: look.isolation }} />
      <p>
        {capital(said)}
        {look.active && look.rules.length === 0 && `; it has no ${direction} rules, so it allows nothing`}.
      </p>
      <ul>
        {look.rules.map((rule) => (
          <li key={rule.origin.path} class={rule.fits ? "fits" : rule.peers.length > 0 || rule.portFits ? "near" : ""}>
            <code>{rule.origin.path}</code>
            {rule.name && <span> “{visible(rule.name)}”</span>}
            {rule.origin.line > 0 && <span class="file">line {rule.origin.line}</span>}
            <br />
            {ruleWords(rule)}
          </li>
        ))}
      </ul>
    </div>
  );
}

const VERBS = { 0: ["allows", "would allow"], 1: ["denies", "would deny"], 2: ["passes on", "would pass on"] } as const;

function ruleWords(rule: RuleLook): string {
  const [does, would] = VERBS[rule.action];
  const ports = words(rule.ports);
  const applies = rule.action === 0 ? "allows" : "applies to";
  if (rule.fits) return `${rule.reached ? does : would} this (${ports})`;
  const peers = rule.peers.length > 0;
  if (peers && !rule.portFits) return `near miss: the peer fits, but it ${applies} ${ports === "none" ? "no port" : `only ${ports}`}`;
  if (peers) return "near miss: the peer fits, but not on this port";
  if (rule.portFits) return `near miss: the port fits (${ports}), but no peer does`;
  return `neither peer nor port fits (it ${applies} ${ports})`;
}
