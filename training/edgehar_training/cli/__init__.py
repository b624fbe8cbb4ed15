"""The commands of the workstation: `edgehar-train` and `edgehar-convert`."""
