// The page starts here: unpack, build, show; or say plainly why not.

import { render } from "preact";
import { answerPrograms } from "./programs";
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
  render(<App about={known} world={world} rules={rules} found={found} plan={change} />, root);
  document.documentElement.dataset.state = "ready";
  answerPrograms(world, rules);
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
