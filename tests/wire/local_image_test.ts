/** An empty database is created once, and then read from disk. */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { type Opened, openFromImage } from "../../local/database_image.ts";

/**
 * Runs `body` with the path of an image in a folder that does not exist yet, and a function that opens a database from
 * its text.
 */
async function withImage(
  body: (path: URL, open: (image?: Blob) => Promise<Opened<string>>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  let made = 0;
  try {
    await body(pathToFileURL(`${folder}/images/one.tar.gz`), async (image) => {
      const database = image === undefined ? `database ${++made}` : await image.text();
      if (!database.startsWith("database")) throw new Error("This is no image");
      return { database, dump: () => Promise.resolve(new Blob([database])) };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("local image: the second database is opened from what the first one was, and nothing else is left", async () => {
  await withImage(async (path, open) => {
    assert.equal(await openFromImage(path, open), "database 1");
    assert.equal(await openFromImage(path, open), "database 1");
    assert.deepEqual([...Deno.readDirSync(new URL("./", path))].map(({ name }) => name), ["one.tar.gz"]);
  });
});

Deno.test("local image: one that cannot be opened is made anew", async () => {
  await withImage(async (path, open) => {
    await openFromImage(path, open);
    await Deno.writeTextFile(path, "half an ima");
    assert.equal(await openFromImage(path, open), "database 2");
    assert.equal(await openFromImage(path, open), "database 2");
  });
});

Deno.test("local image: where it cannot be written there is a database all the same", async () => {
  await withImage(async (path, open) => {
    await Deno.writeTextFile(new URL("../images", path), "a file where the folder should be");
    assert.equal(await openFromImage(path, open), "database 1");
    assert.equal(await openFromImage(path, open), "database 2");
  });
});
