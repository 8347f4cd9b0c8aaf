-- The durable store of Agent WebSocket. Why it is as it is: docs/decisions/. Who calls what: _shared/platform/postgres_store.ts.
--
-- Everything goes through the functions, which only the service role may execute; each does one atomic thing and answers
-- with jsonb. Users may read their own rows of the four main tables, and nothing else. Applying this twice changes
-- nothing. Needs PostgreSQL 15 or later and no extension.

-- Tables ----------------------------------------------------------------------------------------------------------------

-- A session, and who runs its turns. Rows are updated with each commit, in place (HOT): no index has a column that
-- changes so often.
create table if not exists public.agent_sessions (
  session_id uuid primary key,
  user_id text,
  token_hash text,
  created_at timestamptz not null,
  last_active_at timestamptz not null default now(),
  -- The hour of last_active_at, for the index: that on last_active_at itself would be written with each commit.
  active_hour timestamptz not null default date_trunc('hour', now()),
  last_seq bigint not null default 0,
  last_query_seq bigint not null default 0,
  -- The worker that holds the lease: still its own after it ran out, until another one takes it.
  epoch integer not null default 0,
  runner text,
  lease_until timestamptz,
  defaults jsonb not null default '{}',
  constraint agent_sessions_one_owner check (num_nonnulls(user_id, token_hash) = 1)
);
create index if not exists agent_sessions_by_user on public.agent_sessions (user_id, created_at, session_id)
  where user_id is not null;
create index if not exists agent_sessions_by_hour on public.agent_sessions (active_hour);

-- The log. seq is given under the lock of the session's row: without holes.
create table if not exists public.agent_events (
  session_id uuid not null references public.agent_sessions on delete cascade,
  seq bigint not null,
  key text not null,
  kind text not null,
  turn_id text,
  -- With its seq and at.
  event jsonb not null,
  created_at timestamptz not null,
  primary key (session_id, seq),
  constraint agent_events_once unique (session_id, key)
);
-- Events only come, in the order of their time: a block range index is all that the pruning needs, and costs nothing.
create index if not exists agent_events_by_age on public.agent_events using brin (created_at)
  with (pages_per_range = 16, autosummarize = on);

create table if not exists public.agent_turns (
  session_id uuid not null references public.agent_sessions on delete cascade,
  turn_id text not null,
  query_id text not null,
  query_seq bigint not null,
  state text not null default 'queued'
    check (state in ('queued', 'running', 'completed', 'cancelled', 'failed', 'interrupted')),
  -- How many times somebody began to run it.
  starts integer not null default 0,
  -- The answer so far, as of the newest checkpoint; empty once there is an end.
  partial text not null default '',
  -- Of the present run; 0 before its first.
  checkpoint_number integer not null default 0,
  stop_reason text,
  created_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  primary key (session_id, turn_id)
);
create index if not exists agent_turns_open on public.agent_turns (session_id, query_seq) where ended_at is null;

create table if not exists public.agent_feedback (
  session_id uuid not null references public.agent_sessions on delete cascade,
  id text not null,
  turn_id text not null,
  verdict text check (verdict in ('approve', 'reject', 'modify')),
  rating smallint check (rating in (-1, 1)),
  comment text not null,
  -- Which call it came by.
  call uuid not null,
  -- The newest seq when it came.
  after_seq bigint not null,
  created_at timestamptz not null,
  primary key (session_id, id)
);

-- The last numbered call of each worker with its answer: one that is repeated, as its answer was lost, is not done twice.
-- As many rows as there are workers, written in place: no index but the key.
create table if not exists public.agent_calls (
  worker text not null,
  channel text not null,
  number bigint not null,
  answer jsonb not null,
  called_at timestamptz not null,
  primary key (worker, channel)
);

-- Ids of notifications that were sent, for 24 hours.
create table if not exists public.agent_notifications (
  id text primary key,
  fingerprint text not null,
  -- Which call it was first sent by.
  call uuid not null,
  sessions jsonb not null,
  created_at timestamptz not null
);
create index if not exists agent_notifications_by_age on public.agent_notifications (created_at);

-- What each user (or address) did: a bucket of frames, and tokens of the model in a day (UTC).
create table if not exists public.agent_use (
  key text primary key,
  frames_left double precision not null,
  refilled_at timestamptz not null,
  day date not null,
  tokens bigint not null
);
create index if not exists agent_use_by_day on public.agent_use (day);

