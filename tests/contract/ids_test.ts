/** The contract of every Ids. */

import assert from "node:assert/strict";
import { systemIds } from "../../supabase/functions/_shared/platform/system.ts";
import type { Ids } from "../../supabase/functions/_shared/ports/runtime.ts";

const SUBJECTS: Readonly<Record<string, () => Ids>> = {
  system: systemIds,
};

for (const [name, open] of Object.entries(SUBJECTS)) {
  Deno.test(`${name} ids: a UUID is one of version 4, and new each time`, () => {
    const ids = open();
    const uuids = Array.from({ length: 1000 }, () => ids.uuid());
    for (const uuid of uuids) {
      assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    assert.equal(new Set(uuids).size, 1000);
  });

  Deno.test(`${name} ids: a secret is 256 bits in base64url, and new each time`, () => {
    const ids = open();
    const secrets = Array.from({ length: 1000 }, () => ids.secret());
    for (const secret of secrets) {
      assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
      assert.equal(atob(secret.replaceAll("-", "+").replaceAll("_", "/")).length, 32);
    }
    assert.equal(new Set(secrets).size, 1000);
  });
}
