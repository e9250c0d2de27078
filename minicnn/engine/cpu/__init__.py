"""The fused engine: blocks of layers over arrays that are made once, on the CPU."""
