"""What formats share: selections, files that are not trusted, blocks of rows, options, problems."""
