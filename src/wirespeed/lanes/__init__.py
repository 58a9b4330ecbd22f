"""Lanes: how bytes get onto a connection."""
