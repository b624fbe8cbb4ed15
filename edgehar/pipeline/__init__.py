"""A run: sources, classifiers, deciders and sinks, assembled from a configuration and driven to the end."""
