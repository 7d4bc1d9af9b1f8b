"""Strategies with one mistake each: a comment `# <- rule` stands at every line that `crosswire check` must name."""
