// A file and, beside it, what the edit opens and closes before it is saved.

import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Desk, Selected } from "../desk";
import { type Editor, editorScript } from "../editorscript";
import { openGroups } from "../layout";
import { go, linkTo, type Route } from "../location";
import { outside, type Turns } from "../turns";
import { count, visible, visibleText } from "../visible";
import type { World } from "../world";
import { Matrix } from "./Matrix";
import { ThisEdit } from "./ThisEdit";

type Props = { desk: Desk; route: Route; world: World; turns: Turns; theme: string };

export function Edit({ desk, route, world, turns, theme }: Props) {
  const path = route.asked.get("file") ?? desk.files[0] ?? "";
  const open = desk.open.get(path);
  const compares = route.asked.get("diff") === "1" || open?.onDisk != null;
  useEffect(() => {
    if (path !== "") void desk.read(path);
  }, [desk, path]);
  return (
    <div class="edit">
      <Files {...{ desk, route, path }} />
      <section class="text" aria-label={`Text of ${visibleText(path)}`}>
        <header>
          <h2>
            {visibleText(path)} {desk.dirty.includes(path) && <span class="chip">not saved</span>}
          </h2>
          <span class="actions">
            <button type="button" disabled={!desk.dirty.includes(path) || open?.onDisk != null} onClick={() => void desk.save(path)}>
              Save
            </button>
            <button type="button" class="quiet" disabled={!desk.dirty.includes(path)} onClick={() => desk.revert(path)}>
              Undo all
            </button>
            <a href={linkTo(route, { diff: route.asked.get("diff") === "1" ? "" : "1" })}>
              {route.asked.get("diff") === "1" ? "Hide differences" : "Differences"}
            </a>
          </span>
        </header>
        {open?.onDisk != null && <Conflict {...{ desk, path }} gone={open.onDisk.digest === ""} />}
        <p class="said" role="status">
          {visibleText(desk.said(path))}
        </p>
        {open !== undefined && <Text {...{ desk, path }} text={open.text} original={compares ? (open.onDisk ?? open.saved).text : null} line={Number(route.asked.get("line") ?? 0)} />}
      </section>
      <ThisEdit {...{ desk, route, world }} />
      <EditedMap {...{ world, route, turns, theme }} selected={desk.selected} />
    </div>
  );
}

/** The map below the text: what is typed is marked in its cells. */
function EditedMap({ world, route, turns, theme, selected }: Omit<Props, "desk"> & { selected: Selected | null }) {
  const lit = useMemo(() => (selected === null ? NOBODY : endpointsOf(world, selected)), [world, selected]);
  const shown = useMemo(() => [...world.endpoints.keys()], [world]);
  const asked = route.asked.get("open");
  const open = useMemo(() => openGroups(world, asked, shown.length), [world, asked, shown.length]);
  if (world.size === 0) return null;
  return (
    <section class="edited-map" aria-label="The map with what is typed">
      <Matrix {...{ world, route, shown, open, theme, turns }} port={null} chosen={null} page="map" compact lit={lit} />
    </section>
  );
}

const NOBODY: ReadonlySet<number> = new Set();

/** The lines of the map that a selector means. */
function endpointsOf(world: World, { pods, networks }: Selected): ReadonlySet<number> {
  const wanted = new Set(pods);
  const found = outside(world, networks);
  for (const [number, { namespace, pods: own }] of world.endpoints.entries()) {
    if (namespace !== undefined && own?.some((pod) => wanted.has(`${world.namespaces[namespace]!}/${pod}`))) found.push(number);
  }
  return new Set(found);
}

function Conflict({ desk, path, gone }: { desk: Desk; path: string; gone: boolean }) {
  return (
    <div class="banner" role="alert">
      {gone ? (
        <>
          <strong>The file is not on disk any more.</strong> It was deleted or renamed after you opened it. Your text is
          kept here until you choose.{" "}
        </>
      ) : (
        <>
          <strong>The file has changed on disk since you opened it.</strong> Lines in red, struck through, are only on
          disk; lines in green are only in your text.{" "}
        </>
      )}
      <button type="button" onClick={() => desk.revert(path)}>
        {gone ? "Give up my text" : "Take the file"}
      </button>{" "}
      <button type="button" onClick={() => desk.keep(path)}>
        Keep my text
      </button>
    </div>
  );
}

function Files({ desk, route, path }: { desk: Desk; route: Route; path: string }) {
  const asked = (route.asked.get("q") ?? "").toLowerCase();
  const dirty = new Set(desk.dirty);
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const shown = desk.files.filter((each) => each.toLowerCase().includes(asked));
  return (
    <nav class="files" aria-label="Files">
      {shown.slice(0, MOST).map((each) => (
        <a key={each} href={linkTo(route, { file: each, line: "", diff: "" })} aria-current={each === path ? "page" : undefined}>
          {visibleText(each)}
          {dirty.has(each) && <span class="dirty"> ● not saved</span>}
        </a>
      ))}
      {shown.length > MOST && <p class="count">{count(shown.length - MOST, "more file")}; search for one.</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const { value } = event.currentTarget.elements.namedItem("name") as HTMLInputElement;
          if (value !== "") go(route, { file: folder + value, line: "", diff: "" });
        }}
      >
        <label>
          <span class="hidden">Name of a new file</span>
          <input name="name" placeholder="new.yaml" autocomplete="off" title={`A file in ${visibleText(folder) || "this folder"}; it is made when it is saved`} />
        </label>{" "}
        <button type="submit">New file</button>
      </form>
    </nav>
  );
}

const MOST = 300;

type TextProps = { desk: Desk; path: string; text: string; original: string | null; line: number };

function Text({ desk, path, text, original, line }: TextProps) {
  const parent = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  useEffect(() => {
    const made = editorScript()?.open({
      parent: parent.current!,
      nonce: document.getElementById("app")?.dataset.nonce ?? "",
      typed: (file, now) => desk.type(file, now),
      save: (file) => void desk.save(file),
      complete: desk.complete,
      pointed: desk.point,
    });
    editor.current = made ?? null;
    return () => made?.close();
  }, [desk]);
  // The text of now, not that of when this was drawn: more may have been typed meanwhile.
  useEffect(() => editor.current?.show(path, desk.open.get(path)?.text ?? text), [path, text]);
  useEffect(() => editor.current?.compare(original), [path, original]);
  useEffect(() => {
    if (line > 0) editor.current?.goTo(line);
  }, [path, line]);
  useEffect(() => {
    const here = desk.problems.filter((each) => each.file === path && each.line !== undefined);
    editor.current?.mark(
      here.map((each) => ({
        line: each.line!,
        column: each.column ?? 1,
        severity: each.severity === "error" || each.severity === "warning" ? each.severity : "info",
        text: `${each.code}: ${visible(each.message)}`,
      })),
    );
  }, [path, desk.problems]);
  return <div class="editor" ref={parent} />;
}
