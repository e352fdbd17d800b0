"""What is drawn over an image: class sets, masks and boxes."""
