"""Where raw bars come from: other machines. None of it knows Kedro or BentoML."""
