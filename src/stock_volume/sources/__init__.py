"""Sources of raw bars; none imports Kedro or BentoML."""
