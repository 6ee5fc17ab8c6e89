"""Which files a command's libraries are, with linkers that are not asked."""
