"""The compiled loops of the fused engine."""
