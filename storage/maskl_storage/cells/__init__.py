"""Values as cells of columns, and the statistics that follow from them."""
