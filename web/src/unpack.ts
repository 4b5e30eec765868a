// The data of the page: JSON, packed by zlib, as base64, in elements that no browser runs.

import type { About, Finding, Newcomers, Reach, Rules, TestResult } from "./schema";

async function unpack<T>(name: string): Promise<T | null> {
  const element = document.getElementById(`data-${name}`);
  if (element === null) return null;
  const text = atob(element.textContent ?? "");
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return (await new Response(stream).json()) as T;
}

async function needed<T>(name: string): Promise<T> {
  const found = await unpack<T>(name);
  if (found === null) throw new Error(`This file lacks its part “${name}”: write the report again.`);
  return found;
}

/** Numbers of which each is written as the difference from the one before. */
export function relative(steps: readonly number[]): number[] {
  let last = 0;
  return steps.map((step) => (last += step));
}

export const canUnpack = (): boolean => typeof DecompressionStream !== "undefined";

export const about = (): Promise<About> => needed<About>("about");
export const reach = (): Promise<Reach> => needed<Reach>("map");
export const findings = (): Promise<Finding[] | null> => unpack<Finding[]>("findings");
export const tests = (): Promise<TestResult[] | null> => unpack<TestResult[]>("tests");
export const plan = (): Promise<Plan | null> => unpack<Plan>("plan");
/** What pods to come add to the map; null where the page leaves them out. */
export const newcomers = (): (() => Promise<Newcomers>) | null =>
  document.getElementById("data-newcomers") === null ? null : once(() => needed<Newcomers>("newcomers"));
/** The map before a change; null where the page has none. */
export const before = (): (() => Promise<Reach>) | null =>
  document.getElementById("data-before") === null ? null : once(() => needed<Reach>("before"));
export const rules = once(() => needed<Rules>("rules"));

/** Large values that are needed late: made on first use, once. A failure is tried again. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  const forget = (error: unknown): never => {
    made = null;
    throw error;
  };
  return () => (made ??= make().catch(forget));
}

/** docs/schemas/plan.schema.json, as far as the page shows it. */
export type Plan = {
  changes: boolean;
  summary: {
    edits: number;
    silentEdits: number;
    opened: number;
    closed: number;
    waysIn: number;
    waysOut: number;
    waysInClosed: number;
    waysOutClosed: number;
  };
  edits: PlanEdit[];
  outcomes: PlanOutcome[];
  newcomers: PlanOutcome[];
  arrives: string[];
  leaves: string[];
  undecided: string[];
  /** Where it was asked for, and found. */
  order?: ApplyOrder;
};
export type ApplyOrder = { safe: boolean; steps: ApplyStep[]; temporary: unknown[] };
export type ApplyStep = {
  verb: string;
  kind: string;
  namespace: string;
  name: string;
  temporary: boolean;
  /** Pairs that lose, or get, until later steps what they shall not. */
  cuts: number;
  opens: number;
  /** The step for a shell. */
  command?: string;
};
export type PlanEdit = {
  id: number;
  change: string;
  kind: string;
  namespace: string;
  name: string;
  fields: { path: string; words: string; side: "old" | "new"; file?: string; line?: number }[];
};
export type PlanOutcome = {
  scope: string;
  from: string[];
  to: string[];
  opened: string[];
  closed: string[];
  pairs: number;
  family?: string;
  blame: { edits: number[]; mode: string; proved: boolean };
};
