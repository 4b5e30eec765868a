// Blocks of addresses, as far as the page compares them: whether two have an address in common.

type Block = { version: 4 | 6; first: bigint; last: bigint };

const BITS = { 4: 32, 6: 128 } as const;

/** A block of a text such as `192.0.2.0/24` or `2001:db8::/32`; null for any other text. */
export function parseBlock(text: string): Block | null {
  const [address = "", length] = text.split("/");
  const version = address.includes(":") ? 6 : 4;
  const groups = version === 6 ? wide(address) : address.split(".").map(Number);
  const each = version === 6 ? 16 : 8;
  if (groups === null || groups.length !== BITS[version] / each || groups.some((group) => !(group >= 0 && group < 2 ** each))) return null;
  const bits = length === undefined ? BITS[version] : Number(length);
  if (!(bits >= 0 && bits <= BITS[version])) return null;
  const number = groups.reduce((sum, group) => (sum << BigInt(each)) + BigInt(group), 0n);
  const size = 1n << BigInt(BITS[version] - bits);
  const first = (number / size) * size;
  return { version, first, last: first + size - 1n };
}

/** The eight groups of an address of IP version 6. */
function wide(address: string): number[] | null {
  const [head = "", tail] = address.split("::", 2);
  const numbers = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => parseInt(group, 16)));
  if (tail === undefined) return numbers(head);
  const [before, after] = [numbers(head), numbers(tail)];
  const left = 8 - before.length - after.length;
  return left < 0 ? null : [...before, ...Array.from({ length: left }, () => 0), ...after];
}

export function overlap(one: Block, other: Block): boolean {
  return one.version === other.version && one.first <= other.last && other.first <= one.last;
}
