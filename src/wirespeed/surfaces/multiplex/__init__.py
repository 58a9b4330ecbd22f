"""The multiplexed surface: many channels on one connection, by the Centrifuge client protocol."""
