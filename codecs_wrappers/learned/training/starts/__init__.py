"""Where a network's first weights come from: another model's, a linear codec's, or fitted ones."""
