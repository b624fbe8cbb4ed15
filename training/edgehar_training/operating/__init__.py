"""Operating points: what a threshold costs and gives, from scores that are made once and decided on many times."""
