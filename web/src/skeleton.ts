// Where everything will stand, and how far the server is, until there is something to show.

import type { Step } from "./server";
import { count } from "./visible";

/** Shows the outline of the page; what it returns says how far it is. */
export function showSkeleton(root: HTMLElement): (words: string) => void {
  const made = element("div", "shell skeleton");
  const bar = element("header", "bar");
  const title = element("h1", "");
  title.textContent = "podfence";
  bar.append(title);
  const rail = element("nav", "rail");
  rail.setAttribute("aria-hidden", "true");
  for (let at = 0; at < 4; at += 1) rail.append(element("span", "bone"));
  const main = element("main", "");
  const said = element("p", "waiting");
  said.setAttribute("role", "status");
  said.textContent = READING;
  main.append(said, element("div", "bone cells"));
  made.append(bar, rail, main);
  root.replaceChildren(made);
  return (words) => (said.textContent = words);
}

const READING = "Reading …";

function element(tag: string, name: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}

/** `Reading files: 120 of 300 …` */
export function stepWords({ doing, done, of, objects }: Step): string {
  const read = objects === 0 ? "" : ` of ${count(objects, "object")}`;
  switch (doing) {
    case "files":
      return `Reading files: ${done.toLocaleString("en")} of ${of.toLocaleString("en")} …`;
    case "objects":
      return objects === 0 ? "Asking the cluster for its objects …" : `Listing the cluster: ${count(objects, "object")} …`;
    case "policies":
      return `Working out the policies${read} …`;
    case "map":
      return `Working out who reaches whom${read} …`;
    default:
      return READING;
  }
}
