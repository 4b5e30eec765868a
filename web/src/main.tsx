// The page starts here: unpack, build, show; or say plainly why not.

import { render } from "preact";
import { Asking } from "./asking";
import { placeOf } from "./ports";
import { about, canUnpack, findings, plan, reach, rules } from "./unpack";
import { App } from "./views/App";
import { World } from "./world";

async function start(root: HTMLElement): Promise<void> {
  if (!canUnpack()) {
    throw new Error("this browser is too old to unpack the report; use one of 2023 or newer");
  }
  const [known, map, found, change] = await Promise.all([about(), reach(), findings(), plan()]);
  const world = new World(map);
  root.replaceChildren();
  render(<App about={known} world={world} found={found} plan={change} />, root);
  document.documentElement.dataset.state = "ready";
  answerPrograms(world);
}

/** `podfence.why("shop/web", "shop/db", "TCP", 5432)` in the console: the page's answers as data. */
function answerPrograms(world: World): void {
  let asking: Asking | null = null;
  const why = async (from: string, to: string, protocol: string, port: number): Promise<unknown> => {
    asking ??= new Asking(world, await rules());
    const ends = [from, to].map((name) => world.byName.get(name));
    if (ends[0] === undefined || ends[1] === undefined) throw new Error("no such name on the map");
    return asking.ask(ends[0], ends[1], placeOf(protocol, port));
  };
  Object.assign(globalThis, { podfence: { world, why, rules } });
}

const root = document.getElementById("app");
if (root !== null) {
  start(root).catch((error: unknown) => {
    const said = document.createElement("p");
    said.className = "plain";
    said.textContent = `The report cannot be shown: ${error instanceof Error ? error.message : String(error)}`;
    root.replaceChildren(said);
    document.documentElement.dataset.state = "failed";
  });
}