-- Connections that a worker holds.
create table if not exists public.agent_connections (
  key text not null,
  worker text not null,
  connections integer not null,
  primary key (key, worker)
);
create index if not exists agent_connections_by_worker on public.agent_connections (worker);

-- Reading: sessions ------------------------------------------------------------------------------------------------------

-- Tells which version of these functions there is.
create or replace function public.agent_store_version() returns jsonb
  language sql immutable set search_path = '' as $$ select '1'::jsonb $$;

-- A time as JavaScript has it.
create or replace function public.agent_ms(p_at timestamptz) returns bigint
  language sql stable set search_path = '' as $$ select floor(extract(epoch from p_at) * 1000)::bigint $$;

-- The lease of a session as a worker sees it: {epoch, holder, left_ms}.
create or replace function public.agent_lease(p_session public.agent_sessions, p_worker text) returns jsonb
  language plpgsql stable set search_path = '' as $$
declare
  v_left_ms bigint := ceil(extract(epoch from p_session.lease_until - clock_timestamp()) * 1000);
begin
  return jsonb_build_object(
    'epoch', p_session.epoch,
    'holder', case
      when p_session.runner is null or v_left_ms <= 0 then 'nobody'
      when p_session.runner = p_worker then 'self'
      else 'other'
    end,
    'left_ms', case when p_session.runner is null then 0 else greatest(v_left_ms, 0) end
  );
end
$$;

-- A session's turns without an end, oldest first: [{query, starts, partial, stopped}].
create or replace function public.agent_open_turns(p_session uuid) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('query', e.event, 'starts', t.starts, 'partial', t.partial, 'stopped', t.stop_reason)
    order by t.query_seq
  ), '[]')
  from public.agent_turns t
  join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
  where t.session_id = p_session and t.ended_at is null
$$;

-- Events after p_after: at most p_limit, and no more than p_max_bytes of text unless the first alone is larger.
create or replace function public.agent_page(
  p_session public.agent_sessions, p_after bigint, p_limit integer, p_max_bytes integer, p_worker text
) returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'events', (
      select coalesce(jsonb_agg(page.event order by page.seq), '[]') from (
        select e.seq, e.event,
          sum(octet_length(e.event::text)) over (order by e.seq) as bytes,
          row_number() over (order by e.seq) as place
        from (
          select seq, event from public.agent_events
          where session_id = p_session.session_id and seq > p_after order by seq limit p_limit
        ) e
      ) page
      where page.place = 1 or page.bytes <= p_max_bytes
    ),
    'oldest_seq', coalesce(
      (select seq from public.agent_events where session_id = p_session.session_id order by seq limit 1),
      p_session.last_seq + 1
    ),
    'last_seq', p_session.last_seq,
    'lease', public.agent_lease(p_session, p_worker)
  )
$$;

-- Makes a session; making the same one again changes nothing. {} or {error: "exists"}.
create or replace function public.agent_create_session(
  p_session uuid, p_user text, p_token_hash text, p_created_at bigint
) returns jsonb language plpgsql set search_path = '' as $$
begin
  insert into public.agent_sessions (session_id, user_id, token_hash, created_at)
  values (p_session, p_user, p_token_hash, to_timestamp(p_created_at / 1000.0))
  on conflict do nothing;
  if found or exists (
    select from public.agent_sessions
    where session_id = p_session and (user_id, token_hash) is not distinct from (p_user, p_token_hash)
  ) then
    return '{}';
  end if;
  return jsonb_build_object('error', 'exists');
end
$$;

-- A session with the end of its log, its open turns, defaults and notes, if one of the claims owns it and it was used
-- within p_idle_ms (0: whenever). null where it is unknown, another's or expired: one query, which cannot tell which.
create or replace function public.agent_find_session(
  p_session uuid, p_claims jsonb, p_tail integer, p_max_bytes integer, p_idle_ms bigint, p_worker text
) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  v_session public.agent_sessions;
  v_after bigint;
