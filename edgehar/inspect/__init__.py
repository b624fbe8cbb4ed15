"""The contents of a model bundle: its operators, where they run, what they cost, and how int8 changes their values."""
