"""Questions to language models: versioned files, and what fills them."""
