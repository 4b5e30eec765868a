// The page starts here: unpack, build, show; or say plainly why not.

import { render } from "preact";
import { messageOf, showFailure } from "./failure";
import { answerPrograms } from "./programs";
import { turnsOf } from "./turns";
import { about, before, canUnpack, findings, newcomers, plan, reach, rules, tests } from "./unpack";
import { App } from "./views/App";
import { applyTheme } from "./views/Theme";
import { World } from "./world";

async function start(root: HTMLElement): Promise<void> {
  applyTheme();
  if (!canUnpack()) {
    throw new Error(
      "This browser is too old to unpack it: it lacks DecompressionStream. Open the file in a browser of 2023 or newer.",
    );
  }
  const [known, map, found, judged, change] = await Promise.all([about(), reach(), findings(), tests(), plan()]);
  const world = new World(map);
  root.replaceChildren();
  const turns = turnsOf(world, change?.outcomes ?? []);
  render(<App about={known} found={found} tests={judged} plan={change} {...{ world, rules, turns }} before={before()} newcomers={newcomers()} />, root);
  document.documentElement.dataset.state = "ready";
  answerPrograms(world, rules, turns, newcomers());
}

const root = document.getElementById("app");
if (root !== null) {
  start(root).catch((error: unknown) => showFailure(root, "The report cannot be shown", messageOf(error)));
}
