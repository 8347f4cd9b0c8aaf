-- Only the service role reads and writes the relay's topics on Realtime, whatever other policies the project has.
--
-- Realtime authorizes private topics by row level security on realtime.messages. A project's policies are permissive, so
-- that one with `using (true)` opens every topic. A restrictive policy must be satisfied as well. This one concerns topics
-- agent_websocket:* only. The service role has BYPASSRLS.
--
-- Does nothing where there is no Realtime. Applying it twice changes nothing. Needs PostgreSQL 15 or later.

do $$
begin
  if pg_catalog.to_regclass('realtime.messages') is null then
    raise notice 'agent_websocket: there is no realtime.messages here, so there is nothing to close';
    return;
  end if;
  drop policy if exists "agent_websocket is for the service role only" on realtime.messages;
  -- The topic is in the row for an insert and for a select of what is there, and in the setting for the check of a join:
  -- realtime.topic() reads the same setting, but a policy that uses it would keep Realtime from replacing it.
  create policy "agent_websocket is for the service role only" on realtime.messages
    as restrictive for all to public
    using (
      not pg_catalog.starts_with(coalesce(topic, ''), 'agent_websocket:')
      and not pg_catalog.starts_with(coalesce(pg_catalog.current_setting('realtime.topic', true), ''), 'agent_websocket:')
    )
    with check (
      not pg_catalog.starts_with(coalesce(topic, ''), 'agent_websocket:')
      and not pg_catalog.starts_with(coalesce(pg_catalog.current_setting('realtime.topic', true), ''), 'agent_websocket:')
    );
  if not (select relrowsecurity from pg_catalog.pg_class where oid = 'realtime.messages'::pg_catalog.regclass) then
    raise warning 'agent_websocket: row level security is off on realtime.messages, so that no policy counts: '
      'alter table realtime.messages enable row level security';
  end if;
exception
  -- On the platform the table is supabase_realtime_admin's, and the role postgres may make policies on it. Another role
  -- may not, and the rest of the migrations must not fail for that.
  when insufficient_privilege then
    raise warning 'agent_websocket: the role % may not make policies on realtime.messages: run this file in the SQL editor '
      'of the dashboard, see docs/DEPLOY.md', current_user;
end
$$;

notify pgrst, 'reload schema';
