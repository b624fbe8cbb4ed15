"""Learning on the device: a new head on the frozen encoder, from clips of this camera and their labels."""
