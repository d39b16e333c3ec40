-- The account of Stream Bridge on MySQL: what replication needs, and nothing else.
-- Run it as root:   mysql -u root -p < conf/mysql-privileges.sql
-- Change two things first: the password, and `shop.*` (one GRANT for each replicated database).

CREATE USER IF NOT EXISTS 'bridge'@'%' IDENTIFIED WITH caching_sha2_password BY 'bridge-secret';

-- Encrypted connections only (SSL), or only with a certificate (X509: mysql.tls_cert and mysql.tls_key):
-- ALTER USER 'bridge'@'%' REQUIRE SSL;

-- REPLICATION SLAVE: read the binary log, SHOW REPLICAS. REPLICATION CLIENT: SHOW BINARY LOG STATUS, SHOW BINARY LOGS.
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'bridge'@'%';

-- Initial copy, resync, verify; and the table definitions in information_schema.
GRANT SELECT ON shop.* TO 'bridge'@'%';

-- Tables without a key: an instant without writers, from which a copy of them is exact.
GRANT LOCK TABLES ON shop.* TO 'bridge'@'%';

-- Servers without GTID (gtid_mode=OFF) need one of the next two for the initial copy, resync and verify:
-- they give the position that a SELECT has certainly seen.
-- 1. Without any lock (both lines together):
-- GRANT BACKUP_ADMIN ON *.* TO 'bridge'@'%';
-- GRANT SELECT ON performance_schema.log_status TO 'bridge'@'%';
-- 2. By an instant of FLUSH TABLES WITH READ LOCK:
-- GRANT RELOAD ON *.* TO 'bridge'@'%';

-- Applications that use XA transactions: a copy waits for those that are prepared at its start (XA RECOVER).
-- GRANT XA_RECOVER_ADMIN ON *.* TO 'bridge'@'%';
