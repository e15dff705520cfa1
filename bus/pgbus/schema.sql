-- FraiseQL's outbox, version 1. It may be run again and again, by a role that may create schemas in this database;
-- a superuser or a role with CREATEROLE makes the three roles too.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $do$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('fraiseql install ' || {name}, 0)); -- one at a time
  IF current_setting('server_version_num')::int < 130000 THEN
    RAISE EXCEPTION 'FraiseQL needs PostgreSQL 13 or later, this is %', current_setting('server_version');
  END IF;
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'FraiseQL needs a database whose encoding is UTF8, this one has %', current_setting('server_encoding');
  END IF;
  IF to_regnamespace({name_ident}) IS NULL THEN
    CREATE SCHEMA {schema};
  END IF;
  IF to_regclass({name_ident} || '.meta') IS NOT NULL THEN
    IF (SELECT version FROM {schema}.meta) > {version} THEN
      RAISE EXCEPTION 'schema % is of a later release of FraiseQL', {name};
    END IF;
  END IF;
END
$do$;

-- One row: what all nodes agree on.
CREATE TABLE IF NOT EXISTS {schema}.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version int NOT NULL,
  epoch bigint NOT NULL,               -- of positions: another one after a restore
  cluster text NOT NULL,               -- the server and database that the positions are of
  retention interval NOT NULL DEFAULT '24 hours',
  control_retention interval NOT NULL DEFAULT '24 hours',
  -- The newest position that was pruned, of ordinary channels, of $control, of $node/…
  pruned_xid xid8 NOT NULL DEFAULT '0', pruned_id bigint NOT NULL DEFAULT 0,
  control_xid xid8 NOT NULL DEFAULT '0', control_id bigint NOT NULL DEFAULT 0,
  node_xid xid8 NOT NULL DEFAULT '0', node_id bigint NOT NULL DEFAULT 0
);

-- The events. The truth: whatever is committed here is delivered, whether anybody was woken or not.
CREATE TABLE IF NOT EXISTS {schema}.outbox (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  "timestamp" timestamptz NOT NULL DEFAULT clock_timestamp(),
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  slot smallint NOT NULL,
  v smallint NOT NULL DEFAULT 1,
  broadcast boolean NOT NULL DEFAULT false,
  channel text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  tenant_id text COLLATE "C",
  user_id text COLLATE "C",
  federation_id text COLLATE "C",
  service_name text COLLATE "C",
  data json NOT NULL
) PARTITION BY LIST (slot);
CREATE INDEX IF NOT EXISTS outbox_position ON {schema}.outbox (xid, id);
CREATE INDEX IF NOT EXISTS outbox_channel ON {schema}.outbox (channel, xid, id);

-- Partitions 0 to 3 are a ring, each filled for a third of the retention; 4 is $control, 5 are the nodes' own channels.
DO $do$
BEGIN
  FOR n IN 0..5 LOOP
    EXECUTE format('CREATE TABLE IF NOT EXISTS {schema}.%I PARTITION OF {schema}.outbox FOR VALUES IN (%s)', 'outbox_' || n, n);
  END LOOP;
END
$do$;
CREATE TABLE IF NOT EXISTS {schema}.ring (
  slot smallint PRIMARY KEY,
  opened_at timestamptz NOT NULL,
  closed_at timestamptz                -- NULL: being filled
);
-- The partition that is being filled. A sequence, as its value is read outside of snapshots.
CREATE SEQUENCE IF NOT EXISTS {schema}.slot AS int MINVALUE 0 MAXVALUE 3 START 0;
INSERT INTO {schema}.ring VALUES (0, clock_timestamp(), NULL) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION {schema}.cluster() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
  SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
$function$;

CREATE OR REPLACE FUNCTION {schema}.next_epoch() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$function$;

INSERT INTO {schema}.meta (version, epoch, cluster) VALUES ({version}, {schema}.next_epoch(), {schema}.cluster())
ON CONFLICT (one) DO UPDATE SET version = EXCLUDED.version;

-- What is wrong with an envelope is said as every other door says it.
CREATE OR REPLACE FUNCTION {schema}.check_text(member text, value text, spaces boolean) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE problem text;
BEGIN
  problem := CASE
    WHEN value IS NULL OR value = '' THEN 'is required and must not be empty'
    WHEN octet_length(value) > 255 THEN 'is longer than 255 bytes'
    WHEN NOT spaces AND value ~ '[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]' THEN 'contains white space'
    WHEN value ~ '[\u0001-\u001f\u007f-\u009f]' THEN 'contains a control character'
  END;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('event %s: %s', member, problem);
  END IF;
