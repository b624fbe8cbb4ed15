"""Training a network: fitting, checkpoints, experiments over folds and seeds."""
