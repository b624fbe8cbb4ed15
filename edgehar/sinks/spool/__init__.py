"""Events kept on disk until their receiver has acknowledged them."""
