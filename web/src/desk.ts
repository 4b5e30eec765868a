// The texts that are open, what is typed and not saved, and what comes of it. Outlives the page of the
// editor, so going to the map loses nothing.

import type { Completions } from "./editorscript";
import { messageOf } from "./failure";
import type { Finding } from "./schema";
import { Refused, type Server } from "./server";
import type { ApplyOrder, Plan } from "./unpack";

/** `digest`: "" for a file that is not on disk. */
export type FileText = { path: string; text: string; digest: string };
export type Judged = { problems: Finding[]; plan?: Plan; text?: string; ms: number; revision: string; tests?: Turning };
/** Tests that come out otherwise with the drafts; `text`: all of them in words. */
export type Turning = { text: string; passed: number; failed: number; turns: Turned[] };
export type Turned = { name: string; file?: string; line?: number; before: string; after: string; because: string[] };
type Draft = { path: string; text: string };
/** Texts that somebody proposes for files, with what they would replace. */
type Proposed = { file: string; before: string; after: string };
export type Proposal = { because?: string; answer?: { repair?: { because?: string } }; texts: Proposed[] };
/** A finding that has a repair, by what names it, and what the repair does. */
export type Fixable = { code: string; object: string; path: string; does: string; safe: boolean };
/** `onDisk`: what came to the disk while somebody typed, until it is chosen what to keep. */
type Open = { saved: FileText; text: string; onDisk: FileText | null };

/** Whom a selector of a text means; `networks`: what a block of addresses holds. */
export type Selected = { policy: string; path: string; pods: readonly string[]; networks: readonly string[] };

/** What there is to say of the drafts. */
export type Progress = "saved" | "reading" | "invalid" | "judged" | "failed";

const PAUSE = 150;
const SLOW = 300;
const POINTED = 120;

export class Desk {
  readonly open = new Map<string, Open>();
  progress: Progress = "saved";
  /** Why the drafts could not be judged, where `progress` is "failed". */
  failure = "";
  /** Of the newest drafts that were judged; of texts that cannot be judged their problems. */
  problems: readonly Finding[] = [];
  /** The last drafts that could be judged. */
  last: Judged | null = null;
  /** What the last drafts do to the tests; null until it is known, and where there are none. */
  turning: Turning | null = null;
  /** In which order the last drafts can be applied; undefined until somebody asks, null if unknown. */
  order: ApplyOrder | null | undefined = undefined;
  ordering = false;
  /** Whom the selector means that is pointed at, and on which line. */
  selected: (Selected & { line: number }) | null = null;
  private pointing: { timer: number | undefined; asked: string; again: () => void } = { timer: undefined, asked: "", again: () => undefined };
  private listed: readonly string[] = [];
  /** What there is to say of each file. */
  private readonly notes = new Map<string, string>();
  private readonly tab = Array.from(crypto.getRandomValues(new Uint32Array(2)), String).join("-");
  private timer: number | undefined;
  private judging = false;
  private isOld = false;
  private saving: Promise<void> = Promise.resolve();

  constructor(
    private readonly server: Server,
    private readonly hasTests: boolean,
    private readonly changed: () => void,
  ) {
    addEventListener("beforeunload", (event) => {
      if (this.dirty.length > 0) event.preventDefault();
    });
  }

  get dirty(): string[] {
    return [...this.open].filter(([, each]) => each.text !== each.saved.text).map(([path]) => path);
  }

  /** The files of the input, and those that are only typed yet. */
  get files(): readonly string[] {
    const more = [...this.open.keys()].filter((path) => !this.listed.includes(path));
    return [...this.listed, ...more];
  }

  /** What there is to say of a file, "" for nothing. */
  said(path: string): string {
    const known = this.open.get(path);
    const isNew = known !== undefined && known.saved.digest === "" && known.onDisk === null;
    return this.notes.get(path) ?? (isNew ? `${path} is not on disk yet. Save makes it.` : "");
  }

  /** The input is another one: what is open is read again, what is typed stays. */
  async refresh(): Promise<void> {
    try {
      await this.list();
      for (const path of this.open.keys()) await this.reread(path);
    } catch {
      return; // the server is away; it is done once it is back
    }
    this.pointing.again(); // the same selector may mean others now
    this.changed();
    this.judgeSoon(0);
  }

  private async list(): Promise<void> {
    this.listed = (await this.server.get<{ files: string[] }>("files")).files;
  }

