"""What a model bundle is made of: its operators, where they run, what they cost, and what int8 does to their values."""
