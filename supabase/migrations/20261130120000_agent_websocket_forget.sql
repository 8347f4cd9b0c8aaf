-- A session is forgotten by ranges of its events and turns. A list of them was joined with the table, and where the planner took
-- sessions for short ones, it compared each event of a long one with each of the list: a minute instead of half a second.

-- Deletes at most p_limit rows of a session whose row the caller has locked: its events, oldest first, then the rest, then
-- the session. What is not done by then belongs to nobody, so it is found by nobody, and comes first when agent_prune goes
-- on. Answers how many rows it was.
create or replace function public.agent_forget(p_session uuid, p_limit integer) returns integer
  language plpgsql set search_path = '' as $$
declare
  v_left integer := p_limit;
  v_count integer;
  v_until bigint;
begin
  select max(seq) from (
    select seq from public.agent_events where session_id = p_session order by seq limit v_left
  ) as slice into v_until;
  delete from public.agent_events where session_id = p_session and seq <= v_until;
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
    select max(query_seq) from (
      select query_seq from public.agent_turns where session_id = p_session order by query_seq limit v_left
    ) as slice into v_until;
    delete from public.agent_turns where session_id = p_session and query_seq <= v_until;
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

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
