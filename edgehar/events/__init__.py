"""From scores to events: smoothing, thresholds, and the rules that open and close an event."""