begin
  select s.* into v_session from public.agent_sessions s
  where s.session_id = p_session
    and (p_idle_ms = 0 or s.last_active_at > clock_timestamp() - p_idle_ms * interval '1 millisecond')
    and exists (
      select from jsonb_to_recordset(p_claims) as claim (user_id text, token_hash text)
      where claim.user_id = s.user_id or claim.token_hash = s.token_hash
    );
  if not found then
    return null;
  end if;
  -- Newest first, as far as the bytes go; the newest in any case.
  select coalesce(min(e.seq) - 1, v_session.last_seq) into v_after from (
    select seq, sum(octet_length(event::text)) over (order by seq desc) as bytes,
      row_number() over (order by seq desc) as place
    from (
      select seq, event from public.agent_events where session_id = p_session order by seq desc limit p_tail
    ) newest
  ) e where e.bytes <= p_max_bytes or e.place = 1;
  return jsonb_build_object(
    'user_id', v_session.user_id,
    'token_hash', v_session.token_hash,
    'created_at', public.agent_ms(v_session.created_at),
    'tail', public.agent_page(v_session, v_after, p_tail, 2147483647, p_worker),
    'open_turns', public.agent_open_turns(p_session),
    'defaults', v_session.defaults,
    'notes', (
      select coalesce(jsonb_agg(f.comment order by f.after_seq, f.created_at, f.id), '[]')
      from public.agent_feedback f
      where f.session_id = p_session and f.verdict = 'modify' and f.after_seq >= v_session.last_query_seq
    )
  );
end
$$;

-- A user's sessions that have not expired, newest first, from after p_before on: [{session_id, created_at}].
create or replace function public.agent_list_sessions(
  p_user text, p_limit integer, p_before uuid, p_idle_ms bigint
) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('session_id', page.session_id, 'created_at', public.agent_ms(page.created_at))
    order by page.created_at desc, page.session_id desc
  ), '[]')
  from (
    select s.session_id, s.created_at from public.agent_sessions s
    where s.user_id = p_user
      and (p_idle_ms = 0 or s.last_active_at > clock_timestamp() - p_idle_ms * interval '1 millisecond')
      and (p_before is null or (s.created_at, s.session_id) < (
        select b.created_at, b.session_id from public.agent_sessions b
        where b.session_id = p_before and b.user_id = p_user
      ))
    order by s.created_at desc, s.session_id desc
    limit p_limit
  ) page
$$;

-- Forgets a session with all that it holds. {}.
create or replace function public.agent_remove_session(p_session uuid) returns jsonb
  language plpgsql set search_path = '' as $$
begin
  delete from public.agent_sessions where session_id = p_session;
  return '{}';
end
$$;

-- A page of a session's log with its lease; null where there is no such session.
create or replace function public.agent_read(
  p_session uuid, p_after bigint, p_limit integer, p_max_bytes integer, p_worker text
) returns jsonb language sql stable set search_path = '' as $$
  select public.agent_page(s, p_after, p_limit, p_max_bytes, p_worker)
  from public.agent_sessions s where s.session_id = p_session
$$;

-- The newest seq of each of the sessions (an array of ids) that exists: {id: seq}.
create or replace function public.agent_heads(p_sessions jsonb) returns jsonb
  language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(s.session_id, s.last_seq), '{}')
  from public.agent_sessions s
  where s.session_id = any (array(select jsonb_array_elements_text(p_sessions)::uuid))
$$;

-- Writing: the log -------------------------------------------------------------------------------------------------------

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
      else 't:' || v_turn
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
    end if;
  end loop;
  return jsonb_build_object('last_seq', v_seq, 'last_query_seq', v_query_seq, 'events', v_answers);
end
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
  if not found then
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
      partial = case checkpoint_number when 0 then '' else partial end || (v_checkpoint ->> 'text'),
      checkpoint_number = checkpoint_number + 1
    where session_id = p_session and turn_id = v_checkpoint ->> 'turn' and ended_at is null
      and checkpoint_number + 1 = (v_checkpoint ->> 'number')::integer;
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

-- Begins a numbered call of a worker: the answer of this very call if it was made before, {error: "stale"} if a later
-- one was, else null. Calls of one worker on one channel wait for one another.
create or replace function public.agent_begin_call(p_worker text, p_channel text, p_number bigint) returns jsonb
  language plpgsql set search_path = '' as $$
declare
  v_number bigint;
  v_answer jsonb;
begin
  insert into public.agent_calls (worker, channel, number, answer, called_at)
  values (p_worker, p_channel, 0, '{}', clock_timestamp())
  on conflict do nothing;
  select number, answer into v_number, v_answer from public.agent_calls
  where worker = p_worker and channel = p_channel for update;
  return case when v_number = p_number then v_answer when v_number > p_number then '{"error": "stale"}' end;
end
$$;

-- Remembers the answer of a call.
create or replace function public.agent_end_call(p_worker text, p_channel text, p_number bigint, p_answer jsonb)
  returns jsonb language plpgsql set search_path = '' as $$
begin
  update public.agent_calls set number = p_number, answer = p_answer, called_at = clock_timestamp()
  where worker = p_worker and channel = p_channel;
  return p_answer;
