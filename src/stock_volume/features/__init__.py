"""Features of a bar, from the bars of its symbol up to and including it."""