END
$function$;

CREATE OR REPLACE FUNCTION {schema}.check_channel(channel text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE problem text;
BEGIN
  PERFORM {schema}.check_text('channel', channel, false);
  problem := CASE
    WHEN starts_with(channel, '$') OR starts_with(channel, '__') THEN 'begins with __ or $, which are reserved'
    WHEN channel ~ '[*>{}]' THEN 'contains one of * > { }, which are reserved'
  END;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('event channel: %s', problem);
  END IF;
END
$function$;

-- The data as it was given: an object of at most 1 MiB and 64 levels.
CREATE OR REPLACE FUNCTION {schema}.check_data(data text) RETURNS json
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  problem text;
  brackets text;
BEGIN
  problem := CASE
    WHEN data IS NULL THEN 'is required and must be a JSON object'
    WHEN octet_length(data) > 1048576 THEN 'is larger than 1048576 bytes'
    WHEN json_typeof(data::json) <> 'object' THEN 'must be a JSON object, not ' || json_typeof(data::json)
  END;
  IF problem IS NULL AND octet_length(data) - octet_length(translate(data, '[{', '')) > 64 THEN
    brackets := translate(regexp_replace(regexp_replace(data, '"([^"\\]|\\.)*"', '', 'g'), '[^][{}]+', '', 'g'), '{}', '[]');
    FOR level IN 1..64 LOOP
      EXIT WHEN brackets = '';
      brackets := replace(brackets, '[]', ''); -- the innermost level
    END LOOP;
    IF brackets <> '' THEN
      problem := 'is nested deeper than 64 levels';
    END IF;
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'event data: ' || problem;
  END IF;
  RETURN data::json;
END
$function$;

-- A UUIDv7, as text.
CREATE OR REPLACE FUNCTION {schema}.new_id() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid::text
$function$;

-- Wakes the nodes at commit, once however often a transaction calls it.
CREATE OR REPLACE FUNCTION {schema}.wake() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  IF current_setting('fraiseql.notify', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify({name}, '');
  END IF;
END
$function$;

CREATE OR REPLACE FUNCTION {schema}.publish(channel text, type text, data text, id text DEFAULT NULL, tenant_id text DEFAULT NULL,
  user_id text DEFAULT NULL, broadcast boolean DEFAULT false, federation_id text DEFAULT NULL, service_name text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
#variable_conflict use_variable
DECLARE event_id text := coalesce(id, {schema}.new_id());
BEGIN
  PERFORM {schema}.check_channel(channel), {schema}.check_text('type', type, false);
  IF id IS NOT NULL THEN PERFORM {schema}.check_text('id', id, false); END IF;
  IF tenant_id IS NOT NULL THEN PERFORM {schema}.check_text('tenant_id', tenant_id, true); END IF;
  IF user_id IS NOT NULL THEN PERFORM {schema}.check_text('user_id', user_id, true); END IF;
  IF federation_id IS NOT NULL THEN PERFORM {schema}.check_text('federation_id', federation_id, true); END IF;
  IF service_name IS NOT NULL THEN PERFORM {schema}.check_text('service_name', service_name, true); END IF;
  IF broadcast AND (tenant_id IS NOT NULL OR user_id IS NOT NULL) THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'event broadcast: cannot be combined with tenant_id or user_id: a broadcast reaches everybody';
  END IF;
  INSERT INTO {schema}.outbox (slot, channel, type, event_id, tenant_id, user_id, broadcast, federation_id, service_name, data)
  VALUES ((SELECT last_value FROM {schema}.slot), channel, type, event_id, tenant_id, user_id, coalesce(broadcast, false), federation_id, service_name,
    {schema}.check_data(data));
  PERFORM {schema}.wake();
  RETURN event_id;
END
$function$;

CREATE OR REPLACE FUNCTION {schema}.publish(channel text, type text, data json, id text DEFAULT NULL, tenant_id text DEFAULT NULL,
  user_id text DEFAULT NULL, broadcast boolean DEFAULT false, federation_id text DEFAULT NULL, service_name text DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
  SELECT {schema}.publish($1, $2, $3::text, $4, $5, $6, $7, $8, $9)
$function$;

CREATE OR REPLACE FUNCTION {schema}.publish(channel text, type text, data jsonb, id text DEFAULT NULL, tenant_id text DEFAULT NULL,
  user_id text DEFAULT NULL, broadcast boolean DEFAULT false, federation_id text DEFAULT NULL, service_name text DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $function$
  SELECT {schema}.publish($1, $2, $3::text, $4, $5, $6, $7, $8, $9)
$function$;

-- A row as JSON without the columns that nobody may see.
CREATE OR REPLACE FUNCTION {schema}.without(image json, columns text[]) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $function$
  SELECT json_object_agg(key, value ORDER BY n) FROM json_each(image) WITH ORDINALITY AS member (key, value, n) WHERE key <> ALL (columns)
$function$;

-- The trigger function of `fraiseql pg triggers`, once per statement. Arguments: channel, type, column of the tenant, column of the
-- user (each '' for none), member for the image before ('' for none), columns that are left out as an array. An update that gives
-- the row to another tenant or user has no image before: that is the former one's.
CREATE OR REPLACE FUNCTION {schema}.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  before_member text := nullif(TG_ARGV[4], '');
  hidden text[] := TG_ARGV[5]::text[];
  images refcursor;
  image record;
  data text;
BEGIN
  PERFORM {schema}.check_channel(TG_ARGV[0]), {schema}.check_text('type', TG_ARGV[1], false);
  IF TG_OP = 'INSERT' THEN
    OPEN images FOR SELECT NULL::json AS o, row_to_json(r) AS n FROM new_rows r;
  ELSIF TG_OP = 'DELETE' THEN
    OPEN images FOR SELECT NULL::json AS o, row_to_json(r) AS n FROM old_rows r;
  ELSE -- both tables have the rows in the order in which the statement came to them
    OPEN images FOR SELECT row_to_json(o) AS o, row_to_json(n) AS n
      FROM (SELECT row_number() OVER () AS number, r AS o FROM old_rows r) AS before
      JOIN (SELECT row_number() OVER () AS number, r AS n FROM new_rows r) AS after USING (number) ORDER BY number;
  END IF;
  LOOP
    FETCH images INTO image;
    EXIT WHEN NOT FOUND;
    data := CASE WHEN hidden = '{}' THEN image.n ELSE coalesce({schema}.without(image.n, hidden), '{}') END;
    IF before_member IS NOT NULL AND image.o IS NOT NULL
       AND nullif(image.o ->> TG_ARGV[2], '') IS NOT DISTINCT FROM nullif(image.n ->> TG_ARGV[2], '')
       AND nullif(image.o ->> TG_ARGV[3], '') IS NOT DISTINCT FROM nullif(image.n ->> TG_ARGV[3], '') THEN -- who may see both
      data := left(data, -1) || CASE WHEN data = '{}' THEN '' ELSE ',' END || to_json(before_member) || ':'
        || CASE WHEN hidden = '{}' THEN image.o ELSE coalesce({schema}.without(image.o, hidden), '{}') END || '}';
    END IF;
    INSERT INTO {schema}.outbox (slot, channel, type, event_id, tenant_id, user_id, data)
    VALUES ((SELECT last_value FROM {schema}.slot), TG_ARGV[0], TG_ARGV[1], {schema}.new_id(),
      nullif(image.n ->> TG_ARGV[2], ''), nullif(image.n ->> TG_ARGV[3], ''), {schema}.check_data(data));
  END LOOP;
  CLOSE images;
  PERFORM {schema}.wake();
  RETURN NULL;
END
$function$;

-- Empties what is older than the retention and opens the next partition of the ring when it is time. force: now, leaving only
-- the partition that was being filled. NULL intervals: as they were set. It returns how many partitions it emptied.
CREATE OR REPLACE FUNCTION {schema}.maintain(retention interval DEFAULT NULL, control_retention interval DEFAULT NULL, force boolean DEFAULT false)
RETURNS int LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $function$
#variable_conflict use_variable
DECLARE
  keep interval;
  filling {schema}.ring;
  old {schema}.ring;
  next smallint;
  newest record;
  emptied int := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('fraiseql maintain ' || {name}, 0)) THEN
    RETURN 0; -- another node is at it
  END IF;
  UPDATE {schema}.meta m SET control_retention = greatest(m.control_retention, control_retention)
    WHERE m.control_retention < control_retention;
  SELECT coalesce(retention, m.retention) INTO keep FROM {schema}.meta m;
  SELECT * INTO filling FROM {schema}.ring r WHERE r.closed_at IS NULL;
  next := (filling.slot + 1) % 4;
  FOR old IN SELECT * FROM {schema}.ring r WHERE r.closed_at IS NOT NULL ORDER BY r.closed_at LOOP
    CONTINUE WHEN old.closed_at > clock_timestamp() - keep AND NOT force;
    EXECUTE format('LOCK TABLE {schema}.%I IN ACCESS EXCLUSIVE MODE', 'outbox_' || old.slot);
    EXECUTE format('SELECT o.xid, o.id FROM {schema}.%I o ORDER BY o.xid DESC, o.id DESC LIMIT 1', 'outbox_' || old.slot) INTO newest;
    UPDATE {schema}.meta m SET pruned_xid = newest.xid, pruned_id = newest.id WHERE (m.pruned_xid, m.pruned_id) < (newest.xid, newest.id);
    EXECUTE format('TRUNCATE {schema}.%I', 'outbox_' || old.slot);
    DELETE FROM {schema}.ring r WHERE r.slot = old.slot;
    emptied := emptied + 1;
  END LOOP;
  IF (force OR filling.opened_at <= clock_timestamp() - keep / 3) AND NOT EXISTS (SELECT FROM {schema}.ring r WHERE r.slot = next)
     AND EXISTS (SELECT FROM {schema}.outbox o WHERE o.slot = filling.slot) THEN
    UPDATE {schema}.ring r SET closed_at = clock_timestamp() WHERE r.slot = filling.slot;
    INSERT INTO {schema}.ring VALUES (next, clock_timestamp(), NULL);
    PERFORM setval({name_ident} || '.slot', next);
  END IF;
  WITH gone AS (DELETE FROM {schema}.outbox o USING {schema}.meta m
    WHERE o.slot = 4 AND o.stored_at < clock_timestamp() - greatest(m.control_retention, control_retention) RETURNING o.xid, o.id),
  last AS (SELECT g.xid, g.id FROM gone g ORDER BY g.xid DESC, g.id DESC LIMIT 1)
  UPDATE {schema}.meta m SET control_xid = l.xid, control_id = l.id FROM last l;
  WITH gone AS (DELETE FROM {schema}.outbox o WHERE o.slot = 5 AND o.stored_at < clock_timestamp() - interval '15 minutes' RETURNING o.xid, o.id),
  last AS (SELECT g.xid, g.id FROM gone g ORDER BY g.xid DESC, g.id DESC LIMIT 1)
  UPDATE {schema}.meta m SET node_xid = l.xid, node_id = l.id FROM last l;
  RETURN emptied;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0; -- somebody reads there: the next time
END
$function$;

-- Begins another epoch where the events came from another server or database by a restore: their positions mean nothing here.
CREATE OR REPLACE FUNCTION {schema}.adopt() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  PERFORM FROM {schema}.meta FOR UPDATE;
  IF (SELECT cluster FROM {schema}.meta) = {schema}.cluster() THEN
    RETURN false;
  END IF;
  TRUNCATE {schema}.outbox;
  UPDATE {schema}.meta SET epoch = greatest({schema}.next_epoch(), epoch + 1), cluster = {schema}.cluster(), pruned_xid = '0', pruned_id = 0,
    control_xid = '0', control_id = 0, node_xid = '0', node_id = 0;
  RETURN true;
END
$function$;

-- Begins another epoch after the given one: an event was seen that is no longer there, as the server lost its newest transactions.
CREATE OR REPLACE FUNCTION {schema}.renew(known bigint) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
  UPDATE {schema}.meta SET epoch = greatest({schema}.next_epoch(), known + 1) WHERE epoch = known
$function$;

-- Who may do what: nobody but these roles anything.
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
DO $do$
DECLARE role text;
BEGIN
  FOREACH role IN ARRAY ARRAY[{publisher}, {reader}, {node}] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this server is installed at the same time: roles are the server's
      END;
    END IF;
  END LOOP;
  EXECUTE format('GRANT USAGE ON SCHEMA {schema} TO %I, %I, %I', {publisher}, {reader}, {node});
  EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.publish(text, text, text, text, text, text, boolean, text, text), '
    '{schema}.publish(text, text, json, text, text, text, boolean, text, text), '
    '{schema}.publish(text, text, jsonb, text, text, text, boolean, text, text), {schema}.capture() TO %I, %I', {publisher}, {node});
  EXECUTE format('GRANT SELECT ON {schema}.meta, {schema}.ring, {schema}.outbox TO %I, %I', {reader}, {node});
  EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.cluster() TO %I, %I', {reader}, {node});
  EXECUTE format('GRANT INSERT ON {schema}.outbox TO %I', {node});
  EXECUTE format('GRANT SELECT ON SEQUENCE {schema}.slot TO %I', {node});
  EXECUTE format('GRANT EXECUTE ON FUNCTION {schema}.maintain(interval, interval, boolean), {schema}.adopt(), {schema}.renew(bigint) TO %I', {node});
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'the roles %, % and % were not made: that needs CREATEROLE', {publisher}, {reader}, {node};
END
$do$;
COMMIT;
