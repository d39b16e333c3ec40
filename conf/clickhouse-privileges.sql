-- The account of Stream Bridge on ClickHouse: what replication needs, and nothing else.
-- Run it as an administrator:   clickhouse-client --multiquery < conf/clickhouse-privileges.sql
-- Change two things first: the password, and `shop.*` (one block of GRANTs for each target database).
--
-- scripts/servers reads the GRANT lines from this file for the account `bridge` of the test server, so the tests
-- run with what is written here. Tests make their own databases: there `shop.*` becomes every database except
-- `system`, whose tables stay limited to those named below. Keep every GRANT on one line.

CREATE USER IF NOT EXISTS bridge IDENTIFIED WITH sha256_password BY 'bridge-secret';

-- Checkpoints, catalog history, table states, copy progress, dead letters (`state.database`).
CREATE DATABASE IF NOT EXISTS stream_bridge;
GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, TRUNCATE, SELECT, INSERT, ALTER COLUMN, ALTER TTL, ALTER SETTINGS ON stream_bridge.* TO bridge;

-- Target databases. SELECT: verify, key repair, filling a shadow table. INSERT: the rows.
GRANT SELECT, INSERT ON shop.* TO bridge;
-- Following the source's DDL. CREATE DATABASE may be left out when the database is made by hand.
-- DROP TABLE with CREATE TABLE, SELECT and INSERT is also what ClickHouse asks for RENAME and EXCHANGE TABLES (shadow tables).
GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, TRUNCATE ON shop.* TO bridge;
-- ALTER CONSTRAINT: the floor (CHECK _version >= ..) that keeps late copies of an insert out.
-- ALTER DELETE: TRUNCATE TABLE, as the removal of every row from before it.
GRANT ALTER COLUMN, ALTER CONSTRAINT, ALTER DELETE, ALTER SETTINGS, ALTER MODIFY COMMENT ON shop.* TO bridge;
-- Tables without a key: the view of their rows; CREATE VIEW is part of CREATE TABLE.
GRANT DROP VIEW ON shop.* TO bridge;

-- What the server says about itself. Everyone may read some of these; they are named because a server can take that back.
GRANT SELECT ON system.one TO bridge;
-- Shape of the targets.
GRANT SELECT ON system.databases TO bridge;
GRANT SELECT ON system.tables TO bridge;
GRANT SELECT ON system.columns TO bridge;
GRANT SELECT ON system.data_type_families TO bridge;
GRANT SELECT ON system.settings TO bridge;
GRANT SELECT ON system.merge_tree_settings TO bridge;
-- Back-pressure (active parts), own inserts still running before a DDL, own ALTERs still at work.
GRANT SELECT ON system.parts TO bridge;
GRANT SELECT ON system.processes TO bridge;
GRANT SELECT ON system.mutations TO bridge;

-- The engines it creates tables with (for replicated targets also ReplicatedReplacingMergeTree and ReplicatedMergeTree).
-- Older servers do not know this privilege and need no grant here: leave these two lines out when they are refused.
GRANT TABLE ENGINE ON ReplacingMergeTree TO bridge;
GRANT TABLE ENGINE ON MergeTree TO bridge;
