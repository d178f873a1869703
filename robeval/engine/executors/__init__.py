"""Where cells are computed: in this process, in processes beside it, on a Ray cluster. No figure depends on it."""
