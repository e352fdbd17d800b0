"""``maskl view``: a page that shows rows, masks and errors, and the server behind it; needs ``maskl[view]``."""
