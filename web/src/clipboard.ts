// Text for the clipboard. Browsers give it to pages of this machine and of https alone; elsewhere the
// old way still works.

/** Throws where the browser refuses both. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const held = document.createElement("textarea");
  held.value = text;
  const { activeElement } = document;
  document.body.append(held);
  held.select();
  const done = document.execCommand("copy");
  held.remove();
  if (activeElement instanceof HTMLElement) activeElement.focus();
  if (!done) throw new Error("the browser does not let this page copy");
}
