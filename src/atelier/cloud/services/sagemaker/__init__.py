"""SageMaker: training jobs, models, endpoints and their runtime, run by the cloud's container engine."""
