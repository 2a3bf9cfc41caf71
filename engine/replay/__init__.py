"""`cberl replay`: a recorded conversation again, on virtual time."""
