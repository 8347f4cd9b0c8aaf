/** The reasoning effort of a query. Without zod, so that the configuration can use it. */

/** How much a model thinks before it answers, as OpenAI and OpenRouter spell it. */
export const REASONING_EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"] as const;
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number];
