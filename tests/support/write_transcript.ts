/**
 * `deno task transcript`: writes the conversations in README.md. `tests/wire/readme_test.ts` fails when they are out of
 * date.
 */

import { withSection } from "./section.ts";
import { read, urlOf } from "./source_files.ts";
import { transcripts } from "./transcript.ts";

const sections = [...await transcripts()];
const page = sections.reduce((page, [name, text]) => withSection(page, { name, text }), read("README.md"));
Deno.writeTextFileSync(urlOf("README.md"), page);
