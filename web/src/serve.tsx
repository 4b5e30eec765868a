// The page from a server: the same page, told when the input has changed.

import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Desk } from "./desk";
import { editorScript } from "./editorscript";
import { answerPrograms } from "./programs";
import type { About, Finding, Newcomers, Rules } from "./schema";
import { messageOf, showFailure } from "./failure";
import { hasToken, type Lost, Refused, Server, type State, type Step, takeToken } from "./server";
import { showSkeleton, stepWords } from "./skeleton";
import { turnsOf } from "./turns";
import { visibleText } from "./visible";
import { App, type More } from "./views/App";
import { CopyDetails } from "./views/CopyDetails";
import { Counters } from "./views/Counters";
import { Drops } from "./views/Drops";
import { Edit } from "./views/Edit";
import { editing } from "./views/Reason";
import type { Results } from "./views/Tests";
import { applyTheme } from "./views/Theme";
import { World } from "./world";

type Read = {
  state: State;
  about: About;
  world: World;
  rules: () => Promise<Rules>;
  newcomers: () => Promise<Newcomers>;
  found: Finding[] | null;
  tests: Results;
};

async function readAll(server: Server, state: State): Promise<Read> {
  const { revision } = state;
  const [about, reach] = await Promise.all([server.about(revision), server.reach(revision)]);
  return { state, about, world: new World(reach), rules: server.rules(revision), newcomers: server.newcomers(revision), found: null, tests: undefined };
}

/** The input may change between two answers: then all are asked for again. */
async function readFirst(server: Server): Promise<Read> {
  for (;;) {
    const state = await server.get<State>("state");
    try {
      return await readAll(server, state);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 409)) throw error;
    }
  }
}

function Served({ server, first }: { server: Server; first: Read }) {
  const [read, setRead] = useState(first);
  const [state, setState] = useState(first.state);
  const [lost, setLost] = useState<Lost | null>(null);
  const [step, setStep] = useState<Step | null>(null);
  useEffect(() => {
    let wanted = first.state.revision;
    const readNext = async (next: State): Promise<void> => {
      wanted = next.revision;
      try {
        const all = await readAll(server, next);
        if (next.revision === wanted) setRead(all);
      } catch {
        // It is told again: with the next revision, or once the server is back.
        if (next.revision === wanted) wanted = "";
      }
    };
    void server.follow((next) => {
      setLost(null);
      setState(next);
      if (next.revision !== wanted) void readNext(next);
    }, setLost, setStep);
  }, [server, first]);
  useEffect(() => {
    document.title = read.about.title;
    document.documentElement.dataset.revision = read.state.revision;
    let current = true;
    const { revision } = read.state;
    const add = <T,>(asked: Promise<T>, made: (told: T) => Partial<Read>): void =>
      void asked
        .then((told) => {
          if (current) setRead((now) => (now.world === read.world ? { ...now, ...made(told) } : now));
        })
        .catch(() => undefined); // another revision came, and is asked for its own
    add(server.findings(revision), (found) => ({ found }));
    add(server.tests(revision), (tests) => ({ tests }));
    return () => {
      current = false;
    };
  }, [server, read.world]);
  const [, redraw] = useState(0);
  const desk = useMemo(
    () => (state.edit && editorScript() !== undefined ? new Desk(server, state.tests, () => redraw((now) => now + 1)) : null),
    [server, state.edit, state.tests],
  );
  editing.on = desk !== null;
  const outcomes = desk?.last?.plan?.outcomes;
  const turns = useMemo(() => turnsOf(read.world, outcomes ?? []), [read.world, outcomes]);
  useEffect(() => {
    if (lost === null) void desk?.refresh();
  }, [desk, read.state.revision, lost]);
  const standing = <ServerBanners {...{ server, state, lost, step }} />;
  const drops: More["pages"][number] = {
    page: "drops",
    name: "Drops",
    badge: "",
    show: (route) => <Drops {...{ server, route, world: read.world }} />,
  };
  const counters: More["pages"][number] = {
    page: "counters",
    name: "Counters",
    badge: "",
    show: (route) => <Counters {...{ server, route }} />,
  };
  const edit: More["pages"] =
    desk === null
      ? []
      : [
          {
            page: "edit",
            name: "Edit",
            badge: desk.dirty.length > 0 ? "●" : "",
            show: (route, theme) => <Edit {...{ desk, route, turns, theme, world: read.world }} />,
          },
        ];
  const pages = [...edit, drops, counters];
  useEffect(() => answerPrograms(read.world, read.rules, turns, read.newcomers), [read.world, read.rules, turns]);
  const again = async (): Promise<void> => {
    await server.ask("POST", "read");
  };
  return <App {...read} plan={null} before={null} turns={turns} more={{ standing, pages, proposals: desk, again }} />;
}

