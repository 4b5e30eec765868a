// A button that has an edit typed into the editor, which shows what it opens; nothing is saved.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Fixable } from "../desk";
import { messageOf } from "../failure";
import { go, type Route } from "../location";
import { visibleText } from "../visible";

/** Who types what is proposed. `question`: as an address asks a server for it; throws why nothing is. */
export type Proposals = {
  propose: (question: string) => Promise<{ file: string; line: number }>;
  /** The findings that have a repair. */
  fixes: () => Promise<readonly Fixable[]>;
  /** Types the text of a new file beside those that are there, and says where. Throws why it cannot. */
  begin: (name: string, text: string) => Promise<{ file: string; line: number }>;
};

type Props = { question: string; route: Route; proposals: Proposals; children: ComponentChildren };

export function Propose({ question, proposals, ...more }: Props) {
  return <Typed {...more} type={() => proposals.propose(question)} />;
}

type TypedProps = { type: () => Promise<{ file: string; line: number }>; route: Route; children: ComponentChildren };

/** A button by which `type` types something, and that leads to it. */
export function Typed({ type, route, children }: TypedProps) {
  const [said, setSaid] = useState("");
  const propose = (): void => {
    setSaid("Looking for the edit …");
    type().then(
      ({ file, line }) => {
        setSaid("");
        go(route, { file, line: String(line) }, "edit");
      },
      (error: unknown) => setSaid(`No edit is proposed: ${messageOf(error)}`),
    );
  };
  return (
    <>
      <button type="button" onClick={propose}>
        {children}
      </button>{" "}
      <span role="status">{visibleText(said)}</span>
    </>
  );
}
