"""``python -m maskl.as_wandb SCRIPT`` runs a program in which ``import wandb`` brings maskl."""

from maskl.integrations.program import main

if __name__ == "__main__":
    main()
