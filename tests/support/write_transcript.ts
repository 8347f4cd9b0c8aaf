/**
 * `deno task transcript`: writes the conversation in README.md. `tests/wire/readme_test.ts` fails when it is out of
 * date.
 */

import { withSection } from "./section.ts";
import { read, urlOf } from "./source_files.ts";
import { transcript } from "./transcript.ts";

const page = withSection(read("README.md"), { name: "transcript", text: await transcript() });
Deno.writeTextFileSync(urlOf("README.md"), page);
