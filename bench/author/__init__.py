"""Tools for codec authors: a new wrapper file, and a quick try of a codec on one image."""
