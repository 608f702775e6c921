# How much the scheduler itself costs: build/PRESET/bin/hfwa_scheduler_bench.
find_package(benchmark REQUIRED)
hfwa_program(hfwa_scheduler_bench SOURCES scheduler_bench.cc DEPS hfwa_batching benchmark::benchmark)
