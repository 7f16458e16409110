"""One job: worker processes, the two-process round trip, the cache, times, rate control."""
