-- Agent WebSocket: a row for each request that reached a model provider, and the budgets that are sums over these rows.
-- What the rows mean, and what operators ask of them: docs/USAGE.md.
--
-- Applying it again changes nothing. The signatures that workers call are unchanged: a worker of the version before works on with
-- this, and what it books in agent_use counts towards the budgets as well.

-- Tables ----------------------------------------------------------------------------------------------------------------

-- A request to a provider. It has no text, so it stays when its session is deleted: no foreign key.
create table if not exists public.agent_usage (
  id uuid primary key,
  session_id uuid not null,
  turn_id text not null,
  -- 1, 2, 3 … within the turn: retries, and other workers that took the turn over.
  attempt integer not null,
  -- Null for an anonymous session.
  user_id text,
  -- The address that an anonymous request counts for, with a budget only, and for two days only.
  quota_key text,
  -- The one that answered; the one that was asked until it is known.
  model text not null,
  generation_id text,
  prompt_tokens bigint not null,
  -- With the reasoning.
  completion_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  -- What the answer may still have: counts towards the budget until the row is settled. 0 without a budget.
  reserved_tokens bigint not null default 0,
  -- In US dollars; null where nobody has told a price.
  cost numeric,
  -- Whether tokens and cost are our estimate, not what the provider reported.
  estimated boolean not null default true,
  outcome text not null default 'open'
    check (outcome in ('open', 'completed', 'cancelled', 'failed', 'interrupted', 'in_vain', 'lost')),
  created_at timestamptz not null,
  ended_at timestamptz
);
create index if not exists agent_usage_by_user on public.agent_usage (user_id, created_at) where user_id is not null;
create index if not exists agent_usage_by_session on public.agent_usage (session_id, created_at);
create index if not exists agent_usage_by_quota_key on public.agent_usage (quota_key, created_at)
  where quota_key is not null;
create index if not exists agent_usage_by_age on public.agent_usage (created_at);
create index if not exists agent_usage_open on public.agent_usage (created_at) where outcome = 'open';
create index if not exists agent_usage_with_quota_key on public.agent_usage (created_at) where quota_key is not null;
create index if not exists agent_usage_priced on public.agent_usage (model, created_at)
  where not estimated and cost > 0;

-- Accounting ------------------------------------------------------------------------------------------------------------

-- US dollars for a token of this model, prompt and answer alike, as the newest reported row has it; null if there is none.
create or replace function public.agent_token_price(p_model text) returns numeric
  language sql stable set search_path = '' as $$
  select cost / (prompt_tokens + completion_tokens) from public.agent_usage
  where model = p_model and not estimated and cost > 0 and prompt_tokens + completion_tokens > 0
  order by created_at desc limit 1
$$;

-- The keys that a row counts for, as the workers name them.
create or replace function public.agent_usage_keys(p_user text, p_session uuid, p_quota_key text) returns text[]
  language sql immutable set search_path = '' as $$
  select case
    when p_user is not null then array['user:' || p_user]
    else array_remove(array['session:' || p_session::text, p_quota_key], null)
  end
$$;

-- What a key has used since p_since, the beginning of a day (UTC): {tokens, cost}, with what is reserved, and {settled, settled_cost}
-- without.
create or replace function public.agent_spent(
  p_key text, p_since timestamptz,
  out tokens numeric, out settled numeric, out cost numeric, out settled_cost numeric
) language plpgsql stable set search_path = '' as $$
begin
  select coalesce(sum(u.counted + u.reserved_tokens), 0), coalesce(sum(u.counted), 0),
    coalesce(sum(u.cost), 0), coalesce(sum(u.cost) filter (where u.reserved_tokens = 0), 0)
  into tokens, settled, cost, settled_cost
  from (
    select prompt_tokens + completion_tokens as counted, reserved_tokens, r.cost from public.agent_usage r
    where p_key like 'user:%' and r.user_id = substr(p_key, 6) and r.created_at >= p_since
    union all
    select prompt_tokens + completion_tokens, reserved_tokens, r.cost from public.agent_usage r
    where p_key like 'session:%' and r.session_id = case when p_key like 'session:%' then substr(p_key, 9)::uuid end
      and r.user_id is null and r.created_at >= p_since
    union all
    select prompt_tokens + completion_tokens, reserved_tokens, r.cost from public.agent_usage r
    where r.quota_key = p_key and r.created_at >= p_since
    union all
    -- Workers of the version before count their tokens there.
    select b.tokens, 0, null from public.agent_use b
    where b.key = p_key and b.day = (p_since at time zone 'UTC')::date
  ) u;
