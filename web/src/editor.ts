// The editor of a text, as a script of its own: a page that only shows does not load it. Nothing is
// known here of policies; marks and completions come from outside.

import { autocompletion, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { unifiedMergeView } from "@codemirror/merge";
import { search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Editor, EditorOptions, EditorScript, Marked } from "./editorscript";

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--key)" },
  { tag: tags.comment, color: "var(--comment)", fontStyle: "italic" },
  { tag: [tags.string, tags.number, tags.bool, tags.null, tags.content], color: "var(--ink)" },
  { tag: [tags.punctuation, tags.separator, tags.meta], color: "var(--quiet)" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", fontSize: "14px", backgroundColor: "var(--paper)", color: "var(--ink)" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--ground)", color: "var(--quiet)", borderRight: "1px solid var(--rule)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--near)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--paper)", color: "var(--ink)", borderColor: "var(--rule)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--link)", color: "var(--paper)" },
  ".cm-completionDetail": { fontStyle: "normal", opacity: "0.85", marginLeft: "1.2em" },
  ".cm-specialChar": { color: "var(--no)" },
  ".cm-changedLine, .cm-insertedLine": { backgroundColor: "color-mix(in srgb, var(--yes) 14%, transparent)" },
  ".cm-deletedChunk": { backgroundColor: "color-mix(in srgb, var(--no) 12%, transparent)" },
  ".cm-deletedChunk .cm-deletedLine": { textDecoration: "line-through" },
});

/** The texts that were shown before, each with its undo: they outlive a view, so that going to the
 * map and back loses nothing. */
const states = new Map<string, EditorState>();
const compared = new Compartment();

class View implements Editor {
  private readonly view: EditorView;
  private path = "";

  constructor(private readonly options: EditorOptions) {
    this.view = new EditorView({
      parent: options.parent,
      state: EditorState.create({ extensions: [EditorView.cspNonce.of(options.nonce)] }),
      dispatchTransactions: (transactions, view) => {
        view.update(transactions);
        if (transactions.some((each) => each.docChanged)) options.typed(this.path, view.state.doc.toString());
        if (transactions.some((each) => each.docChanged || each.selection !== undefined)) this.tellCursor();
      },
    });
  }

  private tellCursor(): void {
    const { doc, selection } = this.view.state;
    this.options.pointed(this.path, doc.lineAt(selection.main.head).number);
  }

  private readonly underPointer = EditorView.domEventHandlers({
    mousemove: (event, view) => {
      const at = view.posAtCoords({ x: event.clientX, y: event.clientY });
      if (at !== null) this.options.pointed(this.path, view.state.doc.lineAt(at).number);
    },
    mouseleave: () => this.tellCursor(),
  });

  private fresh(path: string, text: string): EditorState {
    const { nonce, save, complete } = this.options;
    return EditorState.create({
      doc: text,
      extensions: [
        EditorView.cspNonce.of(nonce),
        EditorView.contentAttributes.of({ "aria-label": `Text of ${path}`, spellcheck: "false", tabindex: "0" }),
        lineNumbers(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        highlightSpecialChars({ addSpecialChars: /[\u2066-\u2069\u202a-\u202e\u200b-\u200f\ufeff]/g }),
        history(),
        indentOnInput(),
        bracketMatching(),
        yaml(),
        syntaxHighlighting(colours),
        lintGutter(),
        search({ top: true }),
        autocompletion({ override: [(context) => completed(context, complete)], activateOnTyping: true }),
        // Tab is not bound: the keyboard gets out of the editor by it.
        keymap.of([
          { key: "Mod-s", preventDefault: true, run: () => (save(this.path), true) },
          ...completionKeymap,
          ...historyKeymap,
          ...searchKeymap,
          ...lintKeymap,
          ...defaultKeymap,
        ]),
        compared.of([]),
        this.underPointer,
        theme,
      ],
    });
  }

  show(path: string, text: string): void {
    if (path !== this.path) {
      this.keep();
      this.path = path;
      this.view.setState(states.get(path) ?? this.fresh(path, text));
      this.tellCursor();
    }
    const now = this.view.state.doc.toString();
    if (now !== text) this.view.dispatch({ changes: { from: 0, to: now.length, insert: text } });
  }

  mark(marks: readonly Marked[]): void {
    const { doc } = this.view.state;
    const found = marks.map(({ line, column, severity, text }): Diagnostic => {
      const at = doc.line(Math.min(Math.max(1, line), doc.lines));
      const from = Math.min(at.from + Math.max(0, column - 1), at.to);
      const word = /^\S+/.exec(at.text.slice(from - at.from))?.[0].length ?? 0;
      return { from, to: from + word, severity, message: text };
    });
    this.view.dispatch(setDiagnostics(this.view.state, found));
  }

  goTo(line: number): void {
    const at = this.view.state.doc.line(Math.min(Math.max(1, line), this.view.state.doc.lines));
    this.view.dispatch({ selection: { anchor: at.from }, effects: EditorView.scrollIntoView(at.from, { y: "center" }) });
    this.view.focus();
  }

  compare(original: string | null): void {
    const extension = original === null ? [] : unifiedMergeView({ original, mergeControls: false });
    this.view.dispatch({ effects: compared.reconfigure(extension) });
  }

  private keep(): void {
    if (this.path !== "") states.set(this.path, this.view.state);
  }

  close(): void {
    this.keep();
    this.view.destroy();
  }
}

async function completed(context: CompletionContext, ask: EditorOptions["complete"]): Promise<CompletionResult | null> {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  if (!context.explicit && /^\s*(?:- )*$|#/.test(before)) return null;
  const ending = new AbortController();
  context.addEventListener("abort", () => ending.abort());
  const asked = ask(context.state.doc.toString(), line.number, before.length, ending.signal);
  const found = await asked.catch(() => null); // more was typed, or nobody answers
  if (found === null || found.options.length === 0) return null;
  const options = found.options.map(({ label, detail, weight }) => ({ label, detail, boost: Math.min(99, weight) }));
  return { from: line.from + found.from, options, validFor: /^[\w./-]*$/ };
}

const script: EditorScript = { open: (options) => new View(options) };
Object.assign(globalThis, { podfenceEditor: script });
