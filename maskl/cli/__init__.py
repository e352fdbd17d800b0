"""The command line: it parses, calls what the packages below offer, and prints."""
