// A page that cannot be shown says so, and what would help.

import { copyText } from "./clipboard";

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What somebody who asks for help sends along. An address with a token is none of a page. */
export function detailsOf(title: string, text: string): string {
  const page = location.hash.startsWith("#/") ? location.hash : "#/map";
  return [title, text, `page: ${page}`, `browser: ${navigator.userAgent}`].join("\n");
}

export function showFailure(root: HTMLElement, title: string, text: string): void {
  const said = document.createElement("main");
  said.className = "failure";
  for (const [tag, words] of [
    ["h1", title],
    ["p", text],
  ] as const) {
    const made = document.createElement(tag);
    made.textContent = words;
    said.append(made);
  }
  const copy = document.createElement("button");
  copy.textContent = "Copy details";
  copy.addEventListener("click", () => {
    void copyText(detailsOf(title, text)).then(() => (copy.textContent = "Copied"));
  });
  said.append(copy);
  root.replaceChildren(said);
  document.title = `podfence: ${title}`;
  document.documentElement.dataset.state = "failed";
}
