/** The part of Supabase's management API that the CLI needs to deploy: one project, which stores what it is sent. */

import * as z from "zod";

/** What was deployed as one function. */
export interface DeployedFunction {
  /** The text of each uploaded file, by path. */
  files: ReadonlyMap<string, string>;
  metadata: z.infer<typeof metadata>;
}

const metadata = z.object({
  name: z.string(),
  entrypoint_path: z.string(),
  import_map_path: z.string(),
  verify_jwt: z.boolean(),
});
const secrets = z.array(z.object({ name: z.string(), value: z.string() }));

export class ManagementApi implements AsyncDisposable {
  static readonly projectRef = "abcdefghijklmnopqrst";
  static readonly accessToken = `sbp_${"0".repeat(40)}`;
  readonly secrets = new Map<string, string>();
  /** By name, in the order of their deployment. */
  readonly functions = new Map<string, DeployedFunction>();
  /** Requests with a wrong token, or for something that does not exist. */
  readonly refused: string[] = [];
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => this.#handle(request),
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /**
   * The profile file, named by `SUPABASE_PROFILE`, that directs the CLI to this API. The project's database has a host
   * name that cannot exist (RFC 2606), so that no push reaches a database.
   */
  get profile(): string {
    return [
      `name: test`,
      `api_url: ${this.url}`,
      `dashboard_url: ${this.url}`,
      `project_host: supabase.invalid`,
    ]
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const refuse = (status: number): Response => {
      this.refused.push(`${request.method} ${pathname}: ${status}`);
      return Response.json({ message: "refused" }, { status });
    };
    if (request.headers.get("authorization") !== `Bearer ${ManagementApi.accessToken}`) return refuse(401);
    const base = `/v1/projects/${ManagementApi.projectRef}`;
    switch (`${request.method} ${pathname}`) {
      case `GET ${base}`:
        return Response.json(PROJECT);
      case `GET ${base}/api-keys`:
        return Response.json(API_KEYS);
      case `GET ${base}/config/database/pooler`:
        return Response.json([]);
      case `POST ${base}/secrets`:
        for (const { name, value } of secrets.parse(await request.json())) this.secrets.set(name, value);
        return Response.json({}, { status: 201 });
      case `POST ${base}/functions/deploy`: {
        const slug = searchParams.get("slug") ?? "";
        this.functions.set(slug, await readUpload(await request.formData()));
        return Response.json(deployed(slug), { status: 201 });
      }
      case `PUT ${base}/functions`:
        return Response.json({ functions: [...this.functions.keys()].map(deployed) });
      case `GET ${base}/config/storage`:
        return Response.json({ message: "not known here" }, { status: 404 });
      default:
        return refuse(404);
    }
  }
}

async function readUpload(form: FormData): Promise<DeployedFunction> {
  const files = new Map<string, string>();
  for (const file of form.getAll("file")) if (file instanceof File) files.set(file.name, await file.text());
  return { files, metadata: metadata.parse(JSON.parse(String(form.get("metadata")))) };
}

function deployed(slug: string): Record<string, unknown> {
  return {
    id: crypto.randomUUID(),
    slug,
    name: slug,
    status: "ACTIVE",
    version: 1,
    created_at: 1,
    updated_at: 1,
    verify_jwt: false,
  };
}

const API_KEYS = ["anon", "service_role"].map((name) => ({ name, api_key: name, id: name, type: "legacy" }));

const PROJECT = {
  id: ManagementApi.projectRef,
  ref: ManagementApi.projectRef,
  organization_id: "org",
  organization_slug: "org",
  name: "the test's",
  region: "us-east-1",
  created_at: "2026-01-01T00:00:00Z",
  status: "ACTIVE_HEALTHY",
  database: {
    host: `db.${ManagementApi.projectRef}.supabase.co`,
    version: "17.4.1.1",
    postgres_engine: "17",
    release_channel: "ga",
  },
};
