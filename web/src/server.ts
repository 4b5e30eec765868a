// The page's data from a server. The token came with the address; it is kept for this tab alone.

import type { About, Finding, Newcomers, Reach, Rules, TestResult } from "./schema";
import { once } from "./unpack";

const KEY = "podfence-token";

export const hasToken = (): boolean => location.hash.startsWith("#token=");

/** Takes the token out of the address, so that a copied link or a picture does not hold it. What stands
 * behind it came along when it was copied. `instead`: the address that is left. */
export function takeToken(instead = "#/map"): string {
  const found = /^#token=([\w-]+)/.exec(location.hash)?.[1];
  if (found !== undefined) sessionStorage.setItem(KEY, found);
  if (hasToken()) history.replaceState(null, "", instead);
  return sessionStorage.getItem(KEY) ?? "";
}

/** What agents tell of denied packets; `absent`: why there is nothing to tell. */
export type Denials = { drops: readonly Denial[]; notes: readonly string[]; absent: string };
export type Denial = {
  node: string;
  last: string;
  count: number;
  from: string;
  to: string;
  pods: readonly [readonly string[], readonly string[]];
  protocol: string;
  port: number | null;
  reply: boolean;
  direction: string;
  cause: string;
  near: readonly string[];
};

/** What agents count: a line a node, those that are not well first. */
export type Counters = {
  counters: readonly NodeCounts[];
  total: readonly Tally[];
  rules: readonly RuleUse[];
  missing: readonly string[];
  notes: readonly string[];
  absent: string;
};
export type NodeCounts = { node: string; standing: string; well: boolean } & Partial<NodeFigures>;
type NodeFigures = {
  for: string;
  epoch: number;
  pods: number;
  pending: number;
  closed: number;
  lag: string;
  /** null: an agent that tells none. */
  denied: readonly Tally[] | null;
};
/** Connections that a rule fitted; `last`: "" for never. */
export type RuleUse = { policy: string; path: string; uses: number; last: string; since: string };
export type Tally = { direction: string; reason: string; packets: number; bytes: number };

/** What the server says of itself. */
export type State = { revision: string; live: boolean; edit: boolean; tests: boolean; problem: string };

/** How far the server has come with what it does; `doing` "": nothing. */
export type Step = { doing: string; done: number; of: number; objects: number };

/** Nothing answers; or one does that does not know this page's token. */
export type Lost = "gone" | "another";

/** `status`: of the answer, 0 for none. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly body: unknown = null,
  ) {
    super(message);
  }
}

const TRIES = 40;

export class Server {
  constructor(private token: string) {}

  /** Another server has taken the place: what is asked from now on is asked of it. */
  renew(token: string): void {
    this.token = token;
  }

  async get<T>(path: string): Promise<T> {
    return this.ask<T>("GET", path);
  }

  /** `signal`: ends the question, also where it waits for a busy server. */
  async ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    for (let left = TRIES; ; left -= 1) {
      const response = await fetch(`api/v1/${path}`, {
        method,
        ...(signal && { signal }),
        headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }).catch(() => {
        throw new Refused(0, "the server does not answer");
      });
      if (response.status === 503 && left > 0) {
        await new Promise((done) => setTimeout(done, 500));
        continue;
      }
      const answer: unknown = await response.json();
      if (response.ok) return answer as T;
      throw new Refused(response.status, (answer as { message?: string }).message ?? "refused", answer);
    }
  }

  // Parts of one revision, for numbers of one mean nothing in another; 409 once it is another.
  about = (revision: string): Promise<About> => this.part<About>("about", revision);
  reach = (revision: string): Promise<Reach> => this.part<Reach>("map", revision);
  /** What pods to come add to the map, fetched when first asked for. */
  newcomers = (revision: string): (() => Promise<Newcomers>) => once(() => this.part<Newcomers>("newcomers", revision));
  findings = (revision: string): Promise<Finding[]> => this.part<Finding[]>("findings", revision);
  /** What became of each test; null where no test file was given. */
  tests = (revision: string): Promise<TestResult[] | null> => this.part<TestResult[] | null>("tests", revision);
  /** The rules, fetched when first asked for. */
  rules = (revision: string): (() => Promise<Rules>) => once(() => this.part<Rules>("rules", revision));

  private part<T>(name: string, revision: string): Promise<T> {
    return this.get<T>(`${name}?revision=${encodeURIComponent(revision)}`);
  }

  /** Calls `tell` with every state, `lost` when nothing is told any more, and why, `advance` with how far
   * the server is. Never ends. */
  async follow(tell: (state: State) => void, lost: (why: Lost) => void, advance: (step: Step) => void): Promise<never> {
    for (;;) {
      const status = await this.read("events", tell, undefined, advance);
      lost(status === 401 ? "another" : "gone");
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  /** Calls `advance` with how far the server is, until the signal. */
  async wait(advance: (step: Step) => void, until: AbortSignal): Promise<void> {
    await this.read("events", () => undefined, until, advance);
  }

  /** Calls `tell` whenever agents tell something else, until the signal. */
  async agents<T>(what: "drops" | "counters", tell: (told: T) => void, until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      await this.read(what, tell, until);
      await new Promise((done) => setTimeout(done, 5000));
    }
  }

  /** The status of the answer, 0 without one. */
  private async read<T>(path: string, tell: (value: T) => void, signal?: AbortSignal, advance?: (step: Step) => void): Promise<number> {
    let status = 0;
    try {
      const headers = { Authorization: `Bearer ${this.token}` };
      const response = await fetch(`api/v1/${path}`, { headers, ...(signal && { signal }) });
      ({ status } = response);
      if (response.ok && response.body !== null) await read(response.body, tell, advance);
    } catch {
      // The caller tries again after any error.
    }
    return status;
  }
}

const PROGRESS = "event: progress\ndata: ";

async function read<T>(body: ReadableStream<Uint8Array>, tell: (value: T) => void, advance?: (step: Step) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      if (event.startsWith("data: ")) tell(JSON.parse(event.slice(6)) as T);
      if (event.startsWith(PROGRESS)) advance?.(JSON.parse(event.slice(PROGRESS.length)) as Step);
    }
  }
}
