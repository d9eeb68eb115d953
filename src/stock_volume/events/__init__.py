"""Events of symbols, such as earnings releases: which of them count, and which session reacts."""
