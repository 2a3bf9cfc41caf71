"""`cberl bench`: drives an engine with many conversations at once, and measures how late its events come."""
