"""One small file per codec family; `bench.codec.discover` finds them by listing this folder."""
