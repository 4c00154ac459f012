-- Every row has a checksum (jobqueue/sums.py): one that was damaged is not used.
ALTER TABLE jobs ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET sum = row_sum(id, owner_uid, display_name, state, is_final, level, turn, intent, wake_at, changed_seq, record);
UPDATE files SET sum = row_sum(job_id, idx, transferred, record);
UPDATE secrets SET sum = row_sum(job_id, record);
UPDATE events SET sum = row_sum(type, job_id, owner_uid, time, at, data);
UPDATE requests SET sum = row_sum(uid, key, fingerprint, job_id);
UPDATE meta SET sum = row_sum(key, value);

-- Temporary files whose job is over and which could not be removed (jobqueue/leftovers.py).
CREATE TABLE leftovers (path TEXT NOT NULL PRIMARY KEY, record TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
