"""What is trained: populations of networks, the settings of a training, the rows that each network sees, the plan."""
