"""How the embedded model was made: seeded data, training, and the showcase of what it says."""
