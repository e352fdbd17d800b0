"""What is done to a store as a whole: recovery, compaction, deletion."""