end
$$;

-- Adds a row that is not there yet; one that is stays as it is. Open rows of the same turn that are older belong to workers that
-- lost it: they end as `lost`, and what they reserved goes on counting. [{id, generation_id}] of those that a provider can tell of.
create or replace function public.agent_add_usage(p_row public.agent_usage) returns jsonb
  language plpgsql set search_path = '' as $$
declare
  v_lost jsonb;
begin
  -- The worker that lost the turn was not killed: what another one has told for it (p_rows, inferred) is not needed.
  delete from public.agent_usage u
  where u.id = md5(p_row.session_id::text || p_row.turn_id)::uuid and u.id <> p_row.id and u.created_at > p_row.created_at;
  -- No turn lasts two days.
  select coalesce(max(u.attempt), 0) + 1 into p_row.attempt from public.agent_usage u
  where u.session_id = p_row.session_id and u.turn_id = p_row.turn_id
    and u.created_at > p_row.created_at - interval '2 days';
  insert into public.agent_usage select p_row.* on conflict do nothing;
  if not found then
    return '[]';
  end if;
  with lost as (
    update public.agent_usage u set outcome = 'lost', ended_at = clock_timestamp()
    where u.session_id = p_row.session_id and u.turn_id = p_row.turn_id and u.id <> p_row.id and u.outcome = 'open'
      and u.created_at > p_row.created_at - interval '2 days' and u.created_at <= p_row.created_at
    returning u.id, u.generation_id
  )
  select coalesce(jsonb_agg(jsonb_build_object('id', id, 'generation_id', generation_id)), '[]') into v_lost
  from lost where generation_id is not null;
  return v_lost;
end
$$;

