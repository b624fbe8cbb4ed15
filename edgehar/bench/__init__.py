"""What `edgehar bench` measures, and how: side by side, in one run, against what others would do."""