end
$$;

-- The writes of one worker that were waiting, [{session, …write}]: an array of their answers, in the same order. Each
-- number is done once, however often it is sent. A write that is refused leaves the others alone.
create or replace function public.agent_commit(p_worker text, p_number bigint, p_lease_ms integer, p_writes jsonb)
  returns jsonb language plpgsql set search_path = '' as $$
declare
  v_write jsonb;
  v_answers jsonb[] := '{}';
  v_answer jsonb := public.agent_begin_call(p_worker, 'commit', p_number);
begin
  if v_answer is not null then
    return v_answer;
  end if;
  -- In one order for everybody: two workers' batches must not wait for one another.
  perform from public.agent_sessions
  where session_id = any (array(select (value ->> 'session')::uuid from jsonb_array_elements(p_writes)))
  order by session_id for no key update;
  for v_write in select value from jsonb_array_elements(p_writes) with ordinality order by ordinality loop
    v_answers := v_answers || public.agent_write(p_worker, p_lease_ms, (v_write ->> 'session')::uuid, v_write);
  end loop;
  return public.agent_end_call(p_worker, 'commit', p_number, to_jsonb(v_answers));
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
  select last_seq into v_last_seq from public.agent_sessions where session_id = p_session for no key update;
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

-- Writing: notifications and use -----------------------------------------------------------------------------------------

