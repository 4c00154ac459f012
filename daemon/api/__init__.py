"""The socket API: a table of routes with an access column, one small module per resource."""
