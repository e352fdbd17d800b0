"""Which runs, seals and parts a store has."""
