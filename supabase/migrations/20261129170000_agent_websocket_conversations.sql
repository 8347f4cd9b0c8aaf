-- Agent WebSocket: conversations with chat ids, titles, search and an archive, and queries that replace earlier ones.
-- Why it is as it is: docs/decisions/0067 to 0069. Applying it again changes nothing. It does not read the events of existing
-- sessions: what a list shows of them is made when they are first listed.
--
-- The signatures that workers call are unchanged, and what is new has a name of its own: a worker of the version before works on
-- with this.

-- Tables ----------------------------------------------------------------------------------------------------------------

-- The app's own name for the conversation.
alter table public.agent_sessions add column if not exists chat_id text;
-- Which of the deployment's agents answers; null: the default one.
alter table public.agent_sessions add column if not exists agent text;
alter table public.agent_sessions add column if not exists archived boolean not null default false;
-- The newest question or answer, and its hour for the index: an index on the time itself would be written with each message.
-- Null for sessions without a message since this migration: then it is last_active_at.
alter table public.agent_sessions add column if not exists last_message_at timestamptz;
alter table public.agent_sessions add column if not exists message_hour timestamptz;
-- What `rewound` events have superseded: the turns whose questions have a seq in these ranges. Events of other kinds are visible.
alter table public.agent_sessions add column if not exists superseded int8multirange not null default '{}';

create unique index if not exists agent_sessions_by_chat on public.agent_sessions (user_id, chat_id)
  where user_id is not null and chat_id is not null;
create unique index if not exists agent_sessions_by_token_and_chat on public.agent_sessions (token_hash, chat_id)
  where token_hash is not null and chat_id is not null;
-- Takes the place of agent_sessions_by_user.
create index if not exists agent_sessions_by_activity
  on public.agent_sessions (user_id, archived, (coalesce(message_hour, active_hour))) where user_id is not null;
drop index if exists public.agent_sessions_by_user;

-- What a list of conversations shows, and what a search looks at: one row for each session with a question. Not in
-- agent_sessions, whose rows are copied with each checkpoint.
create table if not exists public.agent_conversations (
  session_id uuid primary key references public.agent_sessions on delete cascade,
  title text not null,
  titled_by text not null check (titled_by in ('question', 'model', 'user')),
  -- The beginning of the newest question or answer.
  preview text not null,
  title_words tsvector not null,
  -- Of the first questions, up to 8 KB of them.
  words tsvector not null,
  -- How much of the questions is in words.
  asked_chars integer not null
);

-- Texts ------------------------------------------------------------------------------------------------------------------

-- A text on one line, of at most p_max characters; with an ellipsis if it was cut.
create or replace function public.agent_cut(p_text text, p_max integer) returns text
  language sql immutable set search_path = '' as $$
  select case when char_length(line) > p_max then rtrim(left(line, p_max - 1)) || '…' else line end
  from (
    -- U+E0FF 0000 is how NUL is stored. A single space is left alone: replacing each takes three times as long. A text with more
    -- white space than words is cut shorter.
    select btrim(regexp_replace(
      replace(left(p_text, 2 * p_max + 100), U&'\E0FF0000', ' '), '\s\s+|[^\S ]', ' ', 'g'
    )) as line
  ) collapsed
$$;

-- The words of a text, in its order: in lower case, split at spaces and punctuation. The parser of PostgreSQL's own text search
-- is not used: it takes an address, a path or a hyphenated word for one word, whose beginning does not find it.
create or replace function public.agent_split(p_text text) returns text[]
  language sql immutable set search_path = '' as $$
  select coalesce(array_agg(left(word, 64) order by place), '{}')
  from regexp_split_to_table(
    lower(p_text), '[\s!-/:-@\[-`{-\u00BF\u2000-\u206F\u3000-\u303F\uE0FF\uFF00-\uFF0F]+'
  ) with ordinality as words (word, place)
  where word <> ''
$$;

create or replace function public.agent_words(p_text text) returns tsvector
  language sql immutable set search_path = '' as $$
  select array_to_tsvector(public.agent_split(p_text))
$$;

