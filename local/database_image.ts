/** The image of an empty database, kept on disk: creating it is the largest part of PGlite's start. */

/** A database that has been opened. */
export interface Opened<Database> {
  database: Database;
  /** The whole current content. */
  dump(): Promise<Blob>;
}

/**
 * Opens a database from the image at `path`. Without a usable image it opens an empty database and writes the image for
 * the next start. A folder that cannot be written only costs time.
 */
export async function openFromImage<Database>(
  path: URL,
  open: (image?: Blob) => Promise<Opened<Database>>,
): Promise<Database> {
  const bytes = await Deno.readFile(path).catch(() => undefined);
  if (bytes !== undefined) {
    // PGlite checks the type.
    const opened = await open(new Blob([bytes], { type: "application/x-gzip" })).catch(() => undefined);
    if (opened !== undefined) return opened.database;
  }
  const { database, dump } = await open();
  await write(path, await dump()).catch(() => {});
  return database;
}

/** Another stack may be writing the same file: a reader finds one of the two, complete. */
async function write(path: URL, image: Blob): Promise<void> {
  const folder = new URL("./", path);
  await Deno.mkdir(folder, { recursive: true });
  const making = new URL(`${crypto.randomUUID()}.part`, folder);
  await Deno.writeFile(making, image.stream());
  await Deno.rename(making, path);
}
