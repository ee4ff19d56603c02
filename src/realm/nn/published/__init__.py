"""The network of the published system: its tokenizer and layers, causal and bidirectional."""