-- A search: every word must be there, the last at least as the beginning of one. Null if it has no word.
create or replace function public.agent_word_query(p_search text) returns tsquery
  language sql immutable set search_path = '' as $$
  -- A word has no quote and no backslash: both are punctuation.
  select (string_agg('''' || word || '''', ' & ' order by place) || ':*')::tsquery
  from unnest(public.agent_split(p_search)) with ordinality as words (word, place)
$$;

-- Titles and previews ----------------------------------------------------------------------------------------------------

-- Makes the row of a session with questions that has none yet: of its first question, and of each session from before this
-- table. Reads at most 50 questions, and the newest 20 events.
create or replace function public.agent_describe(p_session uuid) returns void
  language plpgsql set search_path = '' as $$
declare
  v_questions text[];
  v_asked text;
begin
  select array_agg(question.content order by question.query_seq) into v_questions from (
    select t.query_seq, e.event ->> 'content' as content
    from public.agent_turns t
    join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
    where t.session_id = p_session order by t.query_seq limit 50
  ) question;
  if v_questions is null then
    return;
  end if;
  v_asked := left(array_to_string(v_questions, E'\n'), 8192);
  insert into public.agent_conversations (session_id, title, titled_by, preview, title_words, words, asked_chars)
  select p_session, title, 'question', coalesce((
    select public.agent_cut(said, 200) from (
      select seq, case kind when 'query' then event ->> 'content' when 'response' then event ->> 'content'
        else event ->> 'partial' end as said
      from (
        select seq, kind, event from public.agent_events where session_id = p_session order by seq desc limit 20
      ) newest
      where kind in ('query', 'response', 'cancelled', 'error')
    ) messages
    where said <> '' order by seq desc limit 1
  ), title), public.agent_words(title), public.agent_words(v_asked), char_length(v_asked)
  from (select public.agent_cut(v_questions[1], 80) as title) first
  on conflict do nothing;
end
$$;

-- A question or an answer is new in a session's log: p_said is the newest, p_question the new questions, null if there is none.
create or replace function public.agent_note_message(p_session uuid, p_question text, p_said text) returns void
  language plpgsql set search_path = '' as $$
begin
  update public.agent_conversations set
    preview = public.agent_cut(p_said, 200),
    words = case
      when p_question is not null and asked_chars < 8192
      then words || public.agent_words(left(p_question, 8192 - asked_chars)) else words
    end,
    asked_chars = least(8192, asked_chars + coalesce(char_length(p_question), 0))
  where session_id = p_session;
  if not found then
    perform public.agent_describe(p_session);
  end if;
end
$$;

-- Questions were superseded, p_superseded more than before: if the title is one of them, the first one that is left is the title.
create or replace function public.agent_retitle(p_session uuid, p_superseded int8multirange) returns void
  language sql set search_path = '' as $$
  update public.agent_conversations c set
    title = first.title, titled_by = 'question', title_words = public.agent_words(first.title)
  from (
    select public.agent_cut(e.event ->> 'content', 80) as title, t.query_seq
    from public.agent_sessions s
    join public.agent_turns t on t.session_id = s.session_id
    join public.agent_events e on e.session_id = t.session_id and e.seq = t.query_seq
    where s.session_id = p_session and not t.query_seq <@ (s.superseded + p_superseded)
    order by t.query_seq limit 1
  ) first
  -- Only then the first question that is left is a new one.
  where c.session_id = p_session and c.titled_by <> 'user' and first.query_seq >= upper(p_superseded)
$$;

-- Writing ----------------------------------------------------------------------------------------------------------------

-- The key of an event within its session (keyOf in log_event.ts): each is appended once.
create or replace function public.agent_event_key(p_event jsonb) returns text language sql immutable set search_path = '' as $$
  select case p_event ->> 'kind'
    when 'query' then 'q:' || (p_event ->> 'queryId')
    when 'cleared' then 'c:' || (p_event ->> 'clearId')
    when 'configured' then 'o:' || (p_event ->> 'configId')
    when 'notification' then 'n:' || (p_event ->> 'notificationId')
    else 't:' || (p_event ->> 'turnId')
  end
$$;

-- What a new event changes that neither asks nor ends anything: nothing yet.
create or replace function public.agent_note_event(p_session uuid, p_event jsonb) returns void
  language plpgsql set search_path = '' as $$ begin end $$;

-- Appends events to a session whose row the caller has locked, and whose columns the caller sets to what is answered:
-- {last_seq, last_query_seq, said, superseded, events}. last_query_seq: null if no query is new. said: whether a question or an
-- answer is new. superseded: a multirange, null if nothing is. events, one for each of p_events: the seq of a new event; a known
-- event as it is stored; [rewound event, seq] of a query that replaces another; null for a query that was not appended, because
-- there is none that it can replace. What a new `configured` event sets is merged into the session's defaults.
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
  v_from_seq bigint;
  v_rewound jsonb;
  v_superseded int8multirange;
  v_question text;
  v_said text;
  v_answers jsonb := '[]';
begin
  for v_event in select value from jsonb_array_elements(p_events) with ordinality order by ordinality loop
    v_kind := v_event ->> 'kind';
    v_turn := v_event ->> 'turnId';
    v_key := public.agent_event_key(v_event);
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
    v_rewound := null;
    if v_kind = 'query' and v_event ? 'replaces' then
      select seq into v_from_seq from public.agent_events
      where session_id = p_session and key = 'q:' || (v_event ->> 'replaces');
      if not found then
        v_answers := v_answers || 'null'::jsonb;
        continue;
      end if;
      v_seq := v_seq + 1;
      v_rewound := jsonb_build_object(
        'kind', 'rewound', 'queryId', v_event ->> 'queryId', 'turnId', v_turn, 'replaces', v_event ->> 'replaces',
        'fromSeq', v_from_seq, 'seq', v_seq, 'at', public.agent_ms(p_at)
      );
      insert into public.agent_events (session_id, seq, key, kind, turn_id, event, created_at)
      values (p_session, v_seq, 'w:' || v_turn, 'rewound', v_turn, v_rewound, p_at);
      v_superseded := coalesce(v_superseded, '{}') + int8multirange(int8range(v_from_seq, v_seq));
    end if;
    v_seq := v_seq + 1;
    insert into public.agent_events (session_id, seq, key, kind, turn_id, event, created_at)
    values (
      p_session, v_seq, v_key, v_kind, v_turn,
      v_event || jsonb_build_object('seq', v_seq, 'at', public.agent_ms(p_at)), p_at
    );
    v_answers := v_answers || case
      when v_rewound is null then to_jsonb(v_seq) else jsonb_build_array(jsonb_build_array(v_rewound, v_seq))
    end;
    if v_kind = 'query' then
      v_query_seq := v_seq;
      v_said := v_event ->> 'content';
      v_question := concat_ws(E'\n', v_question, v_said);
      insert into public.agent_turns (session_id, turn_id, query_id, query_seq, created_at)
      values (p_session, v_turn, v_event ->> 'queryId', v_seq, p_at);
    elsif v_kind = 'configured' then
      update public.agent_sessions set defaults = defaults || (v_event -> 'options') where session_id = p_session;
    elsif v_turn is not null and v_key <> 't:' || v_turn then
      perform public.agent_note_event(p_session, v_event);
    elsif v_turn is not null then
      v_said := coalesce(nullif(case
        when v_kind = 'response' then v_event ->> 'content'
        when v_event ->> 'reason' is distinct from 'superseded' then v_event ->> 'partial'
      end, ''), v_said);
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
  if v_said is not null then
    perform public.agent_note_message(p_session, v_question, v_said);
    if v_superseded is not null then
      perform public.agent_retitle(p_session, v_superseded);
    end if;
  end if;
  return jsonb_build_object(
    'last_seq', v_seq, 'last_query_seq', v_query_seq, 'said', v_said is not null, 'superseded', v_superseded::text,
    'events', v_answers
  );
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
    if v_appended ->> 'last_query_seq' is not null then
      v_session.last_query_seq := (v_appended ->> 'last_query_seq')::bigint;
      v_session.archived := false;
    end if;
    if (v_appended ->> 'said')::boolean then
      v_session.last_message_at := v_at;
      v_session.message_hour := date_trunc('hour', v_at, 'UTC');
    end if;
    if v_appended ->> 'superseded' is not null then
      v_session.superseded := v_session.superseded + (v_appended ->> 'superseded')::int8multirange;
    end if;
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
    archived = v_session.archived,
    last_message_at = v_session.last_message_at,
    message_hour = v_session.message_hour,
    superseded = v_session.superseded,
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

-- Forgetting -------------------------------------------------------------------------------------------------------------

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
  delete from public.agent_conversations where session_id = p_session;
  update public.agent_sessions set
    user_id = null, token_hash = 'forgotten', chat_id = null, defaults = '{}', superseded = '{}', runner = null,
    lease_until = null,
    last_active_at = '-infinity', active_hour = '-infinity'
  where session_id = p_session and token_hash is distinct from 'forgotten';
  return p_limit;
end
$$;

-- Makes a session; making the same one again changes nothing. {} or {error: "chat_exists"}: the owner has another session of this
-- chat id; or {error: "exists"}.
create or replace function public.agent_create_conversation(
  p_session uuid, p_user text, p_token_hash text, p_chat text, p_created_at bigint, p_agent text default null
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_known public.agent_sessions;
begin
  -- A second worker with the same chat id waits here for the first.
  insert into public.agent_sessions (session_id, user_id, token_hash, chat_id, agent, created_at)
  values (p_session, p_user, p_token_hash, p_chat, p_agent, to_timestamp(p_created_at / 1000.0))
  on conflict do nothing;
  if found then
    return '{}';
  end if;
  select * into v_known from public.agent_sessions where session_id = p_session;
  if not found then
    return '{"error": "chat_exists"}';
  end if;
  return case
    when (v_known.user_id, v_known.token_hash, v_known.chat_id) is not distinct from (p_user, p_token_hash, p_chat) then '{}'
    else '{"error": "exists"}'
  end;
end
$$;

-- Names a conversation, for the user (p_by 'user') or for a model ('model'), whose title never takes the place of a user's.
-- {} or {error: "unknown_session"} if none of p_claims owns it; a worker that has the session gives null.
create or replace function public.agent_set_title(p_session uuid, p_claims jsonb, p_title text, p_by text) returns jsonb
  language plpgsql set search_path = '' as $$
declare
  v_title text := public.agent_cut(p_title, 200);
begin
  -- As each write of the log, so that a first question and its title do not both make the row.
  perform from public.agent_sessions s
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten' and public.agent_is_owner(s, p_claims)
  for no key update;
  if not found then
    return '{"error": "unknown_session"}';
  end if;
  perform public.agent_describe(p_session)
  where not exists (select from public.agent_conversations where session_id = p_session);
  insert into public.agent_conversations as c
    (session_id, title, titled_by, preview, title_words, words, asked_chars)
  values (p_session, v_title, p_by, '', public.agent_words(v_title), '', 0)
  on conflict (session_id) do update
    set title = excluded.title, titled_by = excluded.titled_by, title_words = excluded.title_words
    where p_by = 'user' or c.titled_by <> 'user';
  return '{}';
end
$$;

-- Puts a conversation into the archive, or takes it out. {} or {error: "unknown_session"} if none of p_claims owns it.
create or replace function public.agent_archive_session(p_session uuid, p_claims jsonb, p_archived boolean) returns jsonb
  language plpgsql set search_path = '' as $$
begin
  update public.agent_sessions s set archived = p_archived
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten' and public.agent_is_owner(s, p_claims);
  return case when found then '{}' else '{"error": "unknown_session"}' end;
end
$$;

-- Reading ----------------------------------------------------------------------------------------------------------------

-- Whether one of the claims ([{user_id} or {token_hash}]; null for whoever asks) owns the session.
create or replace function public.agent_is_owner(p_session public.agent_sessions, p_claims jsonb) returns boolean
  language sql stable set search_path = '' as $$
  select p_claims is null or exists (
    select from jsonb_to_recordset(p_claims) as claim (user_id text, token_hash text)
    where claim.user_id = p_session.user_id or claim.token_hash = p_session.token_hash
  )
$$;

-- Events after p_after: at most p_limit, and no more than p_max_bytes of text unless the first alone is larger. null where there is no
-- such session. Each event is made text once, and the answer is not made jsonb: that took most of the time.
create or replace function public.agent_read_events(
  p_session uuid, p_after bigint, p_limit integer, p_max_bytes integer, p_worker text
) returns json language sql stable set search_path = '' as $$
  select json_build_object(
    'events', (
      select coalesce('[' || string_agg(page.event, ',' order by page.seq) || ']', '[]')::json from (
        select e.seq, e.event,
          sum(octet_length(e.event)) over (order by e.seq rows unbounded preceding) as bytes,
          row_number() over (order by e.seq) as place
        from (
          select seq, event::text as event from public.agent_events
          where session_id = s.session_id and seq > p_after order by seq limit p_limit
        ) e
      ) page
      where page.place = 1 or page.bytes <= p_max_bytes
    ),
    'oldest_seq', coalesce(
      (select seq from public.agent_events where session_id = s.session_id order by seq limit 1), s.last_seq + 1
    ),
    'last_seq', s.last_seq,
    'lease', public.agent_lease(s, p_worker)
  )
  from public.agent_sessions s
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten'
$$;

-- The newest events before p_before that are not superseded, oldest first: at most p_limit, and no more than p_max_bytes of text
-- unless the newest alone is larger. {events, is_first}.
create or replace function public.agent_visible_page(
  p_session public.agent_sessions, p_before bigint, p_limit integer, p_max_bytes integer
) returns jsonb language sql stable set search_path = '' as $$
  with newest as (
    -- One more than asked for: it tells whether there is another page.
    select e.seq, e.event from public.agent_events e
    where e.session_id = p_session.session_id and e.seq < p_before
      and e.kind not in ('tool_call', 'approval_requested', 'approval_decided', 'tool_started', 'tool_result')
      and (p_session.superseded = '{}' or e.kind not in ('query', 'response', 'cancelled', 'error') or not coalesce((
        select t.query_seq <@ p_session.superseded from public.agent_turns t
        where t.session_id = e.session_id and t.turn_id = e.turn_id
      ), false))
    order by e.seq desc limit p_limit + 1
  ), sized as (
    select seq, event, row_number() over (order by seq desc) as place,
      sum(octet_length(event::text)) over (order by seq desc) as bytes
    from newest
  ), page as (
    select seq, event, place <= p_limit and (place = 1 or bytes <= p_max_bytes) as is_in from sized
  )
  select jsonb_build_object(
    'events', coalesce(jsonb_agg(event order by seq) filter (where is_in), '[]'),
    'is_first', coalesce(bool_and(is_in), true)
  ) from page
$$;

-- What of a session's log is not superseded (agent_visible_page); null where there is no such session.
create or replace function public.agent_read_visible(
  p_session uuid, p_before bigint, p_limit integer, p_max_bytes integer
) returns jsonb language sql stable set search_path = '' as $$
  select public.agent_visible_page(s, p_before, p_limit, p_max_bytes)
  from public.agent_sessions s
  where s.session_id = p_session and s.token_hash is distinct from 'forgotten'
$$;

-- A session with the end of its log that is not superseded, its open turns, defaults and notes, if one of the claims owns it: the
-- one of this id; without an id the one of this chat id, of the first claim that has one. null where there is none, or another
-- owner's.
create or replace function public.agent_find_conversation(
  p_session uuid, p_chat text, p_claims jsonb, p_tail integer, p_max_bytes integer, p_worker text
) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  v_session public.agent_sessions;
  v_claim jsonb;
begin
  if p_session is not null then
    select s.* into v_session from public.agent_sessions s
    where s.session_id = p_session and public.agent_is_owner(s, coalesce(p_claims, '[]'));
  else
    for v_claim in select value from jsonb_array_elements(p_claims) with ordinality order by ordinality loop
      if v_claim ? 'user_id' then
        select s.* into v_session from public.agent_sessions s
        where s.user_id = v_claim ->> 'user_id' and s.chat_id = p_chat;
      else
        select s.* into v_session from public.agent_sessions s
        where s.token_hash = v_claim ->> 'token_hash' and s.chat_id = p_chat;
      end if;
      exit when found;
    end loop;
  end if;
  if v_session.session_id is null then
    return null;
  end if;
  return jsonb_build_object(
    'session_id', v_session.session_id,
    'user_id', v_session.user_id,
    'token_hash', v_session.token_hash,
    'chat_id', v_session.chat_id,
    'agent', v_session.agent,
    'created_at', public.agent_ms(v_session.created_at),
    'tail', jsonb_build_object(
      'events', public.agent_visible_page(v_session, v_session.last_seq + 1, p_tail, p_max_bytes) -> 'events',
      'oldest_seq', coalesce(
        (select seq from public.agent_events where session_id = v_session.session_id order by seq limit 1),
        v_session.last_seq + 1
      ),
      'last_seq', v_session.last_seq,
      'lease', public.agent_lease(v_session, p_worker)
    ),
    'open_turns', public.agent_open_turns(v_session.session_id),
    'defaults', v_session.defaults,
    'notes', (
      select coalesce(jsonb_agg(f.comment order by f.after_seq, f.created_at, f.id), '[]')
      from public.agent_feedback f
      where f.session_id = v_session.session_id and f.verdict = 'modify' and f.after_seq >= v_session.last_query_seq
    )
  );
end
$$;

-- A user's conversations, or without a user one session: the archived ones or the others, most recently active first, from after
-- p_before on; with p_search only those that have all of its words in their title and questions.
-- [{session_id, user_id, token_hash, chat_id, created_at, title, titled, preview, last_activity, archived,
-- running}].
create or replace function public.agent_list_conversations(
  p_user text, p_session uuid, p_limit integer, p_before uuid, p_archived boolean, p_search text
) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_query tsquery;
  v_hour timestamptz := 'infinity';
  v_at timestamptz := 'infinity';
  v_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_ids uuid[];
begin
  if p_before is not null then
    select coalesce(message_hour, active_hour), coalesce(last_message_at, last_active_at), session_id
    into v_hour, v_at, v_id
    from public.agent_sessions where session_id = p_before and user_id = p_user;
    if not found then
      return '[]';
    end if;
  end if;
  if p_search is not null then
    v_query := public.agent_word_query(p_search);
    if v_query is null then
      return '[]';
    end if;
    -- Sessions from before agent_conversations: as many as a call has the time for, the newest first.
    perform public.agent_describe(s.session_id) from (
      select session_id from public.agent_sessions a
      where a.user_id = p_user and a.archived = p_archived and a.last_query_seq > 0
        and (select c.session_id from public.agent_conversations c where c.session_id = a.session_id) is null
      order by coalesce(a.message_hour, a.active_hour) desc limit 1000
    ) s;
  end if;
  v_ids := case when p_user is null then array[p_session] else array(
    select s.session_id from public.agent_sessions s
    where s.user_id = p_user and s.archived = p_archived
      and (coalesce(s.message_hour, s.active_hour), coalesce(s.last_message_at, s.last_active_at), s.session_id)
        < (v_hour, v_at, v_id)
      -- A subquery, which is never made a join: only this user's conversations are looked at. The words of a title that is a
      -- question are among the words of the questions.
      and (v_query is null or (
        select case c.titled_by when 'question' then c.words else c.title_words || c.words end @@ v_query
        from public.agent_conversations c where c.session_id = s.session_id
      ))
    order by coalesce(s.message_hour, s.active_hour) desc, coalesce(s.last_message_at, s.last_active_at) desc,
      s.session_id desc
    limit p_limit
  ) end;
  perform public.agent_describe(id) from unnest(v_ids) as id
  where (select c.session_id from public.agent_conversations c where c.session_id = id) is null;
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'session_id', s.session_id,
      'user_id', s.user_id,
      'token_hash', s.token_hash,
      'chat_id', s.chat_id,
      'created_at', public.agent_ms(s.created_at),
      'title', coalesce(c.title, ''),
      'titled', coalesce(c.titled_by <> 'question', false),
      'preview', coalesce(c.preview, ''),
      'last_activity', public.agent_ms(coalesce(s.last_message_at, s.last_active_at)),
      'archived', s.archived,
      'running', exists (select from public.agent_turns t where t.session_id = s.session_id and t.ended_at is null)
    ) order by page.place), '[]')
    from unnest(v_ids) with ordinality as page (id, place)
    join public.agent_sessions s on s.session_id = page.id
    left join public.agent_conversations c on c.session_id = page.id
    -- A user's were chosen above.
    where p_user is not null
      or s.archived = p_archived and (v_query is null or (c.title_words || c.words) @@ v_query)
  );
end
$$;

-- Who may ----------------------------------------------------------------------------------------------------------------

alter table public.agent_conversations enable row level security;

drop policy if exists "Users read their own conversations" on public.agent_conversations;
create policy "Users read their own conversations" on public.agent_conversations for select
  using (exists (select from public.agent_sessions s where s.session_id = agent_conversations.session_id
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
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname = 'agent_conversations'
      union all
      select pg_catalog.format('function %s', p.oid::regprocedure) from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname in (
        'agent_cut', 'agent_split', 'agent_words', 'agent_word_query', 'agent_describe', 'agent_note_message', 'agent_retitle',
        'agent_create_conversation', 'agent_set_title', 'agent_archive_session', 'agent_is_owner', 'agent_read_events',
        'agent_event_key', 'agent_note_event',
        'agent_visible_page', 'agent_read_visible', 'agent_find_conversation', 'agent_list_conversations'
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
  -- Every column, so that select * works (docs/decisions/0051).
  if exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    grant select on public.agent_sessions, public.agent_conversations to authenticated;
  end if;
end
$$;

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