-- Appends a notification to the log of a session, or of those of a user's sessions that have not expired (at most 100, the
-- ones used last), and remembers its id for 24 hours; without a target, only that. p_caller: the user who sends it, who may
-- reach only her own; null: the project itself. p_call: the same for each attempt of one call.
-- {sessions: [{session_id, seq}], repeated} or {error: unknown_session | forbidden | id_conflict}.
create or replace function public.agent_notify(
  p_call uuid, p_id text, p_fingerprint text, p_caller text, p_session uuid, p_user text, p_event jsonb,
  p_idle_ms bigint
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_sessions uuid[] := '{}';
  v_session public.agent_sessions;
  v_known public.agent_notifications;
  v_appended jsonb;
  v_answer jsonb := '[]';
  v_used_after timestamptz := case p_idle_ms when 0 then '-infinity'
    else clock_timestamp() - p_idle_ms * interval '1 millisecond' end;
begin
  if p_caller is not null and p_session is null and p_user is distinct from p_caller then
    return '{"error": "forbidden"}';
  end if;
  if p_caller is not null and p_session is not null and not exists (
    select from public.agent_sessions
    where session_id = p_session and user_id = p_caller and last_active_at > v_used_after
  ) then
    return '{"error": "unknown_session"}';
  end if;
  -- Whoever comes second with an id waits here for the first.
  delete from public.agent_notifications where id = p_id and created_at < clock_timestamp() - interval '24 hours';
  insert into public.agent_notifications (id, fingerprint, call, sessions, created_at)
  values (p_id, p_fingerprint, p_call, '[]', clock_timestamp())
  on conflict do nothing;
  if not found then
    select * into v_known from public.agent_notifications where id = p_id;
    if v_known.fingerprint is distinct from p_fingerprint then
      return '{"error": "id_conflict"}';
    end if;
    return jsonb_build_object('sessions', v_known.sessions, 'repeated', v_known.call <> p_call);
  end if;

  if p_session is not null then
    v_sessions := array[p_session];
  elsif p_user is not null then
    v_sessions := array(
      select session_id from public.agent_sessions
      where user_id = p_user and last_active_at > v_used_after
      order by last_active_at desc limit 100
    );
  end if;
  for v_session in
    select * from public.agent_sessions
    where session_id = any (v_sessions) and last_active_at > v_used_after
    order by session_id for no key update
  loop
    v_appended := public.agent_append(
      v_session.session_id, v_session.last_seq, clock_timestamp(), jsonb_build_array(p_event)
    );
    update public.agent_sessions set last_seq = (v_appended ->> 'last_seq')::bigint
    where session_id = v_session.session_id;
    v_answer := v_answer || jsonb_build_object(
      'session_id', v_session.session_id,
      'seq', coalesce(v_appended #> '{events,0,seq}', v_appended #> '{events,0}')
    );
  end loop;
  if p_session is not null and v_answer = '[]' then
    delete from public.agent_notifications where id = p_id;
    return '{"error": "unknown_session"}';
  end if;
  update public.agent_notifications set sessions = v_answer where id = p_id;
  return jsonb_build_object('sessions', v_answer, 'repeated', false);
end
$$;

-- Books what a worker's users did since its last report, [{key, frames, tokens, connections}], each number once, and
-- answers with how each stands at all workers together: {key: {frames_left, tokens_today, connections}}. A worker that
-- reports nothing for 45 seconds holds no connections any more.
create or replace function public.agent_settle_use(
  p_worker text, p_number bigint, p_reports jsonb, p_per_minute integer, p_burst integer
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_answer jsonb := public.agent_begin_call(p_worker, 'use', p_number);
  v_now timestamptz := clock_timestamp();
  v_today date := (v_now at time zone 'UTC')::date;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  -- In one order for everybody, as in agent_commit.
  insert into public.agent_use as u (key, frames_left, refilled_at, day, tokens)
  select key, p_burst - frames, v_now, v_today, tokens
  from jsonb_to_recordset(p_reports) as report (key text, frames double precision, tokens bigint)
  order by key
  on conflict (key) do update set
    frames_left = least(
      p_burst,
      u.frames_left + greatest(extract(epoch from v_now - u.refilled_at), 0)::double precision * p_per_minute / 60
    ) - (p_burst - excluded.frames_left),
    refilled_at = greatest(u.refilled_at, v_now),
    day = v_today,
    tokens = case u.day when v_today then u.tokens else 0 end + excluded.tokens;
  insert into public.agent_connections (key, worker, connections)
  select key, p_worker, connections
  from jsonb_to_recordset(p_reports) as report (key text, connections integer)
  where connections > 0 order by key
  on conflict (key, worker) do update set connections = excluded.connections;
  delete from public.agent_connections
  where worker = p_worker and key in (
    select key from jsonb_to_recordset(p_reports) as report (key text, connections integer) where connections = 0
  );
  select coalesce(jsonb_object_agg(u.key, jsonb_build_object(
    'frames_left', u.frames_left,
    'tokens_today', u.tokens,
    'connections', (
      select coalesce(sum(c.connections), 0) from public.agent_connections c
      where c.key = u.key and (c.worker = p_worker or exists (
        select from public.agent_calls w
        where w.worker = c.worker and w.channel = 'use' and w.called_at > v_now - interval '45 seconds'
      ))
    )
  )), '{}') into v_answer
  from public.agent_use u
  where u.key = any (array(select value ->> 'key' from jsonb_array_elements(p_reports)));
  return public.agent_end_call(p_worker, 'use', p_number, v_answer);
end
$$;

-- Retention --------------------------------------------------------------------------------------------------------------

-- Ends turns that nobody has run for p_abandoned_after, deletes sessions that were not used for p_older_than, and events
-- older than that from the sessions that live on (a beginning of the log: the clients are told of the gap), and what is
-- kept of the service itself for its time. At most p_limit of each: {turns, sessions, events}, for whoever goes on.
create or replace function public.agent_prune(
  p_older_than interval, p_abandoned_after interval default interval '1 hour', p_limit integer default 1000
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_cutoff timestamptz := v_now - p_older_than;
  v_abandoned timestamptz := v_now - least(p_older_than, p_abandoned_after);
  v_session public.agent_sessions;
  v_turn public.agent_turns;
  v_turns integer := 0;
  v_sessions integer;
  v_events integer := 0;
  v_count integer;
  v_old record;
  v_workers text[];
begin
  with old as (
    select session_id from public.agent_sessions
    where active_hour < v_cutoff and last_active_at < v_cutoff
    order by session_id limit p_limit for update skip locked
  )
  delete from public.agent_sessions s using old where s.session_id = old.session_id;
  get diagnostics v_sessions = row_count;

  for v_old in
    select distinct session_id from public.agent_turns
    where ended_at is null and coalesce(started_at, created_at) < v_abandoned
    order by session_id limit p_limit
  loop
    select * into v_session from public.agent_sessions
    where session_id = v_old.session_id and last_active_at < v_abandoned
      and (lease_until is null or lease_until < v_abandoned)
    for no key update skip locked;
    continue when not found;
    for v_turn in
      select * from public.agent_turns
      where session_id = v_session.session_id and ended_at is null
        and coalesce(started_at, created_at) < v_abandoned
      order by query_seq
    loop
      v_session.last_seq := public.agent_append(
        v_session.session_id, v_session.last_seq, v_now, jsonb_build_array(jsonb_build_object(
          'kind', 'error', 'queryId', v_turn.query_id, 'turnId', v_turn.turn_id, 'code', 'interrupted',
          'content', 'Failed to generate response: nobody was there to finish it',
          'retryable', true, 'partial', v_turn.partial
        ))
      ) ->> 'last_seq';
      v_turns := v_turns + 1;
    end loop;
    update public.agent_sessions set last_seq = v_session.last_seq where session_id = v_session.session_id;
  end loop;

  -- Up to an event that is old, so that the log has no hole; what an open turn was asked with stays.
  for v_old in
    select e.session_id, max(e.seq) as seq from public.agent_events e
    where e.created_at < v_cutoff group by e.session_id limit p_limit
  loop
    select least(v_old.seq, min(t.query_seq) - 1) into v_old.seq from public.agent_turns t
    where t.session_id = v_old.session_id and t.ended_at is null;
    delete from public.agent_events where session_id = v_old.session_id and seq <= v_old.seq;
    get diagnostics v_count = row_count;
    v_events := v_events + v_count;
  end loop;

  delete from public.agent_notifications where created_at < v_now - interval '24 hours';
  delete from public.agent_use where day < (v_now at time zone 'UTC')::date - 1;
  with gone as (
    delete from public.agent_calls where called_at < v_now - interval '1 hour' returning worker
  )
  select array_agg(worker) into v_workers from gone;
  delete from public.agent_connections where worker = any (v_workers);
  return jsonb_build_object('turns', v_turns, 'sessions', v_sessions, 'events', v_events);
end
$$;

-- Who may -----------------------------------------------------------------------------------------------------------------

alter table public.agent_sessions enable row level security;
alter table public.agent_events enable row level security;
alter table public.agent_turns enable row level security;
alter table public.agent_feedback enable row level security;
alter table public.agent_calls enable row level security;
alter table public.agent_notifications enable row level security;
alter table public.agent_use enable row level security;
alter table public.agent_connections enable row level security;

-- The user is who the token's claim says: auth.uid() would do the same, but not on a plain PostgreSQL.
drop policy if exists "Users read their own sessions" on public.agent_sessions;
create policy "Users read their own sessions" on public.agent_sessions for select
  using (user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'));
drop policy if exists "Users read their own events" on public.agent_events;
create policy "Users read their own events" on public.agent_events for select
  using (exists (select from public.agent_sessions s where s.session_id = agent_events.session_id
    and s.user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')));
drop policy if exists "Users read their own turns" on public.agent_turns;
create policy "Users read their own turns" on public.agent_turns for select
  using (exists (select from public.agent_sessions s where s.session_id = agent_turns.session_id
    and s.user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')));
drop policy if exists "Users read their own feedback" on public.agent_feedback;
create policy "Users read their own feedback" on public.agent_feedback for select
  using (exists (select from public.agent_sessions s where s.session_id = agent_feedback.session_id
    and s.user_id = (select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')));

-- Supabase grants everything on what is new in public to all three roles, and PostgreSQL every function to everyone.
do $$
declare
  v_role text;
  v_object text;
begin
  foreach v_role in array array['public', 'anon', 'authenticated', 'service_role'] loop
    continue when v_role <> 'public' and not exists (select from pg_catalog.pg_roles where rolname = v_role);
    for v_object in
      select pg_catalog.format('table %s', c.oid::regclass) from pg_catalog.pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname in (
        'agent_sessions', 'agent_events', 'agent_turns', 'agent_feedback',
        'agent_calls', 'agent_notifications', 'agent_use', 'agent_connections'
      )
      union all
      select pg_catalog.format('function %s', p.oid::regprocedure) from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'agent_store_version', 'agent_ms', 'agent_lease', 'agent_open_turns', 'agent_page',
        'agent_create_session', 'agent_find_session', 'agent_list_sessions', 'agent_remove_session',
        'agent_read', 'agent_heads', 'agent_append', 'agent_write', 'agent_begin_call', 'agent_end_call',
        'agent_commit', 'agent_record_feedback', 'agent_notify', 'agent_settle_use', 'agent_prune'
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
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    grant select (session_id, user_id, created_at, last_active_at, last_seq, defaults)
      on public.agent_sessions to authenticated;
    grant select on public.agent_events, public.agent_turns, public.agent_feedback to authenticated;
  end if;
end
$$;

-- Once an hour, where Supabase's scheduler is there; switched on later, it is scheduled by the same statement.
do $$
begin
  if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    perform cron.schedule('agent_websocket_prune', '17 * * * *', 'select public.agent_prune(interval ''30 days'')');
  end if;
end
$$;
