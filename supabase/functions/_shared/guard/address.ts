/**
 * The address that a caller's limits are counted under: one that the caller cannot choose.
 *
 * Only what a trusted proxy wrote counts. A proxy appends to `x-forwarded-for` the address it was called from, so entries
 * are trusted from the right, as many as there are proxies; all to the left of them may be invented (docs/decisions/0043).
 */

/** Which proxies stand in front of this worker. */
export interface AddressPolicy {
  /** A header that the outermost proxy always overwrites, such as `cf-connecting-ip`; undefined for none. */
  header: string | undefined;
  /** Proxies that append to `x-forwarded-for`; 0: the header is not read. */
  proxyHops: number;
}

/** The runtime's information about a connection's peer, in the shape of `Deno.ServeHandlerInfo`. */
export interface PeerInfo {
  remoteAddr?: { hostname?: string } | undefined;
}

/** The key of every caller whose address cannot be known: they share one limit. */
export const UNKNOWN_ADDRESS = "unknown";

/**
 * The first of these that is an address: the trusted header, the trusted entry of `x-forwarded-for`, the peer of the TCP
 * connection. An IPv4 address as it is, an IPv6 one as its /64, which is what one subscriber gets; both in canonical form.
 */
export function addressKey(headers: Headers, peer: PeerInfo | undefined, policy: AddressPolicy): string {
  const { header, proxyHops } = policy;
  return (header && canonical(headers.get(header))) ||
    canonical(forwardedFor(headers, proxyHops)) ||
    canonical(peer?.remoteAddr?.hostname) ||
    UNKNOWN_ADDRESS;
}

/** The entry that the outermost of `hops` proxies wrote; undefined where there are fewer. */
function forwardedFor(headers: Headers, hops: number): string | undefined {
  if (hops === 0) return undefined;
  // Several headers of the name come joined by commas, in their order.
  return headers.get("x-forwarded-for")?.split(",").at(-hops);
}

/** `1.2.3.4`, or `2001:db8:0:1::/64`; undefined if `text` is not an address, or an unspecified one. */
function canonical(text: string | null | undefined): string | undefined {
  const address = withoutPort(text?.trim() ?? "");
  if (IPV4.test(address)) return address === "0.0.0.0" ? undefined : address;
  const groups = ipv6Groups(address);
  if (groups === undefined || groups.every((group) => group === 0)) return undefined;
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]).join(".");
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(":")}::/64`;
}

/** Without zeros in front, which some read as octal. */
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** `1.2.3.4:567` → `1.2.3.4`, `[::1]:80` → `::1`, `fe80::1%eth0` → `fe80::1`. */
function withoutPort(text: string): string {
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^([\d.]+):\d+$/, "$1");
  return address.replace(/%.*$/, "");
}

/** The eight groups of an IPv6 address; undefined where it is none. */
function ipv6Groups(text: string): number[] | undefined {
  if (!/^[\da-f:.]+$/i.test(text)) return undefined;
  // The URL parser knows every form of it, and gives one with each group in hexadecimal.
  const url = `http://[${text}]/`;
  if (!URL.canParse(url)) return undefined;
  const [before = [], after = []] = new URL(url).hostname.slice(1, -1).split("::").map((part) =>
    part === "" ? [] : part.split(":").map((group) => parseInt(group, 16))
  );
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}
