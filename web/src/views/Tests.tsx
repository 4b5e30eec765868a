// What `podfence test` says: which promises of test files are kept, those that are not first.

import { useState } from "preact/hooks";
import { messageOf } from "../failure";
import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import { portKey, portIndexOf, portLabel } from "../ports";
import type { Counterexample, TestResult } from "../schema";
import { count, sentence, visible, visibleText } from "../visible";
import type { World } from "../world";
import { useMost } from "./most";

type Status = TestResult["status"];
/** null where no test file was given, undefined until a server has told. */
export type Results = readonly TestResult[] | null | undefined;
/** `again`: of a server, reads the tests and the input and judges again. */
type Props = { tests: Results; world: World; route: Route; again: (() => Promise<void>) | null };

/** In the order of the page: what asks for a hand first. */
const STATUSES: readonly (readonly [status: Status, heading: string, says: string])[] = [
  ["failed", "Failed", "fail"],
  ["vacuous", "Vacuous: they look at nobody, so they prove nothing", "vacuous"],
  ["undecided", "Unknown: an object that could not be read may turn them", "unknown"],
  ["passed", "Passed", "pass"],
  ["skipped", "Skipped", "skip"],
];

export function Tests({ tests, world, route, again }: Props) {
  if (tests === null) return <NoTests anonymous={world.reach.anonymous} served={again !== null} />;
  return (
    // It may hold no link, and is to be scrolled by keyboard all the same.
    <div class="tests-page" role="region" aria-label="Tests" tabIndex={0}>
      <h2>Tests {again !== null && <RunAgain again={again} />}</h2>
      {tests === undefined ? <p class="waiting">Judging the tests …</p> : <All {...{ tests, world, route }} />}
    </div>
  );
}

function All({ tests, world, route }: { tests: readonly TestResult[]; world: World; route: Route }) {
  const asked = searchWords(route.asked.get("q") ?? "");
  const shown = tests.filter((each) => matches(`${each.name} ${each.status} ${each.file}`, asked));
  const numbers = STATUSES.map(([status]) => [status, tests.filter((each) => each.status === status).length] as const);
  const weak = tests.filter(isWeak).length;
  return (
    <>
      <p class="count">
        {count(tests.length, "test")}
        {tests.length > 0 && ": "}
        {numbers.filter(([, number]) => number > 0).map(([status, number]) => `${number.toLocaleString("en")} ${status}`).join(", ")}
        {weak > 0 && `; ${weak.toLocaleString("en")} of them weak`}
        {shown.length < tests.length && `; ${shown.length.toLocaleString("en")} match the search`}
      </p>
      {STATUSES.map(([status, heading, says]) => (
        <Same key={status} {...{ heading, says, world, route }} tests={shown.filter((each) => each.status === status)} />
      ))}
    </>
  );
}

/** The page follows its files by itself; a cluster, or a person who is in doubt, asks. */
function RunAgain({ again }: { again: () => Promise<void> }) {
  const [running, setRunning] = useState(false);
  const [ran, setRan] = useState("");
  const run = (): void => {
    setRunning(true);
    setRan("");
    void again()
      .then(
        () => setRan("The tests were run again."),
        (error: unknown) => setRan(`The tests were not run: ${messageOf(error)}`),
      )
      .finally(() => setRunning(false));
  };
  return (
    <>
      <button type="button" class="quiet again" disabled={running} onClick={run}>
        {running ? "Running …" : "Run again"}
      </button>
      <small role="status">{ran}</small>
    </>
  );
}

/** How many tests do not pass, or all of them where every one does; as the list of pages shows it. */
export function testsBadge(tests: Results): string {
  if (tests == null) return "";
  const wrong = tests.filter(({ status }) => status !== "passed" && status !== "skipped").length;
  return wrong > 0 ? `✗ ${wrong.toLocaleString("en")}` : `✓ ${tests.length.toLocaleString("en")}`;
}

const isWeak = (test: TestResult): boolean => test.reasons.some(({ code }) => code === WEAK);
/** The code of a test that passes and proves little. */
const WEAK = "PF506";

function NoTests({ anonymous, served }: { anonymous: boolean; served: boolean }) {
  if (anonymous) return <p class="plain">Tests quote names, so a page without names leaves them out.</p>;
  const command = served ? "podfence serve" : "podfence report";
  return (
    <p class="plain">
      No test file was given. A test file says in words what must stay open and what must stay closed;{" "}
      <code>{command} --tests FILE</code> shows the results here. <code>podfence test --init NAMESPACE</code>{" "}
      writes a first one, for you to edit.
    </p>
  );
}

const FIRST = 50;

type SameProps = { heading: string; says: string; tests: readonly TestResult[]; world: World; route: Route };

function Same({ heading, says, tests, world, route }: SameProps) {
  const [shown, more] = useMost(tests, FIRST, 500);
  if (tests.length === 0) return null;
  return (
    <section>
      <h3>
        {heading} <small>{tests.length.toLocaleString("en")}</small>
      </h3>
      <ul class="findings tests">
        {shown.map((test, at) => (
          <One key={at} {...{ test, says, world, route }} />
        ))}
      </ul>
      {more}
    </section>
  );
}

function One({ test, says, world, route }: { test: TestResult; says: string; world: World; route: Route }) {
  const more = test.total - test.counterexamples.length;
  return (
    <li class={test.status}>
      <span class="severity">{says}</span> <strong>{visible(test.name)}</strong>
      {test.pairs > 0 && <span class="count"> {count(test.pairs, "pair")}</span>}
      {test.counterexamples.map((each, at) => (
        <Against key={at} {...{ each, world, route }} />
      ))}
      {test.counterexamples.length > 0 && more > 0 && (
        <p>
          {count(more, "more pair")} of {test.pairs.toLocaleString("en")}
        </p>
      )}
      {test.text !== undefined && (
        <p>
          {test.status === "undecided"
            ? `${visibleText(test.text)} could not be read, or not in full.`
            : sentence(visibleText(test.text))}
        </p>
      )}
      {test.reasons.map(({ code, message }, at) => (
        <p key={at}>
          <span class="code">{code}</span> {code === WEAK && "weak: "}
          {visibleText(message)}
        </p>
      ))}
      <span class="file">
        {visibleText(test.file)}:{test.line}
      </span>
    </li>
  );
}

/** The connection that a test fails for. Its two ends lead to the reason, where they are on the map. */
function Against({ each, world, route }: { each: Counterexample; world: World; route: Route }) {
  const asked = portIndexOf(each.protocol, each.port);
  const words = `${named(each.from)} → ${named(each.to)} ${portLabel(asked)}`;
  const names = each.pair?.map((end) => world.endpoints[end]!.name);
  const change = names && { pair: names.join("~"), ask: portKey(asked) };
  return (
    <>
      <p>
        {change ? <a href={linkTo(route, change)}>{words}</a> : <span>{words}</span>}{" "}
        {each.got === "allow" ? "is allowed" : "is denied"}
        {each.supposed && ", as the test supposes"}
      </p>
      {each.said.map((line, at) => (
        <p key={at} class="said">
          {visibleText(line)}
        </p>
      ))}
    </>
  );
}

/** No object of the API has a plus sign in its name. */
const named = (name: string): string => (/(^|\/)\+[^/]*$/.test(name) ? `${visible(name)} (a pod to come)` : visible(name));
