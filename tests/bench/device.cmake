# Measures a GPU; without one it says so and counts as skipped, but runs a moment by the twin so that it does not rot.
add_executable(hfwa_device_bench "${PROJECT_SOURCE_DIR}/tests/bench/device_bench.cc"
  "${PROJECT_SOURCE_DIR}/lab/seeded_model.cc")
target_link_libraries(hfwa_device_bench PRIVATE hfwa_bank hfwa_cuda_twin hfwa_flags)
target_compile_definitions(hfwa_device_bench PRIVATE HFWA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
set_target_properties(hfwa_device_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
add_test(NAME bench_device COMMAND hfwa_device_bench)
set_tests_properties(bench_device PROPERTIES LABELS "bench;cuda" TIMEOUT 300
  SKIP_REGULAR_EXPRESSION "skipped: no CUDA device")
add_test(NAME bench_smoke/device COMMAND hfwa_device_bench --twin "${PROJECT_SOURCE_DIR}/tests/data/seeded_model.json")
set_tests_properties(bench_smoke/device PROPERTIES LABELS bench TIMEOUT 120)
