"""The first screen: every study, and what there is to say about the chosen one."""
