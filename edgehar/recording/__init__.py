"""Clips of events: packets kept before an event, one MP4, picture and sidecar per event, and the chain over them."""
