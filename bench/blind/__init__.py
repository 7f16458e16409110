"""A blind test of stored pictures by people: triplet questions as a static page, and a JND scale from the answers."""
