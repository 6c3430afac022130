"""How recordings lose their high band: the same for training and evaluation."""
