-- Limits that tell the truth: frames are booked with the time at which they were taken, and tokens with their day.
--
-- Applying it again changes nothing. Workers of before it report without `age_ms` and `day`: then both are those of now.

-- Books what a worker's users did since its last report, [{key, frames, age_ms, tokens, day, connections}], each number once,
-- and answers with how each stands at all workers together: {key: {frames_left, tokens_today, day, connections}}. `age_ms` is
-- how long ago the first of the frames was taken: the bucket refills from then on, not from when the report comes. `day` is
-- the worker's own (days since the epoch): what was used before midnight does not count for the day after. A worker that
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
  -- In one order for everybody, as in agent_commit. Rows of no frames leave the bucket as it was: it is full of what it had.
  insert into public.agent_use as u (key, frames_left, refilled_at, day, tokens)
  select
    key, p_burst - frames, v_now - least(greatest(coalesce(age_ms, 0), 0), 60000) * interval '1 millisecond',
    -- A clock that is far off must not close a day for the others.
    least(greatest(coalesce(date '1970-01-01' + day, v_today), v_today - 1), v_today + 1), tokens
  from jsonb_to_recordset(p_reports)
    as report (key text, frames double precision, age_ms double precision, tokens bigint, day integer)
  order by key
  on conflict (key) do update set
    frames_left = case excluded.frames_left when p_burst then u.frames_left else least(
      p_burst,
      u.frames_left
        + greatest(extract(epoch from excluded.refilled_at - u.refilled_at), 0)::double precision * p_per_minute / 60
    ) - (p_burst - excluded.frames_left) end,
    refilled_at = case excluded.frames_left
      when p_burst then u.refilled_at else greatest(u.refilled_at, excluded.refilled_at) end,
    day = greatest(u.day, excluded.day),
    tokens = case when u.day >= excluded.day then u.tokens else 0 end
      + case when excluded.day >= u.day then excluded.tokens else 0 end;
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
    'frames_left', least(
      p_burst,
      u.frames_left + greatest(extract(epoch from v_now - u.refilled_at), 0)::double precision * p_per_minute / 60
    ),
    'tokens_today', u.tokens,
    'day', u.day - date '1970-01-01',
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

notify pgrst, 'reload schema';
