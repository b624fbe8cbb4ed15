"""The API under `/api/v1/`: each module holds the operations about one thing."""
