/** `agent/one-way-street`: has `layers.ts` judge every import of a file that is deployed. */

import { visitImports } from "./imports.ts";
import { placeOf, refuseImport, unknownRoom } from "./layers.ts";

const HINT = "Take what you need as an argument (a port), or move what is shared down a layer";

export const oneWayStreet: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    const place = placeOf(context.filename);
    if (place.kind === "elsewhere") return {};
    return {
      Program(node): void {
        const message = unknownRoom(place);
        if (message !== undefined) context.report({ node, message });
      },
      ...visitImports(({ node, specifier, how }) => {
        const message = specifier === undefined
          ? "Cannot deploy an import that is computed: nothing can tell which file it needs"
          : refuseImport(context.filename, { specifier, how });
        if (message !== undefined) context.report({ node, message, hint: HINT });
      }),
    };
  },
};
