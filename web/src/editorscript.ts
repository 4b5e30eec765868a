// What the page and the script of the editor know of one another.

export type Marked = { line: number; column: number; severity: "error" | "warning" | "info"; text: string };

export type Completions = { from: number; options: { label: string; detail: string; weight: number }[] };

export type EditorOptions = {
  parent: HTMLElement;
  nonce: string;
  typed: (path: string, text: string) => void;
  save: (path: string) => void;
  /** The line under the pointer, else that of the cursor. */
  pointed: (path: string, line: number) => void;
  complete: (text: string, line: number, column: number, signal: AbortSignal) => Promise<Completions>;
};

export interface Editor {
  /** Another text, or the same one as it is now; each keeps its own undo. */
  show(path: string, text: string): void;
  mark(marks: readonly Marked[]): void;
  goTo(line: number): void;
  /** With what differs from another text marked; null: without. */
  compare(original: string | null): void;
  close(): void;
}

export type EditorScript = { open: (options: EditorOptions) => Editor };

export const editorScript = (): EditorScript | undefined =>
  (globalThis as { podfenceEditor?: EditorScript }).podfenceEditor;
