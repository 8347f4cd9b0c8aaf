-- Retention in small steps with one owner, checkpoints that cost what they add, and batches that no locked row holds up.
-- Why it is as it is: docs/decisions/0051 and 0052. Applying this again, alone or after the first migration, changes nothing.
--
-- The signatures that workers call are unchanged: a worker of the version before works on with this.

-- Tables ----------------------------------------------------------------------------------------------------------------

-- What the workers and the database's own scheduler have to agree on: `retention_days` (a number, 0 for never) and
-- `cron_job` (the upkeep was scheduled once).
create table if not exists public.agent_settings (
  name text primary key,
  value jsonb not null,
  changed_at timestamptz not null default now()
);

-- The checkpoints of turns that are open, a row each: a running answer is agent_turns.partial followed by these. One
-- value that grows would be written whole with each checkpoint. They are deleted when their turn ends.
create table if not exists public.agent_turn_pieces (
  session_id uuid not null references public.agent_sessions on delete cascade,
  turn_id text not null,
  number integer not null,
  text text not null,
  primary key (session_id, turn_id, number)
);

-- No event of the session is older: which sessions have something to prune is read from the index. Null until the
-- session was pruned once, which stands for created_at. No commit changes it.
alter table public.agent_sessions add column if not exists oldest_at timestamptz;
create index if not exists agent_sessions_by_oldest on public.agent_sessions ((coalesce(oldest_at, created_at)));
-- Pages that are reused after a prune widened this one's ranges until it selected the whole table.
drop index if exists public.agent_events_by_age;
-- What a slice of a session's pruning deletes.
create index if not exists agent_turns_by_query on public.agent_turns (session_id, query_seq);
create index if not exists agent_feedback_by_seq on public.agent_feedback (session_id, after_seq);

-- Checkpoints -----------------------------------------------------------------------------------------------------------

-- The answer of an open turn so far.
create or replace function public.agent_partial(p_turn public.agent_turns) returns text
  language sql stable set search_path = '' as $$
  select p_turn.partial || coalesce(string_agg(p.text, '' order by p.number), '')
  from public.agent_turn_pieces p
  where p.session_id = p_turn.session_id and p.turn_id = p_turn.turn_id
$$;

-- A session's turns without an end, oldest first: [{query, starts, partial, stopped}].
create or replace function public.agent_open_turns(p_session uuid) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('query', e.event, 'starts', t.starts, 'partial', public.agent_partial(t), 'stopped', t.stop_reason)
    order by t.query_seq
  ), '[]')
  from public.agent_turns t
  join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
  where t.session_id = p_session and t.ended_at is null
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
      when 'notification' then 'n:' || (v_event ->> 'notificationId')
      else 't:' || (v_event ->> 'queryId')
    end;
    select event into v_stored from public.agent_events where session_id = p_session and key = v_key;
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

-- Reading and writing: a session that is being forgotten is unknown ----------------------------------------------------

-- A page of a session's log with its lease; null where there is no such session.
create or replace function public.agent_read(
  p_session uuid, p_after bigint, p_limit integer, p_max_bytes integer, p_worker text
) returns jsonb language sql stable set search_path = '' as $$
  select public.agent_page(s, p_after, p_limit, p_max_bytes, p_worker)
  from public.agent_sessions s
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten'
$$;

-- The newest seq of each of the sessions (an array of ids) that exists: {id: seq}.
create or replace function public.agent_heads(p_sessions jsonb) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(s.session_id, s.last_seq), '{}')
  from public.agent_sessions s
  where s.session_id = any (array(select jsonb_array_elements_text(p_sessions)::uuid))
    and s.token_hash is distinct from 'forgotten'
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