  private async reread(path: string): Promise<void> {
    const fresh = await this.fetch(path).catch((error: unknown) => {
      if (error instanceof Refused && error.status === 404) return { path, text: "", digest: "" };
      throw error;
    });
    const known = this.open.get(path);
    if (known === undefined || fresh.digest === known.saved.digest) return;
    if (known.text !== fresh.text && known.text !== known.saved.text) known.onDisk = fresh;
    else this.take(path, fresh);
  }

  /** The text of the disk takes the place of the typed one. */
  private take(path: string, fresh: FileText): void {
    if (fresh.digest === "") {
      this.open.delete(path);
      this.notes.set(path, `${path} is not on disk any more.`);
    } else {
      this.open.set(path, { saved: fresh, text: fresh.text, onDisk: null });
    }
  }

  private fetch(path: string): Promise<FileText> {
    return this.server.get<FileText>(`file?path=${encodeURIComponent(path)}`);
  }

  async read(path: string): Promise<void> {
    if (this.open.has(path)) return;
    try {
      const saved = await this.fetch(path);
      this.open.set(path, { saved, text: saved.text, onDisk: null });
      this.notes.delete(path);
    } catch (error) {
      this.notes.set(path, messageOf(error));
    }
    this.changed();
  }

  type(path: string, text: string): void {
    const known = this.open.get(path);
    if (known === undefined || known.text === text) return;
    known.text = text;
    this.notes.delete(path);
    this.judgeSoon(PAUSE);
    this.changed();
  }

  /** Typed text is thrown away. */
  revert(path: string): void {
    const known = this.open.get(path);
    if (known === undefined) return;
    this.take(path, known.onDisk ?? known.saved);
    this.judgeSoon(0);
    this.changed();
  }

  /** Typed text is to be saved over what came to the disk meanwhile. */
  keep(path: string): void {
    const known = this.open.get(path);
    if (known?.onDisk == null) return;
    known.saved = known.onDisk;
    known.onDisk = null;
    this.changed();
  }

  /** Saves one after the other: each has to know the digest that the one before has left. */
  save(path: string): Promise<void> {
    this.saving = this.saving.then(() => this.saveNow(path));
    return this.saving;
  }

  private async saveNow(path: string): Promise<void> {
    const known = this.open.get(path);
    if (known === undefined || known.text === known.saved.text) return;
    const { text } = known;
    try {
      known.saved = await this.server.ask<FileText>("PUT", "file", { path, text, digest: known.saved.digest });
      known.onDisk = null;
      this.notes.set(path, `${path} is saved.`);
    } catch (error) {
      if (error instanceof Refused && error.status === 409) {
        const onDisk = error.body as FileText;
        // An answer that got lost leaves the very text that was to be saved.
        if (onDisk.text === text && onDisk.digest !== "") known.saved = onDisk;
        else known.onDisk = onDisk;
        this.notes.delete(path);
      } else {
        this.notes.set(path, `${path} is not saved: ${messageOf(error)}`);
      }
    }
    this.judgeSoon(0);
    this.changed();
  }

  complete = (text: string, line: number, column: number, signal: AbortSignal): Promise<Completions> =>
    this.server.ask<Completions>("POST", "complete", { text, line, column }, signal);

  /** A line is pointed at, by the pointer or the cursor. */
  point = (path: string, line: number): void => {
    const text = this.open.get(path)?.text ?? "";
    const asked = `${line} ${text}`;
    if (asked === this.pointing.asked) return;
    clearTimeout(this.pointing.timer);
    const ask = async (): Promise<void> => {
      const found = await this.server.ask<{ selected: Selected | null }>("POST", "select", { text, line }).catch(() => null);
      if (this.pointing.asked !== asked || found === null) return; // another line is pointed at, or nobody answers
      this.selected = found.selected && { ...found.selected, line };
      this.changed();
    };
    this.pointing = { asked, timer: setTimeout(() => void ask(), POINTED), again: () => void ask() };
  };

