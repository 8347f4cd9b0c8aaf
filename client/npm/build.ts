/**
 * `deno task build:npm`: builds the client as an npm package, with ES modules and types and without server code. The
 * target is dist/npm, or the folder given as argument. The target folder is emptied first.
 *
 * A module of the package is a module of the source without its types: names and comments are kept, for the developer
 * who steps into it. Whoever builds a page minifies it with the rest of the page.
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import ts from "typescript";
import { VERSION } from "../../supabase/functions/_shared/version.ts";
import { type Definitions, frameTypes } from "./frame_types.ts";

/** The most that the package may add to a page, bundled, minified and gzipped, without the AI SDK part. */
const MAX_GZIPPED_BYTES = 10 * 1024;

const ROOT = new URL("../../", import.meta.url);
const [FOLDER = fileURLToPath(new URL("dist/npm", ROOT))] = Deno.args;
const TARGET = pathToFileURL(`${resolve(FOLDER)}/`);
const NAME = "agent-websocket-client";
const ENTRIES = ["mod", "tools", "ai_sdk"];
/** An import or export from a module of the package. */
const SIBLING = /"\.\/(\w+)\.[jt]s"/g;

/** Builds the package. Returns what its main module adds to a page, in bytes. */
async function buildNpm(): Promise<number> {
  await Deno.remove(TARGET, { recursive: true }).catch(() => {});
  await Deno.mkdir(TARGET, { recursive: true });
  const files = new Map([...await reachable(".js", moduleOf), ...await reachable(".d.ts", declarationOf)]);
  for (const [file, text] of files) await Deno.writeTextFile(new URL(file, TARGET), text);
  await Deno.writeTextFile(new URL("package.json", TARGET), `${JSON.stringify(manifest(), null, 2)}\n`);
  await Deno.copyFile(new URL("LICENSE", ROOT), new URL("LICENSE", TARGET));
  await Deno.copyFile(new URL("docs/CLIENT.md", ROOT), new URL("README.md", TARGET));
  return await sizeInPage(fileURLToPath(new URL("mod.js", TARGET)));
}

/** The files of the entries and of all modules that they import, by name. */
async function reachable(
  extension: string,
  make: (name: string) => Promise<string>,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const waiting = [...ENTRIES];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const file = `${name}${extension}`;
    if (files.has(file)) continue;
    const text = (await make(name)).replace(SIBLING, '"./$1.js"');
    files.set(file, text);
    for (const [, next = ""] of text.matchAll(SIBLING)) waiting.push(next);
  }
  return files;
}

async function moduleOf(name: string): Promise<string> {
  return ts.transpileModule(await sourceOf(name), {
    fileName: `${name}.ts`,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  }).outputText;
}

async function declarationOf(name: string): Promise<string> {
  if (name === "frames") return frameTypes(await definitions());
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(await sourceOf(name), {
    fileName: `${name}.ts`,
    reportDiagnostics: true,
    compilerOptions: { isolatedDeclarations: true, declaration: true, target: ts.ScriptTarget.ES2022 },
  });
  const problems = diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  if (problems.length > 0) throw new Error(`Cannot declare ${name}.ts: ${problems.join("; ")}`);
  return outputText;
}

function sourceOf(name: string): Promise<string> {
  return Deno.readTextFile(new URL(`client/${name}.ts`, ROOT));
}

async function definitions(): Promise<Definitions> {
  return JSON.parse(await Deno.readTextFile(new URL("docs/schema.json", ROOT))).$defs;
}

/** The gzipped size of a module with everything that it imports, as a page's bundler writes it. */
async function sizeInPage(module: string): Promise<number> {
  try {
    const { outputFiles: [bundle] } = await esbuild.build({
      entryPoints: [module],
      bundle: true,
      minify: true,
      format: "esm",
      write: false,
      logLevel: "warning",
    });
    if (bundle === undefined) throw new Error(`Cannot measure ${module}: esbuild wrote nothing`);
    return gzipSync(bundle.contents, { level: 9 }).length;
  } finally {
    await esbuild.stop();
  }
}

function manifest(): Record<string, unknown> {
  const entry = (name: string): Record<string, string> => ({
    types: `./${name}.d.ts`,
    default: `./${name}.js`,
  });
  return {
    name: NAME,
    version: VERSION,
    description: "Client of Agent WebSocket: an LLM agent behind one WebSocket that survives the network",
    license: "MIT",
    type: "module",
    sideEffects: false,
    exports: {
      ".": entry("mod"),
      "./tools": entry("tools"),
      "./ai-sdk": entry("ai_sdk"),
      "./package.json": "./package.json",
    },
    engines: { node: ">=20" },
    peerDependencies: { ai: ">=7.0.70 <8" },
    peerDependenciesMeta: { ai: { optional: true } },
  };
}

if (import.meta.main) {
  const bytes = await buildNpm();
  console.log(`${FOLDER}: ${bytes} bytes gzipped in a page, of at most ${MAX_GZIPPED_BYTES}`);
  if (bytes > MAX_GZIPPED_BYTES) Deno.exit(1);
}
