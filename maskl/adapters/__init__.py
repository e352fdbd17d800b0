"""Objects of other libraries: tensors, figures and data frames, and the optional packages that bring them."""
