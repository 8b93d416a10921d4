"""One file a format: what its header declares is read and checked here, and codecs get only what was checked."""
