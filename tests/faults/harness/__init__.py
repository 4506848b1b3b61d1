"""Real processes to be killed, real clients to be disappointed, and the count of what was lost."""
