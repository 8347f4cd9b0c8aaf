-- Agent WebSocket: what the session core of this edition needs of the store.
--
-- The end of a turn is named after its turn, and `configured` events set the session's defaults field by field. The
-- signatures that workers call are unchanged: a worker of the version before works on with this.

-- What the `configured` events of a write set, later ones over earlier ones.
create or replace function public.agent_configured(p_events jsonb) returns jsonb
  language sql immutable set search_path = '' as $$
  select coalesce(jsonb_object_agg(field.key, field.value order by event.ordinality), '{}')
  from jsonb_array_elements(coalesce(p_events, '[]')) with ordinality as event,
    jsonb_each(event.value -> 'options') as field
  where event.value ->> 'kind' = 'configured'
$$;

-- Appends events to a session whose row the caller has locked, and whose last_seq the caller sets to the one answered:
-- {last_seq, last_query_seq, events}, the last with the seq of each event that is new, and as it is stored each that was
-- there; last_query_seq is null where no query is new.
create or replace function public.agent_append(p_session uuid, p_last_seq bigint, p_at timestamptz, p_events jsonb)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_event jsonb;
  v_kind text;
  v_key text;
  v_turn text;
  v_stored jsonb;
  v_seq bigint := p_last_seq;
  v_query_seq bigint;
  v_answers jsonb := '[]';
begin
  for v_event in select value from jsonb_array_elements(p_events) with ordinality order by ordinality loop
    v_kind := v_event ->> 'kind';
    v_turn := v_event ->> 'turnId';
    v_key := case v_kind
      when 'query' then 'q:' || (v_event ->> 'queryId')
      when 'cleared' then 'c:' || (v_event ->> 'clearId')
      when 'configured' then 'o:' || (v_event ->> 'configId')
      when 'notification' then 'n:' || (v_event ->> 'notificationId')
      else 't:' || v_turn
    end;
    select event into v_stored from public.agent_events where session_id = p_session and key = v_key;
    if not found and v_key = 't:' || v_turn then
      -- Earlier versions of this function named the end of a turn after its query.
      select event into v_stored from public.agent_events
      where session_id = p_session and key = 't:' || (v_event ->> 'queryId') and turn_id = v_turn;
    end if;
    if found then
      v_answers := v_answers || jsonb_build_array(v_stored);
      continue;
    end if;
    v_seq := v_seq + 1;
    insert into public.agent_events (session_id, seq, key, kind, turn_id, event, created_at)
    values (
      p_session, v_seq, v_key, v_kind, v_turn,
      v_event || jsonb_build_object('seq', v_seq, 'at', public.agent_ms(p_at)), p_at
    );
    v_answers := v_answers || to_jsonb(v_seq);
    if v_kind = 'query' then
      v_query_seq := v_seq;
      insert into public.agent_turns (session_id, turn_id, query_id, query_seq, created_at)
      values (p_session, v_turn, v_event ->> 'queryId', v_seq, p_at);
    elsif v_turn is not null then
      update public.agent_turns set
        state = case v_kind
          when 'response' then 'completed'
          when 'cancelled' then 'cancelled'
          else case v_event ->> 'code' when 'interrupted' then 'interrupted' else 'failed' end
        end,
        ended_at = p_at, partial = ''
      where session_id = p_session and turn_id = v_turn and ended_at is null;
      delete from public.agent_turn_pieces where session_id = p_session and turn_id = v_turn;
    end if;
  end loop;
  return jsonb_build_object('last_seq', v_seq, 'last_query_seq', v_query_seq, 'events', v_answers);
end
$$;

-- One LogWrite (ports.ts) to one session: all of it, or {error}. What may be refused is looked at before anything is
-- changed. p_write: {events, lease, epoch, started, checkpoint: {turn, number, text}, stop: {which | query, reason},
-- only_if_idle, defaults}, each of which may be left out. What `configured` events set is merged into the session's defaults.
-- {last_seq, lease, at, events, open_turns?, stopped?, reached?}.
create or replace function public.agent_write(p_worker text, p_lease_ms integer, p_session uuid, p_write jsonb)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_session public.agent_sessions;
  v_at timestamptz;
  v_other boolean;
  v_claimed boolean;
  v_holder boolean;
  v_open_turns jsonb;
  v_stop jsonb := p_write -> 'stop';
  v_checkpoint jsonb := p_write -> 'checkpoint';
  v_events jsonb := p_write -> 'events';
  v_appended jsonb := '{"events": []}';
  v_reached jsonb;
  v_answer jsonb;
