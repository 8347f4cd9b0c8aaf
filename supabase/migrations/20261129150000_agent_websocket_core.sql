-- Agent WebSocket: what the session core of this edition needs of the store.
--
-- The end of a turn is named after its turn, and `configured` events set the session's defaults field by field. The
-- signatures that workers call are unchanged: a worker of the version before works on with this.

-- Appends events to a session whose row the caller has locked, and whose last_seq the caller sets to the one answered:
-- {last_seq, last_query_seq, events}, the last with the seq of each event that is new, and as it is stored each that was
-- there; last_query_seq is null where no query is new. What a new `configured` event sets is merged into the session's defaults.
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
    elsif v_kind = 'configured' then
      update public.agent_sessions set defaults = defaults || (v_event -> 'options') where session_id = p_session;
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

-- PostgREST learns of new functions at once, also where Supabase's event trigger is missing.
notify pgrst, 'reload schema';
