// What the texts that are not saved open and close.

import type { Desk, Turned, Turning } from "../desk";
import { linkTo, type Route } from "../location";
import type { Finding } from "../schema";
import type { PlanOutcome } from "../unpack";
import { count, visible, visibleText } from "../visible";
import { firstNames } from "../words";
import type { World } from "../world";
import { CopyDetails } from "./CopyDetails";
import { Order } from "./Order";
import { useMost } from "./most";

type Props = { desk: Desk; route: Route; world: World };

export function ThisEdit({ desk, route, world }: Props) {
  const { last, progress } = desk;
  const plan = last?.plan;
  return (
    <aside class="this-edit" aria-label="This edit">
      <h2>This edit</h2>
      <p class={`progress ${progress}`} role="status">
        {said(desk)}
        {progress === "failed" && (
          <>
            {" "}
            <CopyDetails title="This could not be judged" text={desk.failure} />
          </>
        )}
      </p>
      <Pointed desk={desk} />
      <Problems {...{ desk, route }} />
      {plan !== undefined && (
        <div class={progress === "judged" ? "" : "stale"}>
          <p class="summary" aria-live="polite">
            <span class="opens">+ {count(plan.summary.opened, "pair")} opened</span>{" "}
            <span class="closes">− {count(plan.summary.closed, "pair")} closed</span>
          </p>
          <Outcomes outcomes={plan.outcomes} {...{ route, world }} title="For existing pods" />
          <Outcomes outcomes={plan.newcomers} {...{ route, world }} title="For pods to come" />
          {plan.newcomers.length > 0 && (
            <p class="remark">shop/+ is a new pod without labels in shop; +/+ one in a new namespace.</p>
          )}
          {!plan.changes && <p class="plain">No verdict changes, for existing pods and pods to come.</p>}
          {desk.turning !== null && <TurnedTests turning={desk.turning} />}
          <SafeOrder desk={desk} />
          {last?.text !== undefined && (
            <details>
              <summary>As the text of podfence plan</summary>
              <pre tabIndex={0}>{last.text.split("\n").map((line) => `${visibleText(line)}\n`)}</pre>
            </details>
          )}
        </div>
      )}
    </aside>
  );
}

/** Whom the selector means that is pointed at; its rows are lit on the map below. */
function Pointed({ desk: { selected } }: { desk: Desk }) {
  const most = 6;
  if (selected === null) return null;
  const { line, policy, path, pods, networks } = selected;
  const names = (networks.length > 0 ? networks : pods).map(visible);
  const shown = names.slice(0, most).join(", ");
  const more = names.length > most ? ` and ${(names.length - most).toLocaleString("en")} more` : "";
  return (
    <p class="pointed" aria-live="polite">
      Line {line}, <code>{visible(path)}</code> of {visible(policy)}:{" "}
      {networks.length > 0 ? `addresses ${shown}${more}` : pods.length === 0 ? "no pod" : `${count(pods.length, "pod")}, ${shown}${more}`}
    </p>
  );
}

function said({ progress, dirty, last, failure }: Desk): string {
  switch (progress) {
    case "saved":
      return "Everything is saved.";
    case "reading":
      return "Judging …";
    case "invalid":
      return last?.plan === undefined ? "Not valid yet." : "Not valid yet. Below is the last valid result.";
    case "failed":
      return `This could not be judged: ${visibleText(failure)}`;
    case "judged":
      return `${count(dirty.length, "file")} not saved, judged in ${last?.ms.toLocaleString("en")} ms.`;
  }
}

/** Tests that the edit turns, those that no longer pass first. */
function TurnedTests({ turning }: { turning: Turning }) {
  const passes = (test: Turned): boolean => test.after === "passed";
  const turns = [...turning.turns].sort((one, other) => Number(passes(one)) - Number(passes(other)));
  const [shown, more] = useMost(turns, FIRST, 100);
  return (
    <section class="turned">
      <h3>Tests</h3>
      <p>{turning.text}</p>
      <ul class="outcomes">
        {shown.map((test, at) => (
          <li key={at}>
            <span class={passes(test) ? "opens" : "closes"}>{passes(test) ? "now passes" : test.after}</span>{" "}
            <strong>{visible(test.name)}</strong>
            {test.because.map((line, number) => (
              <div key={number}>{visibleText(line)}</div>
            ))}
          </li>
        ))}
      </ul>
      {more}
    </section>
  );
}

/** The order in which the edits can be applied to a cluster, at a click. */
function SafeOrder({ desk }: { desk: Desk }) {
  if (desk.order !== undefined) {
    return (
      <section>
        <h3>Safe order</h3>
        <Order order={desk.order} />
      </section>
    );
  }
  return (
    <button type="button" class="quiet" disabled={desk.ordering || desk.progress !== "judged"} onClick={() => void desk.findOrder()}>
      {desk.ordering ? "Looking for a safe order …" : "Safe order"}
    </button>
  );
}

const FIRST = 12;

function Problems({ desk, route }: { desk: Desk; route: Route }) {
  const [shown, more] = useMost(desk.problems, FIRST, 100);
  if (desk.problems.length === 0) return null;
  return (
    <ul class="findings">
      {shown.map((each, at) => (
        <Problem key={at} problem={each} route={route} />
      ))}
      {more}
    </ul>
  );
}

function Problem({ problem, route }: { problem: Finding; route: Route }) {
  return (
    <li class={problem.severity}>
      <span class="severity">{problem.severity}</span> <span class="code">{problem.code}</span>{" "}
      {visibleText(problem.message)}{" "}
      {problem.file !== undefined && problem.line !== undefined && (
        <a href={linkTo(route, { file: problem.file, line: String(problem.line) })}>line {problem.line}</a>
      )}
    </li>
  );
}

type OutcomesProps = { outcomes: readonly PlanOutcome[]; route: Route; world: World; title: string };

function Outcomes({ outcomes, route, world, title }: OutcomesProps) {
  const [shown, more] = useMost(outcomes, FIRST, 200);
  if (outcomes.length === 0) return null;
  return (
    <section>
      <h3>
        {title} <small>{outcomes.length}</small>
      </h3>
      <ul class="outcomes">
        {shown.map((each, at) => (
          <Outcome key={at} outcome={each} {...{ route, world }} />
        ))}
      </ul>
      {more}
    </section>
  );
}

function Outcome({ outcome, route, world }: { outcome: PlanOutcome; route: Route; world: World }) {
  const [from, to] = [outcome.from, outcome.to];
  const pair = `${from[0] ?? ""}~${to[0] ?? ""}`;
  const linked = from.length === 1 && to.length === 1 && world.byName.has(from[0]!) && world.byName.has(to[0]!);
  const ends = (
    <>
      {firstNames(from)} → {firstNames(to)}
    </>
  );
  return (
    <li>
      {linked ? <a href={linkTo(route, { pair, file: "", line: "" }, "map")}>{ends}</a> : ends}
      {outcome.opened.length > 0 && <div class="opens">+ opens {outcome.opened.join(" ")}</div>}
      {outcome.closed.length > 0 && <div class="closes">− closes {outcome.closed.join(" ")}</div>}
      {outcome.family !== undefined && <small>over {outcome.family}</small>}
    </li>
  );
}
