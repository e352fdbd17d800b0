"""Images: where their pixels come from, how they are shown, and how they are encoded."""
