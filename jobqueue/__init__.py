"""What should run, and what is known about it: pure decisions and durable state. No network, no socket, no HTTP."""
