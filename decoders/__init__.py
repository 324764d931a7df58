"""From masks to text: language models, sampling, and the loops that drive them."""
