/**
 * The agent: its instructions, its tools, its model. This file is yours, and no update touches it. docs/TOOLS.md shows what it
 * may have. `defineAgent({})` answers with the settings of the environment.
 */

import { defineAgent } from "../_shared/agent/mod.ts";

export default defineAgent({});
