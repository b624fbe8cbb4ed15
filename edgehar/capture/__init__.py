"""Read a source in its own thread: reconnection, frame queue, and the frame rate that the device can afford."""
