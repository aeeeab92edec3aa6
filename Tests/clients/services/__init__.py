"""Services that stand behind the mesh."""
