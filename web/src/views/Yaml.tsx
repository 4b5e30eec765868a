// Lines of a manifest with their numbers, some of them marked. Text is text: no markup is made of it.

import type { Rules } from "../schema";
import { visibleText } from "../visible";

export type Mark = "deciding" | "near";
type Document = Rules["documents"][number];

export function fileName(document: Document | undefined): string {
  return document === undefined ? "" : visibleText(document.file);
}

/** The lines from `first` to `last`, which count from 1 in the file. */
export function Yaml({
  document,
  first,
  last,
  marks,
}: {
  document: Document;
  first: number;
  last: number;
  marks: ReadonlyMap<number, Mark>;
}) {
  const lines = textLines(document);
  const start = document.line ?? 1;
  const from = Math.max(first, start);
  const to = Math.min(last, start + lines.length - 1);
  const numbers = Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
  return (
    <div class="yaml" role="group" aria-label={`Lines ${from} to ${to}`} tabIndex={0}>
      {numbers.map((number) => {
        const mark = marks.get(number);
        return (
          <div key={number} class={mark === undefined ? "line" : `line ${mark}`}>
            <span class="number">{number}</span>
            <code>
              <Coloured text={visibleText(lines[number - start]!)} />
            </code>
            {mark === "deciding" && <span class="hidden"> decides</span>}
          </div>
        );
      })}
    </div>
  );
}

const KEY = /^(\s*(?:- +)*)([^\s#:{}[\]"'][^:#{}[\]]*:)(?=\s|$)(.*)$/;

function Coloured({ text }: { text: string }) {
  if (/^\s*#/.test(text)) return <span class="comment">{text}</span>;
  const found = KEY.exec(text);
  if (found === null) return <>{text || " "}</>;
  return (
    <>
      {found[1]}
      <span class="key">{found[2]}</span>
      {found[3]}
    </>
  );
}

const split = new WeakMap<Document, string[]>();
export function textLines(document: Document): string[] {
  let found = split.get(document);
  if (found === undefined) {
    found = (document.text ?? "").split(/\r\n|\r|\n/);
    if (found.at(-1) === "") found.pop();
    split.set(document, found);
  }
  return found;
}

const MOST = 16;

/** The last line of the block that begins at a line: as far as what follows is indented deeper. */
export function blockEnd(document: Document, line: number): number {
  const lines = textLines(document);
  const start = document.line ?? 1;
  const indent = (text: string): number => text.search(/\S/);
  const own = indent(lines[line - start] ?? "");
  let last = line;
  for (let number = line + 1; number <= Math.min(line + MOST, start + lines.length - 1); number += 1) {
    const text = lines[number - start]!;
    if (text.trim() === "") continue;
    const deeper = indent(text) > own;
    const listOfKey = indent(text) === own && text.trim().startsWith("-") && !lines[line - start]!.trim().startsWith("-");
    if (!deeper && !listOfKey) break;
    last = number;
  }
  return last;
}