-- Accounts for what a worker's requests did since its last call, each number once, in this order:
--
-- - p_unsent [id]: reserved, but never sent. Their rows go.
-- - p_rows [{id, session_id, turn_id, user_id, quota_key, model, generation_id, prompt_tokens, completion_tokens,
--   reasoning_tokens, cost, estimated, outcome, inferred, age_ms, ended_ms}]: as they are now. The last two: how many milliseconds
--   ago. What has ended is not opened again, and what a provider reported is not replaced by an estimate. `inferred`: told by the
--   worker that took the turn over; kept only if there is no row of the turn, and until there is an older one.
-- - p_corrections [{id, prompt_tokens, completion_tokens, reasoning_tokens, cost}]: what the provider told later.
-- - p_asked [{id, session_id, turn_id, user_id, quota_key, model, prompt_tokens, max_tokens}]: requests that want to be sent. One at a
--   time for each key, whatever its worker. It is refused where one of its keys has used the day's budget; else its row is opened,
--   with max_tokens (null: as many as there are) lowered to what is left.
--
-- {granted: {id: max_tokens}, used_up: [key], day_left_ms, lost: [{id, generation_id}]}. `used_up`: which keys of this call have used
-- their budget, without what is reserved. A budget of 0 is none.
create or replace function public.agent_account_usage(
  p_worker text, p_number bigint, p_rows jsonb, p_unsent jsonb, p_corrections jsonb, p_asked jsonb,
  p_token_budget bigint, p_cost_budget numeric
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_answer jsonb := public.agent_begin_call(p_worker, 'usage', p_number);
  v_now timestamptz := clock_timestamp();
  v_day timestamptz;
  v_in record;
  v_row public.agent_usage;
  v_spent record;
  v_key text;
  v_keys text[] := '{}';
  v_price numeric;
  v_max numeric;
  v_is_refused boolean;
  v_granted jsonb := '{}';
  v_used_up jsonb := '[]';
  v_lost jsonb := '[]';
begin
  if v_answer is not null then
    return v_answer;
  end if;
  delete from public.agent_usage
  where id = any (array(select jsonb_array_elements_text(p_unsent)::uuid)) and outcome = 'open';

  for v_in in
    select r.* from jsonb_to_recordset(p_rows) as r (
      id uuid, session_id uuid, turn_id text, user_id text, quota_key text, model text, generation_id text,
      prompt_tokens bigint, completion_tokens bigint, reasoning_tokens bigint, cost numeric, estimated boolean,
      outcome text, inferred boolean, age_ms double precision, ended_ms double precision
    )
  loop
    continue when v_in.inferred and exists (
      select from public.agent_usage u
      where u.session_id = v_in.session_id and u.turn_id = v_in.turn_id and u.created_at > v_now - interval '2 days'
    );
    v_keys := v_keys || public.agent_usage_keys(v_in.user_id, v_in.session_id, v_in.quota_key);
    v_price := case when v_in.cost is null and v_in.estimated then public.agent_token_price(v_in.model) end;
    update public.agent_usage u set
      model = v_in.model,
      generation_id = coalesce(v_in.generation_id, u.generation_id),
      prompt_tokens = v_in.prompt_tokens,
      completion_tokens = v_in.completion_tokens,
      reasoning_tokens = v_in.reasoning_tokens,
      reserved_tokens = case v_in.outcome when 'open' then u.reserved_tokens else 0 end,
      cost = coalesce(v_in.cost, v_price * (v_in.prompt_tokens + v_in.completion_tokens
        + case v_in.outcome when 'open' then u.reserved_tokens else 0 end)),
      estimated = v_in.estimated,
      outcome = v_in.outcome,
      ended_at = v_now - v_in.ended_ms * interval '1 millisecond'
    where u.id = v_in.id and (u.outcome = 'open' or v_in.outcome <> 'open') and (u.estimated or not v_in.estimated);
    continue when found;
    v_row := null;
    v_row.id := case when v_in.inferred then md5(v_in.session_id::text || v_in.turn_id)::uuid else v_in.id end;
    v_row.session_id := v_in.session_id;
    v_row.turn_id := v_in.turn_id;
    v_row.user_id := v_in.user_id;
    v_row.quota_key := v_in.quota_key;
    v_row.model := v_in.model;
    v_row.generation_id := v_in.generation_id;
    v_row.prompt_tokens := v_in.prompt_tokens;
    v_row.completion_tokens := v_in.completion_tokens;
    v_row.reasoning_tokens := v_in.reasoning_tokens;
    v_row.reserved_tokens := 0;
    v_row.cost := coalesce(v_in.cost, v_price * (v_in.prompt_tokens + v_in.completion_tokens));
    v_row.estimated := v_in.estimated;
    v_row.outcome := v_in.outcome;
    v_row.created_at := v_now - v_in.age_ms * interval '1 millisecond';
    v_row.ended_at := v_now - v_in.ended_ms * interval '1 millisecond';
    v_lost := v_lost || public.agent_add_usage(v_row);
  end loop;

  for v_in in
    select r.* from jsonb_to_recordset(p_corrections) as r (
      id uuid, prompt_tokens bigint, completion_tokens bigint, reasoning_tokens bigint, cost numeric
    )
  loop
    update public.agent_usage u set
      prompt_tokens = v_in.prompt_tokens,
      completion_tokens = v_in.completion_tokens,
      reasoning_tokens = v_in.reasoning_tokens,
      reserved_tokens = 0,
      cost = coalesce(v_in.cost, u.cost),
      estimated = false
    where u.id = v_in.id
    returning u.* into v_row;
    if found then
      v_keys := v_keys || public.agent_usage_keys(v_row.user_id, v_row.session_id, v_row.quota_key);
    end if;
  end loop;

  -- A turn that was read in the log does not say which address asked it: its session's last request does.
  p_asked := (
    select coalesce(jsonb_agg(a.value || jsonb_build_object('quota_key', coalesce(
      a.value ->> 'quota_key',
      (
        select u.quota_key from public.agent_usage u
        where u.session_id = (a.value ->> 'session_id')::uuid and u.quota_key is not null
        order by u.created_at desc limit 1
      )
    )) order by a.ordinality), '[]')
    from jsonb_array_elements(p_asked) with ordinality a
  );
  -- In one order for everybody.
  for v_key in
    select distinct on (hashtextextended(k.key, 0)) k.key
    from jsonb_to_recordset(p_asked) as r (session_id uuid, user_id text, quota_key text),
      unnest(public.agent_usage_keys(r.user_id, r.session_id, r.quota_key)) as k (key)
    order by hashtextextended(k.key, 0)
  loop
    perform pg_advisory_xact_lock(hashtextextended(v_key, 0));
  end loop;
  v_now := clock_timestamp();
  v_day := date_trunc('day', v_now, 'UTC');
  for v_in in
    select r.* from jsonb_to_recordset(p_asked) as r (
      id uuid, session_id uuid, turn_id text, user_id text, quota_key text, model text,
      prompt_tokens bigint, max_tokens bigint
    )
  loop
    v_is_refused := false;
    v_max := v_in.max_tokens;
    v_price := public.agent_token_price(v_in.model);
    foreach v_key in array public.agent_usage_keys(v_in.user_id, v_in.session_id, v_in.quota_key) loop
      v_keys := v_keys || v_key;
      select * into v_spent from public.agent_spent(v_key, v_day);
      if p_token_budget > 0 then
        v_is_refused := v_is_refused or v_spent.tokens >= p_token_budget;
        v_max := least(v_max, p_token_budget - v_spent.tokens);
      end if;
      if p_cost_budget > 0 then
        v_is_refused := v_is_refused or v_spent.cost >= p_cost_budget;
        if v_price > 0 then
          v_max := least(v_max, greatest(1, floor((p_cost_budget - v_spent.cost) / v_price)));
        end if;
      end if;
    end loop;
    continue when v_is_refused;
    v_row := null;
    v_row.id := v_in.id;
    v_row.session_id := v_in.session_id;
    v_row.turn_id := v_in.turn_id;
    v_row.user_id := v_in.user_id;
    v_row.quota_key := v_in.quota_key;
    v_row.model := v_in.model;
    v_row.prompt_tokens := v_in.prompt_tokens;
    v_row.completion_tokens := 0;
    v_row.reasoning_tokens := 0;
    v_row.reserved_tokens := coalesce(v_max, 0);
    v_row.cost := v_price * (v_in.prompt_tokens + coalesce(v_max, 0));
    v_row.estimated := true;
    v_row.outcome := 'open';
    v_row.created_at := v_now;
    v_lost := v_lost || public.agent_add_usage(v_row);
    v_granted := v_granted || jsonb_build_object(v_in.id::text, v_max);
  end loop;

  if p_token_budget > 0 or p_cost_budget > 0 then
    for v_key in select distinct key from unnest(v_keys) as k (key) loop
      select * into v_spent from public.agent_spent(v_key, v_day);
      if p_token_budget > 0 and v_spent.settled >= p_token_budget
        or p_cost_budget > 0 and v_spent.settled_cost >= p_cost_budget then
        v_used_up := v_used_up || to_jsonb(v_key);
      end if;
    end loop;
  end if;
  return public.agent_end_call(p_worker, 'usage', p_number, jsonb_build_object(
    'granted', v_granted, 'used_up', v_used_up, 'lost', v_lost,
    'day_left_ms', ceil(extract(epoch from v_day + interval '1 day' - v_now) * 1000)
  ));
end
$$;

-- Retention --------------------------------------------------------------------------------------------------------------

-- Ends turns that nobody has run for p_abandoned_after, deletes sessions that were not used for p_older_than (null: none),
-- and what is older than that in the sessions that live on (a beginning of the log: the clients are told of the gap), and
-- what is kept of the service itself for its time. At most about p_limit rows in all, whatever they are of; a row that
-- somebody holds is left for the next time. {turns, sessions, events, rows, more}: `events` of the sessions that live on,
-- `more` where the limit was reached, so that the caller calls again.
create or replace function public.agent_prune(
  p_older_than interval, p_abandoned_after interval default interval '1 hour', p_limit integer default 1000
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_cutoff timestamptz := v_now - p_older_than;
  v_abandoned timestamptz := v_now - least(p_older_than, p_abandoned_after);
  v_session public.agent_sessions;
  v_turn public.agent_turns;
  v_id uuid;
  v_left integer := p_limit;
  v_turns integer := 0;
  v_sessions integer := 0;
  v_events integer := 0;
  v_count integer;
  v_pruned jsonb;
  v_worker text;
begin
  -- Those that were begun come first, whatever p_older_than says now.
  for v_id in
    select session_id from public.agent_sessions
    where active_hour <= coalesce(v_cutoff, '-infinity') and last_active_at <= coalesce(v_cutoff, '-infinity')
    order by active_hour limit p_limit for update skip locked
  loop
    exit when v_left <= 0;
    v_left := v_left - public.agent_forget(v_id, v_left);
    if not exists (select from public.agent_sessions where session_id = v_id) then
      v_sessions := v_sessions + 1;
    end if;
  end loop;

  for v_id in
    select distinct session_id from public.agent_turns
    where ended_at is null and coalesce(started_at, created_at) < v_abandoned order by session_id
  loop
    exit when v_left <= 0;
    select * into v_session from public.agent_sessions
    where session_id = v_id and last_active_at < v_abandoned
      and (lease_until is null or lease_until < v_abandoned) and token_hash is distinct from 'forgotten'
    for no key update skip locked;
    continue when not found;
    for v_turn in
      select * from public.agent_turns
      where session_id = v_id and ended_at is null and coalesce(started_at, created_at) < v_abandoned
      order by query_seq limit v_left
    loop
      v_session.last_seq := public.agent_append(
        v_id, v_session.last_seq, v_now, jsonb_build_array(jsonb_build_object(
          'kind', 'error', 'queryId', v_turn.query_id, 'turnId', v_turn.turn_id, 'code', 'interrupted',
          'content', 'Failed to generate response: nobody was there to finish it',
          'retryable', true, 'partial', public.agent_partial(v_turn)
        ))
      ) ->> 'last_seq';
      v_turns := v_turns + 1;
      v_left := v_left - 1;
    end loop;
    update public.agent_sessions set last_seq = v_session.last_seq where session_id = v_id;
  end loop;

  for v_id in
    select session_id from public.agent_sessions
    where coalesce(oldest_at, created_at) < v_cutoff and token_hash is distinct from 'forgotten'
    order by coalesce(oldest_at, created_at) limit v_left for no key update skip locked
  loop
    exit when v_left <= 0;
    v_pruned := public.agent_prune_session(v_id, v_cutoff, v_left);
    -- A session that was looked at costs as much as a row.
    v_left := v_left - greatest((v_pruned ->> 'rows')::integer, 1);
    v_events := v_events + (v_pruned ->> 'events')::integer;
  end loop;

  if v_left > 0 then
    delete from public.agent_notifications where id in (
      select id from public.agent_notifications where created_at < v_now - interval '24 hours'
      order by created_at limit v_left for update skip locked
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    delete from public.agent_use where key in (
      select key from public.agent_use where day < (v_now at time zone 'UTC')::date - 1
      order by day limit v_left for update skip locked
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  -- Usage rows outlive their sessions, and have no text. A worker that was killed left its rows open.
  if v_left > 0 then
    update public.agent_usage set outcome = 'lost', ended_at = v_now, reserved_tokens = 0 where id in (
      select id from public.agent_usage where outcome = 'open' and created_at < v_now - interval '1 day'
      order by created_at limit v_left for update skip locked
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  -- Limits are of a day: after that an address is not kept.
  if v_left > 0 then
    update public.agent_usage set quota_key = null where id in (
      select id from public.agent_usage where quota_key is not null and created_at < v_now - interval '2 days'
      order by created_at limit v_left for update skip locked
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 and v_cutoff is not null then
    delete from public.agent_usage where id in (
      select id from public.agent_usage where created_at < v_cutoff
      order by created_at limit v_left for update skip locked
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  -- As many rows as there were workers lately. Connections first: without the call nothing would lead to them.
  for v_worker in
    select worker from public.agent_calls where called_at < v_now - interval '1 hour' limit greatest(v_left, 0)
  loop
    exit when v_left <= 0;
    delete from public.agent_connections where worker = v_worker and key in (
      select key from public.agent_connections where worker = v_worker limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
    continue when v_left <= 0;
    delete from public.agent_calls where worker = v_worker and called_at < v_now - interval '1 hour';
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end loop;
  return jsonb_build_object(
    'turns', v_turns, 'sessions', v_sessions, 'events', v_events, 'rows', p_limit - v_left, 'more', v_left <= 0
  );
end
$$;

-- Who may -----------------------------------------------------------------------------------------------------------------

alter table public.agent_usage enable row level security;

drop policy if exists "Users read their own usage" on public.agent_usage;
create policy "Users read their own usage" on public.agent_usage for select
  using (user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'));

do $$
declare
  v_role text;
  v_object text;
begin
  foreach v_role in array array['public', 'anon', 'authenticated', 'service_role'] loop
    continue when v_role <> 'public' and not exists (select from pg_catalog.pg_roles where rolname = v_role);
    for v_object in
      select pg_catalog.format('table %s', c.oid::regclass) from pg_catalog.pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname = 'agent_usage'
      union all
      select pg_catalog.format('function %s', p.oid::regprocedure) from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'agent_token_price', 'agent_usage_keys', 'agent_spent', 'agent_add_usage', 'agent_account_usage'
      )
    loop
      if v_role = 'service_role' then
        execute pg_catalog.format('grant all on %s to %I', v_object, v_role);
      elsif v_role = 'public' then
        execute pg_catalog.format('revoke all on %s from public', v_object);
      else
        execute pg_catalog.format('revoke all on %s from %I', v_object, v_role);
      end if;
    end loop;
  end loop;
  -- Every column, so that select * works (docs/decisions/0051). In the rows that a user sees quota_key is null.
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    grant select on public.agent_usage to authenticated;
  end if;
end
$$;

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
