// What a reader has to know before anything else: what is missing, what could not be read.

import { linkTo, type Route } from "../location";
import type { About } from "../schema";
import { count, visible, visibleText } from "../visible";
import type { World } from "../world";
import { DefaultDeny } from "./DefaultDeny";
import type { Proposals } from "./Propose";

const SHOWN = 3;

type Props = { about: About; world: World; route: Route; proposals: Proposals | null };

export function Banners({ about, world, route, proposals }: Props) {
  const pods = world.endpoints.filter((each) => each.namespace !== undefined);
  const open = pods.filter((each) => each.open === true).length;
  return (
    <>
      <Unlisted doubts={about.doubts.filter((each) => each.unlisted === true)} {...{ open, route }} />
      <Unread doubts={about.doubts.filter((each) => each.unlisted !== true)} open={open} />
      {pods.length === 0 && (
        <div class="banner" role="note">
          <strong>No pods and no workloads were read.</strong> The map shows who reaches whom, so it needs
          policies and workloads: give both with <code>-f</code>, or leave it away to ask the cluster.
        </div>
      )}
      {pods.length > 0 && world.reach.policies === 0 && about.doubts.length === 0 && (
        <div class="banner" role="note">
          <strong>There is no policy,</strong> so everything may talk to everything.
          {world.reach.anonymous !== true && <DefaultDeny {...{ world, route, proposals }} />}
        </div>
      )}
      {world.reach.policies > 0 && pods.length > 0 && pods.every((each) => !each.isolated) && (
        <div class="banner" role="note">
          <strong>No policy selects any workload,</strong> so everything may talk to everything.
        </div>
      )}
      <Notes notes={world.reach.notes} />
    </>
  );
}

/** Many of them would leave no room for the map, so they are folded. */
function Notes({ notes }: { notes: readonly string[] }) {
  if (notes.length === 0) return null;
  const all = notes.map((note, at) => <div key={at}>{visibleText(note)}</div>);
  return (
    <div class="banner quiet" role="note">
      {notes.length <= SHOWN ? (
        all
      ) : (
        <details>
          <summary>{count(notes.length, "note")} on this map</summary>
          {all}
        </details>
      )}
    </div>
  );
}

type Doubts = { doubts: About["doubts"]; open: number };

/** Of a cluster: kinds that the user may not list. */
function Unlisted({ doubts, open, route }: Doubts & { route: Route }) {
  if (doubts.length === 0) return null;
  return (
    <div class="banner" role="note">
      <strong>Some kinds of the cluster may not be listed:</strong>{" "}
      {doubts.map((each) => visible(each.object)).join(", ")}. {concerned(open)}{" "}
      <a href={linkTo(route, {}, "findings")}>Which rule would allow it</a>
    </div>
  );
}

function Unread({ doubts, open }: Doubts) {
  if (doubts.length === 0) return null;
  return (
    <div class="banner" role="note">
      <strong>{count(doubts.length, "object")} could not be read.</strong> {concerned(open)}
      <ul>
        {doubts.slice(0, SHOWN).map((doubt, at) => (
          <li key={at}>
            {visible(doubt.object)}
            {doubt.file !== undefined && (
              <span class="file">
                {visibleText(doubt.file)}:{doubt.line}
              </span>
            )}
          </li>
        ))}
        {doubts.length > SHOWN && <li>and {doubts.length - SHOWN} more</li>}
      </ul>
    </div>
  );
}

function concerned(open: number): string {
  if (open === 0) return "No verdict on this page depends on it.";
  return `${count(open, "workload")} that it may affect ${open === 1 ? "is" : "are"} shown as unknown.`;
}
