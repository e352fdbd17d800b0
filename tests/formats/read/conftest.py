"""What is imported here is imported where maskl is; W&B has an environment of its own."""

collect_ignore = ["wandb_offline.py"]
