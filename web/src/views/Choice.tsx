// A choice of several out of many, folded away behind what is chosen.

import { useEffect, useRef, useState } from "preact/hooks";
import { matches, searchWords } from "../filter";
import { useMost } from "./most";

/** `words`: as it is shown; `note`: beside it. */
export type Option = { name: string; words: string; note?: string };

type Props = {
  /** What is chosen from. */
  label: string;
  /** What is chosen now, in words. */
  said: string;
  /** Asked for when somebody looks. */
  options: () => readonly Option[];
  chosen: readonly string[];
  choose: (names: readonly string[]) => void;
};

const SEARCHED_FROM = 12;

export function Choice({ label, said, options, chosen, choose }: Props) {
  const box = useRef<HTMLDetailsElement>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    const pressed = (event: PointerEvent): void => {
      if (!box.current!.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", pressed);
    return () => removeEventListener("pointerdown", pressed);
  }, [open]);
  const close = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    setOpen(false);
    box.current!.querySelector("summary")!.focus();
  };
  return (
    <details class="choice" ref={box} open={open} onToggle={() => setOpen(box.current!.open)} onKeyDown={close}>
      <summary>
        {label} <span class="chosen">{said}</span>
      </summary>
      {open && <Options {...{ label, options, chosen, choose }} />}
    </details>
  );
}

function Options({ label, options, chosen, choose }: Omit<Props, "said">) {
  const [all] = useState(options);
  const [query, setQuery] = useState("");
  const asked = searchWords(query);
  const [shown, more] = useMost(
    all.filter(({ words }) => matches(words, asked)),
    100,
    1000,
  );
  const toggle = (name: string, on: boolean): void => choose(on ? [...chosen, name] : chosen.filter((each) => each !== name));
  return (
    <div class="choices" role="group" aria-label={label}>
      {all.length >= SEARCHED_FROM && (
        <input type="search" aria-label={`Search ${label.toLowerCase()}`} placeholder="Search" value={query} onInput={(event) => setQuery(event.currentTarget.value)} />
      )}
      <ul>
        {shown.map(({ name, words, note }) => (
          <li key={name}>
            <label>
              <input type="checkbox" checked={chosen.includes(name)} onChange={(event) => toggle(name, event.currentTarget.checked)} /> {words}
              {note !== undefined && <small> {note}</small>}
            </label>
          </li>
        ))}
      </ul>
      {more}
      {chosen.length > 0 && (
        <button type="button" class="quiet" onClick={() => choose([])}>
          Clear
        </button>
      )}
    </div>
  );
}
