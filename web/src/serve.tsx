// The page from a server: the same page, told when the input has changed.

import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Desk } from "./desk";
import { editorScript } from "./editorscript";
import { answerPrograms } from "./programs";
import type { About, Finding, Rules } from "./schema";
import { Refused, Server, type State, takeToken } from "./server";
import { visibleText } from "./visible";
import { App, type More } from "./views/App";
import { Counters } from "./views/Counters";
import { Drops } from "./views/Drops";
import { Edit } from "./views/Edit";
import { editing } from "./views/Reason";
import { World } from "./world";

type Read = { state: State; about: About; world: World; rules: () => Promise<Rules>; found: Finding[] | null };

async function readAll(server: Server, state: State): Promise<Read> {
  const [about, reach] = await Promise.all([server.about(), server.reach()]);
  return { state, about, world: new World(reach), rules: server.rules(), found: null };
}

function Served({ server, first }: { server: Server; first: Read }) {
  const [read, setRead] = useState(first);
  const [state, setState] = useState(first.state);
  const [lost, setLost] = useState(false);
  useEffect(() => {
    let wanted = first.state.revision;
    void server.follow(
      (next) => {
        setLost(false);
        setState(next);
        if (next.revision === wanted) return;
        wanted = next.revision;
        void readAll(server, next).then((all) => {
          if (all.state.revision === wanted) setRead(all);
        });
      },
      () => setLost(true),
    );
  }, [server, first]);
  useEffect(() => {
    document.title = read.about.title;
    document.documentElement.dataset.revision = read.state.revision;
    answerPrograms(read.world, read.rules);
    let current = true;
    void server.findings().then((found) => {
      if (current) setRead((now) => (now.world === read.world ? { ...now, found } : now));
    });
    return () => {
      current = false;
    };
  }, [server, read.world]);
  const [, redraw] = useState(0);
  const desk = useMemo(
    () => (state.edit && editorScript() !== undefined ? new Desk(server, () => redraw((now) => now + 1)) : null),
    [server, state.edit],
  );
  editing.on = desk !== null;
  useEffect(() => void desk?.refresh(), [desk, read.state.revision]);
  const standing = <Standing {...{ server, state, lost }} />;
  const drops: More["pages"][number] = {
    page: "drops",
    name: "Drops",
    badge: "",
    show: (place) => <Drops {...{ server, place, world: read.world }} />,
  };
  const counters: More["pages"][number] = {
    page: "counters",
    name: "Counters",
    badge: "",
    show: (place) => <Counters {...{ server, place }} />,
  };
  const edit: More["pages"] =
    desk === null
      ? []
      : [
          {
            page: "edit",
            name: "Edit",
            badge: desk.dirty.length > 0 ? "●" : "",
            show: (place) => <Edit {...{ desk, place, world: read.world }} />,
          },
        ];
  const pages = [...edit, drops, counters];
  return <App {...read} plan={null} more={{ standing, pages }} />;
}

function Standing({ server, state, lost }: { server: Server; state: State; lost: boolean }) {
  const [reading, setReading] = useState(false);
  const again = (): void => {
    setReading(true);
    void server.ask("POST", "read").finally(() => setReading(false));
  };
  return (
    <>
      {lost && (
        <div class="banner" role="alert">
          <strong>The server has ended or does not answer.</strong> What is shown is what it said last; the
          page goes on by itself once it is back.
        </div>
      )}
      {state.problem !== "" && (
        <div class="banner" role="alert">
          <strong>The input cannot be read any more.</strong> What is shown is how it was before:{" "}
          {visibleText(state.problem)}
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

function fail(root: HTMLElement, error: unknown): void {
  const said = document.createElement("p");
  said.className = "plain";
  said.textContent =
    error instanceof Refused && error.status === 401
      ? "This page shows data only to whoever started it: open the address that podfence serve has printed. It ends in #token=…"
      : `The page cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
  root.replaceChildren(said);
  document.documentElement.dataset.state = "failed";
}

async function start(root: HTMLElement): Promise<void> {
  const server = new Server(takeToken());
  const state = await server.get<State>("state");
  const first = await readAll(server, state);
  root.replaceChildren();
  render(<Served server={server} first={first} />, root);
  document.documentElement.dataset.state = "ready";
}

const root = document.getElementById("app");
if (root !== null) start(root).catch((error: unknown) => fail(root, error));
