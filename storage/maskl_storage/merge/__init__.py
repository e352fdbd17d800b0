"""Parts rewritten as fewer and larger ones, with every answer as before."""
