// What a change opens and closes, and which edit does it: the answer of `podfence plan`.

import { matches, searchWords } from "../filter";
import { linkTo, type Route } from "../location";
import type { Plan, PlanEdit, PlanOutcome } from "../unpack";
import { count, visible, visibleText } from "../visible";
import { firstNames } from "../words";
import type { World } from "../world";
import { Order } from "./Order";
import { Wide } from "./Wide";
import { useMost } from "./most";

export function PlanPage({ plan, route, world }: { plan: Plan; route: Route; world: World }) {
  const { summary } = plan;
  const asked = searchWords(route.asked.get("q") ?? "");
  const wanted = (outcome: PlanOutcome): boolean =>
    matches([...outcome.from, ...outcome.to].join(" "), asked);
  const silent = plan.edits.length - summary.edits;
  return (
    <div class="plan">
      <h2>The change</h2>
      <p class="count">
        <span class="opens">+ {count(summary.opened, "pair")} opened</span>{" "}
        <span class="closes">− {count(summary.closed, "pair")} closed</span> by {count(summary.edits, "edit")}
        {silent > 0 && `; ${count(silent, "edit")} more without effect`}
      </p>
      {!plan.changes && <p class="plain">No verdict changes, for existing pods and pods to come.</p>}
      {plan.undecided.length > 0 && (
        <p class="banner">Not certain, because an object could not be read: {plan.undecided.map(visible).join(", ")}.</p>
      )}
      <Outcomes title="For existing pods" outcomes={plan.outcomes.filter(wanted)} {...{ plan, route, world }} />
      <Outcomes title="For pods to come" outcomes={plan.newcomers.filter(wanted)} {...{ plan, route, world }} />
      {plan.newcomers.length > 0 && (
        <p class="remark">shop/+ is a new pod without labels in shop; +/+ one in a new namespace.</p>
      )}
      <Names title="Arrives" names={plan.arrives} />
      <Names title="Leaves" names={plan.leaves} />
      <h3>
        Edits <small>{plan.edits.length}</small>
      </h3>
      <Edits edits={plan.edits} />
      {plan.order !== undefined && (
        <section>
          <h3>Safe order</h3>
          <Order order={plan.order} />
        </section>
      )}
    </div>
  );
}

const FIRST = 50;

type OutcomesProps = { title: string; outcomes: readonly PlanOutcome[]; plan: Plan; route: Route; world: World };

function Outcomes({ title, outcomes, plan: { edits }, route, world }: OutcomesProps) {
  const [shown, more] = useMost(outcomes, FIRST, 500);
  if (outcomes.length === 0) return null;
  return (
    <section>
      <h3>
        {title} <small>{outcomes.length}</small>
      </h3>
      <Wide label={title} columns={["From", "To", "Change", "By"]}>
        <tbody>
          {shown.map((each, at) => (
            <tr key={at}>
              <td>{firstNames(each.from)}</td>
              <td>{firstNames(each.to)}</td>
              <td>
                <PairLink {...{ outcome: each, route, world }} />
                {each.opened.length > 0 && <div class="opens">+ opens {each.opened.join(" ")}</div>}
                {each.closed.length > 0 && <div class="closes">− closes {each.closed.join(" ")}</div>}
                {each.family && <small>over {each.family}</small>}
              </td>
              <td>
                {each.blame.edits.map((id) => (
                  <div key={id}>
                    <a href={`#edit-${id}`} onClick={(event) => show(event, id)}>
                      {editName(edits.find((edit) => edit.id === id))}
                    </a>
                  </div>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </Wide>
      {more}
    </section>
  );
}

/** To the reason, where an outcome is about one pair of the map. */
function PairLink({ outcome: { from, to }, route, world }: { outcome: PlanOutcome; route: Route; world: World }) {
  const isPair = from.length === 1 && to.length === 1 && world.byName.has(from[0]!) && world.byName.has(to[0]!);
  return isPair ? <a href={linkTo(route, { pair: `${from[0]}~${to[0]}` }, "map")}>why</a> : null;
}

/** Addresses of the page hold its state, so a jump inside it must not change them. */
function show(event: MouseEvent, id: number): void {
  event.preventDefault();
  const element = document.getElementById(`edit-${id}`);
  element?.scrollIntoView({ block: "center" });
  element?.focus();
}

function editName(edit: PlanEdit | undefined): string {
  if (edit === undefined) return "";
  const name = edit.namespace ? `${edit.namespace}/${edit.name}` : edit.name;
  return visible(edit.kind === "NetworkPolicy" ? name : `${edit.kind} ${name}`);
}

function Names({ title, names }: { title: string; names: readonly string[] }) {
  if (names.length === 0) return null;
  return (
    <section>
      <h3>
        {title} <small>{names.length}</small>
      </h3>
      <p>{firstNames(names)}</p>
    </section>
  );
}

function Edits({ edits }: { edits: readonly PlanEdit[] }) {
  const [shown, more] = useMost(edits, 200, 1000);
  return (
    <>
      <ul class="edits">
        {shown.map((edit) => (
          <li key={edit.id} id={`edit-${edit.id}`} tabIndex={-1}>
            <strong>{editName(edit)}</strong> <span class="chip">{edit.change}</span>
            <ul>
              {edit.fields.map((field, at) => (
                <li key={at} class={field.side === "new" ? "opens" : "closes"}>
                  {field.side === "new" ? "+" : "−"} {visibleText(field.words)}{" "}
                  {!field.words.startsWith(field.path) && <code>{visible(field.path)}</code>}
                  {field.file !== undefined && (
                    <span class="file">
                      {visibleText(field.file)}:{field.line}
                    </span>
                  )}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
      {more}
    </>
  );
}
