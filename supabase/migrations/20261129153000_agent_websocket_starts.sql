-- Agent WebSocket: turns that are started again and again without a new character.
--
-- A turn counts its starts since its answer last grew. The functions have the signatures and the answers that they had, and
-- one field more.

-- Starts of an open turn since the last checkpoint. Workers write a checkpoint only when the answer has new text.
alter table public.agent_turns add column if not exists starts_without_text integer not null default 0;
-- The epoch of the last of them. A worker that does not know whether its start was written writes it again, under the same epoch.
alter table public.agent_turns add column if not exists started_epoch integer;

-- A session's turns without an end, oldest first: [{query, starts, starts_without_text,
-- partial, stopped}].
create or replace function public.agent_open_turns(p_session uuid) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'query', e.event, 'starts', t.starts, 'starts_without_text', t.starts_without_text,
      'partial', public.agent_partial(t), 'stopped', t.stop_reason
    )
    order by t.query_seq
  ), '[]')
  from public.agent_turns t
  join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
  where t.session_id = p_session and t.ended_at is null
$$;

-- One LogWrite (ports.ts) to one session: all of it, or {error}. What may be refused is looked at before anything is
-- changed. p_write: {events, lease, epoch, started, checkpoint: {turn, number, text}, stop: {which | query, reason},
-- only_if_idle, defaults}, each of which may be left out.
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
      checkpoint_number = checkpoint_number + 1,
      starts_without_text = 0
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
      state = 'running', starts = starts + 1,
      starts_without_text = starts_without_text + case when started_epoch = v_session.epoch then 0 else 1 end,
      started_epoch = v_session.epoch, checkpoint_number = 0, started_at = v_at
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
    defaults = coalesce(p_write -> 'defaults', defaults)
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

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
