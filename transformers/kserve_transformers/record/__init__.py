"""Records requests and answers as CloudEvents, off the request's way: to a folder, a bucket or an HTTP sink."""
