"""Conversations kept outside this process, so that another engine can continue them."""
