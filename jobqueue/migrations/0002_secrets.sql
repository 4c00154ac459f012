-- Credentials and client certificates: sealed text (jobqueue/records.py), gone with their job.
CREATE TABLE secrets (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    record TEXT NOT NULL
) WITHOUT ROWID;

-- What stood there in clear text is sealed, and overwritten where it was (the pragma lasts as long as this connection).
PRAGMA secure_delete = ON;
UPDATE jobs SET record = sealed_job(record);
UPDATE files SET record = sealed_file(record);
