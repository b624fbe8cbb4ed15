"""The measurements of `edgehar bench`: side by side, in one run, against other libraries."""
