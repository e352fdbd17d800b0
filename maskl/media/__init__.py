"""Files that belong to a value, such as sounds and pages: kept as they are, and never rendered."""
