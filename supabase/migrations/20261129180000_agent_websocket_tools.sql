-- Agent WebSocket: tools. A turn calls tools in steps; each call, decision, start and result is an event of the log.
--
-- The functions have the signatures and the answers that they had, and fields more.

-- Steps of the turn that are in the log.
alter table public.agent_turns add column if not exists steps integer not null default 0;
-- Until when one of its calls may wait for somebody: so long it counts as run, though no worker runs it.
alter table public.agent_turns add column if not exists waits_until timestamptz;

-- The key of an event within its session (keyOf in log_event.ts): each is appended once.
create or replace function public.agent_event_key(p_event jsonb) returns text language sql immutable set search_path = '' as $$
  select case p_event ->> 'kind'
    when 'query' then 'q:' || (p_event ->> 'queryId')
    when 'tool_call' then 'k:' || (p_event ->> 'callId')
    when 'approval_requested' then 'a:' || (p_event ->> 'callId')
    when 'approval_decided' then 'd:' || (p_event ->> 'callId')
    when 'tool_started' then 's:' || (p_event ->> 'callId')
    when 'tool_result' then 'r:' || (p_event ->> 'callId')
    when 'cleared' then 'c:' || (p_event ->> 'clearId')
    when 'configured' then 'o:' || (p_event ->> 'configId')
    when 'notification' then 'n:' || (p_event ->> 'notificationId')
    else 't:' || (p_event ->> 'turnId')
  end
$$;

-- A turn whose calls go on is none that kills its workers: its starts are counted anew.
create or replace function public.agent_note_event(p_session uuid, p_event jsonb) returns void
  language plpgsql set search_path = '' as $$
begin
  update public.agent_turns set
    starts = least(starts, 1),
    starts_without_text = 0,
    steps = coalesce((p_event ->> 'step')::integer, steps),
    waits_until = greatest(waits_until, to_timestamp((p_event ->> 'expiresAt')::bigint / 1000.0))
  where session_id = p_session and turn_id = p_event ->> 'turnId' and ended_at is null;
end
$$;

-- A session's turns without an end, oldest first: [{query, starts, starts_without_text, partial, stopped, tools}]. tools: the events
-- of its calls, oldest first.
create or replace function public.agent_open_turns(p_session uuid) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'query', e.event, 'starts', t.starts, 'starts_without_text', t.starts_without_text,
      'partial', public.agent_partial(t), 'stopped', t.stop_reason,
      'tools', case when t.steps = 0 then '[]' else (
        select coalesce(jsonb_agg(c.event order by c.seq), '[]') from public.agent_events c
        where c.session_id = t.session_id and c.seq > t.query_seq and c.turn_id = t.turn_id
          and c.kind in ('tool_call', 'approval_requested', 'approval_decided', 'tool_started', 'tool_result')
      ) end
    )
    order by t.query_seq
  ), '[]')
  from public.agent_turns t
  join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
  where t.session_id = p_session and t.ended_at is null
$$;

-- Decides about a call that waits for it, as p_event says ({decisionId, verdict, input?, comment?, by?}). p_claims: as in
-- agent_find_conversation; null where the caller may decide for everybody. Deciding the same again changes nothing.
-- {seq} or {error: unknown_session | unknown_approval | already_decided}.
create or replace function public.agent_decide(p_session uuid, p_approval text, p_claims jsonb, p_event jsonb) returns jsonb
  language plpgsql set search_path = '' as $$
declare
  v_session public.agent_sessions;
  v_request jsonb;
  v_known jsonb;
  v_at timestamptz;
  v_appended jsonb;
