// A page that cannot be shown says so, and what would help.

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

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
  root.replaceChildren(said);
  document.title = `podfence: ${title}`;
  document.documentElement.dataset.state = "failed";
}
