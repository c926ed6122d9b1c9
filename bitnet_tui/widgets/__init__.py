"""The widgets, one a file. They draw what a view-model says and know no keys, files or processes."""
