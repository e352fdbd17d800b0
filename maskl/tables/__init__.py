"""Tables: rows, the types of columns, keys, and rows that do not fit into memory."""
