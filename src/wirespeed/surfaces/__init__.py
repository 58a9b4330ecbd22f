"""Surfaces: the ways in for clients. ASGI in, hub out."""