begin
  select * into v_session from public.agent_sessions where session_id = p_session for no key update;
  if not found or v_session.token_hash = 'forgotten' then
    return '{"error": "unknown_session"}';
  end if;
  v_at := clock_timestamp();
  v_other := v_session.runner is not null and v_session.runner <> p_worker and v_session.lease_until > v_at;
  if (p_write ->> 'epoch')::integer is not null
    and (v_session.runner is distinct from p_worker or v_session.epoch <> (p_write ->> 'epoch')::integer) then
    return '{"error": "lease_lost"}';
  end if;
  if v_other and (p_write ->> 'only_if_idle')::boolean is true then
    return '{"error": "busy"}';
  end if;

  v_claimed := coalesce(p_write ->> 'lease' = 'claim' and not v_other, false);
  -- A worker whose own lease ran out, and was taken by nobody, renews it.
  if v_claimed and v_session.runner is distinct from p_worker then
    v_session.epoch := v_session.epoch + 1;
    v_session.runner := p_worker;
  end if;
  v_holder := v_claimed or p_write ->> 'epoch' is not null;
  if v_holder then
    v_session.lease_until := v_at + p_lease_ms * interval '1 millisecond';
  end if;

  -- What there was before: the rest its writer knows.
  if v_claimed then
    v_open_turns := public.agent_open_turns(p_session);
  end if;
  -- Before the events: a query may be there to take the place of those that wait.
  if v_stop is not null then
    with stopped as (
      update public.agent_turns set stop_reason = coalesce(stop_reason, v_stop ->> 'reason')
      where session_id = p_session and ended_at is null and case
        when v_stop ->> 'query' is not null then query_id = v_stop ->> 'query'
        when v_stop ->> 'which' = 'running' then state = 'running'
        when v_stop ->> 'which' = 'waiting' then state = 'queued'
        else true
      end
      returning query_id, query_seq
    )
    select jsonb_agg(query_id order by query_seq) into v_reached from stopped;
  end if;
  if v_events is not null then
    v_appended := public.agent_append(p_session, v_session.last_seq, v_at, v_events);
    v_session.last_seq := (v_appended ->> 'last_seq')::bigint;
    v_session.last_query_seq := coalesce((v_appended ->> 'last_query_seq')::bigint, v_session.last_query_seq);
  end if;
  if v_checkpoint is not null then
    -- A piece that was there already, or that came before the one it follows, changes nothing.
    update public.agent_turns set
      partial = case checkpoint_number when 0 then '' else partial end,
      checkpoint_number = checkpoint_number + 1
    where session_id = p_session and turn_id = v_checkpoint ->> 'turn' and ended_at is null
      and checkpoint_number + 1 = (v_checkpoint ->> 'number')::integer;
    if found then
      -- The first piece of a run replaces what earlier runs wrote.
      if (v_checkpoint ->> 'number')::integer = 1 then
        delete from public.agent_turn_pieces
        where session_id = p_session and turn_id = v_checkpoint ->> 'turn';
      end if;
      insert into public.agent_turn_pieces (session_id, turn_id, number, text)
      values (
        p_session, v_checkpoint ->> 'turn', (v_checkpoint ->> 'number')::integer, v_checkpoint ->> 'text'
      );
    end if;
  end if;
  if v_holder and p_write ->> 'started' is not null then
    -- The partial stays until the first piece of this run takes its place.
    update public.agent_turns set
      state = 'running', starts = starts + 1, checkpoint_number = 0, started_at = v_at
    where session_id = p_session and turn_id = p_write ->> 'started' and ended_at is null;
  end if;
  if p_write ->> 'lease' = 'release' and v_holder then
    v_session.runner := null;
    v_session.lease_until := null;
  end if;

  update public.agent_sessions set
    last_active_at = v_at,
    active_hour = date_trunc('hour', v_at, 'UTC'),
    last_seq = v_session.last_seq,
    last_query_seq = v_session.last_query_seq,
    epoch = v_session.epoch,
    runner = v_session.runner,
    lease_until = v_session.lease_until,
    -- `defaults` in the write itself is from workers of earlier versions, which know all that is in force.
    defaults = coalesce(p_write -> 'defaults', defaults) 
      || case when v_events @> '[{"kind": "configured"}]' then public.agent_configured(v_events) else '{}' end
  where session_id = p_session;

  v_answer := jsonb_build_object(
    'last_seq', v_session.last_seq,
    'at', public.agent_ms(v_at),
    'events', v_appended -> 'events',
    'lease', public.agent_lease(v_session, p_worker)
  );
  if v_reached is not null then
    v_answer := v_answer || jsonb_build_object('reached', v_reached);
  end if;
  if v_claimed then
    v_answer := v_answer || jsonb_build_object('open_turns', v_open_turns);
  end if;
  if v_session.runner = p_worker and v_session.lease_until > v_at or v_holder then
    v_answer := v_answer || coalesce((
      select jsonb_build_object('stopped', jsonb_agg(
        jsonb_build_object('queryId', query_id, 'reason', stop_reason) order by query_seq
      ))
      from public.agent_turns
      where session_id = p_session and ended_at is null and stop_reason is not null
      having count(*) > 0
    ), '{}');
  end if;
  return v_answer;
end
$$;

-- Supabase grants everything on what is new in public to all three roles, and PostgreSQL every function to everyone.
do $$
declare
  v_role text;
begin
  revoke all on function public.agent_configured(jsonb) from public;
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    continue when not exists (select from pg_catalog.pg_roles where rolname = v_role);
    if v_role = 'service_role' then
      grant all on function public.agent_configured(jsonb) to service_role;
    else
      execute pg_catalog.format('revoke all on function public.agent_configured(jsonb) from %I', v_role);
    end if;
  end loop;
end
$$;

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
