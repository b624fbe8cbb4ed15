"""Drawn scenes of moving figures, as a source of frames and as a data set."""
