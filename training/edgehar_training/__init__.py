"""Train, evaluate and convert action recognition networks for edgehar, on a workstation."""
