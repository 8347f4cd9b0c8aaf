/** The dialects of the chat completions API: what a model endpoint understands beyond what all of them share. */

/**
 * `MODEL_DIALECT`. `openrouter` takes fields of its own. `azure` is OpenAI's dialect with the key in another header.
 * `auto`: the host of the endpoint decides.
 */
export const MODEL_DIALECTS = ["auto", "openrouter", "openai", "azure"] as const;
export type DialectSetting = (typeof MODEL_DIALECTS)[number];
export type ModelDialect = Exclude<DialectSetting, "auto">;

/** OpenRouter answers 400 to a longer list ("'models' array must have 3 items or fewer."). */
export const MAX_OPENROUTER_MODELS = 3;

/** Hosts of Azure's resources. GitHub Models (`models.inference.ai.azure.com`) takes a Bearer token, and is not among them. */
const AZURE_HOST = /\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$/;

/** The dialect of the endpoint at `baseUrl`, an absolute URL. */
export function dialectOf(baseUrl: string, setting: DialectSetting = "auto"): ModelDialect {
  if (setting !== "auto") return setting;
  const { hostname } = new URL(baseUrl);
  if (hostname === "openrouter.ai" || hostname.endsWith(".openrouter.ai")) return "openrouter";
  return AZURE_HOST.test(hostname) ? "azure" : "openai";
}
