"""What every test shares: hypothesis draws the same examples in every run, and time is never judged."""

from hypothesis import settings

settings.register_profile("minicnn", derandomize=True, deadline=None, print_blob=True, max_examples=30)
settings.load_profile("minicnn")