type BannersProps = { server: Server; state: State; lost: Lost | null; step: Step | null };

function ServerBanners({ server, state, lost, step }: BannersProps) {
  const [reading, setReading] = useState(false);
  const again = (): void => {
    setReading(true);
    void server
      .ask("POST", "read")
      .catch(() => undefined) // the banner of a server that is gone says it
      .finally(() => setReading(false));
  };
  return (
    <>
      {lost === "gone" && (
        <div class="banner" role="alert">
          <strong>The server has ended or does not answer.</strong> The page shows its last
          state, and continues by itself once the server answers. If it has ended, start podfence serve again and open
          the address that it prints.
        </div>
      )}
      {lost === "another" && (
        <div class="banner" role="alert">
          <strong>The server has been restarted.</strong> The page shows the last state of the old one. Open the
          address that podfence serve has printed now: each start makes a new token.
        </div>
      )}
      {state.problem !== "" && (
        <div class="banner" role="alert">
          <strong>The input cannot be read any more.</strong> The page shows the last state that could be read:{" "}
          {visibleText(state.problem)} <CopyDetails title="The input cannot be read any more" text={state.problem} />
        </div>
      )}
      {step !== null && READS.has(step.doing) && lost === null && (
        <div class="banner quiet reading" role="note">
          {stepWords(step)}
        </div>
      )}
      {state.live && (
        <div class="banner quiet" role="note">
          The cluster is read again each minute.{" "}
          <button type="button" class="quiet" disabled={reading} onClick={again}>
            {reading ? "reading …" : "Read it now"}
          </button>
        </div>
      )}
    </>
  );
}

/** Steps of a reading; parts of a page are made while it is looked at. */
const READS: ReadonlySet<string> = new Set(["files", "objects", "policies"]);

function fail(root: HTMLElement, error: unknown): void {
  if (error instanceof Refused && error.status === 401) {
    showFailure(
      root,
      "This page needs its token",
      "Open the address that podfence serve has printed. It ends in #token=… and is another one at each start.",
    );
  } else {
    showFailure(root, "The page cannot be shown", messageOf(error));
  }
}

/** Somebody opens a printed address in this tab, which the browser takes for a part of this page: what is
 * typed and not saved is still here, so the page stays as it is and asks the server that is there now. */
function enter(server: Server, before: string): void {
  const { hash } = new URL(before);
  server.renew(takeToken(hash.startsWith("#/") ? hash : undefined));
  if (document.documentElement.dataset.state === "failed") location.reload();
}

async function start(root: HTMLElement): Promise<void> {
  applyTheme();
  const server = new Server(takeToken());
  addEventListener("hashchange", (event) => hasToken() && enter(server, event.oldURL));
  const skeleton = showSkeleton(root);
  const waiting = new AbortController();
  void server.wait((step) => skeleton(stepWords(step)), waiting.signal);
  const first = await readFirst(server).finally(() => waiting.abort());
  root.replaceChildren();
  render(<Served server={server} first={first} />, root);
  document.documentElement.dataset.state = "ready";
}

const root = document.getElementById("app");
if (root !== null) start(root).catch((error: unknown) => fail(root, error));
