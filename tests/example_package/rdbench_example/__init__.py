"""An image codec for rdbench in a package of its own."""
