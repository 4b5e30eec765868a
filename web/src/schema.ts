// Made by web/types.mjs from docs/schemas/report.schema.json; change that, not this.

export type About = {
  schema: "podfence.report-about/v1";
  version: string;
  title: string;
  /** What was read; empty in an anonymised page. */ source: string;
  /** Whether a cluster was asked. */ live: boolean;
  /** Objects that were read, by kind. */ objects: Record<string, number>;
  /** Objects that could not be read. */ doubts: ({
  object: string;
  namespace: string;
  file?: string;
  line?: number;
  /** It stands for objects of a cluster that may not be listed. */ unlisted?: true;
})[];
};

export type Reach = {
  schema: "podfence.report-map/v1";
  /** Names are words without meaning. */ anonymous: boolean;
  /** The IP versions that pods have addresses of. */ families: (4 | 6)[];
  namespaces: (string)[];
  endpoints: (Endpoint)[];
  ports: Ports;
  /** Every pair that is allowed. */ rows: ([number, number, number, (number)[]])[];
  /** Pods that are not on the map, by reason. */ leftOut: Record<string, (string)[]>;
  notes: (string)[];
  /** How many policies there are. */ policies: number;
  picture?: Picture;
};

/** Pods to come: one without labels in each namespace (shop/+), and one in a new namespace (+/+). What they add to the map. */
export type Newcomers = {
  schema: "podfence.report-newcomers/v1";
  /** Those of endpoints that stand here. */ namespaces: (string)[];
  /** A number is that of an endpoint of the map. */ endpoints: (number | Endpoint)[];
  /** Sets that follow those of the map. */ ports: Ports;
  /** Lists of endpoints, each number as the difference from the one before. */ sources: ((number)[])[];
  /** Four columns: indexes of sources, each as the difference from the one before; ports; destination; IP version, 0 for all. */ rows: [(number)[], (number)[], (number)[], (number)[]];
};

/** Sets of ports. */
export type Ports = ((number)[])[];

/** One line of the map: pods of a workload that no policy tells apart, or outside addresses with equal rows. */
export type Endpoint = {
  name: string;
  /** What the rules know it as in each of its families, as indexes of classes. Of outside addresses with several classes it is that of the first address: their verdicts are equal, the rules behind them need not be. */ classes: (number)[];
  families: (4 | 6)[];
  kind: string;
  /** An index of namespaces; absent outside. */ namespace?: number;
  workload?: string;
  pods?: (string)[];
  /** Ports that its first pod declares. */ ports?: (["TCP" | "UDP" | "SCTP", number, string])[];
  /** 1: some policy selects it for ingress; 2: for egress; 3: for both. */ isolated?: number;
  /** There is no verdict: an object could not be read that may change it. */ open?: boolean;
  /** Of an outside endpoint, as networks. */ addresses?: (string)[];
};

export type Rules = {
  schema: "podfence.report-rules/v1";
  /** null: outside, no policy judges it. */ classes: (null | [number, number])[];
  /** What applies to a class in one direction: tiers in order; none decided: accept. */ directions: ((number)[])[];
  tiers: ({
  name: string;
  default: Action;
  /** Indexes of rules, in order. Each number as the difference from the one before. */ rules: (number)[];
  /** Indexes of isolations, in order. Each number as the difference from the one before. */ isolatedBy: (number)[];
})[];
  /** Where policies isolate. */ isolations: ([number, number, number, number])[];
  rules: ([number, number, number, number, Action, ([number, number, number, number, number])[], string])[];
  /** null: everyone. */ peers: (null | [number, (number)[]])[];
  ports: Ports;
  policies: (Policy)[];
  paths: (string)[];
  documents: ({
  file: string;
  /** The number of the first line of text. */ line?: number;
  text?: string;
})[];
};

/** 0 accepts, 1 denies, 2 passes on to the next tier. */
export type Action = 0 | 1 | 2;

export type Policy = {
  namespace: string;
  name: string;
  kind: string;
  /** An index of documents, -1 for none. */ document: number;
  line: number;
  column: number;
  /** The pods that it selects, as indexes of endpoints. Each number as the difference from the one before. */ selected: (number)[];
  /** How many rules are written. */ rules: [number, number];
  /** Whether it judges a direction. */ types: [boolean, boolean];
  inactive?: ([number, number, number, number])[];
  tier?: "Admin" | "Baseline";
  priority?: number | null;
};

export type Finding = {
  severity: "error" | "warning" | "note";
  code: string;
  message: string;
  object: string;
  path: string;
  reason?: string;
  file?: string;
  line?: number;
  column?: number;
};

/** Where everything of a picture of all pairs stands, in CSS pixels; absent where there is too much for one. */
export type Picture = {
  /** Extent. */ size: [number, number];
  /** Positions from left to right. */ columns: [number, number, number, number];
  boxes: ([number, number, number, number, number, number])[];
  ends: ([number, number, number, number, number, number])[];
  slots: ([number, number, number])[];
  lines: ([number, number, (number)[], (number)[]])[];
};

export type TestResult = {
  name: string;
  file: string;
  line: number;
  /** vacuous: it looks at nobody. undecided: something that could not be read may turn it. */ status: "passed" | "failed" | "vacuous" | "skipped" | "undecided";
  where: "model" | "lab";
  /** Pairs of workloads that it looks at. */ pairs: number;
  /** How many of them are not as they should be. */ total: number;
  counterexamples: (Counterexample)[];
  /** Why it proves nothing, or little. */ reasons: ({
  code: string;
  message: string;
})[];
  /** What else there is to say; absent where there is nothing. */ text?: string;
};

/** One connection. */
export type Counterexample = {
  from: string;
  to: string;
  fromAddress: string;
  toAddress: string;
  protocol: string;
  port: number;
  family: 4 | 6;
  got: "allow" | "deny";
  decidedBy: (Decider)[];
  /** It is so in what the test supposes; the map need not say the same. */ supposed?: true;
  /** What decided, in words, a line a direction. */ said: (string)[];
  /** The two ends, as indexes of endpoints; absent where one is not on the map or the test supposes something. */ pair?: [number, number];
};

/** A rule, or a policy that isolates. */
export type Decider = {
  name: string;
  path: string;
  file?: string;
  line?: number;
  column?: number;
};

/** The data of one page of podfence report. Each property is an element of the page: JSON, packed by zlib, as base64. */
export type Report = {
  about: About;
  map: Reach;
  rules: Rules;
  /** What podfence check says, as in check.schema.json; absent where it is left out. */ findings?: (Finding)[];
  /** The change, as in plan.schema.json; absent without --plan. */ plan?: Record<string, unknown>;
  newcomers?: Newcomers;
  /** The map before the change; absent without --plan. */ before?: Reach;
  /** What podfence test says, as in test.schema.json, and where it is on the map; absent without --tests. */ tests?: (TestResult)[];
};