  private judgeSoon(pause: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.judge(), pause);
  }

  /** One question at a time: what is typed meanwhile is asked next, so nothing older can overtake it,
   * however long the server needs. */
  private async judge(): Promise<void> {
    this.isOld = true;
    if (this.judging) return;
    this.judging = true;
    while (this.isOld) {
      this.isOld = false;
      const files = this.drafts;
      await this.judgeOnce(files);
      if (!this.isOld && this.hasTests && this.progress === "judged") await this.judgeTests(files);
    }
    this.judging = false;
  }

  private get drafts(): Draft[] {
    return this.dirty.map((path) => ({ path, text: this.open.get(path)!.text }));
  }

  private async judgeOnce(files: readonly Draft[]): Promise<void> {
    if (files.length === 0) {
      this.settle("saved", [], null);
      return;
    }
    const slow = setTimeout(() => {
      this.progress = "reading";
      this.changed();
    }, SLOW);
    try {
      const found = await this.server.ask<Judged>("POST", "evaluate", { tab: this.tab, files });
      if (this.isOld) return;
      if (found.plan === undefined) this.settle("invalid", found.problems, this.last);
      else this.settle("judged", found.problems, found);
    } catch (error) {
      if (this.isOld) return;
      this.failure = messageOf(error);
      this.settle("failed", [], this.last);
    } finally {
      clearTimeout(slow);
    }
  }

  /** Tests take longer than policies, so they are asked for once those are judged. */
  private async judgeTests(files: readonly Draft[]): Promise<void> {
    const found = await this.server
      .ask<Judged>("POST", "evaluate", { tab: this.tab, files, also: ["tests"] })
      .catch(() => null); // the next drafts ask again
    if (this.isOld || found === null) return;
    this.turning = found.tests ?? null;
    this.changed();
  }

  /** Works out in which order the drafts can be applied. */
  async findOrder(): Promise<void> {
    const before = this.last;
    this.ordering = true;
    this.changed();
    try {
      const found = await this.server.ask<Judged>("POST", "evaluate", { tab: `${this.tab}-order`, files: this.drafts, also: ["order"] });
      if (this.last === before && found.plan !== undefined) this.order = found.plan.order ?? null;
    } catch (error) {
      this.failure = messageOf(error);
      this.progress = "failed";
    }
    this.ordering = false;
    this.changed();
  }

  fixes = async (): Promise<readonly Fixable[]> => (await this.server.get<{ fixes: Fixable[] }>("fixes")).fixes;

  /** Types what is proposed; the position of its first line. Throws why there is nothing. `question`: what is
   * asked for a proposal, as an address: `allow?from=…`, `fix?code=…`. */
  propose = async (question: string): Promise<{ file: string; line: number }> => {
    const { because, answer, texts } = await this.server.get<Proposal>(question);
    if (texts.length === 0) throw new Error((because || answer?.repair?.because) ?? "it is already allowed");
    for (const { file } of texts) await this.read(file);
    // Nothing is awaited from here on: what somebody types while a file is read is seen, and kept.
    for (const { file, before } of texts) this.requireText(file, plain(before));
    for (const { file, after } of texts) this.type(file, plain(after));
    const [first] = texts;
    return { file: first!.file, line: firstDifference(plain(first!.before), plain(first!.after)) };
  };

  begin = async (name: string, text: string): Promise<{ file: string; line: number }> => {
    // Who is quick asks for it before the page has heard of any file.
    if (this.listed.length === 0) await this.list();
    const [first = ""] = this.listed;
    const file = first.slice(0, first.lastIndexOf("/") + 1) + name;
    await this.read(file);
    const known = this.open.get(file);
    if (known === undefined) throw new Error(this.said(file));
    if (known.saved.digest !== "" || known.text !== "") throw new Error(`${file} already has text`);
    this.type(file, text);
    return { file, line: 1 };
  };

  /** Throws where the text of a file that is to be typed over is not what is expected. */
  private requireText(file: string, expected: string): void {
    const known = this.open.get(file);
    if (known === undefined) throw new Error(this.said(file));
    if (known.text !== known.saved.text) throw new Error(`${file} has text that is not saved; save it or undo it first`);
    if (known.text !== expected) throw new Error(`${file} has changed meanwhile; ask again`);
  }

  private settle(progress: Progress, problems: readonly Finding[], last: Judged | null): void {
    this.progress = progress;
    this.problems = problems;
    if (last !== this.last) {
      this.turning = null;
      this.order = undefined;
    }
    this.last = last;
    this.changed();
  }
}

/** With the line ends of the editor, whatever those of the file. */
const plain = (text: string): string => text.replaceAll("\r\n", "\n");

/** The number of the first line by which two texts differ, from 1. */
function firstDifference(one: string, other: string): number {
  const [before, after] = [one.split("\n"), other.split("\n")];
  return 1 + after.findIndex((line, at) => line !== before[at]);
}
