"""How bytes move: a request goes in, a file comes out. Knows no job, no database and no socket API."""
