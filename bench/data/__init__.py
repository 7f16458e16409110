"""Image sets: finding, downloading, verifying, converting and reading image files."""
