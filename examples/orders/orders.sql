-- The database of the example: orders, who may see them, and refunds.
--
-- `deno task dev` applies this file. For your own project, make a migration of it, without the parts "for the demo".

create table public.orders (
  id bigint generated always as identity (start with 1001) primary key,
  -- For the demo: an order without a user is a sample for visitors. In your project: not null.
  user_id uuid references auth.users (id) on delete cascade,
  item text not null,
  status text not null default 'open' check (status in ('open', 'shipped')),
  total numeric(10, 2) not null check (total >= 0),
  refunded numeric(10, 2) not null default 0 check (refunded between 0 and total),
  created_at timestamptz not null default now()
);

create index orders_of_user on public.orders (user_id);

alter table public.orders enable row level security;

-- Users read their own orders. Nobody may write: orders change by functions such as `refund`.
grant select on public.orders to authenticated;
revoke insert, update, delete, truncate on public.orders from anon, authenticated;

create policy "Users read their own orders" on public.orders
  for select to authenticated using (user_id = (select auth.uid()));

-- One row for each refund. The primary key makes a repeated refund a refund that was already made.
create table public.refunds (
  key text primary key,
  order_id bigint not null references public.orders (id) on delete cascade,
  amount numeric(10, 2) not null check (amount > 0),
  created_at timestamptz not null default now()
);

-- No policy: only the function below reads and writes this table.
alter table public.refunds enable row level security;
revoke all on public.refunds from anon, authenticated;

-- Refunds a part of an order of the user who calls it. With a key that was used before, nothing is paid again.
--
-- The function runs with the rights of its owner, because users may not write orders. So it must check by itself whose
-- order it is.
create function public.refund(order_id bigint, amount numeric, key text)
returns json
language plpgsql
security definer
set search_path = ''
as $$
declare
  found_order public.orders;
  earlier public.refunds;
begin
  -- For the demo: `is not distinct from` lets visitors refund the samples. In your project: `=`.
  select * into found_order from public.orders
    where id = refund.order_id and user_id is not distinct from auth.uid()
    for update;
  if not found then
    raise exception 'you have no order %', refund.order_id;
  end if;
  select * into earlier from public.refunds r where r.key = refund.key;
  if found and earlier.order_id <> refund.order_id then
    raise exception 'this key belongs to another refund';
  end if;
  if not found then
    if refund.amount is null or refund.amount <= 0 then
      raise exception 'the amount must be more than 0';
    end if;
    if found_order.refunded + refund.amount > found_order.total then
      raise exception 'only % of order % can be refunded',
        found_order.total - found_order.refunded, refund.order_id;
    end if;
    insert into public.refunds (key, order_id, amount) values (refund.key, refund.order_id, refund.amount)
      returning * into earlier;
    update public.orders set refunded = refunded + refund.amount where id = refund.order_id;
  end if;
  return json_build_object('order_id', earlier.order_id, 'refunded', earlier.amount);
end
$$;

-- Visitors may call it for the demo only.
revoke execute on function public.refund from public;
grant execute on function public.refund to authenticated, anon;

-- For the demo, until the end of the file: samples for visitors, and the same orders for each new account.

grant select on public.orders to anon;

create policy "Visitors read the samples" on public.orders for select to anon using (user_id is null);

create function public.add_sample_orders(owner uuid)
returns void
language sql
security definer
set search_path = ''
as $$
  insert into public.orders (user_id, item, status, total) values
    (owner, 'Desk lamp', 'shipped', 42.00),
    (owner, 'Notebook', 'shipped', 12.50),
    (owner, 'Headphones', 'open', 89.90);
$$;

revoke execute on function public.add_sample_orders from public, anon, authenticated;

create function public.welcome_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform public.add_sample_orders(new.id);
  return new;
end
$$;

create trigger welcome_user after insert on auth.users for each row execute function public.welcome_user();

select public.add_sample_orders(null);
select public.add_sample_orders(id) from auth.users;
