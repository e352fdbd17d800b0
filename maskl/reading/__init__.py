"""What was stored: stores, tables, their metrics, and what they turn into."""
