"""Train and serve GPT-Neo: a bring-your-own container for SageMaker."""
