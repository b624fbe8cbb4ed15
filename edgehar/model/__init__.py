"""The model: its bundle, the int8 networks in it, and the classifier that runs them on a stream."""
