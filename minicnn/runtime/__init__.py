"""What computing rests on: threads, BLAS, compilation and its cache. No arithmetic."""
