-- Jobs: what is searched for has a column, the rest of the record is JSON (jobqueue/records.py).
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner_uid INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    is_final INTEGER NOT NULL,
    level INTEGER NOT NULL,      -- of the priority, 0 = FOREGROUND
    turn REAL NOT NULL,          -- place in line within the level
    intent TEXT,                 -- COMPLETE or CANCEL begun and not finished
    wake_at REAL,                -- service time at which the job must be looked at
    changed_seq INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX jobs_live ON jobs (owner_uid, row) WHERE is_final = 0;
CREATE INDEX jobs_by_state ON jobs (state, level, turn, row);
CREATE INDEX jobs_by_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX jobs_by_change ON jobs (changed_seq);
CREATE INDEX jobs_by_intent ON jobs (intent) WHERE intent IS NOT NULL;

CREATE TABLE files (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    transferred INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (job_id, idx)
) WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    job_id TEXT NOT NULL,
    owner_uid INTEGER NOT NULL,
    time REAL NOT NULL,          -- wall clock
    at REAL NOT NULL,            -- service time
    data TEXT NOT NULL
);
CREATE INDEX events_by_owner ON events (owner_uid, seq);
CREATE INDEX events_by_job ON events (job_id, seq);

-- Creates made under a client's Idempotency-Key; they go with their job.
CREATE TABLE requests (
    uid INTEGER NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (uid, key)
) WITHOUT ROWID;
CREATE INDEX requests_by_job ON requests (job_id);

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
