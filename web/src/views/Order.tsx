// In which order the edits of a change can be applied.

import { count, visible, visibleText } from "../visible";
import { Copied } from "./AsText";
import type { ApplyOrder, ApplyStep } from "../unpack";

/** `order`: null where it was not worked out. */
export function Order({ order }: { order: ApplyOrder | null }) {
  if (order === null) return <p class="plain">There is no order: too much to try, or part of the input could not be read.</p>;
  if (order.steps.length === 0) return <p class="plain">There is nothing to apply.</p>;
  return (
    <>
      <p>
        {order.safe
          ? "In this order, no intermediate state cuts or opens more."
          : "No order is safe at every step; this one does the least harm."}
      </p>
      <ol class="order">
        {order.steps.map((step, at) => (
          <li key={at}>
            {step.verb} {visible(step.kind)} <strong>{visible(step.namespace ? `${step.namespace}/${step.name}` : step.name)}</strong>
            {step.temporary && " (temporary)"}
            {harm(step)}
          </li>
        ))}
      </ol>
      <Commands steps={order.steps} />
      {order.temporary.length > 0 && (
        <details>
          <summary>The temporary {count(order.temporary.length, "policy", "policies")}</summary>
          <pre tabIndex={0}>{order.temporary.map((each) => visibleLines(JSON.stringify(each, null, 2))).join("---\n")}</pre>
        </details>
      )}
    </>
  );
}

/** The steps for a shell, one after the other; nothing of it is run from here. */
function Commands({ steps }: { steps: readonly ApplyStep[] }) {
  const known = steps.filter((step) => step.command !== undefined);
  if (known.length === 0) return null;
  const text = known.map((step) => step.command!.split("\n").map(visibleText).join("\n")).join("\n");
  return (
    <details class="as-test">
      <summary>As kubectl commands</summary>
      {known.length < steps.length && <p>{count(steps.length - known.length, "step")} have no manifest and are left out.</p>}
      <Copied text={text} />
    </details>
  );
}

const visibleLines = (text: string): string => text.split("\n").map((line) => `${visible(line)}\n`).join("");

function harm({ cuts, opens }: ApplyStep): string {
  const said = [cuts > 0 && `cuts ${count(cuts, "pair")}`, opens > 0 && `opens ${count(opens, "pair")}`].filter(Boolean);
  return said.length === 0 ? "" : `: ${said.join(" and ")} until later steps`;
}
