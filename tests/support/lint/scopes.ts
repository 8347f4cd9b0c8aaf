/** As much scope analysis as telling a global from a local of the same name needs. */

// The API's own union leaves TSParameterProperty out.
type Node = Deno.lint.Node | Deno.lint.Parameter;

/** Where in TypeScript's own syntax a value may stand; everywhere else under a `TS…` node it is a type. */
const VALUE_HOLDERS: ReadonlySet<string> = new Set([
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSNonNullExpression",
  "TSTypeAssertion",
  "TSInstantiationExpression",
  "TSExportAssignment",
  "TSEnumMember",
]);

/**
 * Whether this identifier reads or writes a variable: it is no property name, no label, no type, and no part of an
 * import. Declarations count as references to themselves: {@linkcode isDeclared} finds them.
 */
export function isReference(node: Deno.lint.Identifier): boolean {
  const { parent } = node;
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed;
    case "Property":
      return parent.value === node || parent.computed || parent.shorthand;
    case "PropertyDefinition":
    case "MethodDefinition":
      return parent.key !== node || parent.computed;
    case "ExportSpecifier":
      return parent.local === node && !isReExport(parent.parent);
    case "TSEnumMember":
      return parent.id !== node;
    case "ImportSpecifier":
    case "ImportDefaultSpecifier":
    case "ImportNamespaceSpecifier":
    case "ImportAttribute":
    case "MetaProperty":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return false;
    default:
      return !parent.type.startsWith("TS") || VALUE_HOLDERS.has(parent.type);
  }
}

function isReExport(node: Node): boolean {
  return node.type === "ExportNamedDeclaration" && (node.source !== null || node.exportKind === "type");
}

/** Whether a declaration in this file gives the name that `node` refers to its meaning. */
export function isDeclared(node: Deno.lint.Identifier): boolean {
  for (let scope: Node | null = node.parent; scope !== null; scope = parentOf(scope)) {
    if (declaredBy(scope).includes(node.name)) return true;
  }
  return false;
}

function parentOf(node: Node): Node | null {
  return node.type === "Program" || !("parent" in node) ? null : node.parent;
}

function declaredBy(scope: Node): readonly string[] {
  switch (scope.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
    case "TSModuleBlock":
      return scope.body.flatMap(declaredIn);
    case "SwitchStatement":
      return scope.cases.flatMap((one) => one.consequent.flatMap(declaredIn));
    case "FunctionDeclaration":
    case "FunctionExpression":
      return [...names(scope.id), ...scope.params.flatMap(names)];
    case "ArrowFunctionExpression":
    case "TSDeclareFunction":
    case "TSEmptyBodyFunctionExpression":
      return scope.params.flatMap(names);
    case "ClassExpression":
      return names(scope.id);
    case "ForStatement":
      return scope.init === null ? [] : declaredIn(scope.init);
    case "ForInStatement":
    case "ForOfStatement":
      return declaredIn(scope.left);
    case "CatchClause":
      return names(scope.param);
    default:
      return [];
  }
}

function declaredIn(statement: Node): readonly string[] {
  switch (statement.type) {
    case "ImportDeclaration":
      return statement.specifiers.flatMap((one) => names(one.local));
    case "ExportNamedDeclaration":
    case "ExportDefaultDeclaration":
      return statement.declaration === null ? [] : declaredIn(statement.declaration);
    case "VariableDeclaration":
      return statement.declarations.flatMap((one) => names(one.id));
    case "FunctionDeclaration":
    case "ClassDeclaration":
    case "TSEnumDeclaration":
    case "TSImportEqualsDeclaration":
      return names(statement.id);
    default:
      return [];
  }
}

/** The names that a pattern binds. */
function names(pattern: Node | null): readonly string[] {
  if (pattern === null) return [];
  switch (pattern.type) {
    case "Identifier":
      return [pattern.name];
    case "AssignmentPattern":
      return names(pattern.left);
    case "RestElement":
      return names(pattern.argument);
    case "ArrayPattern":
      return pattern.elements.flatMap(names);
    case "ObjectPattern":
      return pattern.properties.flatMap((one) => names(one.type === "Property" ? one.value : one));
    case "TSParameterProperty":
      return names(pattern.parameter);
    default:
      return [];
  }
}
