// The texts that are open, what is typed and not saved, and what comes of it. Outlives the page of the
// editor, so going to the map loses nothing.

import type { Completions } from "./editorscript";
import type { Finding } from "./schema";
import { Refused, type Server } from "./server";
import type { Plan } from "./unpack";

export type FileText = { path: string; text: string; digest: string };
export type Judged = { problems: Finding[]; plan?: Plan; text?: string; ms: number; revision: string };
type Open = { saved: FileText; text: string; onDisk: FileText | null };

/** What there is to say of the drafts. */
export type Standing = "saved" | "reading" | "invalid" | "judged" | "failed";

const PAUSE = 150;
const SLOW = 300;

export class Desk {
  files: readonly string[] = [];
  readonly open = new Map<string, Open>();
  standing: Standing = "saved";
  /** Of the newest drafts that were judged; of texts that cannot be judged their problems. */
  problems: readonly Finding[] = [];
  /** The last drafts that could be judged. */
  last: Judged | null = null;
  said = "";
  private readonly tab = Array.from(crypto.getRandomValues(new Uint32Array(2)), String).join("-");
  private timer: number | undefined;
  private newest = 0;

  constructor(
    private readonly server: Server,
    private readonly changed: () => void,
  ) {
    addEventListener("beforeunload", (event) => {
      if (this.dirty.length > 0) event.preventDefault();
    });
  }

  get dirty(): string[] {
    return [...this.open].filter(([, each]) => each.text !== each.saved.text).map(([path]) => path);
  }

  /** The input is another one: what is open is read again, what is typed stays. */
  async refresh(): Promise<void> {
    this.files = (await this.server.get<{ files: string[] }>("files")).files;
    for (const path of this.open.keys()) await this.reread(path).catch(() => undefined);
    this.changed();
    this.judgeSoon(0);
  }

  private async reread(path: string): Promise<void> {
    const fresh = await this.fetch(path);
    const known = this.open.get(path);
    if (known === undefined || fresh.digest === known.saved.digest) return;
    if (known.text === fresh.text || known.text === known.saved.text) {
      this.open.set(path, { saved: fresh, text: fresh.text, onDisk: null });
    } else {
      known.onDisk = fresh;
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
      if (!this.files.includes(path)) this.files = [...this.files, path];
      this.said = "";
    } catch (error) {
      this.said = words(error);
    }
    this.changed();
  }

  type(path: string, text: string): void {
    const known = this.open.get(path);
    if (known === undefined || known.text === text) return;
    known.text = text;
    this.judgeSoon(PAUSE);
    this.changed();
  }

  /** Typed text is thrown away. */
  revert(path: string): void {
    const known = this.open.get(path);
    if (known === undefined) return;
    const saved = known.onDisk ?? known.saved;
    this.open.set(path, { saved, text: saved.text, onDisk: null });
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

  async save(path: string): Promise<void> {
    const known = this.open.get(path);
    if (known === undefined || known.text === known.saved.text) return;
    const { text } = known;
    try {
      const saved = await this.server.ask<FileText>("PUT", "file", { path, text, digest: known.saved.digest });
      known.saved = saved;
      known.onDisk = null;
      this.said = `${path} is saved.`;
    } catch (error) {
      if (error instanceof Refused && error.status === 409) {
        known.onDisk = error.body as FileText;
        this.said = "";
      } else {
        this.said = words(error);
      }
    }
    this.judgeSoon(0);
    this.changed();
  }

  complete = (text: string, line: number, column: number): Promise<Completions> =>
    this.server.ask<Completions>("POST", "complete", { text, line, column });

  private judgeSoon(pause: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.judge(), pause);
  }

  private async judge(): Promise<void> {
    const mine = (this.newest += 1);
    const files = this.dirty.map((path) => ({ path, text: this.open.get(path)!.text }));
    if (files.length === 0) {
      this.settle("saved", [], null);
      return;
    }
    const slow = setTimeout(() => {
      this.standing = "reading";
      this.changed();
    }, SLOW);
    try {
      const found = await this.server.ask<Judged>("POST", "evaluate", { tab: this.tab, files });
      if (mine !== this.newest) return;
      if (found.plan === undefined) this.settle("invalid", found.problems, this.last);
      else this.settle("judged", found.problems, found);
    } catch (error) {
      if (mine !== this.newest || (error instanceof Refused && error.status === 409)) return;
      this.said = words(error);
      this.settle("failed", [], this.last);
    } finally {
      clearTimeout(slow);
    }
  }

  private settle(standing: Standing, problems: readonly Finding[], last: Judged | null): void {
    this.standing = standing;
    this.problems = problems;
    this.last = last;
    this.changed();
  }
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
