// What a reader has to know before anything else: what is missing, what could not be read.

import type { About } from "../schema";
import { count, visible, visibleText } from "../visible";
import type { World } from "../world";

const SHOWN = 3;

export function Banners({ about, world }: { about: About; world: World }) {
  const pods = world.endpoints.filter((each) => each.namespace !== undefined);
  const open = pods.filter((each) => each.open === true).length;
  return (
    <>
      {about.doubts.length > 0 && (
        <div class="banner" role="note">
          <strong>{count(about.doubts.length, "object")} could not be read.</strong>{" "}
          {open > 0 ? `${count(open, "workload")} that it may concern ${open === 1 ? "is" : "are"} shown as unknown.` : "No verdict on this page depends on it."}
          <ul>
            {about.doubts.slice(0, SHOWN).map((doubt, at) => (
              <li key={at}>
                {visible(doubt.object)}
                {doubt.file !== undefined && (
                  <span class="file">
                    {visibleText(doubt.file)}:{doubt.line}
                  </span>
                )}
              </li>
            ))}
            {about.doubts.length > SHOWN && <li>and {about.doubts.length - SHOWN} more</li>}
          </ul>
        </div>
      )}
      {pods.length === 0 && (
        <div class="banner" role="note">
          <strong>No pods and no workloads were read.</strong> The map shows who reaches whom, so it needs
          policies and workloads: give both with <code>-f</code>, or leave it away to ask the cluster.
        </div>
      )}
      {pods.length > 0 && world.reach.policies === 0 && about.doubts.length === 0 && (
        <div class="banner" role="note">
          <strong>There is no policy,</strong> so everything may talk to everything.
        </div>
      )}
      {world.reach.policies > 0 && pods.length > 0 && pods.every((each) => !each.isolated) && (
        <div class="banner" role="note">
          <strong>No policy selects any workload,</strong> so everything may talk to everything.
        </div>
      )}
      {world.reach.notes.map((note, at) => (
        <div class="banner quiet" role="note" key={at}>
          {visibleText(note)}
        </div>
      ))}
    </>
  );
}
