"""Whether a store is what its seals say, and its statistics what its masks say."""
