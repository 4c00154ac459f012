"""A machine that loses power: a file system that forgets what was not synced, and the service on it."""
