/** The claims of a token whose signature was checked when its connection came. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const [, payload = ""] = token.split(".");
  const bytes = Uint8Array.from(
    atob(payload.replaceAll("-", "+").replaceAll("_", "/")),
    (char) => char.charCodeAt(0),
  );
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** The `role` of `app_metadata`, which users cannot change themselves. It is not the database's role. */
export function appRoleOf(claims: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const metadata = claims?.app_metadata;
  const role = typeof metadata === "object" && metadata !== null && "role" in metadata
    ? metadata.role
    : undefined;
  return typeof role === "string" ? role : undefined;
}
