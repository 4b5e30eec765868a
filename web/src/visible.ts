// Text of a cluster made harmless: what could turn the writing direction, hide itself or act in any
// other way is shown as an escape, as podfence's terminal output shows it.

const ACTS = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|\\/gu;
const ACTS_IN_TEXT = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu;

function escaped(character: string): string {
  if (character === "\\") return "\\\\";
  const code = character.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/** A name: two different names stay different. */
export function visible(name: string): string {
  return name.replace(ACTS, escaped);
}

/** A line of a text or a message, in which a backslash is one. Tabs become spaces. */
export function visibleText(text: string): string {
  return text.replaceAll("\t", "    ").replace(ACTS_IN_TEXT, escaped);
}

/** `1 pod`, `2 pods`. */
export function count(number: number, word: string, plural = `${word}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? word : plural}`;
}

/** The beginning of a sentence. */
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** A message as a sentence. */
export const sentence = (text: string): string => capital(/[.!?…]$/.test(text) ? text : `${text}.`);
