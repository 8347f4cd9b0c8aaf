/** What a database is made of before anything is in it, kept on disk: making it anew costs PGlite most of its start. */

/** A database that has been opened. */
export interface Opened<Database> {
  database: Database;
  /** All that it keeps now. */
  dump(): Promise<Blob>;
}

/**
 * Opens a database from the image at `path`, or an empty one where there is no image that can be opened; the image is
 * then written for the next one. A folder that cannot be written costs time, no more.
 */
export async function openFromImage<Database>(
  path: URL,
  open: (image?: Blob) => Promise<Opened<Database>>,
): Promise<Database> {
  const bytes = await Deno.readFile(path).catch(() => undefined);
  if (bytes !== undefined) {
    // PGlite goes by the type.
    const opened = await open(new Blob([bytes], { type: "application/x-gzip" })).catch(() => undefined);
    if (opened !== undefined) return opened.database;
  }
  const { database, dump } = await open();
  await write(path, await dump()).catch(() => {});
  return database;
}

/** Another stack may be writing the same: whoever reads finds one of them, whole. */
async function write(path: URL, image: Blob): Promise<void> {
  const folder = new URL("./", path);
  await Deno.mkdir(folder, { recursive: true });
  const making = new URL(`${crypto.randomUUID()}.part`, folder);
  await Deno.writeFile(making, image.stream());
  await Deno.rename(making, path);
}
