/**
 * `deno task build:npm`: builds the client as an npm package, with ES modules and types and without server code. The
 * target is dist/npm, or the folder given as argument. The target folder is emptied first.
 */

// deno-lint-ignore-file no-console -- a command-line tool

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import ts from "typescript";
import { VERSION } from "../../supabase/functions/_shared/version.ts";
import { type Definitions, frameTypes } from "./frame_types.ts";

/** The largest gzipped size for a browser, without the AI SDK part. */
const MAX_GZIPPED_BYTES = 7 * 1024;

const ROOT = new URL("../../", import.meta.url);
const [FOLDER = fileURLToPath(new URL("dist/npm", ROOT))] = Deno.args;
const TARGET = pathToFileURL(`${resolve(FOLDER)}/`);
const NAME = "agent-websocket-client";
const ENTRIES = ["mod", "ai_sdk"];
/** Class and interface members that no caller sees: long names in the source, short ones in the bundle. */
const INTERNAL = [
  "abandon",
  "abandonOthers",
  "blockedForMs",
  "connected",
  "connection",
  "dial",
  "disconnected",
  "failures",
  "finish",
  "flush",
  "forgetOthers",
  "hasTokens",
  "isCancelled",
  "isRepeatable",
  "isSettled",
  "isTaken",
  "onCancel",
  "onChange",
  "onEnd",
  "onFrame",
  "onLost",
  "onStop",
  "onTurn",
  "onWelcome",
  "pause",
  "place",
  "ports",
  "questions",
  "refuse",
  "repeats",
  "request",
  "restart",
  "sends",
  "sentOn",
  "settle",
  "succeed",
];

/** Builds the package. Returns the gzipped size of its main module in bytes. */
async function buildNpm(): Promise<number> {
  await Deno.remove(TARGET, { recursive: true }).catch(() => {});
  await Deno.mkdir(TARGET, { recursive: true });
  const types = await declarations();
  assertInternal(types);
  await bundle();
  for (const [file, text] of types) await Deno.writeTextFile(new URL(file, TARGET), text);
  await Deno.writeTextFile(new URL("package.json", TARGET), `${JSON.stringify(manifest(), null, 2)}\n`);
  await Deno.copyFile(new URL("LICENSE", ROOT), new URL("LICENSE", TARGET));
  await Deno.copyFile(new URL("docs/CLIENT.md", ROOT), new URL("README.md", TARGET));
  return gzipSync(await Deno.readFile(new URL("mod.js", TARGET)), { level: 9 }).length;
}

async function bundle(): Promise<void> {
  try {
    await esbuild.build({
      absWorkingDir: new URL(ROOT).pathname,
      entryPoints: ENTRIES.map((name) => `client/${name}.ts`),
      outdir: fileURLToPath(TARGET),
      bundle: true,
      splitting: true,
      format: "esm",
      target: "es2022",
      minify: true,
      mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
      external: ["ai"],
      logLevel: "warning",
    });
  } finally {
    await esbuild.stop();
  }
}

/** The types of the exports, by file, starting from the entries. */
async function declarations(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const waiting = [...ENTRIES];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(`${name}.d.ts`)) continue;
    const text = name === "frames" ? frameTypes(await definitions()) : await declarationOf(name);
    found.set(`${name}.d.ts`, text.replace(/"\.\/(\w+)\.ts"/g, '"./$1.js"'));
    for (const [, next = ""] of text.matchAll(/"\.\/(\w+)\.ts"/g)) waiting.push(next);
  }
  return found;
}

async function declarationOf(name: string): Promise<string> {
  const source = await Deno.readTextFile(new URL(`client/${name}.ts`, ROOT));
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(source, {
    fileName: `${name}.ts`,
    reportDiagnostics: true,
    compilerOptions: { isolatedDeclarations: true, declaration: true, target: ts.ScriptTarget.ES2022 },
  });
  const problems = diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  if (problems.length > 0) throw new Error(`Cannot declare ${name}.ts: ${problems.join("; ")}`);
  return outputText;
}

async function definitions(): Promise<Definitions> {
  return JSON.parse(await Deno.readTextFile(new URL("docs/schema.json", ROOT))).$defs;
}

/** A name that callers can see, or that is sent, must not be shortened. */
function assertInternal(types: ReadonlyMap<string, string>): void {
  for (const [file, text] of types) {
    // Comments may contain any word.
    const words = new Set(text.replace(/\/\*[\s\S]*?\*\/|"[^"\n]*"/g, "").match(/\w+/g));
    const seen = INTERNAL.filter((name) => words.has(name));
    if (seen.length > 0) throw new Error(`Cannot shorten ${seen.join(", ")}: ${file} shows them`);
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
    exports: { ".": entry("mod"), "./ai-sdk": entry("ai_sdk"), "./package.json": "./package.json" },
    engines: { node: ">=20" },
    peerDependencies: { ai: ">=7.0.70 <8" },
    peerDependenciesMeta: { ai: { optional: true } },
  };
}

if (import.meta.main) {
  const bytes = await buildNpm();
  console.log(`${FOLDER}: ${bytes} bytes gzipped, of at most ${MAX_GZIPPED_BYTES}`);
  if (bytes > MAX_GZIPPED_BYTES) Deno.exit(1);
}
