"""Raw daily bars: reading an archive, parsing it, and judging every row."""
