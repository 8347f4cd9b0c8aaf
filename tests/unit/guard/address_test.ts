import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  addressKey,
  type AddressPolicy,
  UNKNOWN_ADDRESS,
} from "../../../supabase/functions/_shared/guard/address.ts";

const BEHIND_ONE: AddressPolicy = { header: undefined, proxyHops: 1 };

function forwarded(value: string, policy = BEHIND_ONE, peer = "10.9.9.9"): string {
  return addressKey(new Headers({ "x-forwarded-for": value }), { remoteAddr: { hostname: peer } }, policy);
}

Deno.test("[LM10] addressKey: an entry of x-forwarded-for counts from the right, whatever is invented before it", () => {
  fc.assert(fc.property(fc.array(fc.string()), fc.integer({ min: 1, max: 4 }), (invented, proxyHops) => {
    const proxies = ["203.0.113.9", "10.0.0.3", "10.0.0.2", "10.0.0.1"].slice(0, proxyHops);
    const value = [...invented, ...proxies].join(",").replace(/[^\x20-\x7e]/g, "?");
    assert.equal(forwarded(value, { header: undefined, proxyHops }), "203.0.113.9");
  }));
});

Deno.test("[LM10] addressKey: several headers of the name count as one, in their order", () => {
  const headers = new Headers([["x-forwarded-for", "198.51.100.1"], ["x-forwarded-for", "203.0.113.9"]]);
  assert.equal(addressKey(headers, undefined, BEHIND_ONE), "203.0.113.9");
});

Deno.test("[LM10] addressKey: fewer entries than proxies, or garbage in the trusted place, is no address", () => {
  assert.equal(forwarded("198.51.100.1", { header: undefined, proxyHops: 2 }), "10.9.9.9");
  for (
    const garbage of [
      "",
      "unknown",
      "_hidden",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "01.2.3.4",
      "0x7f.1",
      "::1::",
      "%eth0",
      "[]",
      "1.2.3.4.",
      "2130706433",
      "0.0.0.0",
      "::",
    ]
  ) assert.equal(forwarded(`198.51.100.1, ${garbage}`), "10.9.9.9", garbage);
});

Deno.test("[LM10] addressKey: no header is read where no proxy is trusted", () => {
  assert.equal(forwarded("198.51.100.1", { header: undefined, proxyHops: 0 }), "10.9.9.9");
  const headers = new Headers({ "cf-connecting-ip": "198.51.100.1", "x-real-ip": "198.51.100.1" });
  assert.equal(addressKey(headers, { remoteAddr: { hostname: "10.9.9.9" } }, BEHIND_ONE), "10.9.9.9");
});

Deno.test("[LM10] addressKey: the trusted header goes before x-forwarded-for, if it is one address", () => {
  const policy = { header: "cf-connecting-ip", proxyHops: 1 };
  const key = (connecting: string): string =>
    addressKey(
      new Headers({ "cf-connecting-ip": connecting, "x-forwarded-for": "203.0.113.9" }),
      undefined,
      policy,
    );
  assert.equal(key("198.51.100.1"), "198.51.100.1");
  for (const unusable of ["", "198.51.100.1, 198.51.100.2", "nonsense"]) {
    assert.equal(key(unusable), "203.0.113.9");
  }
});

Deno.test("[LM10] addressKey: ports, brackets, zones and spellings make no difference", () => {
  for (
    const [key, ...spellings] of [
      [
        "1.2.3.4",
        "1.2.3.4",
        " 1.2.3.4 ",
        "1.2.3.4:567",
        "::ffff:1.2.3.4",
        "::FFFF:102:304",
        "[::ffff:1.2.3.4]:80",
      ],
      ["0:0:0:0::/64", "::1", "[::1]", "[::1]:80", "0:0:0:0:0:0:0:1", "::1%lo"],
      [
        "2001:db8:0:1::/64",
        "2001:db8:0:1::1",
        "2001:DB8:0:1:ffff::",
        "[2001:db8:0000:0001::2]:443",
        "2001:db8:0:1::9%eth0",
      ],
      ["2001:db8:0:2::/64", "2001:db8:0:2::1"],
    ]
  ) for (const spelling of spellings) assert.equal(forwarded(spelling), key, spelling);
});

Deno.test("[LM10] addressKey: who has no usable address shares one key", () => {
  assert.equal(addressKey(new Headers(), undefined, BEHIND_ONE), UNKNOWN_ADDRESS);
  assert.equal(addressKey(new Headers(), {}, BEHIND_ONE), UNKNOWN_ADDRESS);
  assert.equal(forwarded("nonsense", BEHIND_ONE, "0.0.0.0"), UNKNOWN_ADDRESS);
});

Deno.test("[LM10] addressKey: anything in the headers gives a key, and short ones", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const value = text.replace(/[^\x20-\x7e]/g, "?");
    assert.ok(forwarded(value).length < 30);
  }));
});
