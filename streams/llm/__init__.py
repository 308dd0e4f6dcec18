"""The LLM worker: jobs in from Kafka, artefacts out, beside the stream and never in its way."""
