"""One small server for each peer."""
