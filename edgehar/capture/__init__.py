"""Reading a source in a thread of its own: reconnection, the latest frame, and the frames a device can afford."""
