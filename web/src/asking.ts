// One question of a person: may this reach that on a port, and why.

import type { Rules } from "./schema";
import { relative } from "./unpack";
import { Engine, type Decision, type Direction, type PolicyLook } from "./why";
import type { World } from "./world";

export type DirectionAnswer = {
  direction: Direction;
  /** The endpoint whose policies are asked. */
  subject: number;
  decision: Decision;
  looks: PolicyLook[];
};

export type Answer = {
  family: number;
  allowed: boolean;
  egress: DirectionAnswer;
  ingress: DirectionAnswer;
};

export class Asking {
  readonly engine: Engine;
  private readonly selectingOf: number[][];

  constructor(
    readonly world: World,
    readonly rules: Rules,
  ) {
    this.engine = new Engine(rules);
    this.selectingOf = world.endpoints.map(() => []);
    rules.policies.forEach((_, number) => {
      for (const endpoint of this.selected(number)) this.selectingOf[endpoint]!.push(number);
    });
  }

  /** The endpoints that a policy selects. */
  selected(policy: number): number[] {
    return relative(this.rules.policies[policy]!.selected);
  }

  /** The policies that select an endpoint. */
  selecting(endpoint: number): readonly number[] {
    return this.selectingOf[endpoint]!;
  }

  /** The answer in every IP version that the two share. */
  ask(from: number, to: number, portIndex: number): Answer[] {
    return this.world.families(from, to).map((family) => {
      const egress = this.direction("egress", from, to, family, portIndex);
      const ingress = this.direction("ingress", to, from, family, portIndex);
      const allowed = egress.decision.allowed && ingress.decision.allowed;
      return { family, allowed, egress, ingress };
    });
  }

  private direction(
    direction: Direction,
    subject: number,
    other: number,
    family: number,
    portIndex: number,
  ): DirectionAnswer {
    const { endpoints } = this.world;
    const near = this.world.classIn(subject, family);
    const far = this.world.classIn(other, family);
    const decision: Decision =
      subject === other && endpoints[subject]!.pods?.length === 1
        ? { allowed: true, reason: "self", origins: [] }
        : this.engine.decide(near, direction, far, family, portIndex);
    const looks = this.engine.looks(near, direction, far, family, portIndex, this.selecting(subject));
    return { direction, subject, decision, looks };
  }
}

/** Whether two answers say the same for the same reasons. */
export function alike(one: Answer, other: Answer): boolean {
  const said = (answer: Answer): string =>
    JSON.stringify([answer.allowed, answer.egress.decision, answer.ingress.decision]);
  return said(one) === said(other);
}
