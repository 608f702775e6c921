# How much the scheduler itself costs: build/PRESET/bin/hfwa_scheduler_bench.
find_package(benchmark REQUIRED)
hfwa_program(hfwa_scheduler_bench SOURCES scheduler_bench.cc DEPS hfwa_batching benchmark::benchmark)
add_test(NAME bench_smoke/scheduler COMMAND hfwa_scheduler_bench --benchmark_min_time=0.001)
set_tests_properties(bench_smoke/scheduler PROPERTIES LABELS bench TIMEOUT 60)
