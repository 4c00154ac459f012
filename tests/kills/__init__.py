"""The service is killed again and again while clients work with it, and what they were told is looked at afterwards."""