begin
  select s.* into v_session from public.agent_sessions s
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten' and public.agent_is_owner(s, p_claims)
  for no key update;
  if not found then
    return '{"error": "unknown_session"}';
  end if;
  v_at := clock_timestamp();
  select e.event into v_request from public.agent_events e
  join public.agent_turns t on t.session_id = e.session_id and t.turn_id = e.turn_id
  where e.session_id = p_session and e.key = 'a:' || p_approval and t.ended_at is null;
  if not found then
    return '{"error": "unknown_approval"}';
  end if;
  select e.event into v_known from public.agent_events e where e.session_id = p_session and e.key = 'd:' || p_approval;
  if found then
    return case when v_known ->> 'decisionId' = p_event ->> 'decisionId' then jsonb_build_object('seq', v_known -> 'seq')
      else '{"error": "already_decided"}' end;
  end if;
  if (v_request ->> 'expiresAt')::bigint <= public.agent_ms(v_at) then
    return '{"error": "already_decided"}';
  end if;
  v_appended := public.agent_append(p_session, v_session.last_seq, v_at, jsonb_build_array(
    p_event || jsonb_build_object(
      'kind', 'approval_decided', 'callId', p_approval, 'queryId', v_request -> 'queryId', 'turnId', v_request -> 'turnId'
    )
  ));
  update public.agent_sessions set
    last_seq = (v_appended ->> 'last_seq')::bigint, last_active_at = v_at, active_hour = date_trunc('hour', v_at, 'UTC')
  where session_id = p_session;
  return jsonb_build_object('seq', v_appended -> 'last_seq');
end
$$;

-- Approvals -------------------------------------------------------------------------------------------------------------

create index if not exists agent_events_approvals on public.agent_events (session_id, seq) where kind = 'approval_requested';

-- What waits, or has waited, for a person's decision. A user sees those of her own sessions, by the policy of agent_events.
create or replace view public.agent_approvals with (security_invoker = true) as
  select
    r.session_id,
    r.event ->> 'callId' as approval_id,
    r.turn_id,
    r.event ->> 'name' as name,
    r.event -> 'input' as input,
    r.created_at as requested_at,
    to_timestamp((r.event ->> 'expiresAt')::bigint / 1000.0) as expires_at,
    d.event ->> 'verdict' as verdict,
    d.event -> 'input' as edited_input,
    d.event ->> 'comment' as comment,
    d.event ->> 'by' as decided_by,
    d.created_at as decided_at,
    d.seq is null and t.ended_at is null and to_timestamp((r.event ->> 'expiresAt')::bigint / 1000.0) > now() as pending
  from public.agent_events r
  left join public.agent_events d on d.session_id = r.session_id and d.key = 'd:' || (r.event ->> 'callId')
  left join public.agent_turns t on t.session_id = r.session_id and t.turn_id = r.turn_id
  where r.kind = 'approval_requested';

-- Retention -------------------------------------------------------------------------------------------------------------

-- Ends turns that nobody has run for p_abandoned_after and that wait for nobody, deletes sessions that were not used for
-- p_older_than (null: none), and what is older than that in the sessions that live on (a beginning of the log: the clients are
-- told of the gap), and what is kept of the service itself for its time. At most about p_limit rows in all, whatever they are
-- of; a row that somebody holds is left for the next time. {turns, sessions, events, rows, more}: `events` of the sessions that
-- live on, `more` where the limit was reached, so that the caller calls again.
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
      -- The turns behind one that waits for somebody wait with it.
      and not exists (
        select from public.agent_turns w where w.session_id = v_id and w.ended_at is null and w.waits_until >= v_abandoned
      )
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

-- Who may ----------------------------------------------------------------------------------------------------------------

do $$
declare
  v_role text;
begin
  foreach v_role in array array['public', 'anon', 'authenticated', 'service_role'] loop
    continue when v_role <> 'public' and not exists (select from pg_catalog.pg_roles where rolname = v_role);
    if v_role = 'service_role' then
      grant all on function public.agent_decide(uuid, text, jsonb, jsonb) to service_role;
      grant select on public.agent_approvals to service_role;
    elsif v_role = 'public' then
      revoke all on function public.agent_decide(uuid, text, jsonb, jsonb) from public;
      revoke all on public.agent_approvals from public;
    else
      execute pg_catalog.format('revoke all on function public.agent_decide(uuid, text, jsonb, jsonb) from %I', v_role);
      execute pg_catalog.format('revoke all on public.agent_approvals from %I', v_role);
    end if;
  end loop;
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    grant select on public.agent_approvals to authenticated;
  end if;
end
$$;

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
