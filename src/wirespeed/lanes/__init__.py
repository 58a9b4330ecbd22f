"""Lanes write bytes to connections, and bound what waits for each client."""
