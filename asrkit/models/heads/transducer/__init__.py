"""The transducer head and its parts."""
