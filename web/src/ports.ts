// Sets of ports as lists of first and last indices on one line: TCP, UDP and SCTP take 65,536 integers
// each, one last integer stands for every protocol without ports (podfence/sets/ports.py).

export type PortSet = readonly number[];

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const WIDTH = 65536;
const OTHER_AT = PROTOCOLS.length * WIDTH;

/** The index of a port on the line; `OTHER` has one. */
export function portIndexOf(protocol: string, port: number): number {
  if (protocol === "OTHER") return OTHER_AT;
  return PROTOCOLS.indexOf(protocol as "TCP") * WIDTH + port;
}

/** Whether an index is in a set. */
export function holds(set: PortSet, index: number): boolean {
  for (let at = 0; at < set.length; at += 2) {
    if (index <= set[at + 1]!) return index >= set[at]!;
  }
  return false;
}

export function isEverything(set: PortSet): boolean {
  return set.length === 2 && set[0] === 0 && set[1] === OTHER_AT;
}

/** The union of sets. */
export function union(sets: readonly PortSet[]): PortSet {
  if (sets.length === 1) return sets[0]!;
  const spans: [number, number][] = [];
  for (const set of sets) {
    for (let at = 0; at < set.length; at += 2) spans.push([set[at]!, set[at + 1]!]);
  }
  spans.sort((a, b) => a[0] - b[0]);
  const found: number[] = [];
  for (const [low, high] of spans) {
    const last = found.length - 1;
    if (last > 0 && low <= found[last]! + 1) found[last] = Math.max(found[last]!, high);
    else found.push(low, high);
  }
  return found;
}

/** `all`, `none`, or words such as `TCP/80,443 UDP SCTP/1-9`. */
export function words(set: PortSet): string {
  if (set.length === 0) return "none";
  if (isEverything(set)) return "all";
  const said: string[] = [];
  PROTOCOLS.forEach((name, number) => {
    const base = number * WIDTH;
    const spans: string[] = [];
    let whole = false;
    for (let at = 0; at < set.length; at += 2) {
      const low = Math.max(set[at]!, base) - base;
      const high = Math.min(set[at + 1]!, base + WIDTH - 1) - base;
      if (low > high) continue;
      whole = low === 0 && high === WIDTH - 1;
      spans.push(low === high ? `${low}` : `${low}-${high}`);
    }
    if (spans.length > 0) said.push(whole ? name : `${name}/${spans.join(",")}`);
  });
  if (holds(set, OTHER_AT)) said.push("other");
  return said.join(" ");
}

/** The first port of a set that a person would ask about. */
export function firstPortIndex(set: PortSet): number | null {
  if (set.length === 0 || isEverything(set)) return null;
  const low = set[0]!;
  return low < OTHER_AT && low % WIDTH === 0 && set[1]! > low ? low + 1 : low;
}

/** `TCP/80`; `ICMP and other protocols` for those without ports. */
export function portLabel(index: number): string {
  if (index >= OTHER_AT) return "ICMP and other protocols";
  return `${PROTOCOLS[Math.floor(index / WIDTH)]}/${index % WIDTH}`;
}

/** What `podfence why` takes after the name: `5432` or `53/udp`. */
export function portArgument(index: number): string {
  if (index >= OTHER_AT) return "icmp";
  const protocol = PROTOCOLS[Math.floor(index / WIDTH)]!;
  return protocol === "TCP" ? `${index % WIDTH}` : `${index % WIDTH}/${protocol.toLowerCase()}`;
}

/** The index of the port that a person means by `5432`, `tcp/5432`, `53/udp` or `icmp`; null for anything else. */
export function parsePort(text: string): number | null {
  const asked = text.trim().toUpperCase();
  if (asked === "ICMP" || asked === "OTHER") return OTHER_AT;
  const found = /^(?:(TCP|UDP|SCTP)\/)?(\d{1,5})(?:\/(TCP|UDP|SCTP))?$/.exec(asked);
  if (found === null || (found[1] && found[3])) return null;
  const port = Number(found[2]);
  return port < 1 || port >= WIDTH ? null : portIndexOf(found[1] ?? found[3] ?? "TCP", port);
}

/** The same as it stands in an address: `tcp/5432`. */
export function portKey(index: number): string {
  return index >= OTHER_AT ? "icmp" : portLabel(index).toLowerCase();
}
