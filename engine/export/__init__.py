"""Conversations as files for other programs: one module per format, each a pure function from turns to text."""
