"""W&B's offline runs, read without wandb."""
