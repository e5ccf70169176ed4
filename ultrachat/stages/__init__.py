"""The stages `chat.*`: from documents to dialogues, each with its proof."""
