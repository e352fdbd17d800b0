"""maskl for frameworks that import ``wandb``: a module that stands for it, its finder, and programs run with it."""
