"""Pictures of images with what is drawn over them: overlays, panels, and the HTML of notebooks."""
