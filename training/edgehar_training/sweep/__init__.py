"""Search for settings: many trials on inner folds, which never see a test clip."""
