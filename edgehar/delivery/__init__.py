"""Recordings that leave the device: uploads to a server, and notifications to people."""
