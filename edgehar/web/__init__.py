"""Pages in the browser: live pictures and scores, events, status and settings, from the process that classifies."""
