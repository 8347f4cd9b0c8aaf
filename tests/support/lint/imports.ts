/** Finds what a file imports, in every form that the language has. */

/** `type` leaves nothing at run time; `dynamic` is `import()`. */
export type ImportKind = "static" | "type" | "dynamic";

export interface FoundImport {
  node: Deno.lint.Node;
  /** As written, between the quotes; undefined where it is computed. */
  specifier: string | undefined;
  how: ImportKind;
}

/** A visitor that calls `found` for each import, and each export from elsewhere. */
export function visitImports(found: (one: FoundImport) => void): Deno.lint.LintVisitor {
  function tell(node: Deno.lint.Node, source: Deno.lint.Node, how: ImportKind): void {
    const value = source.type === "Literal" ? source.value : undefined;
    found({ node, specifier: typeof value === "string" ? value : undefined, how });
  }
  return {
    ImportDeclaration(node): void {
      tell(node, node.source, node.importKind === "type" ? "type" : "static");
    },
    ExportAllDeclaration(node): void {
      tell(node, node.source, node.exportKind === "type" ? "type" : "static");
    },
    ExportNamedDeclaration(node): void {
      if (node.source !== null) tell(node, node.source, node.exportKind === "type" ? "type" : "static");
    },
    ImportExpression(node): void {
      tell(node, node.source, "dynamic");
    },
    TSImportType(node): void {
      const { argument } = node;
      tell(node, argument.type === "TSLiteralType" ? argument.literal : argument, "type");
    },
    TSExternalModuleReference(node): void {
      tell(node, node.expression, "static");
    },
  };
}
