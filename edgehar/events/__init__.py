"""From scores to events: smoothing, thresholds, and the rules that start and end an event."""
