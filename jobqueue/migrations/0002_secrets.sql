-- Credentials and client certificates: sealed text (jobqueue/records.py), gone with their job.
CREATE TABLE secrets (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    record TEXT NOT NULL
) WITHOUT ROWID;
