/** `deno task transcript`: writes README.md's conversation anew. `tests/wire/readme_test.ts` tells when it is to be run. */

import { withSection } from "./section.ts";
import { read, urlOf } from "./source_files.ts";
import { transcript } from "./transcript.ts";

const page = withSection(read("README.md"), { name: "transcript", text: await transcript() });
Deno.writeTextFileSync(urlOf("README.md"), page);