-- Keeps feedback, once by its id. p_call: the same for each attempt of one call. {repeated} or {error}.
create or replace function public.agent_record_feedback(
  p_call uuid, p_session uuid, p_id text, p_turn text, p_verdict text, p_rating integer, p_comment text
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_last_seq bigint;
  v_call uuid;
begin
  select last_seq into v_last_seq from public.agent_sessions
  where session_id = p_session and token_hash is distinct from 'forgotten' for no key update;
  if not found then
    return '{"error": "unknown_session"}';
  end if;
  select call into v_call from public.agent_feedback where session_id = p_session and id = p_id;
  if found then
    return jsonb_build_object('repeated', v_call <> p_call);
  end if;
  if not exists (select from public.agent_turns where session_id = p_session and turn_id = p_turn) then
    return '{"error": "unknown_turn"}';
  end if;
  insert into public.agent_feedback (session_id, id, turn_id, verdict, rating, comment, call, after_seq, created_at)
  values (p_session, p_id, p_turn, p_verdict, p_rating, p_comment, p_call, v_last_seq, clock_timestamp());
  return '{"repeated": false}';
end
$$;

-- Forgets a session with all that it holds. {}. Of one that is very long the rest goes in slices (agent_prune): it is
-- unknown to everyone at once.
create or replace function public.agent_remove_session(p_session uuid) returns jsonb
  language plpgsql set search_path = '' as $$
begin
  perform from public.agent_sessions where session_id = p_session for update;
  if found then
    perform public.agent_forget(p_session, 10000);
  end if;
  return '{}';
end
$$;

-- The writes of one worker that were waiting, [{session, …write}]: an array of their answers, in the same order. Each
-- number is done once, however often it is sent. A write that is refused leaves the others alone.
--
-- With `may_retry` in the first write, a row that somebody else holds locked delays the batch by a fifth of a second at
-- most: that session's writes, from the first that meets the lock on, are answered {error: "retry"} and were not done.
create or replace function public.agent_commit(p_worker text, p_number bigint, p_lease_ms integer, p_writes jsonb)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_write jsonb;
  v_session uuid;
  v_sessions uuid[];
  v_free uuid[];
  v_held uuid[];
  v_answers jsonb[] := '{}';
  v_answer jsonb := public.agent_begin_call(p_worker, 'commit', p_number);
  v_may_retry boolean := coalesce((p_writes -> 0 ->> 'may_retry')::boolean, false);
  v_lock_timeout text := current_setting('lock_timeout');
begin
  if v_answer is not null then
    return v_answer;
  end if;
  v_sessions := array(select (value ->> 'session')::uuid from jsonb_array_elements(p_writes));
  if v_may_retry then
    perform set_config('lock_timeout', '200ms', true);
  end if;
  begin
    -- In one order for everybody: two workers' batches must not wait for one another.
    perform from public.agent_sessions where session_id = any (v_sessions) order by session_id for no key update;
    for v_write in select value from jsonb_array_elements(p_writes) with ordinality order by ordinality loop
      v_answers := v_answers || public.agent_write(p_worker, p_lease_ms, (v_write ->> 'session')::uuid, v_write);
    end loop;
  exception when lock_not_available then
    if not v_may_retry then
      raise;
    end if;
    v_answers := null;
  end;
  if v_answers is null then
    -- All of that is undone. Again without the sessions that are held, each write for itself: its turns or events may be
    -- locked as well.
    v_answers := '{}';
    perform set_config('lock_timeout', '20ms', true);
    with free as (
      select session_id from public.agent_sessions
      where session_id = any (v_sessions) order by session_id for no key update skip locked
    )
    select coalesce(array_agg(session_id), '{}') into v_free from free;
    v_held := array(
      select session_id from public.agent_sessions
      where session_id = any (v_sessions) and session_id <> all (v_free)
    );
    for v_write in select value from jsonb_array_elements(p_writes) with ordinality order by ordinality loop
      v_session := (v_write ->> 'session')::uuid;
      v_answer := '{"error": "retry"}';
      if v_session <> all (v_held) then
        begin
          v_answer := public.agent_write(p_worker, p_lease_ms, v_session, v_write);
        exception when lock_not_available then
          v_held := v_held || v_session;
        end;
      end if;
      v_answers := v_answers || v_answer;
    end loop;
  end if;
  if v_may_retry then
    perform set_config('lock_timeout', v_lock_timeout, true);
  end if;
  return public.agent_end_call(p_worker, 'commit', p_number, to_jsonb(v_answers));
end
$$;

-- Retention --------------------------------------------------------------------------------------------------------------

-- Deletes at most p_limit rows of a session whose row the caller has locked: its events, oldest first, then the rest, then
-- the session. What is not done by then belongs to nobody, so it is found by nobody, and comes first when agent_prune goes
-- on. Answers how many rows it was.
create or replace function public.agent_forget(p_session uuid, p_limit integer) returns integer
  language plpgsql set search_path = '' as $$
declare
  v_left integer := p_limit;
  v_count integer;
begin
  delete from public.agent_events where session_id = p_session and seq in (
    select seq from public.agent_events where session_id = p_session order by seq limit v_left
  );
  get diagnostics v_count = row_count;
  v_left := v_left - v_count;
  if v_left > 0 then
    delete from public.agent_turn_pieces where session_id = p_session and (turn_id, number) in (
      select turn_id, number from public.agent_turn_pieces
      where session_id = p_session order by turn_id, number limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    delete from public.agent_turns where session_id = p_session and turn_id in (
      select turn_id from public.agent_turns where session_id = p_session order by query_seq limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    delete from public.agent_feedback where session_id = p_session and id in (
      select id from public.agent_feedback where session_id = p_session order by after_seq limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    delete from public.agent_sessions where session_id = p_session;
    return p_limit - v_left + 1;
  end if;
  update public.agent_sessions set
    user_id = null, token_hash = 'forgotten', defaults = '{}', runner = null, lease_until = null,
    last_active_at = '-infinity', active_hour = '-infinity'
  where session_id = p_session and token_hash is distinct from 'forgotten';
  return p_limit;
end
$$;

-- Deletes at most p_limit rows older than p_cutoff from the beginning of a session that lives on, and whose row the caller
-- has locked: events up to one that is old, so that the log has no hole, and not those of an open turn or after it; what
-- has ended of the turns, and the feedback, to them. {rows, events}.
create or replace function public.agent_prune_session(p_session uuid, p_cutoff timestamptz, p_limit integer)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_until bigint;
  v_open bigint;
  v_next timestamptz;
  v_events integer;
  v_count integer;
  v_left integer := p_limit;
begin
  -- The newest of the old ones, as far as this slice can reach; without any event all that there was is old.
  with slice as materialized (
    select seq, created_at from public.agent_events where session_id = p_session order by seq limit p_limit
  )
  select case
    when not exists (select from slice) then 9223372036854775807
    else coalesce((select min(seq) - 1 from slice where created_at >= p_cutoff), (select max(seq) from slice))
  end into v_until;
  select min(query_seq) into v_open from public.agent_turns where session_id = p_session and ended_at is null;
  v_until := least(v_until, v_open - 1);
  delete from public.agent_events where session_id = p_session and seq <= v_until;
  get diagnostics v_events = row_count;
  v_left := v_left - v_events;
  if v_left > 0 then
    delete from public.agent_turns where session_id = p_session and turn_id in (
      select turn_id from public.agent_turns
      where session_id = p_session and query_seq <= v_until and ended_at < p_cutoff order by query_seq limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    delete from public.agent_feedback where session_id = p_session and id in (
      select id from public.agent_feedback
      where session_id = p_session and after_seq <= v_until and created_at < p_cutoff
      order by after_seq limit v_left
    );
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
  end if;
  if v_left > 0 then
    select created_at into v_next from public.agent_events where session_id = p_session order by seq limit 1;
    -- One whose open turn is in the way is looked at again in an hour.
    update public.agent_sessions set oldest_at = greatest(
      coalesce(v_next, clock_timestamp()), p_cutoff + case when v_open is null then interval '1 minute' else interval '1 hour' end
    ) where session_id = p_session;
  end if;
  return jsonb_build_object('rows', p_limit - v_left, 'events', v_events);
end
$$;

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

-- The next step of the retention, of at most about p_limit rows, as agent_prune answers. A worker says with
-- p_retention_days what RETENTION_DAYS is (0: nothing is forgotten); whoever says nothing, such as the database's scheduler,
-- takes what a worker said last, and forgets nothing before one did. One at a time: who finds another at it does nothing.
create or replace function public.agent_upkeep(p_retention_days integer default null, p_limit integer default 10000)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_days integer := p_retention_days;
begin
  if v_days is null then
    select value::integer into v_days from public.agent_settings where name = 'retention_days';
  elsif not exists (
    select from public.agent_settings where name = 'retention_days' and value = to_jsonb(v_days)
  ) then
    insert into public.agent_settings (name, value) values ('retention_days', to_jsonb(v_days))
    on conflict (name) do update set value = excluded.value, changed_at = clock_timestamp();
  end if;
  -- The number is arbitrary.
  if not pg_try_advisory_xact_lock(4241730) then
    return '{"turns": 0, "sessions": 0, "events": 0, "rows": 0, "more": false}';
  end if;
  return public.agent_prune(case when v_days > 0 then make_interval(days => v_days) end, interval '1 hour', p_limit);
end
$$;

-- Who may -----------------------------------------------------------------------------------------------------------------

alter table public.agent_settings enable row level security;
alter table public.agent_turn_pieces enable row level security;

drop policy if exists "Users read their own pieces" on public.agent_turn_pieces;
create policy "Users read their own pieces" on public.agent_turn_pieces for select
  using (exists (select from public.agent_sessions s where s.session_id = agent_turn_pieces.session_id
    and s.user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')));

do $$
declare
  v_role text;
  v_object text;
begin
  foreach v_role in array array['public', 'anon', 'authenticated', 'service_role'] loop
    continue when v_role <> 'public' and not exists (select from pg_catalog.pg_roles where rolname = v_role);
    for v_object in
      select pg_catalog.format('table %s', c.oid::regclass) from pg_catalog.pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
        and c.relname in ('agent_settings', 'agent_turn_pieces')
      union all
      select pg_catalog.format('function %s', p.oid::regprocedure) from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace
        and p.proname in ('agent_partial', 'agent_forget', 'agent_prune_session', 'agent_upkeep')
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
  -- Every column, so that select * works (docs/decisions/0051). In the rows that a user sees token_hash is null.
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    grant select on public.agent_sessions, public.agent_turn_pieces to authenticated;
  end if;
end
$$;

-- Every five minutes, where Supabase's scheduler is there; switched on later, it is scheduled by the same statement. The
-- job of the first migration is replaced: it kept 30 days whatever RETENTION_DAYS said. What an operator changed in it is
-- carried over; a job that they changed, or deleted, since then is left alone.
do $$
declare
  v_command constant text := 'select public.agent_upkeep()';
  v_schedule constant text := '*/5 * * * *';
  v_job_id bigint;
  v_old record;
  v_is_first boolean;
begin
  if to_regclass('cron.job') is null then
    return;
  end if;
  select jobid, schedule, command, active into v_old from cron.job where jobname = 'agent_websocket_prune';
  v_is_first := not exists (select from cron.job where jobname = 'agent_websocket_upkeep')
    and not exists (select from public.agent_settings where name = 'cron_job');
  if v_is_first then
    select cron.schedule(
      'agent_websocket_upkeep',
      coalesce(nullif(v_old.schedule, '17 * * * *'), v_schedule),
      coalesce(nullif(v_old.command, 'select public.agent_prune(interval ''30 days'')'), v_command)
    ) into v_job_id;
    if not v_old.active then
      perform cron.alter_job(job_id := v_job_id, active := false);
    end if;
  end if;
  insert into public.agent_settings (name, value) values ('cron_job', 'true') on conflict do nothing;
  if v_is_first and v_old.jobid is not null
    or v_old.schedule = '17 * * * *' and v_old.command = 'select public.agent_prune(interval ''30 days'')' then
    perform cron.unschedule('agent_websocket_prune');
  end if;
end
$$;

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
