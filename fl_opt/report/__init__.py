"""Pictures, tables and the self-contained page of a comparison or a study."""
