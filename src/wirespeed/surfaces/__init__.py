"""Surfaces: each surface is one way for clients to connect. They map between a protocol and the hub."""
