"""The server's side of the Centrifuge client protocol, version 2, without I/O: no await, no clock."""
