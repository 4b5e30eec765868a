// The state of the page is its address, so that a link shows what its sender saw:
// #/map?view=table&q=db&pair=shop/frontend~shop/db&ask=tcp/5432

import { useEffect, useState } from "preact/hooks";

export const PAGES = ["map", "policies", "exposed", "findings", "tests", "plan", "edit", "drops", "counters"] as const;
export type Page = (typeof PAGES)[number];
export type View = "matrix" | "picture" | "table";

export type Route = {
  page: Page;
  /** Everything after the question mark. */
  asked: ReadonlyMap<string, string>;
};

const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":");

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const page = PAGES.find((each) => each === path) ?? "map";
  const asked = new Map<string, string>();
  for (const part of query.split("&")) {
    const at = part.indexOf("=");
    if (at > 0) asked.set(part.slice(0, at), decode(part.slice(at + 1)));
  }
  return { page, asked };
}

export function format(page: Page, asked: ReadonlyMap<string, string>): string {
  const parts = [...asked].filter(([, value]) => value !== "");
  const query = parts.map(([name, value]) => `${name}=${encode(value)}`).join("&");
  return `#/${page}${query ? `?${query}` : ""}`;
}

/** Values to set; "" takes one away. */
export type Change = Record<string, string>;

/** The present state as another page, or with some values changed. */
export function linkTo(route: Route, change: Change, page: Page = route.page): string {
  const asked = new Map(page === route.page ? route.asked : kept(route));
  for (const [name, value] of Object.entries(change)) asked.set(name, value);
  return format(page, asked);
}

/** What goes along to another page: the filters, and how the map is drawn. */
const KEPT: ReadonlySet<string> = new Set(["q", "port", "ns", "hide", "order", "side", "new"]);

function kept(route: Route): Map<string, string> {
  return new Map([...route.asked].filter(([name]) => KEPT.has(name)));
}

/** Names that an address lists. A name may hold the comma that stands between two. */
export function listed(route: Route, name: string): string[] {
  return (route.asked.get(name) ?? "").split(",").filter(Boolean).map(decode);
}

/** Names as a value of an address. */
export const asList = (names: Iterable<string>): string => [...names].map(encodeURIComponent).join(",").replaceAll("%2F", "/");

export function go(route: Route, change: Change, page?: Page, replace = false): void {
  const hash = linkTo(route, change, page);
  if (replace) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}

export function useRoute(): Route {
  const [route, show] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = (): void => show(parse(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
