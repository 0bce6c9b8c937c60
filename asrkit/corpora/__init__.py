"""Corpora in common forms, as sources of manifests: Kaldi folders, tables, folders of audio."""
