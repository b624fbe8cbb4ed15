"""HTML pages: one self-contained file each, made from templates."""
