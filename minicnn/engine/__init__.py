"""How one training step, or one prediction, is executed; what it means is said by the layers."""
