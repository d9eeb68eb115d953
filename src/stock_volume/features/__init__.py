"""Features: what is known at a session's close, computed from bars and the calendar."""
