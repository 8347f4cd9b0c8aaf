import assert from "node:assert/strict";
import { dialectOf } from "../../supabase/functions/_shared/model_dialect.ts";

Deno.test("[MD9] dialectOf: the host decides, unless the setting does", () => {
  const dialects = {
    "https://openrouter.ai/api/v1": "openrouter",
    "https://OpenRouter.ai/api/v1": "openrouter",
    "https://eu.openrouter.ai/api/v1": "openrouter",
    "https://notopenrouter.ai/api/v1": "openai",
    "https://openrouter.ai.example.com/api/v1": "openai",
    "https://proxy.example.com/openrouter.ai/v1": "openai",
    "https://api.openai.com/v1": "openai",
    "http://localhost:11434/v1": "openai",
    "https://mine.openai.azure.com/openai/deployments/x?api-version=1": "azure",
    "https://mine.cognitiveservices.azure.com/openai/v1": "azure",
    "https://mine.services.ai.azure.com/openai/v1": "azure",
    "https://models.inference.ai.azure.com": "openai",
  };
  for (const [url, dialect] of Object.entries(dialects)) {
    assert.equal(dialectOf(url), dialect, url);
    assert.equal(dialectOf(url, "auto"), dialect, url);
    assert.equal(dialectOf(url, "openrouter"), "openrouter");
    assert.equal(dialectOf(url, "openai"), "openai");
  }
});
