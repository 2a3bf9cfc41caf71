"""CBERL: emotion recognition in conversations, causal and multimodal. Knows nothing of sockets or sessions."""
