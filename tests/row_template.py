"""A whole row for tests to change a key or two of."""

from sah_jax.studies import rows as rows_lib

TEMPLATE = rows_lib.Row(
    train_flops=0, decode_flops=0, query_flops=0, reference_bits=0, portable=True, unchanged=False,
    experiment_name="icl", dataset_name="arithmetic", model_name="nano", performance=0.0, bits=0,
    seed=1, strategy_hparams={}, point="p", program="p.sah", program_sha256="0" * 64,
    ideal_bits=0.0, script_bits=0, verified=True, performance_stderr=0.01, num_scored=100,
    selection_split="selection", selection_performance=0.0, selection_stderr=0.01,
    selection_num_scored=100, numerics_digest="0", adapted_digest="0", base_digest="0", task_digest="0",
    wall_time_s=0.0)
