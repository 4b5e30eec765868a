// Words for a shell, to be pasted into one: whatever a name holds, it stays one word and nothing runs.

const PLAIN = /^[\w@%+=:,./-]+$/;
const ACTS = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;
const ACTS_OR_ENDS = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|[\\']/gu;

/** Words as one line. */
export const shellLine = (words: readonly string[]): string => words.map(shellWord).join(" ");

/** What could act on a terminal is an escape of `$'…'`, so that the word is shown as it is pasted. */
function shellWord(word: string): string {
  if (PLAIN.test(word)) return word;
  if (ACTS.test(word)) return `$'${word.replace(ACTS_OR_ENDS, escaped)}'`;
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}

function escaped(character: string): string {
  if (character === "\\" || character === "'") return `\\${character}`;
  const code = character.codePointAt(0)!;
  const digits = code.toString(16);
  if (code < 0x80) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
